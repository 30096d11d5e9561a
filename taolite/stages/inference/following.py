"""Objects over the frames of a video: numbers, the ways they went, and counts of the lines they crossed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from taolite.errors import UsageError
from taolite.sample import Detection
from taolite.stages.inference.look import Counted, Point, Seen
from taolite.tracking import LineCounter, Tracker

__all__ = ["CountLine", "followed"]

_TRAIL = 60  # places of an object that are kept, one a frame


@dataclass(frozen=True)
class CountLine:
    """A line to count crossings of: x1, y1, x2, y2 in pixels of the frame, or as shares of its width and height where
    all four are 0 to 1."""

    name: str
    ends: tuple[float, float, float, float]

    def within(self, hw: tuple[int, int]) -> tuple[Point, Point]:
        """Start and end in pixels of a frame of (height, width) `hw`. Raises UsageError where the line is outside."""
        x1, y1, x2, y2 = self.ends
        if max(self.ends) <= 1:
            x1, x2, y1, y2 = x1 * hw[1], x2 * hw[1], y1 * hw[0], y2 * hw[0]
        if min(x1, x2) > hw[1] or min(y1, y2) > hw[0]:
            raise UsageError(
                f"line {self.name} from {x1:g},{y1:g} to {x2:g},{y2:g} lies outside of the frames, which have "
                f"{hw[1]}x{hw[0]} pixels; give pixels of a frame, or shares of it such as 0,0.5,1,0.5"
            )
        return (x1, y1), (x2, y2)


def followed(
    frames: Iterable[Seen], tracker: Tracker, lines: Sequence[CountLine] = (), *, trails: bool = False
) -> Iterator[Seen]:
    """The frames with numbers of tracks in their detections, the counts of `lines`, and with `trails` the ways of the
    objects. Raises UsageError for a line outside of the first frame."""
    counters: list[LineCounter] | None = None
    ways: dict[int, deque[Point]] = {}
    for seen in frames:
        hw = (seen.frame.image_hwc.shape[0], seen.frame.image_hwc.shape[1])
        if counters is None:
            counters = [LineCounter(*line.within(hw)) for line in lines]
        found = tuple(tracker.update(seen.found, hw))
        for counter in counters:
            counter.update(found)
        if trails:
            ways = _longer(ways, found)
        counted = tuple(
            Counted(line.name, counter.start, counter.end, counter.counts)
            for line, counter in zip(lines, counters, strict=True)
        )
        yield replace(seen, found=found, lines=counted, trails={track: tuple(way) for track, way in ways.items()})


def _longer(ways: dict[int, deque[Point]], found: Sequence[Detection]) -> dict[int, deque[Point]]:
    """The ways of the tracks in this frame, each a place longer. That of a track which is not seen shortens until it
    is gone."""
    here = {one.track: one.box for one in found if one.track is not None and one.box is not None}
    for track, (x1, y1, x2, y2) in here.items():
        ways.setdefault(track, deque(maxlen=_TRAIL)).append(((x1 + x2) / 2, (y1 + y2) / 2))
    for track, way in ways.items():
        if track not in here:
            way.popleft()
    return {track: way for track, way in ways.items() if way}
