"""A model over a source as `taolite run`, imagenet and detectnet show it: seen, then ranked or tracked, counted, drawn.

Reading, preparing, the engine, decoding and drawing each have a thread; the caller writes the results in its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from taolite.media.sources import Frame, Source
from taolite.stages.inference.following import CountLine, followed
from taolite.stages.inference.listeners import Drawing
from taolite.stages.inference.look import Seen, find_in, looked
from taolite.stages.inference.models import Model
from taolite.stages.inference.pipeline import AHEAD, Pipeline
from taolite.stages.inference.ranks import USUAL, Manner, rankable, ranked
from taolite.tracking import open_tracker

__all__ = ["Tracking", "Viewing", "is_detector", "view", "watch"]

_FAINT = 0.1  # score from which a box may go on with a track that is known: ByteTrack's second pass
_RATE_OVER = 30  # frames over which the rate that is drawn is measured
_RATE = 30.0  # frames a second, where a source does not say

Threshold = float | Mapping[str, float]
"""The least score that is shown: for all classes, or by class; a class that is not named is not shown."""


@dataclass(frozen=True)
class Tracking:
    """How objects are followed; see `taolite.tracking.open_tracker`."""

    name: str = "bytetrack"
    min_frames: int = 2
    drop_frames: int | None = None
    overlap: float = 0.2


@dataclass(frozen=True)
class Viewing:
    """What is shown of a model's results.

    Attributes:
        threshold: of a detector; None keeps that of the model's decoding.
        manner: of a classifier.
        tracking: how objects are followed; None does not.
        lines: count the tracks that cross them.
        batch_size: frames that go through the model at once; of a live source one by one.
        max_frames: the run ends after so many; None is all.
    """

    threshold: Threshold | None = None
    manner: Manner = USUAL
    tracking: Tracking | None = None
    lines: Sequence[CountLine] = ()
    batch_size: int = 1
    max_frames: int | None = None


def is_detector(model: Model) -> bool:
    """Whether the model finds objects; the others speak of whole pictures."""
    return model.use.network_type == 0


def watch(
    model: Model,
    source: Source,
    viewing: Viewing,
    *,
    drawing: Drawing | None = None,
    ended: threading.Event | None = None,
) -> Generator[Seen]:
    """Every frame of `source` with what is to be shown of it, and with its picture where `drawing` is given.

    `ended`: once it is set, no more frames are read, and those on their way come out. Closing the generator ends its
    threads. Raises what the source raises, ModelError, UsageError.
    """
    with Pipeline(source.stop) as pipeline:
        ready = _lowered(model, viewing) if is_detector(model) else rankable(model, viewing.manner)
        frames = _until(source, ended or threading.Event())
        seen = looked(pipeline, ready, frames, batch_size=viewing.batch_size, live=source.is_live)
        if not is_detector(model):
            seen = ranked(seen, model, manner=viewing.manner, smooth=source.kind != "pictures")
        elif viewing.tracking is None:
            seen = _shown(seen, viewing.threshold)
        else:
            how, trails = viewing.tracking, drawing is not None and "trails" in drawing.overlay.parts
            tracker = open_tracker(
                how.name,
                fps=source.fps or _RATE,
                threshold=viewing.threshold if viewing.threshold is not None else 0.0,
                min_frames=how.min_frames,
                drop_frames=how.drop_frames,
                overlap=how.overlap,
            )
            seen = followed(seen, tracker, viewing.lines, trails=trails)
        if drawing is not None:
            seen = pipeline.ahead(_drawn(seen, drawing), count=1 if source.is_live else AHEAD)
        yield from islice(seen, viewing.max_frames)


def view(model: Model, frames: Sequence[Frame], viewing: Viewing) -> list[Seen]:
    """What is to be shown of a few frames, run at once in the caller's thread. Nothing is tracked, smoothed or drawn.

    Raises ModelError.
    """
    ready = _lowered(model, viewing) if is_detector(model) else rankable(model, viewing.manner)
    began_s = time.perf_counter()
    found = find_in(ready, [frame.image_hwc for frame in frames])
    seconds = (time.perf_counter() - began_s) / len(frames)
    seen = [Seen(frame, tuple(one), seconds) for frame, one in zip(frames, found, strict=True)]
    if is_detector(model):
        return list(_shown(seen, viewing.threshold))
    return list(ranked(seen, model, manner=viewing.manner, smooth=False))


def _lowered(model: Model, viewing: Viewing) -> Model:
    """The detector with a decoding that gives all that may be shown, and for a tracker also fainter boxes."""
    if viewing.threshold is None:
        return model
    values = viewing.threshold.values() if isinstance(viewing.threshold, Mapping) else (viewing.threshold,)
    least = min(values, default=1.0) if viewing.tracking is None else min(_FAINT, *values)
    return replace(model, decoding=model.use.at_threshold(model.decoding or {}, least))


def _until(source: Source, ended: threading.Event) -> Iterator[Frame]:
    for frame in source:
        yield frame
        if ended.is_set():
            return


def _shown(frames: Iterable[Seen], threshold: Threshold | None) -> Iterator[Seen]:
    """The frames with the detections that score their threshold or more."""
    if not isinstance(threshold, Mapping):
        yield from frames  # the decoding knows this one
        return
    for seen in frames:
        found = tuple(one for one in seen.found if one.score >= threshold.get(one.name, float("inf")))
        yield replace(seen, found=found)


def _drawn(frames: Iterable[Seen], drawing: Drawing) -> Iterator[Seen]:
    """The frames with their pictures."""
    times_s: deque[float] = deque(maxlen=_RATE_OVER)
    for seen in frames:
        began_s = time.perf_counter()
        times_s.append(began_s)
        passed_s = times_s[-1] - times_s[0]
        note = f"{(len(times_s) - 1) / passed_s:.1f} frames per second" if passed_s > 0 else ""
        picture = drawing.draw(seen, note=note)
        yield replace(seen, picture=picture, times={**seen.times, "draw": time.perf_counter() - began_s})
