"""`check` and `measure_dataset` on damaged little sets, and on the defects that the real sets are known to have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import formats
from taolite.errors import DataError, UsageError
from taolite.events import Event, Notice
from taolite.formats.check import CheckReport, check
from taolite.formats.findings import count_by_kind
from taolite.formats.stats import measure_dataset
from taolite.sample import Label, Sample

Draw = Callable[..., Path]


def found(report: CheckReport, root: Path) -> list[str]:
    return [str(problem).replace(f"{root}/", "") for problem in report.problems]


@pytest.fixture
def root(tmp_path: Path, scene: list[Sample]) -> Path:
    formats.write(scene, tmp_path / "set", "kitti")
    return tmp_path / "set"


def line(name: str, *box: float) -> str:
    return f"{name} 0 0 0 {' '.join(map(str, box))} 0 0 0 0 0 0 0\n"


def test_a_sound_set_has_no_problems(root: Path):
    report = check(root, classes=["cat", "dog", "room"])

    assert (report.format, report.images, report.labels, report.problems, report.notes) == ("kitti", 3, 4, (), ())


def test_every_kind_of_bad_box_is_found_with_its_line(root: Path):
    boxes = [(10, 10, 5, 20), (7, 3, 7, 9), (7, 3, 7, 3), (-4, 0, 20, 70.5), (0, 0, 80.05, 60)]
    (root / "label_2/house.txt").write_text("".join(line("cat", *box) for box in boxes))

    assert found(check(root), root) == [
        "label_2/house.txt:1: cat has swapped corners (10, 10, 5, 20); it needs x1 < x2 and y1 < y2",
        "label_2/house.txt:2: cat has no width (7, 3, 7, 9); draw it again or remove it",
        "label_2/house.txt:3: cat has no width and no height (7, 3, 7, 3); draw it again or remove it",
        "label_2/house.txt:4: cat (-4, 0, 20, 70.5) leaves the 80x60 image by 10.5 pixels",
    ]


def test_what_is_missing_or_cannot_be_read_is_found(root: Path, draw: Draw):
    draw(root / "image_2/new.png", hw=(8, 8), seed=9)
    (root / "label_2/gone.txt").write_text(line("cat", 1, 2, 3, 4))
    whole = (root / "image_2/house.jpg").read_bytes()
    (root / "image_2/house.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "image_2/sky.jpg").write_bytes(b"")

    report = check(root)

    assert [(problem.path.name, problem.kind) for problem in report.problems] == [
        ("house.jpg", "unreadable-image"),
        ("new.png", "image-without-label"),
        ("sky.jpg", "unreadable-image"),
        ("gone.txt", "missing-image"),
    ]
    assert "truncated" in str(report.problems[0])


def test_an_unknown_class_comes_with_the_nearest_name(root: Path):
    (root / "label_2/house.txt").write_text(line("Cat", 1, 2, 30, 40) + line("tree", 1, 2, 20, 30))

    assert found(check(root, classes=["cat", "dog"]), root) == [
        "label_2/house.txt:1: class `Cat` is unknown; did you mean `cat`?",
        "label_2/house.txt:2: class `tree` is unknown; the classes are cat, dog",
    ]


def test_a_header_that_contradicts_the_picture_is_a_problem(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "voc", "voc")
    path = tmp_path / "voc/Annotations/house.xml"
    path.write_text(path.read_text().replace("<width>80</width>", "<width>800</width>"))

    assert found(check(tmp_path / "voc"), tmp_path) == [
        "voc/Annotations/house.xml:4: the file says 800x60 pixels, house.jpg has 80x60"
    ]


def test_a_copy_is_found_by_its_pixels_whatever_its_file(tmp_path: Path, draw: Draw):
    first = draw(tmp_path / "set/image/a.png", hw=(9, 9))
    with Image.open(first) as image:
        image.save(tmp_path / "set/image/b.bmp")
        image.save(tmp_path / "set/image/c.png", compress_level=0)
    for stem, box in (("a", (1, 1, 5, 5)), ("b", (1, 1, 5, 5)), ("c", (1, 1, 5, 6))):
        (tmp_path / "set/label").mkdir(exist_ok=True)
        (tmp_path / f"set/label/{stem}.txt").write_text(line("cat", *box))

    assert [str(problem) for problem in check(tmp_path / "set").problems] == [
        f"{first.parent}/b.bmp: the same picture as {first}, with the same labels; keep one of them",
        f"{first.parent}/c.png: the same picture as {first}, with other labels; keep one of them",
    ]


def test_a_leak_between_lists_is_found_by_name_and_by_content(tmp_path: Path, scene: list[Sample], draw: Draw):
    copy = Sample(tmp_path / "more/copy.jpg", (60, 80))
    copy.image.parent.mkdir()
    copy.image.write_bytes(scene[0].image.read_bytes())
    formats.write([*scene, copy], tmp_path / "voc", "voc")
    lists = tmp_path / "voc/ImageSets/Main"
    (lists / "train.txt").write_text("house\nyard\n")
    (lists / "val.txt").write_text("copy\nyard\nsky\n")

    leaks = [problem for problem in check(tmp_path / "voc").problems if problem.kind == "leak"]

    pictures = tmp_path / "voc/JPEGImages"
    assert [str(leak) for leak in leaks] == [
        f"{pictures}/copy.jpg: is in val, and the same picture is in train as {pictures}/house.jpg; take one out",
        f"{pictures}/yard.jpg: is in train and in val; take it out of one",
    ]


def test_a_leak_between_folders_and_between_sets_is_found(tmp_path: Path, draw: Draw):
    for part in ("train", "val"):
        draw(tmp_path / f"yolo/images/{part}/{part}.png", hw=(9, 9))
        (tmp_path / f"yolo/labels/{part}").mkdir(parents=True)
        (tmp_path / f"yolo/labels/{part}/{part}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "yolo/classes.txt").write_text("cat\n")
    images = tmp_path / "yolo/images"

    assert [str(leak) for leak in check(tmp_path / "yolo").problems if leak.kind == "leak"] == [
        f"{images}/val/val.png: is in val, and the same picture is in train as {images}/train/train.png; take one out"
    ]
    draw(tmp_path / "other/a.png", hw=(9, 9))
    (tmp_path / "other/a.txt").write_text(line("cat", 1, 2, 3, 4))
    assert [str(leak) for leak in check(tmp_path / "other", against=tmp_path / "yolo").problems] == [
        f"{tmp_path}/other/a.png: the same picture as {images}/train/train.png; "
        "training and validation must not share it"
    ]


def test_nearly_identical_boxes_of_one_class_are_noted(root: Path):
    (root / "label_2/sky.txt").write_text(
        line("cat", 0, 0, 10, 10) + line("dog", 0, 0, 10, 10) + line("cat", 0, 0, 10, 9)
    )

    report = check(root)

    assert report.problems == ()
    assert [str(note) for note in report.notes] == [
        f"{root}/label_2/sky.txt:3: cat covers nearly the same place as the one of line 1 (IoU 0.90)"
    ]


def test_the_known_defects_of_the_real_sets_are_found(shared_data: Path):
    raccoon = check(shared_data / "raccoon", splits=["data/train_labels.csv", "data/test_labels.csv"])
    pedestrian = check(shared_data / "kitti_mini/odd_pedestrian")
    predictions = check(shared_data / "kitti_mini/labels_only/tlt_infer_output")

    assert count_by_kind(raccoon.problems) == {"duplicate": 4}
    assert count_by_kind(pedestrian.problems) == {"zero-size": 57}
    assert count_by_kind(predictions.problems) == {"missing-image": 15}


def test_an_empty_box_of_bccd_is_named(shared_data: Path):
    report = check(shared_data / "bccd", splits=["val"])

    (problem,) = report.problems
    assert (report.images, problem.path.name, problem.line) == (87, "BloodImage_00338.xml", 163)
    assert problem.text == "RBC has no width and no height (503, 336, 503, 336); draw it again or remove it"


def test_statistics_count_and_measure(tmp_path: Path):
    picture = tmp_path / "a.png"
    labels = (
        Label("cat", (0, 0, 10, 20)),
        Label("cat", (0, 0, 30, 20)),
        Label("cat", (5, 5, 5, 9)),
        Label("dog", (0, 0, 50, 40)),
    )
    samples = [Sample(picture, (40, 50), labels), Sample(tmp_path / "b.png", (40, 50)), Sample(picture, (20, 20))]

    stats = measure_dataset(samples)

    cat, dog = stats.classes
    assert (stats.images, stats.background, stats.boxes) == (3, 2, 4)
    assert stats.sizes == (((40, 50), 2), ((20, 20), 1))
    assert (cat.name, cat.boxes, cat.images, cat.without_area) == ("cat", 3, 1, 1)
    assert cat.width == pytest.approx([10, 11, 15, 20, 25, 29, 30])
    assert cat.area == pytest.approx(np.percentile([200 / 2000, 600 / 2000], [0, 5, 25, 50, 75, 95, 100]).tolist())
    assert dog.area == (1.0,) * 7


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """jetson's layout: `train/ val/ test/` with cats and dogs, and `labels.txt`."""
    for index, part in enumerate(("train", "val", "test")):
        for place, name in enumerate(("cat", "dog")):
            draw(tmp_path / "pets" / part / name / "a.jpg", hw=(8, 8), seed=10 * index + place)
    (tmp_path / "pets/labels.txt").write_text("cat\ndog\n")
    return tmp_path / "pets"


