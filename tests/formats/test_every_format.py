"""Every reader gives the same samples for the same scene, however it came to be on disk."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from taolite import formats
from taolite.errors import DataError, PathError, StorageError, UsageError
from taolite.events import Event, Notice
from taolite.formats.photo import read_photo
from taolite.sample import Label, Sample

SCENE = [
    (
        "house",
        (60, 80),
        [("cat", (10, 20, 30, 50)), ("dog", (40.25, 0, 80, 33.5)), ("room", (0, 0, 80, 60))],
    ),
    ("sky", (20, 20), []),
    ("yard", (32, 48), [("cat", (1, 2, 40, 9))]),
]
Draw, Say = Callable[..., Path], Callable[[list[Sample]], object]
HAND_MADE = {
    "labelme": {
        "house.json": json.dumps(
            {
                "shapes": [
                    {"label": "cat", "points": [[30, 20], [10, 50]], "shape_type": "rectangle", "flags": None},
                    {"label": "dog", "points": [[80, 0], [40.25, 10], [60, 33.5]], "shape_type": "polygon"},
                    {"label": "room", "points": [[0, 0], [80, 0], [80, 60], [0, 60]], "shape_type": "rectangle"},
                ],
                "imagePath": "elsewhere\\house.jpg",
                "imageData": None,
            }
        ),
        "sky.json": '{"shapes": [], "imagePath": "sky.jpg", "imageData": null, "flags": {}}',
        "yard.json": json.dumps(
            {
                "shapes": [{"label": "cat", "points": [[1, 2], [40, 9]], "shape_type": "rectangle"}],
                "imagePath": "yard.jpg",
                "imageHeight": 32,
                "imageWidth": 48,
            }
        ),
    },
    "kitti": {
        "labels/house.txt": "cat 0 0 0 10 20 30 50 0 0 0 0 0 0 0\n"
        "dog 0.00 0 0.00 40.25 0.00 80.00 33.50 0.00 0.00 0.00 0.00 0.00 0.00 0.00 \r\n"
        "\n"
        "room 0 0 0 0 0 80 60 0 0 0 0 0 0 0 0.9",
        "labels/sky.txt": "",
        "labels/yard.txt": "\ufeffcat 0 0 0 1 2 40 9 -1 -1 -1 -1000 -1000 -1000 -10\n",
    },
    "voc": {
        # a fraction in a file: edges from 0; whole numbers alone: pixels from 1, the last is the width
        "Annotations/house.xml": """<annotation verified="yes"><folder>x</folder><filename>house</filename>
            <path>C:\\else\\where.jpg</path><size><width>80</width><height>60</height><depth>3</depth></size>
            <object><name>cat</name><truncated/><difficult>1</difficult><part><name>head</name></part>
              <bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>50</ymax></bndbox></object>
            <object><name>dog</name>
              <bndbox><xmin>40.25</xmin><ymin>0</ymin><xmax>80</xmax><ymax>33.5</ymax></bndbox></object>
            <object><bndbox><ymax>60</ymax><xmax>80</xmax><xmin>0</xmin><ymin>0</ymin></bndbox><name>room</name></object>
            </annotation>""",
        "Annotations/sky.xml": "<annotation><filename>sky.jpg</filename></annotation>",
        "Annotations/yard.xml": """<annotation><filename>yard.jpg</filename><size><width>48</width><height>32</height>
            </size><object><name>cat</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>40</xmax><ymax>9</ymax></bndbox>
            </object></annotation>""",
    },
    "coco": {
        "annotations/instances.json": json.dumps(
            {
                "images": [
                    {"id": 5, "file_name": "sub/house.jpg", "width": 80, "height": 60},
                    {"id": 6, "file_name": "sky.jpg", "width": 20, "height": 20},
                    {"id": 9, "file_name": "yard.jpg", "width": 48, "height": 32},
                ],
                "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 90, "name": "room"}],
                "annotations": [
                    {"id": 1, "image_id": 5, "category_id": 3, "bbox": [10, 20, 20, 30], "iscrowd": 0},
                    {"id": 2, "image_id": 9, "category_id": 3, "bbox": [1, 2, 39, 7],
                     "segmentation": [[1, 2, 40, 9, 1, 9]]},
                    {"id": 3, "image_id": 5, "category_id": 1, "bbox": [40.25, 0, 39.75, 33.5]},
                    {"id": 4, "image_id": 5, "category_id": 90, "bbox": [0, 0, 80, 60], "iscrowd": 1,
                     "segmentation": {"counts": [0, 4800], "size": [60, 80]}},
                ],
            }
        )
    },
    "yolo": {
        "data.yaml": "# ours\ntrain: images\nnames:\n  0: cat\n  1: 'dog'\n  2: room  # all of it\n",
        "labels/house.txt": "0 0.25 0.5833333 0.25 0.5\n1 0.7515625 0.2791667 0.496875 0.5583333\n"
        "2 0 0 1 0 1 1 0 1\n",
        "labels/yard.txt": "0 0.4270833 0.171875 0.8125 0.21875 0.75\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("format", formats.FORMATS)
def test_hand_made_files_of_every_format_give_the_scene(tmp_path: Path, format: str, scene: list[Sample], said: Say):
    root = tmp_path / "data"
    for name, text in HAND_MADE[format].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    for sample in scene:
        folder = root if format == "labelme" else root / "images"
        folder.mkdir(exist_ok=True)
        (folder / sample.image.name).write_bytes(sample.image.read_bytes())

    assert formats.detect(root) == format
    assert said(formats.read(root)) == SCENE


@pytest.mark.parametrize("format", formats.FORMATS)
@pytest.mark.parametrize("first", formats.FORMATS)
def test_what_a_format_writes_every_reader_gives_back(
    tmp_path: Path, first: str, format: str, scene: list[Sample], said: Say
):
    formats.write(scene, tmp_path / "first", first)
    once = formats.read(tmp_path / "first")

    report = formats.write(once, tmp_path / "second", format)

    assert report.labels == {"cat": 2, "dog": 1, "room": 1}
    assert said(formats.read(tmp_path / "second")) == SCENE


def test_a_picture_rotated_by_exif_is_written_upright_and_the_others_keep_their_bytes(
    tmp_path: Path, scene: list[Sample]
):
    from PIL import Image

    formats.write(scene, tmp_path / "kitti", "kitti")

    assert (tmp_path / "kitti/image_2/house.jpg").read_bytes() == scene[0].image.read_bytes()
    with Image.open(tmp_path / "kitti/image_2/yard.jpg") as image:
        assert image.size == (48, 32)
        assert image.getexif().get(0x0112) is None


def test_links_take_no_space(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "hard", "kitti", images="link")
    formats.write(scene, tmp_path / "soft", "kitti", images="symlink")

    assert (tmp_path / "hard/image_2/house.jpg").samefile(scene[0].image)
    assert (tmp_path / "soft/image_2/house.jpg").is_symlink()
    assert not (tmp_path / "soft/image_2/yard.jpg").is_symlink()  # it had to be turned


def test_pictures_and_boxes_are_resized_together(tmp_path: Path, scene: list[Sample]):
    formats.write(scene[:1], tmp_path / "half", "kitti", size_hw=(30, 160))

    (sample,) = formats.read(tmp_path / "half")
    assert read_photo(sample).shape == (30, 160, 3)
    assert [label.box for label in sample.labels] == [(20, 10, 60, 25), (80.5, 0, 160, 16.75), (0, 0, 160, 30)]


def test_one_image_format_for_all(tmp_path: Path, scene: list[Sample], draw: Draw):
    events: list[Event] = []
    mixed = [scene[0], Sample(draw(tmp_path / "leaf.png", hw=(10, 12)), (10, 12))]
    formats.write(mixed, tmp_path / "mixed", "kitti", listener=events.append)
    formats.write(mixed, tmp_path / "png", "kitti", extension=".png")

    assert [event.text for event in events if isinstance(event, Notice)] == [
        "the pictures are of several kinds (.jpg 1, .png 1), and a TAO spec names one image_extension; "
        "convert with --image-format jpg to have one"
    ]
    assert sorted(path.name for path in (tmp_path / "png/image_2").iterdir()) == ["house.png", "leaf.png"]
    assert np.array_equal(read_photo(formats.read(tmp_path / "png")[0]), read_photo(scene[0]))


def test_pictures_of_one_name_get_their_folders_in_front(tmp_path: Path, draw: Draw):
    samples = [Sample(draw(tmp_path / day / "0.jpg", hw=(8, 8)), (8, 8)) for day in ("monday", "friday")]

    formats.write(samples, tmp_path / "kitti", "kitti")

    assert sorted(path.name for path in (tmp_path / "kitti/label_2").iterdir()) == ["friday__0.txt", "monday__0.txt"]


def test_labels_without_area_are_left_out_and_told(tmp_path: Path, scene: list[Sample]):
    labels = (Label("dot", (3, 3, 3, 9), line=7), Label("tip", (3, 3, 4, 4), attributes={"shape": "line"}, line=8))
    sample = Sample(scene[1].image, (20, 20), labels, source=tmp_path / "sky.txt")
    events: list[Event] = []

    report = formats.write([sample], tmp_path / "kitti", "kitti", listener=events.append)

    assert (report.left_out, report.labels) == (2, {})
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"{tmp_path}/sky.txt:7: dot is left out, its box has no width or height",
        f"{tmp_path}/sky.txt:8: tip is left out, a line has no area",
    ]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, scene: list[Sample]):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")

    with pytest.raises(PathError) as caught:
        formats.write(scene, tmp_path / "full", "kitti")

    assert str(caught.value) == (f"{tmp_path}/full: is not empty; choose another folder or remove it")


def test_nothing_is_left_behind_when_a_picture_is_missing(tmp_path: Path, scene: list[Sample]):
    scene[2].image.unlink()

    with pytest.raises(DataError, match="this image is missing"):
        formats.write(scene, tmp_path / "out" / "kitti", "kitti")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, scene: list[Sample], monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, *values: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(StorageError) as caught:
        formats.write(scene, tmp_path / "out" / "kitti", "kitti")

    assert str(caught.value) == (
        f"{tmp_path}/out/kitti: the disk is full; nothing was replaced. Free some space and run it again"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_class_name_with_a_blank_needs_another_name_for_kitti(tmp_path: Path, scene: list[Sample]):
    samples = formats.choose_classes(scene, rename={"cat": "big cat", "dog": "hot dog"})

    with pytest.raises(DataError) as caught:
        formats.write(samples, tmp_path / "kitti", "kitti")

    assert str(caught.value) == (
        f"class names `big cat` ({scene[0].image}), `hot dog` ({scene[0].image}) cannot stand in a KITTI file, whose "
        "columns are separated by blanks; "
        'rename with --rename "big cat=big_cat" --rename "hot dog=hot_dog"'
    )


def test_only_the_chosen_classes_stay(scene: list[Sample]):
    samples = formats.choose_classes(scene, classes=["animal"], rename={"cat": "animal", "dog": "animal"})

    assert [[label.name for label in sample.labels] for sample in samples] == [["animal", "animal"], [], ["animal"]]
    with pytest.raises(UsageError) as caught:
        formats.choose_classes(scene, classes=["cow"])
    assert str(caught.value) == "no label is called `cow`; the classes are cat, dog, room"


def test_a_folder_without_labels_says_what_was_looked_for(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(UsageError) as caught:
        formats.read(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}: no labels of labelme, kitti, voc, coco, yolo, openimages, ccpd, folders found; is this the "
        "folder that holds them?"
    )


def test_pictures_without_labels_may_be_class_folders(tmp_path: Path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/one.JPG").write_bytes(b"")

    with pytest.raises(UsageError, match=r"them\? Where each folder of pictures is a class, say --from folders$"):
        formats.read(tmp_path)


def test_formats_side_by_side_need_a_word_from_the_user(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "both/kitti", "kitti")
    formats.write(scene, tmp_path / "both/voc", "voc")

    with pytest.raises(UsageError) as caught:
        formats.read(tmp_path / "both")

    assert str(caught.value) == f"{tmp_path}/both: labels of kitti and voc lie side by side; say which with --from"
    assert len(formats.read(tmp_path / "both", "voc")) == 3


def test_all_problems_of_a_read_come_at_once_or_are_passed_over(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "kitti", "kitti")
    labels = tmp_path / "kitti/label_2"
    (labels / "house.txt").write_text("cat 0 0 0 1 2 x 9 0 0 0 0 0 0 0\ncat 0 0 0 1 2 nan 9 0 0 0 0 0 0 0\n")
    (labels / "gone.txt").write_text("cat 0 0 0 1 2 40 9 0 0 0 0 0 0 0\n")
    events: list[Event] = []

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path / "kitti")
    kept = formats.read(tmp_path / "kitti", strict=False, listener=events.append)

    rows = [
        f"{labels}/gone.txt: no image is called `gone`; restore it or delete this label file",
        f"{labels}/house.txt:1: column 7 is `x`; it needs to be a finite number",
        f"{labels}/house.txt:2: column 7 is `nan`; it needs to be a finite number",
    ]
    assert str(caught.value).splitlines() == [f"{tmp_path}/kitti: 3 problems", *(f"  {row}" for row in rows)]
    assert [sample.image.stem for sample in kept] == ["sky", "yard"]
    assert [event.text for event in events if isinstance(event, Notice)] == rows


def test_a_split_is_a_list_that_came_along_or_a_file(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "voc", "voc")
    lists = tmp_path / "voc/ImageSets/Main"
    (lists / "val.txt").write_text("sky")
    (lists / "cat_train.txt").write_text("house  1\nyard -1\n")
    (tmp_path / "mine.csv").write_text("filename,width\nyard.jpg,48\nyard.jpg,48\n")

    def stems(split: str) -> list[str]:
        return [sample.image.stem for sample in formats.read(tmp_path / "voc", split=split)]

    assert stems("val") == ["sky"]
    assert stems("cat_train") == ["house", "yard"]
    assert stems(str(tmp_path / "mine.csv")) == ["yard"]
    with pytest.raises(UsageError) as caught:
        stems("test")
    assert str(caught.value) == (
        f"{tmp_path}/voc: no split is called `test`; its splits are cat_train, trainval, val; a list file can be "
        "named too"
    )
