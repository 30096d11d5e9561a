"""What each reader refuses, forgives and keeps, beyond the scene that all of them agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taolite import formats
from taolite.errors import DataError
from taolite.formats import kitti
from taolite.formats.findings import Findings
from taolite.sample import Label, Sample

Draw = Callable[..., Path]


@pytest.fixture
def write_voc(tmp_path: Path, draw: Draw) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        draw(tmp_path / "a.png", hw=(80, 100))
        (tmp_path / "a.xml").write_text(text)
        return tmp_path / "a.xml"

    return write


def voc_object(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<annotation>\n<object><name>cat</name>\n<bndbox>{box}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((1, 1, 100, 80), (0, 0, 100, 80)),  # the whole picture
        ((0, 0, 100, 80), (0, 0, 100, 80)),  # a tool that counts from 0
        ((5, 5, 5, 5), (4, 4, 4, 4)),  # a stray click has no size
        ((9, 5, 5, 20), (8, 4, 4, 20)),  # swapped stays swapped
        ((-3, 2, 5.5, 6.5), (-3, 2, 5.5, 6.5)),  # a fraction: edges, as CVAT writes them
    ],
)
def test_voc_counts_from_one_and_includes_both_ends(
    write_voc: Callable[[str], Path], corners: tuple[float, ...], box: tuple[float, ...]
):
    (sample,) = formats.read(write_voc(voc_object(*corners)))

    assert [(label.box, label.line) for label in sample.labels] == [(box, 3)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (voc_object(1, "x", 3, 4), ":3: <ymin> of `cat` is `x`; it needs to be a finite number"),
        (voc_object(1, 2, "", 4), ":3: <xmax> of `cat` is ``; it needs to be a finite number"),
        ("<annotation>\n\n<object><name>cat</name></object></annotation>",
         ":3: an <object> needs a <name> and a <bndbox>"),
        ("<annotation>\n<object></annotation>", ":2: not XML (mismatched tag)"),
        ("<list><annotation/></list>", ":1: the root is <list>; VOC's is <annotation>"),
        ('<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;">]>\n<annotation>&c;</annotation>',
         ":1: a DOCTYPE is refused: label files need none, and it can hide an entity bomb; delete that line"),
    ],
)  # fmt: skip
def test_a_voc_file_that_cannot_be_used_says_where_and_why(write_voc: Callable[[str], Path], text: str, problem: str):
    path = write_voc(text)

    with pytest.raises(DataError) as caught:
        formats.read(path, "voc")

    assert str(caught.value) == f"{path}{problem}"


def test_kitti_s_columns_come_back_as_they_went(tmp_path: Path, draw: Draw):
    text = (
        "Pedestrian 0.50 2 -0.20 712.40 143.00 810.73 307.92 1.89 0.48 1.20 1.84 1.47 8.41 0.01\n"
        "DontCare -1.00 -1 -10.00 1.00 2.00 3.00 4.00 -1.00 -1.00 -1.00 -1000.00 -1000.00 -1000.00 -10.00\n"
        "Car 0.00 0 0.00 1.50 2.00 3.00 4.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00 3.475\n"
    )
    (tmp_path / "a.txt").write_text(text)

    labels = kitti.parse_labels(tmp_path / "a.txt", Findings())

    assert labels is not None
    assert labels[0] == Label(
        "Pedestrian",
        (712.4, 143, 810.73, 307.92),
        truncated=0.5,
        occluded=2,
        alpha=-0.2,
        attributes={"height_m": "1.89", "width_m": "0.48", "length_m": "1.2", "x_m": "1.84", "y_m": "1.47",
                    "z_m": "8.41", "rotation_y": "0.01"},
        line=1,
    )  # fmt: skip
    assert [label.score for label in labels] == [None, None, 3.475]
    assert kitti.format_labels(labels) == text


def test_a_label_file_in_another_encoding_is_named(tmp_path: Path, draw: Draw):
    (tmp_path / "a.txt").write_bytes("Köter 0 0 0 1 2 3 4 0 0 0 0 0 0 0".encode("latin-1"))
    draw(tmp_path / "a.png", hw=(8, 8))

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path / "a.txt", "kitti")

    assert str(caught.value) == f"{tmp_path}/a.txt: not UTF-8 text (byte 1); save it as UTF-8"


@pytest.fixture
def write_coco(tmp_path: Path, draw: Draw) -> Callable[..., Path]:
    def write(annotation: dict[str, Any] | None = None, **changes: Any) -> Path:
        draw(tmp_path / "a.png", hw=(80, 100))
        entry = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **(annotation or {})}
        data = {
            "images": [{"id": 1, "file_name": "a.png"}],
            "annotations": [entry],
            "categories": [{"id": 1, "name": "cat"}],
            **changes,
        }
        (tmp_path / "coco.json").write_text(json.dumps(data))
        return tmp_path / "coco.json"

    return write


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ({"image_id": 2}, "annotation 7 names no image of this file"),
        ({"category_id": 4}, "annotation 7 has category_id 4, which `categories` does not list"),
        ({"bbox": [1, 2, None, 4]}, "annotation 7 needs a `bbox` of four finite numbers: x, y, width, height"),
        ({"bbox": [1, 2, 3]}, "annotation 7 needs a `bbox` of four finite numbers: x, y, width, height"),
        ({"segmentation": [[1, 2, 3]]}, "annotation 7 has a `segmentation` that is no list of x, y pairs"),
    ],
)
def test_a_coco_annotation_that_cannot_be_used_is_named_by_its_id(
    write_coco: Callable[..., Path], annotation: dict[str, Any], problem: str
):
    path = write_coco(annotation)

    with pytest.raises(DataError) as caught:
        formats.read(path, "coco")

    assert str(caught.value) == f"{path}: {problem}"


def test_coco_s_polygons_and_crowds_are_kept(write_coco: Callable[..., Path], tmp_path: Path):
    polygons = [[1.0, 2.0, 4.0, 2.0, 4.0, 6.0], [1.0, 1.0, 2.0, 1.0, 2.0, 2.0]]
    path = write_coco({"segmentation": polygons, "iscrowd": 1})

    formats.write(formats.read(path, "coco"), tmp_path / "again", "coco")

    (entry,) = json.loads((tmp_path / "again/annotations.json").read_text())["annotations"]
    assert entry == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 2, 3, 4],
        "area": 6.5,  # 3 * 4 / 2 + 1 * 1 / 2
        "iscrowd": 1,
        "segmentation": polygons,
    }


def test_several_coco_files_need_a_word_from_the_user(write_coco: Callable[..., Path], tmp_path: Path):
    path = write_coco()
    path.rename(tmp_path / "instances_val2017.json")
    write_coco().rename(tmp_path / "instances_train2017.json")

    (sample,) = formats.read(tmp_path, split="val")
    assert sample.source == tmp_path / "instances_val2017.json"
    with pytest.raises(DataError) as caught:
        formats.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: 2 COCO files (instances_train2017.json, instances_val2017.json); "
        "name the one that is meant, as path or with --split"
    )


@pytest.fixture
def write_yolo(tmp_path: Path, draw: Draw) -> Callable[..., Path]:
    def write(text: str, *, names: str = "names: [cat, 'hot dog']\n") -> Path:
        for part in ("train", "val"):
            draw(tmp_path / f"images/{part}/a.png", hw=(80, 100))
            (tmp_path / f"labels/{part}").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"labels/{part}/a.txt").write_text(text)
        if names:
            (tmp_path / "data.yaml").write_text(names)
        return tmp_path / "labels/train/a.txt"

    return write


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("2 0.5 0.5 1 1", "class `2` has no name; 2 are named, numbered from 0"),
        ("0.5 0.5 0.5 1 1", "class `0.5` has no name; 2 are named, numbered from 0"),
        ("0 0.5 0.5 1", "4 columns found; a YOLO label has 5 columns, 6 with a score, or a class and polygon points"),
        ("0 0.5 0.5 1 one", "`one` needs to be a finite number"),
    ],
)
def test_a_yolo_line_that_cannot_be_used_says_where_and_why(
    write_yolo: Callable[..., Path], tmp_path: Path, line: str, problem: str
):
    path = write_yolo(f"1 0.5 0.5 1 1\n{line}\n")

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path, split="train")

    assert str(caught.value) == f"{path}:2: {problem}"


@pytest.mark.parametrize(
    "names",
    [
        "names: [cat, 'hot dog']\n",
        'nc: 2\nnames:\n- cat\n- "hot dog"\n',
        "names:\n    0: cat # first\n    1: hot dog\nnc: 2",
    ],
)
def test_yolo_s_class_names_are_read_as_the_tools_write_them(
    write_yolo: Callable[..., Path], tmp_path: Path, names: str
):
    write_yolo("1 0.5 0.5 0.5 0.5\n", names=names)

    samples = formats.read(tmp_path)

    assert [(sample.image.parent.name, sample.labels[0].name) for sample in samples] == [
        ("train", "hot dog"),
        ("val", "hot dog"),
    ]
    assert samples[0].labels[0].box == (25, 20, 75, 60)


def test_lists_and_names_in_another_encoding_are_named(write_yolo: Callable[..., Path], tmp_path: Path):
    write_yolo("0 0.5 0.5 0.5 0.5\n", names="")
    (tmp_path / "classes.txt").write_bytes("Köter\n".encode("latin-1"))

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path)

    assert str(caught.value) == f"{tmp_path}/classes.txt: not UTF-8 text (byte 1); save it as UTF-8"


def test_yolo_without_class_names_says_what_to_add(write_yolo: Callable[..., Path], tmp_path: Path):
    write_yolo("1 0.5 0.5 0.5 0.5\n", names="")

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}: YOLO labels are numbers, and neither data.yaml nor classes.txt names them; add one"
    )


def test_real_sets_are_read_whole(shared_data: Path):
    def count(name: str, split: str | None = None) -> tuple[int, int]:
        samples = formats.read(shared_data / name, split=split)
        return len(samples), sum(len(sample.labels) for sample in samples)

    # the figures of the folders' own READMEs
    assert count("bccd", "test") == (72, 805 + 71 + 69)
    assert count("raccoon", "data/test_labels.csv") == (40, 44)
    assert count("kitti_mini/kitti_real") == (3, 10)
    assert count("kitti_mini/odd_pedestrian") == (3, 224)
    assert count("cat_dog_det", "test") == (44, 44)


def test_bccd_s_boxes_stay_inside_their_images(shared_data: Path):
    samples = formats.read(shared_data / "bccd", split="val")

    # xmax == 640 in the 1-based convention is the image's edge
    assert max(sample.boxes_n4[:, 2].max() for sample in samples) == 640
    assert min(sample.boxes_n4.min() for sample in samples) >= 0


def test_a_split_keeps_identical_pictures_on_one_side(tmp_path: Path, draw: Draw):
    from taolite.formats.holdout import split_samples

    samples = [Sample(draw(tmp_path / f"{n}.png", hw=(8, 8), seed=n // 2), (8, 8)) for n in range(20)]

    train, val = split_samples(samples, percent=30, seed=1)

    assert (len(train), len(val)) == (14, 6)
    assert {sample.image.read_bytes() for sample in train}.isdisjoint(sample.image.read_bytes() for sample in val)
    assert split_samples(samples[::-1], percent=30, seed=1)[1] == val[::-1]
    assert split_samples(samples, percent=30, seed=2)[1] != val
