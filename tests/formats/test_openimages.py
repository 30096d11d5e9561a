"""Open Images folders: tables by column name, classes of all splits, pictures by id, path or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import DataError, PathError, UsageError
from taolite.formats.openimages import read_openimages_set

Draw = Callable[..., Path]
OFFICIAL = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
APPLE = "freeform,/m/014j1m,1,0.25,0.75,0.1,0.5"


def table(*rows: str) -> str:
    """As pytorch-ssd's downloader leaves it: the official columns, then `id` and `ClassName`."""
    return "\n".join([f"{OFFICIAL},id,ClassName", *rows, ""])


@pytest.fixture
def fruit(tmp_path: Path, draw: Draw) -> Path:
    """Two pictures to train on, one to judge; bananas are only in training."""
    root = tmp_path / "fruit"
    for split, image in (("train", "aa"), ("train", "bb"), ("test", "cc")):
        draw(root / split / f"{image}.jpg", hw=(100, 200), seed=ord(image[0]))
    (root / "sub-train-annotations-bbox.csv").write_text(
        table(
            f"aa,{APPLE},1,0,0,0,0,/m/014j1m,Apple",
            f"bb,{APPLE},0,1,0,1,0,/m/014j1m,Apple",
            "aa,freeform,/m/09qck,1,0,1,0,1,0,0,1,0,0,/m/09qck,Banana",
        )
    )
    (root / "sub-test-annotations-bbox.csv").write_text(table(f"cc,{APPLE},0,0,0,0,0,/m/014j1m,Apple"))
    return root


def test_boxes_are_pixels_of_their_picture_and_flags_are_kept(fruit: Path):
    part = read_openimages_set(fruit)

    first, second = part.samples
    assert (first.image, first.size_hw) == (fruit / "train/aa.jpg", (100, 200))
    assert [(label.name, label.box, label.line) for label in first.labels] == [
        ("Apple", (50, 10, 150, 50), 2),
        ("Banana", (0, 0, 200, 100), 4),
    ]
    assert (first.labels[0].occluded, first.labels[1].attributes) == (1, {"group_of": "1"})
    assert (second.labels[0].truncated, second.labels[0].attributes) == (1.0, {"depiction": "1"})
    assert part.notices == ()


def test_one_list_of_classes_serves_all_splits(fruit: Path):
    assert read_openimages_set(fruit, split="train").classes == ("Apple", "Banana")
    assert read_openimages_set(fruit, split="test").classes == ("Apple", "Banana")
    assert read_openimages_set(fruit, split="test", classes=("Pear", "Apple")).classes == ("Pear", "Apple")


def test_the_background_is_no_class(fruit: Path):
    path = fruit / "sub-test-annotations-bbox.csv"
    path.write_text(path.read_text() + f"cc,{APPLE},0,0,0,0,0,/m/x,Background\n")

    part = read_openimages_set(fruit, split="test")

    assert part.classes == ("Apple", "Banana")
    assert len(part.samples[0].labels) == 1
    assert part.notices[0].text.endswith("`Background` is not one of the classes (Apple, Banana) and is left out")


def test_drawings_and_groups_can_be_left_out(fruit: Path):
    part = read_openimages_set(fruit, depictions=False, groups=False)

    assert [(sample.image.stem, [label.name for label in sample.labels]) for sample in part.samples] == [
        ("aa", ["Apple"])
    ]
    assert part.notices[0].text.endswith("2 boxes left out (IsDepiction and IsGroupOf)")


def test_validation_judges_where_there_is_no_test_and_a_fifth_of_training_where_there_is_neither(
    fruit: Path, draw: Draw
):
    (fruit / "sub-test-annotations-bbox.csv").write_text(table())
    draw(fruit / "validation/dd.jpg", hw=(100, 200), seed=9)
    validation = fruit / "sub-validation-annotations-bbox.csv"
    validation.write_text(table(f"dd,{APPLE},0,0,0,0,0,/m/014j1m,Apple"))

    part = read_openimages_set(fruit, split="test")
    assert [sample.image.stem for sample in part.samples] == ["dd"]
    assert [sample.image.stem for sample in formats.read(fruit, split="val")] == ["dd"]
    assert part.notices[0].text == f"{fruit}: no boxes for test; validating on validation instead"

    validation.unlink()
    train, test = (read_openimages_set(fruit, split=split) for split in ("train", "test"))
    assert sorted(sample.image.stem for part in (train, test) for sample in part.samples) == ["aa", "bb"]
    assert train.notices[0].text == test.notices[0].text
    assert "no split lists found: using a fixed split, 1 image for training, 1 for validation" in train.notices[0].text


