"""labelme's shapes by hand calculation, and labelme's own exports as golden outputs."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taolite import formats
from taolite.errors import DataError
from taolite.events import Event, Notice
from taolite.formats import labelme
from taolite.formats.findings import Findings
from taolite.formats.photo import read_photo
from taolite.formats.shapes import parts_of
from taolite.sample import Label

Write = Callable[..., Path]


@pytest.fixture
def write_labelme(tmp_path: Path, draw: Callable[..., Path]) -> Write:
    """`write(shapes, **top)` puts a.json there, and a 100x80 picture a.png unless `picture` is False."""

    def write(shapes: list[dict[str, Any]], *, picture: bool = True, **top: Any) -> Path:
        if picture:
            draw(tmp_path / "a.png", hw=(80, 100))
        document = {"version": "5.5.0", "shapes": shapes, "imagePath": "a.png", "imageData": None, **top}
        (tmp_path / "a.json").write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
        return tmp_path / "a.json"

    return write


def shape(kind: str | None, points: list[list[float]], label: str = "x", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, **({"shape_type": kind} if kind else {}), **more}


def png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("given", "box"),
    [
        (shape("rectangle", [[30, 20], [10, 60]]), (10, 20, 30, 60)),
        (shape("rectangle", [[10, 20], [30, 20], [30, 60], [10, 60]]), (10, 20, 30, 60)),
        (shape("polygon", [[5, 5], [50.5, 7], [20, 70]]), (5, 5, 50.5, 70)),
        (shape(None, [[5, 5], [50, 7], [20, 70]]), (5, 5, 50, 70)),
        (shape("circle", [[40, 40], [43, 44]]), (35, 35, 45, 45)),  # radius 5, by 3-4-5
        (shape("rotation", [[50, 10], [60, 20], [50, 30], [40, 20]]), (40, 10, 60, 30)),
        (shape("oriented_rectangle", [[50, 10], [60, 20], [50, 30], [40, 20]]), (40, 10, 60, 30)),
        (shape("mask", [[10.4, 20], [13.4, 21]], mask=png(np.full((2, 4), 255, np.uint8))), (10, 20, 14, 22)),
        (shape("rectangle", [[-5, 20], [30, 120]], flags=None, group_id=None), (-5, 20, 30, 120)),
    ],
)
def test_every_shape_with_area_gives_its_box(write_labelme: Write, given: dict[str, Any], box: tuple[float, ...]):
    (sample,) = formats.read(write_labelme([given]))

    assert [label.box for label in sample.labels] == [pytest.approx(box)]
    assert sample.size_hw == (80, 100)


def test_points_and_lines_are_kept_noted_and_give_no_box(write_labelme: Write, tmp_path: Path):
    kinds = [("point", 1), ("points", 2), ("line", 2), ("linestrip", 3)]
    path = write_labelme([shape(kind, [[float(n), 2.0 * n] for n in range(count)], kind) for kind, count in kinds])
    findings = Findings()

    (sample,) = labelme.read(path, only=None, findings=findings)

    assert [label.points for label in sample.labels] == [
        ((0, 0),),
        ((0, 0), (1, 2)),
        ((0, 0), (1, 2)),
        ((0, 0), (1, 2), (2, 4)),
    ]
    assert [str(note) for note in findings.notes] == [
        f"{path}:{label.line}: {kind} `{kind}` has no area and gives no box"
        for label, (kind, _) in zip(sample.labels, kinds, strict=True)
    ]
    assert [note.line for note in findings.notes] == [5, 15, 29, 43]
    assert formats.write([sample], tmp_path / "kitti", "kitti").labels == {}


def test_polygons_of_one_group_are_one_object_and_rectangles_are_not(write_labelme: Write):
    left, right = [[0, 0], [10, 0], [10, 10]], [[20, 0], [30, 0], [30, 40], [20, 40]]
    path = write_labelme(
        [
            shape("polygon", left, "man", group_id=1),
            shape("polygon", right, "man", group_id=2),
            shape("polygon", right, "man", group_id=1),
            shape("polygon", left, "dog", group_id=1),
            shape("rectangle", [[0, 0], [5, 5]], "car", group_id=1),
            shape("rectangle", [[9, 9], [15, 15]], "car", group_id=1),
        ]
    )

    (sample,) = formats.read(path)

    assert [(label.name, label.box) for label in sample.labels] == [
        ("man", (0, 0, 30, 40)),
        ("man", (20, 0, 30, 40)),
        ("dog", (0, 0, 10, 10)),
        ("car", (0, 0, 5, 5)),
        ("car", (9, 9, 15, 15)),
    ]
    assert [len(part) for part in parts_of(sample.labels[0])] == [3, 4]


def test_shapes_come_back_as_they_went(write_labelme: Write, tmp_path: Path):
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2:5] = 255
    path = write_labelme(
        [
            shape("rectangle", [[1, 2], [30, 40]], "猫", flags={"far": True, "wet": False}, description="座っている"),
            shape("polygon", [[0, 0], [10, 0], [10, 10]], "man", group_id=1),
            shape("polygon", [[20, 0], [30, 0], [30, 40]], "man", group_id=1),
            shape("circle", [[40, 40], [43, 44]]),
            shape("mask", [[10, 20], [15, 23]], mask=png(mask)),
            shape("linestrip", [[1, 1], [2, 2], [3, 1]]),
            shape("rectangle", [[1, 2], [3, 4]], difficult=True, score=0.5),
        ]
    )
    (sample,) = formats.read(path)

    formats.write([sample], tmp_path / "again", "labelme")

    def without_line(label: Label) -> tuple[Any, ...]:
        rounded = tuple((round(x, 6), round(y, 6)) for x, y in label.points)
        return (label.name, label.box, label.difficult, label.score, rounded, label.attributes)

    (again,) = formats.read(tmp_path / "again")
    assert list(map(without_line, again.labels)) == list(map(without_line, sample.labels))


def test_an_embedded_picture_stands_in_for_a_missing_file(write_labelme: Write, tmp_path: Path):
    pixels = np.arange(80 * 100 * 3, dtype=np.uint32).reshape(80, 100, 3).astype(np.uint8)
    path = write_labelme(
        [shape("rectangle", [[1, 2], [30, 40]])], picture=False, imagePath="a.json", imageData=png(pixels)
    )

    (sample,) = formats.read(path)
    formats.write([sample], tmp_path / "kitti", "kitti")

    assert sample.size_hw == (80, 100)
    assert np.array_equal(read_photo(sample), pixels)
    assert np.array_equal(read_photo(formats.read(tmp_path / "kitti")[0]), pixels)


@pytest.mark.parametrize(
    ("shapes", "top", "text"),
    [
        ([], {"picture": False}, ": its picture `a.png` is missing and none is embedded; put it beside this file"),
        ([shape("star", [[1, 1]])], {}, ":5: shape_type `star` of `x` is not one of rectangle, circle, mask, polygon, "
            "rotation, oriented_rectangle, quadrilateral, point, points, line, linestrip"),
        ([shape("circle", [[1, 1]])], {}, ":5: circle `x` needs 2 or more points, each two finite numbers"),
        ([shape("polygon", [[1, 1], [2]])], {}, ":5: polygon `x` needs 1 or more points, each two finite numbers"),
        ([shape("mask", [[0, 0], [5, 5]], mask="??")], {},
            ":5: the mask of `x` is not a base64 PNG of its points' size"),
        ([{"points": []}], {}, ": a shape needs to be an object with a `label`"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_where_and_why(
    write_labelme: Write, shapes: list[dict[str, Any]], top: dict[str, Any], text: str
):
    path = write_labelme(shapes, **top)

    with pytest.raises(DataError) as caught:
        formats.read(path, "labelme")

    assert str(caught.value) == f"{path}{text}"


def test_broken_json_names_the_line(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"shapes": [\n  {"label": "x",}\n], "imagePath": "a.png"}')

    with pytest.raises(DataError) as caught:
        formats.read(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}/a.json:2: not JSON (")


def test_a_size_that_contradicts_the_picture_is_noted(write_labelme: Write):
    path, findings = write_labelme([], imageHeight=100, imageWidth=80), Findings()

    (sample,) = labelme.read(path, only=None, findings=findings)

    assert sample.size_hw == (80, 100)
    assert [str(note) for note in findings.notes] == [f"{path}: the file says 80x100 pixels, a.png has 100x80"]


def test_labelme_s_own_voc_export_is_read_as_its_json_is_within_its_pixel(shared_data: Path):
    root = shared_data / "labelme_examples/wkentaro_labelme/bbox_detection"

    ours, golden = formats.read(root / "data_annotated"), formats.read(root / "data_dataset_voc")

    assert [sample.image.name for sample in ours] == [sample.image.name for sample in golden]
    for mine, theirs in zip(ours, golden, strict=True):
        assert [label.name for label in mine.labels] == [label.name for label in theirs.labels]
        # labelme writes coordinates from 0 where VOC counts from 1: x1 and y1 read one pixel lower, x2 and y2 as drawn
        off = theirs.boxes_n4 - np.sort(mine.boxes_n4.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        assert np.abs(off).max() <= 1.0
        assert off[:, 2:] == pytest.approx(0, abs=1e-3)


def test_labelme_s_own_coco_export_has_the_boxes_we_read(shared_data: Path, tmp_path: Path):
    root = shared_data / "labelme_examples/wkentaro_labelme/instance_segmentation"
    shutil.copytree(root / "data_annotated", tmp_path / "JPEGImages")
    shutil.copy(root / "data_dataset_coco/annotations.json", tmp_path)

    ours = {sample.image.name: sample for sample in formats.read(root / "data_annotated")}
    golden = {sample.image.name: sample for sample in formats.read(tmp_path, "coco")}

    def sorted_boxes(labels: tuple[Label, ...], hw: tuple[int, int]) -> list[tuple[str, list[float]]]:
        boxes = [np.clip(label.box, 0, (hw[1], hw[0]) * 2).tolist() for label in labels]
        rows = zip([label.name for label in labels], boxes, strict=True)
        return sorted((name, box) for name, box in rows if name != "__ignore__")

    assert ours.keys() == golden.keys()
    for name, theirs in golden.items():
        mine = sorted_boxes(ours[name].labels, theirs.size_hw)
        expected = sorted_boxes(theirs.labels, theirs.size_hw)
        assert [row[0] for row in mine] == [row[0] for row in expected]
        # labelme's come from a mask of whole pixels with its outline: up to a pixel and a half larger or smaller
        for (_, box), (_, other) in zip(mine, expected, strict=True):
            assert box == pytest.approx(other, abs=1.5)


def test_every_labelme_example_is_read(shared_data: Path):
    findings = Findings()

    samples = labelme.read(shared_data / "labelme_examples", only=None, findings=findings)

    assert len(samples) == 41  # 44 files, of which 3 have no picture
    assert sorted(error.path.name for error in findings.errors) == ["backslash.json", "img1.json", "test.json"]
    names = {label.name for sample in samples for label in sample.labels}
    assert {"不导电", "角位漏底", "hazelnut", "octagon", "Iris"} <= names


@pytest.mark.parametrize(("label", "name"), [(1, "1"), (0, "0"), (2.5, "2.5"), (-3, "-3")])
def test_a_label_that_is_a_number_is_its_text(write_labelme: Write, label: object, name: str):
    path = write_labelme([{**shape("rectangle", [[1, 2], [3, 4]]), "label": label}])

    assert [one.name for one in formats.read(path)[0].labels] == [name]


@pytest.mark.parametrize("label", [True, None, ["x"], {"a": 1}])
def test_a_label_that_is_neither_text_nor_number_is_refused(write_labelme: Write, label: object):
    path = write_labelme([{**shape("rectangle", [[1, 2], [3, 4]]), "label": label}])

    with pytest.raises(DataError, match=r"a\.json:5: a shape needs to be an object with a `label`"):
        formats.read(path)


def test_an_embedded_picture_may_be_a_data_address(write_labelme: Write):
    data = f"data:image/png;base64,{png(np.zeros((80, 100), np.uint8))}"

    (sample,) = formats.read(write_labelme([], picture=False, imageData=data))

    assert sample.size_hw == (80, 100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("abc", "Incorrect padding"),
        ("!!!!", "Only base64 data is allowed"),
        ("é", "string argument should contain only ASCII characters"),
    ],
)
def test_a_damaged_embedded_picture_is_said_to_be_damaged(write_labelme: Write, data: str, reason: str):
    path = write_labelme([], picture=False, imageData=data)

    with pytest.raises(DataError) as caught:
        formats.read(path)

    assert str(caught.value) == (
        f"{path}: its embedded picture (`imageData`) is damaged ({reason}), and `a.png` is missing; restore one"
    )


def test_an_embedded_picture_that_is_cut_off_is_said_to_be_damaged(write_labelme: Write):
    whole = base64.b64decode(png(np.zeros((80, 100), np.uint8)))
    path = write_labelme([], picture=False, imageData=base64.b64encode(whole[:-30]).decode())

    with pytest.raises(DataError) as caught:
        formats.read(path)

    problem = "its embedded picture (`imageData`) is damaged (image file is truncated)"
    assert str(caught.value) == f"{path}: {problem}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"shape_type": ["rectangle"]}, ":5: shape_type `['rectangle']` of `x` is not one of rectangle, circle"),
        ({"shape_type": "circle", "points": [[1e200, 0], [0, 1e200]]},
         ":5: circle `x` needs 2 or more points, each two finite numbers"),
        ({"points": [[1, 2], [float("nan"), 4]]}, ":5: rectangle `x` needs 2 or more points, each two finite numbers"),
    ],
)  # fmt: skip
def test_values_that_no_shape_can_have_are_refused(write_labelme: Write, change: dict[str, Any], problem: str):
    path = write_labelme([{**shape("rectangle", [[1, 2], [3, 4]]), **change}])

    with pytest.raises(DataError) as caught:
        formats.read(path, "labelme")

    assert str(caught.value).startswith(f"{path}{problem}")


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0b.png", ["a.png"], 7])
def test_a_picture_s_path_that_no_system_can_have_is_missing(write_labelme: Write, name: object):
    path = write_labelme([], picture=False, imagePath=name)

    with pytest.raises(DataError, match=r"a\.json: its picture `.*` is missing and none is embedded"):
        formats.read(path, "labelme")


def test_a_number_of_five_thousand_digits_is_no_json_that_can_be_read(write_labelme: Write):
    path = write_labelme([])
    path.write_text(path.read_text().replace('"5.5.0"', "1" * 5000))

    with pytest.raises(DataError) as caught:
        formats.read(path, "labelme")

    assert str(caught.value) == f"{path}: not JSON that can be read (a number has thousands of digits)"


def test_what_a_conversion_drops_is_said_once_with_counts(write_labelme: Write, tmp_path: Path):
    path = write_labelme(
        [
            shape("polygon", [[5, 5], [50, 7], [20, 70]], group_id=3, description="shy", score=0.5),
            shape("rectangle", [[1, 2], [30, 40]], group_id=4, flags={"far": True}, attributes={"colour": "red"}),
            shape("rectangle", [[1, 2], [30, 44]], difficult=True),
        ],
        flags={"night": True, "rain": False},
    )

    def told(format: str) -> list[str]:
        events: list[Event] = []
        formats.write(formats.read(path), tmp_path / format, format, listener=events.append)
        head = f"{tmp_path}/{format}: {format} has no place for these, which are dropped: "
        return [event.text.removeprefix(head) for event in events if isinstance(event, Notice)]

    assert told("labelme") == []
    assert told("kitti") == [
        "group_id (2 labels), colour (1 label), description (1 label), difficult (1 label), flags (1 label), "
        "outline (1 label)"
    ]
    assert told("voc") == ["group_id (2 labels), description (1 label), flags (1 label), score (1 label)"]
    assert told("coco") == ["group_id (2 labels), description (1 label), difficult (1 label), flags (1 label)"]
    events: list[Event] = []
    formats.read(path, listener=events.append)
    assert events == [Notice(f"{path}: flags of whole pictures are not kept by any format: night 1", "warning")]
