"""COCO files as tools write them: boxes from outlines and masks, ids of two types, names as in an address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taolite import formats
from taolite.errors import DataError
from taolite.formats.rle import rle_box

Draw = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, draw: Draw) -> Callable[..., Path]:
    """One picture of 120x160 with one annotation of these values."""

    def make(*, image_id: Any = 1, category: Any = 1, name: str = "a.png", **annotation: Any) -> Path:
        draw(tmp_path / "set/images" / "a.png", hw=(120, 160))
        entry = {"id": 7, "image_id": 1, "category_id": 1, **annotation}
        data = {
            "images": [{"id": image_id, "file_name": name}],
            "annotations": [entry],
            "categories": [{"id": category, "name": "cat"}],
        }
        (tmp_path / "set/result.json").write_text(json.dumps(data))
        return tmp_path / "set"

    return make


@pytest.mark.parametrize(
    "outline",
    [
        {"segmentation": [[40, 30, 100, 30, 100, 90, 40, 90]]},
        {"segmentation": [[40, 30, 50, 30, 50, 40], [90, 80, 100, 90, 95, 90]], "bbox": []},
        {"segmentation": [[40, 30, 100, 90, 40, 90]], "bbox": None},
        # 40 columns of 120 outside, then 60 columns with 30 outside, 60 inside, 30 outside
        {"segmentation": {"size": [120, 160], "counts": [40 * 120 + 30, 60] + [60, 60] * 59 + [60 * 120 + 30]}},
    ],
)
def test_where_the_box_is_missing_it_is_the_one_around_the_outline(write: Callable[..., Path], outline: dict[str, Any]):
    (sample,) = formats.read(write(**outline))

    assert sample.labels[0].box == (40, 30, 100, 90)


@pytest.mark.parametrize("more", [{}, {"segmentation": []}, {"segmentation": {"size": [120, 160], "counts": "~~"}}])
def test_an_annotation_without_any_outline_is_refused(write: Callable[..., Path], more: dict[str, Any]):
    root = write(**more)

    with pytest.raises(DataError) as caught:
        formats.read(root)

    assert str(caught.value) == (
        f"{root}/result.json: annotation 7 has neither a `bbox` nor polygons or a mask in `segmentation` to take the "
        "box from"
    )


def test_the_box_of_a_packed_mask_is_that_of_its_pixels():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        pixels = np.zeros((height, width), np.uint8)
        for _ in range(rng.integers(0, 4)):
            y, x = rng.integers(0, height), rng.integers(0, width)
            pixels[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = 1
        packed = mask.encode(np.asfortranarray(pixels))["counts"].decode()
        ys, xs = np.where(pixels)
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None

        assert rle_box({"size": [height, width], "counts": packed}) == expected


@pytest.mark.parametrize(
    "ids",
    [
        {"category_id": "1"},
        {"category": "1"},
        {"image_id": "1"},
        {"category_id": 1.0, "category": " 1"},
    ],
)
def test_ids_that_differ_only_in_type_are_one(write: Callable[..., Path], ids: dict[str, Any]):
    (sample,) = formats.read(write(bbox=[1, 2, 3, 4], **ids))

    assert [label.name for label in sample.labels] == ["cat"]


@pytest.mark.parametrize("name", ["my%20photo.jpg", "images/my%20photo.jpg", "my photo.jpg", "x\\my%20photo.jpg"])
def test_names_as_they_stand_in_an_address_are_decoded_where_no_picture_has_them(
    write: Callable[..., Path], draw: Draw, name: str
):
    root = write(bbox=[1, 2, 3, 4], name=name)
    draw(root / "images/my photo.jpg", hw=(120, 160))
    assert [sample.image.name for sample in formats.read(root)] == ["my photo.jpg"]

    draw(root / "images/my%20photo.jpg", hw=(120, 160))
    (sample,) = formats.read(root)
    assert sample.image.name == ("my photo.jpg" if name == "my photo.jpg" else "my%20photo.jpg")


def test_cvat_s_rotation_gives_the_box_around_the_turned_rectangle(write: Callable[..., Path]):
    (sample,) = formats.read(write(bbox=[20, 55, 120, 10], attributes={"rotation": 90.0, "occluded": False}))

    assert sample.labels[0].box == (75, 0, 85, 120)
    assert sample.labels[0].attributes == {"id": "7"}


@pytest.mark.parametrize(
    "values",
    [
        {"bbox": [1, 2, 1e300, 4]},
        {"bbox": [1, 2, "x", 4]},
        {"bbox": {"x": 1}},
        {"segmentation": [[1e300, 2, 3, 4, 5, 6]]},
        {"category_id": [1]},
        {"image_id": None},
        {"category_id": True},
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_the_annotation_s_id(
    write: Callable[..., Path], values: dict[str, Any]
):
    root = write(**{"bbox": [1, 2, 3, 4], **values})

    with pytest.raises(DataError, match=r"set/result\.json: annotation 7 (needs|has|names)"):
        formats.read(root)


def test_several_files_of_one_split_need_a_choice(write: Callable[..., Path]):
    root = write(bbox=[1, 2, 3, 4])
    (root / "second.json").write_text((root / "result.json").read_text())

    with pytest.raises(DataError, match=r"2 COCO files \(result\.json, second\.json\); name the one that is meant"):
        formats.read(root)
