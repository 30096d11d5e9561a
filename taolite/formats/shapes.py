"""Drawn shapes and the boxes around them.

Outlines are (x, y) pairs in pixels, continuous edges. An outline of several pieces (a person behind a pole) is one
run of points; the attribute `parts` then says how many belong to each piece, e.g. `41,4`. The attribute `shape`
names what was drawn where it was neither rectangle nor polygon. Points and lines have no area: they keep their
points, and every writer of boxes leaves them out and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from taolite.sample import Label

__all__ = ["Box", "Points", "around", "circle_outline", "is_without_area", "join", "parts_of", "turned_box"]

Points = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

WITHOUT_AREA = ("point", "points", "line", "linestrip")
_CIRCLE_CORNERS = 36


def around(points: Sequence[tuple[float, float]]) -> Box:
    """The smallest box that holds all points (at least one)."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (min(xs), min(ys), max(xs), max(ys))


def circle_outline(centre: tuple[float, float], edge: tuple[float, float]) -> Points:
    """A circle through `edge` as a polygon of 36 corners, its four extreme points among them."""
    radius = math.dist(centre, edge)
    angles = [2 * math.pi * corner / _CIRCLE_CORNERS for corner in range(_CIRCLE_CORNERS)]
    return tuple((centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles)


def turned_box(box: Box, degrees: float) -> Points:
    """The four corners of a box that is turned clockwise around its centre.

    >>> [(round(x), round(y)) for x, y in turned_box((20, 55, 140, 65), 90)]
    [(85, 0), (85, 120), (75, 120), (75, 0)]
    """
    x1, y1, x2, y2 = box
    x, y, angle = (x1 + x2) / 2, (y1 + y2) / 2, math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    turned = ((x + (u - x) * cos - (v - y) * sin, y + (u - x) * sin + (v - y) * cos) for u, v in corners)
    return tuple((round(u, 9) + 0.0, round(v, 9) + 0.0) for u, v in turned)  # a right angle gives whole numbers


def is_without_area(label: Label) -> bool:
    """Whether a label is a point or a line, or its box has no width or height (or is swapped)."""
    x1, y1, x2, y2 = label.box
    return label.attributes.get("shape") in WITHOUT_AREA or not (x1 < x2 and y1 < y2)


def parts_of(label: Label) -> list[Points]:
    """The pieces of a label's outline; none where it was drawn as a box."""
    counts = [int(count) for count in label.attributes.get("parts", str(len(label.points))).split(",")]
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return [label.points[start : start + count] for start, count in zip(starts, counts, strict=True) if count]


def join(labels: Sequence[Label]) -> Label:
    """Labels of one object (at least one) as one polygon: the first one's values, the box and outline of all."""
    first = labels[0]
    if len(labels) == 1:
        return first
    parts = [part for label in labels for part in parts_of(label)]
    corners = [corner for label in labels for corner in (label.box[:2], label.box[2:])]
    attributes = {key: value for key, value in first.attributes.items() if key not in ("shape", "mask")}
    attributes["parts"] = ",".join(str(len(part)) for part in parts)
    points = tuple(point for part in parts for point in part)
    return Label(
        first.name,
        around(corners),
        first.truncated,
        first.occluded,
        first.alpha,
        first.difficult,
        first.score,
        points,
        attributes,
        first.line,
    )
