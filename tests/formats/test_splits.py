"""Splits: lists and folders of any of their names, and never a silent read of everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.errors import DataError, UsageError
from taolite.formats.check import check
from taolite.formats.voc_sets import read_voc_classes, read_voc_set
from taolite.sample import Sample

Draw = Callable[..., Path]
VOC = "<annotation><object><name>cat</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>50</ymax></bndbox></object></annotation>"  # noqa: E501
KITTI = "cat 0 0 0 10 20 30 50 0 0 0 0 0 0 0\n"
COUNTS = {"train": 3, "valid": 2, "test": 1}


def voc(folder: Path, stem: str) -> None:
    (folder / f"{stem}.xml").write_text(VOC)


def labelme(folder: Path, stem: str) -> None:
    shape = {"label": "cat", "points": [[10, 20], [30, 50]], "shape_type": "rectangle"}
    (folder / f"{stem}.json").write_text(json.dumps({"shapes": [shape], "imagePath": f"{stem}.jpg"}))


def kitti(folder: Path, stem: str) -> None:
    (folder / f"{stem}.txt").write_text(KITTI)


def yolo(folder: Path, stem: str) -> None:
    (folder.parent / "data.yaml").write_text("names: [cat]\n")
    (folder / f"{stem}.txt").write_text("0 0.25 0.58333333 0.25 0.5\n")


def coco(folder: Path, stem: str) -> None:
    path = folder / "_annotations.coco.json"
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    data = json.loads(path.read_text()) if path.exists() else data
    number = len(data["images"])
    data["images"].append({"id": number, "file_name": f"{stem}.jpg"})
    data["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": [10, 20, 20, 30]})
    path.write_text(json.dumps(data))


@pytest.fixture
def roboflow(tmp_path: Path, draw: Draw) -> Callable[[Callable[[Path, str], None]], Path]:
    """`train/` with three pictures, `valid/` with two and `test/` with one, all of them called 0, 1, 2."""

    def make(label: Callable[[Path, str], None]) -> Path:
        root = tmp_path / "set"
        for part, count in COUNTS.items():
            for index in range(count):
                draw(root / part / f"{index}.jpg", hw=(60, 80), seed=10 * sum(part.encode()) + index)
                label(root / part, str(index))
        return root

    return make


EVERY = pytest.mark.parametrize("label", [voc, labelme, kitti, yolo, coco], ids=lambda label: label.__name__)


@EVERY
def test_split_folders_are_splits_in_every_format_and_valid_is_val(
    roboflow: Callable[[Callable[[Path, str], None]], Path], label: Callable[[Path, str], None]
):
    root = roboflow(label)

    counts = {
        split: len(formats.read(root, split=split))
        for split in ("train", "valid", "val", "validation", "test", "Train")
    }

    assert counts == {"train": 3, "valid": 2, "val": 2, "validation": 2, "test": 1, "Train": 3}
    assert len(formats.read(root)) == 6
    assert {sample.image.parent.name for sample in formats.read(root, split="val")} == {"valid"}
    assert all(sample.labels[0].box == pytest.approx((10, 20, 30, 50), abs=1e-3) for sample in formats.read(root))


@EVERY
def test_an_unknown_split_is_an_error_that_names_the_nearest_and_all_there_are(
    roboflow: Callable[[Callable[[Path, str], None]], Path], label: Callable[[Path, str], None]
):
    root = roboflow(label)

    with pytest.raises(UsageError) as caught:
        formats.read(root, split="vall")

    words = "annotations, coco, test, train, val" if label is coco else "test, train, val"
    assert str(caught.value) == (
        f"{root}: no split is called `vall`; did you mean `val`? its splits are {words}; a list file can be named too"
    )


def test_an_unknown_split_is_an_error_for_formats_that_are_only_read(tmp_path: Path, draw: Draw):
    plates = tmp_path / "plates"
    name = "025-95_113-10&20_60&40-60&40_10&40_10&20_60&20-0_0_22_27_27_33_16-37-15"
    draw(plates / "train" / f"{name}.jpg", hw=(60, 80))
    pets = tmp_path / "pets"
    for part in ("train/cat", "train/dog", "val/cat", "val/dog"):
        draw(pets / part / "a.png", hw=(8, 8), seed=len(part))
    table = tmp_path / "fruit"
    draw(table / "train/a.jpg", hw=(60, 80))
    (table / "sub-train-annotations-bbox.csv").write_text(
        "ImageID,XMin,XMax,YMin,YMax,ClassName\na,0.1,0.5,0.1,0.5,Apple\n"
    )

    for root, there in ((plates, "train"), (pets, "train, val"), (table, "train")):
        with pytest.raises(UsageError) as caught:
            formats.read(root, split="nothing")
        assert str(caught.value) == (
            f"{root}: no split is called `nothing`; its splits are {there}; a list file can be named too"
        )
    assert [sample.image.parent.parent.name for sample in formats.read(pets, split="valid")] == ["val", "val"]


def test_list_lines_are_cut_as_voc_flags_only_where_no_image_has_the_whole_name(tmp_path: Path, draw: Draw):
    root = tmp_path / "set"
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets/Main").mkdir(parents=True)
    for stem in ("photo 0", "photo 1", "photo 2", "a"):
        draw(root / "JPEGImages" / f"{stem}.jpg", hw=(60, 80), seed=sum(stem.encode()))
        voc(root / "Annotations", stem)
    (root / "ImageSets/Main/trainval.txt").write_text("photo 0\nphoto 1\nphoto 2  1\na -1\n")
    (root / "ImageSets/Main/test.txt").write_text("a\n")

    expected = ["a", "photo 0", "photo 1", "photo 2"]
    assert [sample.image.stem for sample in formats.read(root, split="trainval")] == expected
    assert [sample.image.stem for sample in read_voc_set(root).samples] == expected


def test_the_validation_list_has_any_of_its_names(tmp_path: Path, scene: list[Sample]):
    formats.write(scene, tmp_path / "voc", "voc")
    (tmp_path / "voc/ImageSets/Main/valid.txt").write_text("sky\n")

    for split in ("val", "valid", "validation"):
        assert [sample.image.stem for sample in formats.read(tmp_path / "voc", split=split)] == ["sky"]


def test_ssd_trains_on_the_train_folder_and_validates_on_valid(
    roboflow: Callable[[Callable[[Path, str], None]], Path],
):
    root = roboflow(voc)

    train, held = (read_voc_set(root, split=split) for split in ("train", "test"))

    assert [(sample.image.parent.name, sample.image.stem) for sample in train.samples] == [
        ("train", "0"),
        ("train", "1"),
        ("train", "2"),
    ]
    assert [(sample.image.parent.name, sample.image.stem) for sample in held.samples] == [
        ("valid", "0"),
        ("valid", "1"),
    ]
    assert train.notices[-1].text == f"{root}: using its split folders: 3 images for training, 2 for validation (val)"
    assert [sample.image.parent.name for sample in read_voc_set(root, split="valid").samples] == ["valid"] * 2


def test_a_check_of_two_splits_says_which_picture_they_share(
    roboflow: Callable[[Callable[[Path, str], None]], Path],
):
    root = roboflow(voc)
    (root / "valid/0.jpg").write_bytes((root / "train/0.jpg").read_bytes())

    report = check(root, splits=["train", "val"])

    assert report.images == 5
    assert [str(problem) for problem in report.problems if problem.kind == "leak"] == [
        f"{root}/valid/0.jpg: is in val, and the same picture is in train as {root}/train/0.jpg; take one out"
    ]


@pytest.mark.parametrize("reads", [read_voc_set, read_voc_classes])
def test_labels_txt_on_one_line_is_refused_with_one_name_a_line(
    roboflow: Callable[[Callable[[Path, str], None]], Path], reads: Callable[[Path], object]
):
    root = roboflow(voc)
    (root / "labels.txt").write_text("cat,dog\n")

    with pytest.raises(DataError) as caught:
        reads(root)

    assert str(caught.value) == (
        f"{root}/labels.txt: `cat,dog` stands on one line; put one class name a line: cat, dog"
    )
