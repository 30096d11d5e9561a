"""Results for other programs: JSON lines and CSV, to the letter."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from taolite.media.sources import Frame, Source, open_source
from taolite.sample import Detection
from taolite.stages.inference.look import Counted, Seen
from taolite.stages.inference.records import csv_rows, json_lines

FOUND = (
    Detection("cat", (10.0, 20.456, 90.0, 64.0), 0.93456789, track=3),
    Detection("=dog", None, 0.5),
)


def source(tmp_path: Path) -> Source:
    from PIL import Image

    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    return open_source(tmp_path / "a.png")


def seen(tmp_path: Path, **more: object) -> Seen:
    frame = Frame("a.png", np.zeros((32, 48, 3), np.uint8), 7, tmp_path / "a.png", 0.28)
    return Seen(frame, FOUND, 0.0, **more)  # type: ignore[arg-type]


def test_a_json_line_has_file_frame_time_size_and_objects(tmp_path: Path) -> None:
    stream, lines = io.StringIO(), (Counted("gate", (0, 0), (1, 1), {"to_left": {}, "to_right": {"cat": 2}}),)
    take = json_lines(stream, source(tmp_path), ("cat", "=dog"))

    take(seen(tmp_path))
    take(seen(tmp_path, lines=lines))

    first, second = stream.getvalue().splitlines()
    assert first == (
        f'{{"file": "{tmp_path}/a.png", "frame": 7, "time_s": 0.28, "size": [48, 32], "objects": [{{"class": "cat", '
        '"index": 0, "score": 0.934568, "box": [10.0, 20.46, 90.0, 64.0], "track": 3}, {"class": "=dog", "index": 1, '
        '"score": 0.5, "box": null, "track": null}]}'
    )
    assert json.loads(second)["lines"] == {"gate": {"to_left": {}, "to_right": {"cat": 2}}}


def test_csv_has_a_row_an_object_and_no_name_that_a_spreadsheet_computes(tmp_path: Path) -> None:
    stream = io.StringIO()
    take = csv_rows(stream, source(tmp_path), ("cat", "=dog"))

    take(seen(tmp_path))
    take(Seen(Frame("b.png", np.zeros((32, 48, 3), np.uint8), 8), (), 0.0))

    assert stream.getvalue().splitlines() == [
        "file,frame,time_s,class,index,score,x1,y1,x2,y2,track",
        f"{tmp_path}/a.png,7,0.28,cat,0,0.934568,10.0,20.46,90.0,64.0,3",
        f"{tmp_path}/a.png,7,0.28,'=dog,1,0.5,,,,,",
    ]