def test_missing_pictures_are_named_and_corrupt_ones_refused_unless_they_are_to_be_skipped(fruit: Path):
    (fruit / "train/bb.jpg").unlink()
    part = read_openimages_set(fruit)
    assert [sample.image.stem for sample in part.samples] == ["aa"]
    assert part.notices[0].text.endswith("1 of 2 images left out, no picture: `bb`")

    (fruit / "train/bb.jpg").write_bytes((fruit / "train/aa.jpg").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"bb\.jpg: not a readable image"):
        read_openimages_set(fruit)
    assert len(read_openimages_set(fruit, skip_bad=True).samples) == 1


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("aa,x,/m/0,1,0.1,,0.2,0.3,0,0,0,0,0,/m/0,Apple", "this row needs an ImageID, a ClassName and numbers"),
        ("aa,x,/m/0,1,0.1,nan,0.2,0.3,0,0,0,0,0,/m/0,Apple", "this row needs an ImageID, a ClassName and numbers"),
        ("aa,x,/m/0,1,0.1,0.2,0.2,0.3,0,0,0,0,0,/m/0,", "this row needs an ImageID, a ClassName and numbers"),
        ("aa,x,/m/0,1,15,60,20,90,0,0,0,0,0,/m/0,Apple", "corners are fractions of the picture, from 0 to 1"),
        ("aa", "this row needs an ImageID, a ClassName and numbers"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(fruit: Path, row: str, problem: str):
    path = fruit / "sub-train-annotations-bbox.csv"
    path.write_text(path.read_text() + row + "\n")

    with pytest.raises(DataError) as caught:
        read_openimages_set(fruit)

    assert str(caught.value).startswith(f"{path}:5: ")
    assert problem in str(caught.value)


def test_boxes_are_cut_to_the_picture_and_those_without_area_left_out_by_line(fruit: Path):
    path = fruit / "sub-train-annotations-bbox.csv"
    path.write_text(
        table(
            "aa,x,/m/0,1,-0.01,1.00225,0.5,1,0,0,0,0,0,/m/0,Apple",
            "aa,x,/m/0,1,0.5,0.5,0.1,0.2,0,0,0,0,0,/m/0,Apple",
        )
    )

    part = read_openimages_set(fruit)

    assert [label.box for label in part.samples[0].labels] == [(0, 50, 200, 100)]
    assert part.notices[0].text == (
        f"{path}:3: `Apple` at (100, 10, 100, 20) has no area inside the 200x100 picture; it is left out"
    )


def test_codes_are_named_by_the_class_descriptions(fruit: Path):
    rows = (fruit / "sub-train-annotations-bbox.csv").read_text().splitlines()
    text = "\n".join(row.rsplit(",", 2)[0] for row in rows)
    (fruit / "sub-train-annotations-bbox.csv").unlink()
    (fruit / "train-annotations-bbox.csv").write_text(text)
    (fruit / "class-descriptions-boxable.csv").write_text("/m/014j1m,Apple\n")

    part = read_openimages_set(fruit)

    assert part.classes == ("/m/09qck", "Apple")
    assert part.notices[0].text == f"{fruit}: no class description names `/m/09qck`; the code is used as the class name"


def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(fruit: Path, tmp_path: Path):
    with pytest.raises(PathError, match="no such folder"):
        read_openimages_set(tmp_path / "none")
    with pytest.raises(UsageError, match="split `tset` is not one of train, validation, test"):
        read_openimages_set(fruit, split="tset")
    with pytest.raises(DataError, match=r"no boxes for validation.*there are those of train, test"):
        read_openimages_set(fruit, split="validation")
    (fruit / "sub-train-annotations-bbox.csv").write_text("ImageID,XMin\n")
    with pytest.raises(DataError, match="no column YMin, XMax, YMax, ClassName in its first line"):
        read_openimages_set(fruit)


def test_it_converts_to_voc_with_its_splits_as_lists(fruit: Path, tmp_path: Path):
    assert main(["dataset", "convert", str(fruit), str(tmp_path / "voc"), "--to", "voc"]) == 0

    assert {path.name: path.read_text().split() for path in (tmp_path / "voc/ImageSets/Main").iterdir()} == {
        "train.txt": ["aa", "bb"],
        "trainval.txt": ["aa", "bb"],
        "test.txt": ["cc"],
    }
    assert (tmp_path / "voc/labels.txt").read_text() == "Apple\nBanana\n"
    assert formats.detect(fruit) == "openimages"
    assert len(formats.read(fruit, split="test")) == 1


@pytest.mark.parametrize(
    ("name", "classes", "boxes"),
    [
        ("all_images", ("box", "can", "trafficcone"), 1227),
        ("arliss_teacher2", ("box", "can", "trafficcone"), 527),
        ("can_real", ("can",), 67),
        ("carryber_box", ("box", "can", "trafficcone"), 785),
    ],
)
def test_label_sets_whose_images_are_paths_find_their_pictures(
    shared_data: Path, tmp_path: Path, draw: Draw, name: str, classes: tuple[str, ...], boxes: int
):
    source = shared_data / "openimages_mini/labels_only_enjoy82" / name
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "sub-train-annotations-bbox.csv").read_text().splitlines()
    column = lines[0].split(",").index("ImageID")
    for seed, image in enumerate(sorted({line.split(",")[column] for line in lines[1:]})):
        draw(tmp_path / image, hw=(10, 10), seed=seed)

    part = read_openimages_set(tmp_path, split="train", classes=classes)

    cut = sum("has no area" in notice.text for notice in part.notices)
    count = sum(len(sample.labels) for sample in part.samples)
    if name != "can_real":  # whose other tables are empty, so that a fifth of it judges
        assert count + cut == boxes
    else:
        assert count + sum(len(s.labels) for s in read_openimages_set(tmp_path, split="test").samples) == boxes
    assert part.classes == classes


def test_the_official_layout_of_version_6_is_read(shared_data: Path):
    part = read_openimages_set(shared_data / "openimages_mini/datumaro_synthetic/v6", split="train")

    (sample,) = part.samples
    assert (sample.image.name, sample.size_hw) == ("b.jpg", (2, 8))
    assert sample.labels[0].box == pytest.approx((1.6, 0.6, 8, 1))
    assert part.classes == ("Generic label #0", "Generic label #3")
