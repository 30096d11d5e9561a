"""Crossings of a line: how many objects of each class went over it, in each direction.

A line goes from a start to an end. Directions are those of somebody who stands at the start and looks to the end: over
a line that is drawn from left to right, an object that moves down the picture crosses `to_right`.

An object counts when its point (`Anchor`) has left a band around the line on the other side, and only if it went
through the line between start and end. A box that trembles on the line stays in the band, and does not count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from taolite.errors import UsageError
from taolite.sample import Detection

__all__ = ["Anchor", "Crossing", "Direction", "LineCounter"]

Anchor: TypeAlias = Literal["centre", "bottom"]
"""The point of a box that crosses the line: its centre, or the middle of its lower edge (where an object stands)."""

Direction: TypeAlias = Literal["to_left", "to_right"]
Point: TypeAlias = tuple[float, float]

_FORGOTTEN = 10_000  # frames after which an object that was not seen again is forgotten, so that memory stays flat


@dataclass(frozen=True)
class Crossing:
    """The object with number `track`, of class `name`, crossed the line."""

    track: int
    name: str
    direction: Direction


@dataclass
class _Path:
    """What is known of one object: the frame it was last seen in, its last place, the side on which it last was out of
    the band (1 right, -1 left, 0 not yet), and where on the line it last went through (0 the start, 1 the end)."""

    frame: int
    offset: float
    along: float
    side: int = 0
    through: float = math.nan


class LineCounter:
    """Counts the objects of a video that cross the line from `start` to `end`, (x, y) in pixels of its frames.

    Args:
        names: the classes to count; None counts all.
        anchor: the point of a box that has to cross.
        band: half the width of the band around the line, as a share of the box's size (the square root of its area).

    Raises UsageError: the line has no length, or the band is negative.
    """

    def __init__(
        self,
        start: Point,
        end: Point,
        *,
        names: Iterable[str] | None = None,
        anchor: Anchor = "centre",
        band: float = 0.1,
    ) -> None:
        self.start, self.end = start, end
        self._names = None if names is None else frozenset(names)
        self._anchor, self._band = anchor, band
        self._length = math.hypot(end[0] - start[0], end[1] - start[1])
        if not (math.isfinite(self._length) and self._length > 0):
            raise UsageError(f"the line from {start} to {end} has no length; give two different points")
        if band < 0:
            raise UsageError(f"the band around the line is {band}; it needs to be 0 or more")
        self._counts: dict[Direction, Counter[str]] = {direction: Counter() for direction in get_args(Direction)}
        self._paths: dict[int, _Path] = {}
        self._frame = 0

    @property
    def counts(self) -> Mapping[Direction, Mapping[str, int]]:
        """The number of crossings so far: direction -> class -> count. Classes that did not cross are left out."""
        return {direction: dict(counter) for direction, counter in self._counts.items()}

    def update(self, found: Iterable[Detection]) -> list[Crossing]:
        """Follow the tracks of one frame; the crossings that were completed in it. Detections without `track` or box
        are passed over. Call it for every frame, in order."""
        self._frame += 1
        if self._frame % _FORGOTTEN == 0:
            oldest = self._frame - _FORGOTTEN
            self._paths = {track: path for track, path in self._paths.items() if path.frame > oldest}
        crossings = []
        for one in found:
            if one.track is None or one.box is None or not (self._names is None or one.name in self._names):
                continue
            direction = self._follow(one.track, one.box)
            if direction is not None:
                self._counts[direction][one.name] += 1
                crossings.append(Crossing(one.track, one.name, direction))
        return crossings

    def _follow(self, track: int, box: tuple[float, float, float, float]) -> Direction | None:
        """Move the object to its new place; the direction in which it has now crossed the line."""
        offset, along = self._place(box)
        path = self._paths.setdefault(track, _Path(self._frame, offset, along))
        if (path.offset > 0) != (offset > 0):
            share = path.offset / (path.offset - offset)
            path.through = path.along + share * (along - path.along)
        path.frame, path.offset, path.along = self._frame, offset, along
        x1, y1, x2, y2 = box
        if abs(offset) <= self._band * math.sqrt(max(0.0, (x2 - x1) * (y2 - y1))):
            return None
        before, path.side = path.side, 1 if offset > 0 else -1
        if before in (0, path.side) or not 0 <= path.through <= 1:
            return None
        return "to_right" if path.side > 0 else "to_left"

    def _place(self, box: tuple[float, float, float, float]) -> Point:
        """Where a box's point is: pixels to the right of the line, and its share of the way from start to end."""
        x1, y1, x2, y2 = box
        x, y = (x1 + x2) / 2 - self.start[0], (y2 if self._anchor == "bottom" else (y1 + y2) / 2) - self.start[1]
        way_x, way_y = (self.end[0] - self.start[0]) / self._length, (self.end[1] - self.start[1]) / self._length
        return way_x * y - way_y * x, (way_x * x + way_y * y) / self._length
