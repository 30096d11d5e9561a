"""Several labels a picture: Pascal VOC's objects and NUS-WIDE's tables, written small as they are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taolite.errors import DataError
from taolite.events import Event, Notice
from taolite.formats.tags import VOC_CLASSES, read_nuswide, read_voc_tags
from taolite.sample import Sample

Draw = Callable[..., Path]


def said(samples: list[Sample]) -> list[tuple[str, list[str]]]:
    return [(sample.image.name, [label.name for label in sample.labels]) for sample in samples]


@pytest.fixture
def voc(tmp_path: Path, draw: Draw) -> Path:
    """Three pictures: two dogs and a person; a difficult car alone; one outside the list."""
    things = {"000001": [("dog", 0), ("Person", 0), ("dog", 0)], "000002": [("car", 1)], "000003": [("cat", 0)]}
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("000001\n000002\n")
    for stem, objects in things.items():
        draw(tmp_path / "JPEGImages" / f"{stem}.jpg", hw=(30, 40))
        box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        rows = "".join(
            f"<object><name>{name}</name><difficult>{hard}</difficult>{box}<part><name>head</name>{box}</part></object>"
            for name, hard in objects
        )
        (tmp_path / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{rows}</annotation>")
    return tmp_path


def test_objects_become_tags_once_each_without_the_difficult_ones(voc: Path):
    samples = read_voc_tags(voc, split="val")

    assert said(samples) == [("000001.jpg", ["dog", "person"]), ("000002.jpg", [])]
    assert {label.box for label in samples[0].labels} == {(0, 0, 40, 30)}
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    assert len(VOC_CLASSES) == 20


def test_a_tag_that_is_no_class_is_named_with_its_line(voc: Path):
    with pytest.raises(DataError) as caught:
        read_voc_tags(voc, split="val", classes=["dog", "person"])

    assert str(caught.value) == f"{voc}/Annotations/000002.xml:1: `car` is not one of the 2 classes"


@pytest.fixture
def nuswide(tmp_path: Path, draw: Draw) -> Path:
    for name in ("0_2124494179_1.jpg", "1_174174086_9.jpg"):
        draw(tmp_path / "images" / name, hw=(12, 16))
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "ImageList" / "TrainImagelist.txt").write_text(
        "actor\\0001_2124494179.jpg\nactor\\0002_174174086.jpg\nbird\\0001_99.jpg\n"
    )
    (tmp_path / "classification_labels").mkdir()
    (tmp_path / "classification_labels" / "classification_trainval.csv").write_text(
        ",sky,person,water\n1,1,-1,1\n0,0,1,0\n"
    )
    return tmp_path


def test_a_table_s_rows_find_their_pictures_by_number(nuswide: Path):
    samples, classes = read_nuswide(nuswide, split="trainval")

    assert classes == ("sky", "person", "water")
    assert said(samples) == [("1_174174086_9.jpg", ["sky", "water"]), ("0_2124494179_1.jpg", ["person"])]
    assert samples[0].labels[0].box == (0, 0, 16, 12)


def test_a_picture_that_is_gone_is_an_error_unless_it_may_be_left_out(nuswide: Path):
    table = nuswide / "classification_labels" / "classification_trainval.csv"
    table.write_text(table.read_text() + "2,1,1,1\n")
    message = f"{table}:4: no picture in images/ is `0001_99.jpg`"
    heard: list[Event] = []

    with pytest.raises(DataError) as caught:
        read_nuswide(nuswide, split="trainval")
    samples, _ = read_nuswide(nuswide, split="trainval", skip_corrupt=True, listener=heard.append)

    assert str(caught.value) == message
    assert heard == [Notice(message, "warning")]
    assert len(samples) == 2


@pytest.mark.parametrize("row", ["0,1,1", "7,1,1,1", "x,1,1,1", "0,1,nan,1"])
def test_a_row_that_is_none_is_named(nuswide: Path, row: str):
    table = nuswide / "classification_labels" / "classification_trainval.csv"
    table.write_text(f",sky,person,water\n{row}\n")

    with pytest.raises(DataError) as caught:
        read_nuswide(nuswide, split="trainval")

    assert str(caught.value) == f"{table}:2: needs 4 numbers, the first from 0 to 2"
