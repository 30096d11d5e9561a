"""finds.json: what a model finds in the pictures of a validation, to be looked at: `taolite board` shows it.

One JSON object, written beside scores.json and of bounded size. Boxes are in pixels of the picture, upright; a class is
its place in `classes`. A classifier has no boxes: null stands in their place.

    {"version": 1, "classes": ["cat", ...], "of": pictures of the validation, "floor": least score that is recorded,
     "pictures": [{"image": path, "size_hw": [height, width], "truth": [[class, [x1, y1, x2, y2], difficult], ...],
                   "finds": [[class, score, [x1, y1, x2, y2]], ...]}, ...]}      finds: best first
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taolite.errors import PathError, reading
from taolite.files import open_file, write_text

__all__ = ["FLOOR", "MOST_FINDS", "MOST_PICTURES", "Finds", "Looked", "Thing", "read_finds", "write_finds"]

MOST_PICTURES = 400
MOST_FINDS = 100
"""Of a picture."""
FLOOR = 0.01

_VERSION = 1
_LARGEST = 1 << 25  # bytes that are read; the largest file that is written has a third of them


@dataclass(frozen=True)
class Thing:
    """A labelled object, or a find. kind: place of its class. box: (x1, y1, x2, y2); None: the whole picture. score: of
    a find, 0..1, more for a DetectNet's summed coverage. difficult: of a label, neither missed nor found."""

    kind: int
    box: tuple[float, float, float, float] | None = None
    score: float = 1.0
    difficult: bool = False


@dataclass(frozen=True)
class Looked:
    """A picture with its labels and finds. image: absolute where it is a file, else its name in an archive."""

    image: str
    size_hw: tuple[int, int]
    truth: tuple[Thing, ...]
    finds: tuple[Thing, ...]


@dataclass(frozen=True)
class Finds:
    """A finds.json. of: how many pictures were validated; `pictures` are all of them, or some at even distances."""

    classes: tuple[str, ...]
    of: int
    pictures: tuple[Looked, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "version": _VERSION,
            "classes": list(self.classes),
            "of": self.of,
            "floor": FLOOR,
            "pictures": [
                {
                    "image": one.image,
                    "size_hw": list(one.size_hw),
                    "truth": [[thing.kind, _rounded(thing.box), int(thing.difficult)] for thing in one.truth],
                    "finds": [[thing.kind, round(thing.score, 4), _rounded(thing.box)] for thing in one.finds],
                }
                for one in self.pictures
            ],
        }


def write_finds(path: Path, finds: Finds) -> None:
    """Write finds.json, atomically. Raises StorageError."""
    write_text(path, json.dumps(finds.to_json(), separators=(",", ":"), allow_nan=False) + "\n")


def read_finds(path: Path) -> Finds:
    """The finds in a file. Raises PathError where it is missing, or is not such a file."""
    with reading(path, PathError, found="not the finds of a validation", way_out="run evaluate again to write it anew"):
        with open_file(path) as stream:
            text = stream.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST >> 20} MiB")
        value = json.loads(text)
        if value["version"] != _VERSION:
            raise ValueError(f"version {value['version']!r} is not known here")
        classes, pictures = [_text(name) for name in value["classes"]], value["pictures"]
        if len(pictures) > MOST_PICTURES:
            raise ValueError(f"it has {len(pictures)} pictures, more than {MOST_PICTURES}")
        return Finds(tuple(classes), int(value["of"]), tuple(_looked(one, len(classes)) for one in pictures))


def _looked(value: Any, count: int) -> Looked:
    height, width = value["size_hw"]
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError(f"a picture has the size {value['size_hw']!r}")
    truth = tuple(Thing(_kind(kind, count), _box(box), difficult=bool(hard)) for kind, box, hard in value["truth"])
    finds = tuple(Thing(_kind(kind, count), _box(box), _number(score)) for kind, score, box in value["finds"])
    return Looked(_text(value["image"]), (height, width), truth, finds)


def _kind(value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise ValueError(f"{value!r} is not the place of one of {count} classes")
    return value


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    x1, y1, x2, y2 = map(_number, value)
    return x1, y1, x2, y2


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _rounded(box: Sequence[float] | None) -> list[float] | None:
    return None if box is None else [round(value, 1) for value in box]
