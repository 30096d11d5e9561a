"""labelme JSON as it is written: one file an image beside its picture (see `taolite.formats.labelme`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from taolite.formats.attributes import written_on
from taolite.formats.labelme import JOINED, OUTLINE
from taolite.formats.layout import Named, Target, Writing, put
from taolite.formats.places import stem_of
from taolite.formats.shapes import Box, Points, around, parts_of
from taolite.sample import Label, Sample

__all__ = ["WRITING", "format_labels"]

_TOLERANCE = 1.0  # pixels by which the box of an outline may differ from the label's


def format_labels(sample: Sample, *, image_name: str) -> str:
    """The labelme JSON of a sample whose picture lies beside it as `image_name`; nothing is embedded."""
    height, width = sample.size_hw
    shapes = [shape for label in sample.labels for shape in _shapes(label)]
    document: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _write(named: Named, target: Target) -> None:
    for name, sample in named:
        put(target.root / f"{stem_of(name)}.json", format_labels(sample, image_name=name))


def _shapes(label: Label) -> list[dict[str, Any]]:
    """The shapes that read back as `label`: one, or one for each piece of its outline."""
    kind = label.attributes.get("shape", "polygon" if label.points else "rectangle")
    x1, y1, x2, y2 = label.box
    pieces: Sequence[Points] = [label.points]
    attributes = written_on(label)
    if kind == "polygon" and label.points and "parts" not in label.attributes and not _fills(label.points, label.box):
        kind, attributes[OUTLINE] = "rectangle", " ".join(f"{x:g},{y:g}" for x, y in label.points)
    if kind == "rectangle":
        pieces = [((x1, y1), (x2, y2))]
    elif kind == "circle":
        pieces = [(((x1 + x2) / 2, (y1 + y2) / 2), (x2, (y1 + y2) / 2))]
    elif kind == "mask" and "mask" in label.attributes:
        pieces = [((x1, y1), (x2 - 1, y2 - 1))]
    elif kind in JOINED:
        kind, pieces = "polygon", parts_of(label)
    group = label.attributes.get("group")
    if group is None and len(pieces) > 1:
        group = f"line {label.line}"
    shape: dict[str, Any] = {
        "label": label.name,
        "group_id": int(group) if group is not None and re.fullmatch(r"-?[0-9]{1,15}", group) else group,
        "description": label.attributes.get("description", ""),
        "shape_type": kind,
        "flags": {flag: True for flag in label.attributes.get("flags", "").split(",") if flag},
        "mask": label.attributes.get("mask") if kind == "mask" else None,
    }
    if attributes:
        shape["attributes"] = attributes
    if label.difficult:
        shape["difficult"] = True
    if label.score is not None:
        shape["score"] = label.score
    return [{**shape, "points": [[x, y] for x, y in piece]} for piece in pieces]


def _fills(points: Points, box: Box) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(around(points), box, strict=True))


WRITING = Writing(
    _write,
    "",
    keeps=frozenset({"attributes", "description", "difficult", "flags", "group_id", "no-area", "outline", "score"}),
)
