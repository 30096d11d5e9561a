"""Sinks: what stands on the disk afterwards, and what never does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError, UsageError
from taolite.media import KittiFolder, PictureFolder
from taolite.sample import Detection

IMAGE = np.full((10, 20, 3), (200, 100, 50), np.uint8)


def test_pictures_keep_their_name_and_format(tmp_path):
    sink = PictureFolder(tmp_path / "images_annotated")

    for name, kind in [("a.jpg", "JPEG"), ("b.PNG", "PNG"), ("c.bmp", "BMP"), ("d.webp", "WEBP"), ("e.tif", "TIFF")]:
        path = sink.write(name, IMAGE)

        assert path == tmp_path / "images_annotated" / name
        with Image.open(path) as saved:
            assert (saved.format, saved.size) == (kind, (20, 10))
            np.testing.assert_allclose(np.array(saved.convert("RGB"))[5, 5], (200, 100, 50), atol=3)


def test_a_second_picture_of_one_name_gets_a_name_of_its_own(tmp_path):
    said = []
    sink = PictureFolder(tmp_path, on_rename=said.append)

    names = [sink.write(name, IMAGE).name for name in ("x.png", "X.png", "x.png")]

    assert names == ["x.png", "X_2.png", "x_3.png"]
    assert said == [
        "X.png: another picture has this name; this one is written as X_2.png",
        "x.png: another picture has this name; this one is written as x_3.png",
    ]


def test_a_picture_that_is_read_is_never_replaced(tmp_path):
    source = tmp_path / "x.png"
    source.write_bytes(b"precious")

    with pytest.raises(UsageError) as caught:
        PictureFolder(tmp_path, protect=[source]).write("x.png", IMAGE)

    assert str(caught.value) == (f"{source}: this is one of the input pictures; choose another folder for the results")
    assert source.read_bytes() == b"precious"


def test_labels_are_taos_sixteen_columns(tmp_path):
    sink = KittiFolder(tmp_path / "labels")

    path = sink.write(
        "photo.jpg", [Detection("cat", (1, 2.25, 30.5, 40), 12.5), Detection("dog", (0, 0, 9, 9), 0.98765)]
    )
    empty = sink.write("nothing.jpg", [])

    assert path == tmp_path / "labels" / "photo.txt"
    assert path.read_text() == (
        "cat 0.00 0 0.00 1.000 2.250 30.500 40.000 0.00 0.00 0.00 0.00 0.00 0.00 0.00 12.500\n"
        "dog 0.00 0 0.00 0.000 0.000 9.000 9.000 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.988\n"
    )
    assert empty.read_text() == ""


def test_labels_of_two_pictures_with_one_stem_both_survive(tmp_path):
    said = []
    sink = KittiFolder(tmp_path, on_rename=said.append)

    sink.write("x.png", [Detection("cat", (0, 0, 1, 1), 1)])
    second = sink.write("x.jpg", [])

    assert second == tmp_path / "x_2.txt"
    assert (tmp_path / "x.txt").read_text().startswith("cat ")
    assert said == ["x.txt: another picture has this name; this one is written as x_2.txt"]


def test_a_class_name_with_a_blank_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        KittiFolder(tmp_path).write("x.png", [Detection("traffic light", (0, 0, 1, 1), 1)])

    assert str(caught.value) == (
        "class name 'traffic light' cannot stand in a KITTI file, whose columns are separated by blanks; give the "
        "class another name with output_map"
    )
    assert list(tmp_path.iterdir()) == []