def test_class_folders_and_their_splits_are_known(pets: Path):
    report = check(pets)
    assert (report.format, report.images, report.labels, report.problems) == ("folders", 6, 6, ())

    part = check(pets / "train")
    assert (part.format, part.images, part.problems) == ("folders", 2, ())


def test_what_is_wrong_with_class_folders_is_found(pets: Path, draw: Draw):
    (pets / "train/cow").mkdir()
    (pets / "val/dog/a.jpg").write_bytes((pets / "train/dog/a.jpg").read_bytes())
    whole = (pets / "test/cat/a.jpg").read_bytes()
    (pets / "test/cat/a.jpg").write_bytes(whole[: len(whole) // 2])
    (pets / "train/dog/notes.txt").write_text("good dog")

    report = check(pets)

    told = [f"{one.path.relative_to(pets)}: {one.text}" for one in report.problems if one.kind != "unreadable-image"]
    copy = "the same picture as"
    assert told == [
        "labels.txt: the class folder `cow` has no line",
        "test: has no folder of `cow`, which another split has",
        "test/cat: this class folder holds no picture",
        "train/cow: this class folder holds no picture",
        "train/dog: files that are not pictures: 1, such as notes.txt",
        "val: has no folder of `cow`, which another split has",
        f"val/dog/a.jpg: {copy} {pets}/train/dog/a.jpg, with the same labels; keep one of them",
        f"val/dog/a.jpg: is in val, and the same picture is in train as {pets}/train/dog/a.jpg; take one out",
    ]
    assert [one.path for one in report.problems if one.kind == "unreadable-image"] == [pets / "test/cat/a.jpg"]


def test_a_folder_of_pictures_alone_is_not_taken_for_class_folders(tmp_path: Path, draw: Draw):
    draw(tmp_path / "images/a.jpg", hw=(8, 8))
    (tmp_path / "labels").mkdir()

    with pytest.raises(UsageError, match="no labels of labelme, kitti"):
        check(tmp_path)


@pytest.mark.parametrize("format", ["voc", "coco", "labelme", "yolo"])
def test_control_characters_and_line_breaks_in_class_names_are_found_and_shown_escaped(
    tmp_path: Path, scene: list[Sample], format: str
):
    formats.write(scene[:1], tmp_path / "set", format)
    name = {"voc": "c&#10;t", "yolo": "cat"}.get(format, "c\\u001b[2Jt")
    for path in (tmp_path / "set").rglob("*"):
        if path.suffix in (".xml", ".json", ".yaml"):
            text = path.read_text()
            text = text.replace("'cat'", '"c\\et"') if format == "yolo" else text.replace('"cat"', f'"{name}"')
            path.write_text(text.replace(">cat<", f">{name}<"))

    (problem,) = (one for one in check(tmp_path / "set").problems if one.kind == "control-character")

    shown = {"voc": "`c\\nt`", "yolo": "`c\\x1bt`"}.get(format, "`c\\x1b[2Jt`")
    assert f"class name {shown} holds control characters or line breaks; rename it" in str(problem)
    assert str(problem).isprintable()


def test_a_class_name_with_control_characters_is_not_written(tmp_path: Path, scene: list[Sample]):
    samples = formats.choose_classes(scene, rename={"cat": "c\x1bt", "dog": "d\ng"})

    for format in formats.FORMATS:
        with pytest.raises(DataError) as caught:
            formats.write(samples, tmp_path / format, format)
        assert str(caught.value) == (
            f"2 class names hold control characters or line breaks: `c\\x1bt` ({scene[0].image}), `d\\ng` "
            f"({scene[0].image}); correct the labels, or rename with --rename OLD=NEW"
        )


def test_all_pictures_that_cannot_be_decoded_are_named_at_once_or_left_out(tmp_path: Path, scene: list[Sample]):
    for sample in scene[:2]:
        whole = sample.image.read_bytes()
        sample.image.write_bytes(whole[:-20])
    events: list[Event] = []

    with pytest.raises(DataError) as caught:
        formats.write(scene, tmp_path / "out", "kitti")
    report = formats.write(scene, tmp_path / "out", "kitti", skip_bad=True, listener=events.append)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}/out: 2 problems"
    for line, sample in zip(lines[1:], scene, strict=False):
        assert line.startswith(f"  {sample.image}: not a readable image (")
    assert report.images == 1
    told = [event.text for event in events if isinstance(event, Notice)]
    assert [text.endswith("; it is left out") for text in told] == [True, True]
