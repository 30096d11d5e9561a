"""The results of a run for other programs: one JSON object a frame, or one row of CSV an object.

A JSON line, here with breaks:

    {"file": "street.mp4", "frame": 7, "time_s": 0.28, "size": [1280, 720],
     "objects": [{"class": "car", "index": 0, "score": 0.93, "box": [10.0, 20.5, 90.0, 64.0], "track": 3}],
     "lines": {"gate": {"to_left": {}, "to_right": {"car": 2}}}}

`frame` counts from 0, `time_s` is null for pictures, `size` is width and height. A box is x1, y1, x2, y2 in pixels of
the frame, null for a class of the whole picture. `track` is null without a tracker, `lines` is there with counting
lines. The columns of the CSV are the same; a frame without objects has no row.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any, TextIO

from taolite.media.sources import Source
from taolite.sample import Detection
from taolite.stages.inference.listeners import SeenListener, cell
from taolite.stages.inference.look import Seen

__all__ = ["COLUMNS", "csv_rows", "json_lines"]

COLUMNS = ("file", "frame", "time_s", "class", "index", "score", "x1", "y1", "x2", "y2", "track")


def json_lines(stream: TextIO, source: Source, classes: Sequence[str]) -> SeenListener:
    """Write a line for every frame to `stream`, and flush it."""
    numbers = {name: number for number, name in enumerate(classes)}

    def take(seen: Seen) -> None:
        height, width = seen.frame.image_hwc.shape[:2]
        record: dict[str, Any] = {
            "file": _file(seen, source),
            "frame": seen.frame.number,
            "time_s": _rounded(seen.frame.time_s, 6),
            "size": [width, height],
            "objects": [_object(one, numbers[one.name]) for one in seen.found],
        }
        if seen.lines:
            record["lines"] = {line.name: line.counts for line in seen.lines}
        stream.write(f"{json.dumps(record, ensure_ascii=False)}\n")
        stream.flush()

    return take


def csv_rows(stream: TextIO, source: Source, classes: Sequence[str]) -> SeenListener:
    """Write a row for every object to `stream`, after a row with the names of the columns."""
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    numbers = {name: number for number, name in enumerate(classes)}

    def take(seen: Seen) -> None:
        name, frame = cell(_file(seen, source)), seen.frame
        for one in seen.found:
            values = _object(one, numbers[one.name])
            box = values["box"] or [None] * 4
            about = (cell(one.name), values["index"], values["score"], *box, one.track)
            rows.writerow((name, frame.number, _rounded(frame.time_s, 6), *about))

    return take


def _object(one: Detection, index: int) -> dict[str, Any]:
    box = None if one.box is None else [round(value, 2) for value in one.box]
    return {"class": one.name, "index": index, "score": round(one.score, 6), "box": box, "track": one.track}


def _file(seen: Seen, source: Source) -> str:
    """The picture's path, or the place of the video."""
    return str(seen.frame.path or source.place)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
