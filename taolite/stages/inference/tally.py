"""What a run adds up to: frames, times of its parts, objects, tracks and crossings. Its memory does not grow."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from taolite.stages.inference.look import Counted, Seen

__all__ = ["PARTS", "RunReport", "Tally"]

PARTS = ("read", "prepare", "engine", "decode", "draw", "write")
"""The parts of a pipeline in their order; they overlap."""

_OVER = 1000  # frames over which the times of parts are measured


@dataclass(frozen=True)
class RunReport:
    """The result of a run.

    Attributes:
        frames: the number of frames that were processed.
        fps: frames a second, from the first result to the last; 0 for a single frame.
        times: seconds a frame of each part, the median of the last 1000 frames.
        objects: detections by class, or pictures by their classes.
        tracks: numbers of tracks by class.
        lines: the counting lines with their counts.
        dropped: frames of a live source that were too many for the model.
    """

    frames: int
    fps: float
    times: Mapping[str, float]
    objects: Mapping[str, int]
    tracks: Mapping[str, int]
    lines: Sequence[Counted]
    dropped: int


@dataclass
class Tally:
    """Adds up the frames of a run; `report` may be asked for at any time."""

    _frames: int = 0
    _began_s: float = 0.0
    _ended_s: float = 0.0
    _times: dict[str, deque[float]] = field(default_factory=lambda: {part: deque(maxlen=_OVER) for part in PARTS})
    _objects: Counter[str] = field(default_factory=Counter)
    _tracks: Counter[str] = field(default_factory=Counter)
    _newest_track: int = 0
    _lines: Sequence[Counted] = ()
    _dropped: int = 0

    def add(self, seen: Seen, *, write_s: float | None = None) -> None:
        """Count one frame. write_s: seconds that writing its results took."""
        self._ended_s = time.perf_counter()
        self._began_s = self._began_s or self._ended_s
        self._frames += 1
        self._dropped += seen.lost
        for part, seconds in seen.times.items():
            self._times[part].append(seconds)
        if write_s is not None:
            self._times["write"].append(write_s)
        self._objects.update(one.name for one in seen.found)
        new = {one.track: one.name for one in seen.found if one.track is not None and one.track > self._newest_track}
        self._tracks.update(new.values())
        self._newest_track = max(new, default=self._newest_track)
        self._lines = seen.lines or self._lines

    def report(self) -> RunReport:
        passed_s = self._ended_s - self._began_s
        return RunReport(
            frames=self._frames,
            fps=(self._frames - 1) / passed_s if passed_s > 0 else 0.0,
            times={part: float(np.median(values)) for part, values in self._times.items() if values},
            objects=dict(self._objects),
            tracks=dict(self._tracks),
            lines=tuple(self._lines),
            dropped=self._dropped,
        )
