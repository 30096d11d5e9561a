"""A result as arrays, as plain values, as a picture, and as other libraries take it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import Detection, Result, TaoliteError
from taolite.errors import UsageError
from taolite.stages.inference.listeners import Drawing

from .detector import picture

BOX = (64.0, 32.0, 96.0, 64.0)


def detected(*more: Detection, path: Path | None = None) -> Result:
    found = [Detection("red", BOX, 0.9, index=0), *more]
    return Result(picture(), found, Drawing(("red", "green")), 0.01, path=path, number=3, time_s=0.12)


def classified() -> Result:
    found = [Detection("green", None, 0.75, index=1), Detection("red", None, 0.25, index=0)]
    return Result(picture(), found, Drawing(("red", "green")), 0.01)


def test_the_arrays_have_a_row_for_each_detection():
    result = detected(Detection("green", (0.0, 0.0, 8.0, 8.0), 0.5, index=1))

    assert result.boxes.tolist() == [list(BOX), [0, 0, 8, 8]]
    assert result.scores.dtype == np.float32
    assert (len(result), result.names, list(result)) == (2, ["red", "green"], result.detections)


def test_a_result_without_detections_has_empty_arrays():
    nothing = Result(picture(), [], Drawing(("red",)), 0.01)

    assert nothing.boxes.shape == (0, 4)
    assert nothing.scores.shape == (0,)
    assert nothing.top is None
    assert repr(nothing) == "<Result 192x128: nothing found>"


def test_a_short_repr():
    many = detected(*(Detection("green", BOX, score, index=1) for score in (0.5, 0.4, 0.3, 0.2)))

    assert repr(classified()) == "<Result 192x128: green 0.750, red 0.250>"
    assert repr(many) == "<Result 192x128: red 0.900, green 0.500, green 0.400, and 2 more>"


def test_plain_values_are_json(tmp_path: Path):
    result = detected(path=tmp_path / "a.png")

    assert json.loads(json.dumps(result.to_dict())) == {
        "path": str(tmp_path / "a.png"),
        "number": 3,
        "time_s": 0.12,
        "width": 192,
        "height": 128,
        "detections": [{"name": "red", "index": 0, "score": 0.9, "box": list(BOX), "track": None}],
    }


def test_numpy_numbers_become_plain_ones():
    found = [Detection("red", tuple(np.float32(BOX)), np.float32(0.5), index=0)]

    assert (
        json.loads(json.dumps(Result(picture(), found, Drawing(("red",)), 0.01).to_dict()))["detections"][0]["score"]
        == 0.5
    )


def test_drawing_leaves_the_picture_and_takes_colours():
    result = detected()

    drawn = result.draw(colours={"red": (1, 2, 250)}, linewidth=3)

    assert drawn.shape == result.image.shape
    assert (result.image == picture()).all()
    assert tuple(drawn[62, 62]) == (1, 2, 250)  # on the frame, which grows outwards
    assert (drawn[40:60, 70:90] == picture()[40:60, 70:90]).all()


def test_saved_and_shown_in_a_notebook(tmp_path: Path):
    result = detected()

    written = result.save(tmp_path / "new" / "out.png")
    shown = Image.open(io.BytesIO(result._repr_png_()))

    assert written == tmp_path / "new" / "out.png"
    assert (np.asarray(Image.open(written)) == result.draw()).all()
    assert (np.asarray(shown) == result.draw()).all()


def test_a_picture_is_not_written_over_its_source_or_without_a_format(tmp_path: Path):
    source = tmp_path / "a.png"
    Image.fromarray(picture()).save(source)

    with pytest.raises(UsageError, match="one of the input pictures"):
        detected(path=source).save(source)
    with pytest.raises(UsageError) as caught:
        detected().save(tmp_path / "out.txt")

    assert str(caught.value) == (
        f"{tmp_path / 'out.txt'}: a picture needs a name that ends in one of .jpg .jpeg .png .bmp .webp .ppm .tif .tiff"
    )


def test_supervision_takes_detections_and_classes():
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")

    objects = detected(Detection("green", (0.0, 0.0, 8.0, 8.0), 0.5, index=1)).to_supervision()
    classes = classified().to_supervision()

    assert isinstance(objects, supervision.Detections)
    assert objects.xyxy.tolist() == [list(BOX), [0, 0, 8, 8]]
    assert objects.class_id.tolist() == [0, 1]
    assert objects.data["class_name"].tolist() == ["red", "green"]
    assert objects.tracker_id is None
    assert isinstance(classes, supervision.Classifications)
    assert classes.class_id.tolist() == [1, 0]
    assert len(Result(picture(), [], Drawing(("red",)), 0.01).to_supervision()) == 0


def test_tracks_go_to_supervision():
    pytest.importorskip("supervision", reason="supervision is not installed")
    tracked = Result(picture(), [Detection("red", BOX, 0.9, 7, 0)], Drawing(("red",)), 0.01)

    assert tracked.to_supervision().tracker_id.tolist() == [7]


def test_a_missing_supervision_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", None)

    with pytest.raises(TaoliteError) as caught:
        detected().to_supervision()

    assert str(caught.value) == "to_supervision needs supervision, which is not installed; run pip install supervision"
