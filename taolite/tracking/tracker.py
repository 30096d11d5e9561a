"""Trackers: the same number for the same object in all frames of a video.

ByteTrack gets every box of the model, also those below the display threshold. Boxes at or above it are matched with the
known objects first. An object without one may then go on with a box below it, for instance while it is half hidden.
Only boxes at or above the threshold begin an object.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from taolite.errors import UsageError
from taolite.sample import Detection
from taolite.wording import nearest

__all__ = ["TRACKERS", "Tracker", "open_tracker"]

TRACKERS = ("bytetrack",)
"""Names that `open_tracker` takes."""

_SECOND = 1_000_000_000  # nanoseconds; the library counts in them, and one frame is one second of its clock


class Tracker(Protocol):
    """Follows objects from frame to frame. It belongs to one video: open another one for another video."""

    def update(self, found: Sequence[Detection], image_hw: tuple[int, int]) -> list[Detection]:
        """The detections to show in this frame, with `track` set.

        Call it once for every frame, in order, also where nothing was found.

        Args:
            found: everything the model found, also scores below the display threshold. A model is asked for them by a
                lower threshold of its decoding.
            image_hw: (height, width) of the frame in pixels.

        Returns:
            In the order of `found`: all detections at or above the display threshold, and those below it that go on
            with a known object. `track` is the object's number. It is None for an object that was not yet seen in
            enough frames, and for a detection without a box, or whose box has no area. Numbers start from 1. No number
            is used again, and none changes its class.
        """
        ...


def open_tracker(
    name: str = "bytetrack",
    *,
    fps: float = 30.0,
    threshold: float | Mapping[str, float] = 0.5,
    min_frames: int = 2,
    drop_frames: int | None = None,
    overlap: float = 0.2,
) -> Tracker:
    """A tracker for one video. Needs the extra `track`.

    Args:
        name: one of TRACKERS.
        fps: frames a second of the video.
        threshold: the display threshold, as a score of the model: for all classes, or by class name (a class that is
            not named is not shown).
        min_frames: an object gets its number in the frame in which it was seen so many times in a row.
        drop_frames: an object that was not seen for more frames than this is given up. None is one second.
        overlap: least IoU, 0..1, of a box with the place where the object is expected.

    Raises:
        UsageError: an unknown name, or a value out of its range.
        ModuleNotFoundError: the extra is not installed (`taolite.extras.missing` says so).
    """
    if name not in TRACKERS:
        raise UsageError(f"tracker {name!r} is not one of {', '.join(TRACKERS)}{nearest(name, TRACKERS)}")
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"the tracker's frame rate is {fps}; it needs to be more than 0")
    if min_frames < 1:
        raise UsageError(f"the tracker's min_frames is {min_frames}; it needs to be 1 or more")
    if drop_frames is not None and drop_frames < 0:
        raise UsageError(f"the tracker's drop_frames is {drop_frames}; it needs to be 0 or more")
    if not 0 < overlap <= 1:
        raise UsageError(f"the tracker's overlap is {overlap}; it needs to be above 0 and at most 1")
    return _ByteTrack(threshold, min_frames, round(fps) if drop_frames is None else drop_frames, overlap)


@dataclass
class _Object:
    """One object: how many frames in a row it was seen in, the last of them, and its number, if it has one."""

    row: int
    last: int
    number: int | None = None


class _ByteTrack:
    """EdgeFirst's ByteTrack, one for each class, so that an object keeps its class. It is told of a score only whether
    the box is at or above the threshold: scores of a DetectNet have no upper limit."""

    def __init__(
        self, threshold: float | Mapping[str, float], min_frames: int, drop_frames: int, overlap: float
    ) -> None:
        from edgefirst.tracker import ByteTrack

        self._threshold, self._min_frames = threshold, min_frames
        self._drop_frames = drop_frames
        self._trackers: defaultdict[str, Any] = defaultdict(
            lambda: ByteTrack(high_conf=0.5, iou=overlap, update=1.0, lifespan_ns=drop_frames * _SECOND)
        )  # update: 1 is a plain Kalman filter; the library's 0.25 loses fast objects (docs/decisions/0007-tracking.md)
        self._objects: dict[str, _Object] = {}
        self._frame = 0
        self._numbers = 0

    def update(self, found: Sequence[Detection], image_hw: tuple[int, int]) -> list[Detection]:
        """See `Tracker.update`."""
        self._frame += 1
        tracks: dict[int, int | None] = {}
        by_class: defaultdict[str, list[int]] = defaultdict(list, {name: [] for name in self._trackers})
        for index, one in enumerate(found):
            if one.box is not None and _has_area(one.box):
                by_class[one.name].append(index)
        self._objects = {
            uuid: one for uuid, one in self._objects.items() if one.last >= self._frame - 1 - self._drop_frames
        }
        for name, indices in by_class.items():
            tracks.update(self._update_class(name, indices, found))
        return [
            replace(one, track=tracks.get(index))
            for index, one in enumerate(found)
            if self._is_high(one) or tracks.get(index) is not None
        ]

    def _is_high(self, one: Detection) -> bool:
        if isinstance(self._threshold, Mapping):
            return one.score >= self._threshold.get(one.name, math.inf)
        return one.score >= self._threshold

    def _update_class(self, name: str, indices: Sequence[int], found: Sequence[Detection]) -> dict[int, int | None]:
        """Index in `found` -> number, of the boxes of one class that belong to an object."""
        boxes = np.array([found[index].box for index in indices], np.float32).reshape(-1, 4)
        scores = np.array([self._is_high(found[index]) for index in indices], np.float32)
        tracker = self._trackers[name]
        labels = np.zeros(len(indices), np.uintp)  # without effect
        infos = tracker.update(boxes, scores, labels, self._frame * _SECOND)
        return {index: self._seen(info.uuid) for index, info in zip(indices, infos, strict=True) if info is not None}

    def _seen(self, uuid: str) -> int | None:
        """The number of the object, which is seen in this frame."""
        known = self._objects.setdefault(uuid, _Object(0, self._frame))
        known.row = known.row + 1 if known.last >= self._frame - 1 else 1
        known.last = self._frame
        if known.number is None and known.row >= self._min_frames:
            self._numbers += 1
            known.number = self._numbers
        return known.number


def _has_area(box: tuple[float, float, float, float]) -> bool:
    """Whether it can be matched; a box that is not finite would disturb the others."""
    x1, y1, x2, y2 = box
    return math.isfinite((x2 - x1) * (y2 - y1)) and x2 > x1 and y2 > y1
