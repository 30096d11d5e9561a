"""Files of other annotation tools that are not read here: what they are, and which export to choose instead."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from taolite.formats.findings import Finding
from taolite.formats.places import files_below

__all__ = ["find_stranger", "name_stranger"]

_PROBED = 50  # files that are opened to find one
_READ = 1 << 20  # bytes of each


@dataclass(frozen=True)
class _Stranger:
    """A file with one of `suffixes` whose first bytes hold all of `marks`; `way` is the way out."""

    name: str
    suffixes: tuple[str, ...]
    marks: tuple[bytes, ...]
    way: str


_STRANGERS = (
    _Stranger(
        "CVAT's own XML (CVAT for images)",
        (".xml",),
        (b"<annotations>", b"<image "),
        "export the task again as `PASCAL VOC 1.1` or `COCO 1.0`",
    ),
    _Stranger(
        "CVAT's own XML (CVAT for video)",
        (".xml",),
        (b"<annotations>", b"<track "),
        "export the task again as `PASCAL VOC 1.1` or `COCO 1.0`",
    ),
    _Stranger(
        "CVAT's own XML",
        (".xml",),
        (b"<annotations>",),
        "export the task again as `PASCAL VOC 1.1` or `COCO 1.0`",
    ),
    _Stranger(
        "CVAT's own JSON (a task backup)",
        (".json",),
        (b'"shapes"', b'"tags"', b'"tracks"'),
        "export the task again as `COCO 1.0` or `PASCAL VOC 1.1`",
    ),
    _Stranger(
        "Datumaro's JSON",
        (".json",),
        (b'"items"', b'"categories"', b'"annotations"'),
        "export again as `COCO 1.0` or `PASCAL VOC 1.1`",
    ),
    _Stranger(
        "Label Studio's own JSON",
        (".json",),
        (b'"result"', b'"annotations"'),
        "export the project again as `COCO`, `Pascal VOC XML` or `YOLO`",
    ),
    _Stranger(
        "Label Studio's own JSON (JSON-MIN)",
        (".json",),
        (b'"original_width"', b'labels"'),
        "export the project again as `COCO`, `Pascal VOC XML` or `YOLO`",
    ),
    _Stranger(
        "Label Studio's own CSV or TSV",
        (".csv", ".tsv"),
        (b"original_width", b"labels"),
        "export the project again as `COCO`, `Pascal VOC XML` or `YOLO`",
    ),
    _Stranger(
        "VGG Image Annotator's JSON",
        (".json",),
        (b'"shape_attributes"',),
        "choose `Export Annotations (COCO format)` there",
    ),
    _Stranger(
        "Supervisely's JSON",
        (".json",),
        (b'"classTitle"', b'"objects"'),
        "export again with the app `Export to COCO` or `Convert to Pascal VOC`",
    ),
    _Stranger(
        "Roboflow's or TensorFlow's table of boxes",
        (".csv",),
        (b"filename", b"xmin", b"ymax"),
        "export again as `Pascal VOC` or `COCO`",
    ),
    _Stranger(
        "Microsoft VoTT's JSON",
        (".json",),
        (b'"regions"', b'"asset"'),
        "choose the export `Pascal VOC` there",
    ),
)


def name_stranger(path: Path) -> str | None:
    """What a file is, and the way out, in one clause; None for one that is not known."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(_READ)
    except OSError:
        return None
    for one in _STRANGERS:
        if path.suffix.lower() in one.suffixes and all(mark in head for mark in one.marks):
            return f"this is {one.name}, which is not read here; {one.way}"
    return None


def find_stranger(root: Path) -> Finding | None:
    """The first file at or below `root` that `name_stranger` knows; None for none."""
    suffixes = tuple({suffix for one in _STRANGERS for suffix in one.suffixes})
    for path in islice(files_below(root, suffixes), _PROBED):
        said = name_stranger(path)
        if said is not None:
            return Finding(path, 0, "foreign-label", said)
    return None
