"""Run a model over frames: one generator whose results pictures, videos, labels, tables and console lines all use.

Reading frames, preparing them, running the model, decoding its outputs and the caller's own work overlap: each of the
first four runs in a thread of its own, at most `AHEAD` batches ahead, and an engine that takes several calls at once
(`Model.calls`) gets them. Frames come out in order, and none is left out. A
live source is the exception: the model always gets the newest frame, and `Seen.lost` counts the older ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.media.sources import Frame
from taolite.pictures import to_grey
from taolite.sample import Detection
from taolite.stages.inference.models import Model
from taolite.stages.inference.pipeline import AHEAD, Pipeline, timed
from taolite.tasks.base import Outputs
from taolite.tracking import Direction

__all__ = ["Counted", "Seen", "find_in", "look", "looked"]

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, and what the model found in it.

    Attributes:
        found: best first; boxes in pixels of the frame.
        seconds: this frame's share of the time from pixels to results, without reading and drawing.
        times: seconds that each part spent on this frame, its share of those of a batch, and of batches that run side
            by side: read, prepare, engine, decode.
        lost: frames of a live source that were dropped since the last one, because they came faster than the model is.
        lines: the counting lines, with their counts so far.
        trails: the number of a track -> the places its object was at, in pixels, the oldest first.
        picture: the frame with its results drawn, (H, W, 3) uint8 RGB; None where nobody asked for it.
    """

    frame: Frame
    found: tuple[Detection, ...]
    seconds: float
    times: Mapping[str, float] = field(default_factory=dict)
    lost: int = 0
    lines: tuple[Counted, ...] = ()
    trails: Mapping[int, Sequence[Point]] = field(default_factory=dict)
    picture: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Counted:
    """A counting line, its ends in pixels, and how often it was crossed so far: direction -> class -> count."""

    name: str
    start: Point
    end: Point
    counts: Mapping[Direction, Mapping[str, int]]


@dataclass(frozen=True)
class _Batch:
    """Frames on their way. `times`, seconds a frame, grows as each part is done. lost: see `Seen`."""

    frames: Sequence[Frame]
    times: dict[str, float]
    lost: int = 0

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        return [frame.image_hwc for frame in self.frames]

    def took(self, part: str, began_s: float, *, beside: int = 1) -> None:
        """Note that `part` began then and ends now, on `beside` batches at once."""
        self.times[part] = (time.perf_counter() - began_s) / len(self.frames) / beside


def look(model: Model, frames: Iterable[Frame], *, batch_size: int = 1, live: bool = False) -> Iterator[Seen]:
    """What `model` finds in each frame, `batch_size` frames at once. The model's decoding must be known.

    Closing the generator ends its threads. Raises what the frames raise, and ModelError.
    """
    with Pipeline() as pipeline:
        yield from looked(pipeline, model, frames, batch_size=batch_size, live=live)


def looked(
    pipeline: Pipeline, model: Model, frames: Iterable[Frame], *, batch_size: int = 1, live: bool = False
) -> Iterator[Seen]:
    """As `look`, in the threads of a longer pipeline. A live source's frames go one by one."""
    count = 1 if live else AHEAD
    read = _newest(pipeline, frames) if live else pipeline.ahead(_read(frames, batch_size), count=count)
    prepared = pipeline.ahead(_prepared(model, read), count=count)
    answered = pipeline.ahead(pipeline.abreast(partial(_answered, model), prepared, model.calls), count=count)
    for batch in pipeline.ahead(_decoded(model, answered), count=count):
        yield from batch


def find_in(model: Model, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
    """What the model finds in each (H, W, 3) picture, best first, in pixels of the picture."""
    return _decode(model, images, model.predict(_prepare(model, images)))


def _read(frames: Iterable[Frame], size: int) -> Iterator[_Batch]:
    """The frames in batches of `size`; the last batch may be smaller, also that before an error."""
    group: list[tuple[Frame, float]] = []
    with closing(timed(frames)) as read:
        try:
            for one in read:
                group.append(one)
                if len(group) == size:
                    yield _batch(group)
                    group = []
        except Exception:
            if group:
                yield _batch(group)
            raise
    if group:
        yield _batch(group)


def _batch(read: Sequence[tuple[Frame, float]]) -> _Batch:
    return _Batch([frame for frame, _ in read], {"read": sum(took for _, took in read) / len(read)})


def _newest(pipeline: Pipeline, frames: Iterable[Frame]) -> Iterator[_Batch]:
    for (frame, took), lost in pipeline.newest(timed(frames)):
        yield _Batch([frame], {"read": took}, lost)


def _prepared(model: Model, batches: Iterable[_Batch]) -> Iterator[tuple[_Batch, NDArray[np.float32]]]:
    for batch in batches:
        began_s = time.perf_counter()
        pixels = _prepare(model, batch.images)
        batch.took("prepare", began_s)
        yield batch, pixels


def _answered(model: Model, prepared: tuple[_Batch, NDArray[np.float32]]) -> tuple[_Batch, Outputs]:
    batch, pixels = prepared
    began_s = time.perf_counter()
    outputs = model.predict(pixels)
    batch.took("engine", began_s, beside=model.calls)
    return batch, outputs


def _decoded(model: Model, batches: Iterable[tuple[_Batch, Outputs]]) -> Iterator[list[Seen]]:
    for batch, outputs in batches:
        began_s = time.perf_counter()
        found = _decode(model, batch.images, outputs)
        batch.took("decode", began_s)
        seconds = sum(batch.times[part] for part in ("prepare", "engine", "decode"))
        lost = [batch.lost] + [0] * (len(batch.frames) - 1)
        yield [
            Seen(frame, tuple(one), seconds, batch.times, before)
            for frame, one, before in zip(batch.frames, found, lost, strict=True)
        ]


def _prepare(model: Model, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, C, H, W) float32 network input."""
    prep = model.preprocessing
    inputs = np.empty((len(images), prep.channels, *prep.input_hw), np.float32)
    for values, image in zip(inputs, images, strict=True):
        prep.apply(to_grey(image) if prep.channels == 1 else image, out=values)
    return inputs


def _decode(model: Model, images: Sequence[NDArray[np.uint8]], outputs: Outputs) -> list[list[Detection]]:
    assert model.decoding is not None, "the caller gives a model whose decoding is known"
    prep = model.preprocessing
    results = []
    for index, image_hwc in enumerate(images):
        found = model.use.decode(tuple(output[index] for output in outputs), model.decoding, preprocessing=prep)
        results.append(found.in_photo(model.classes, preprocessing=prep, photo_hw=image_hwc.shape[:2]))
    return results
