"""Run a model over frames: one generator whose results pictures, videos, labels, tables and console lines all use.

Reading frames, running the model and the caller's own work overlap: each of the first two runs in a thread of its own,
at most `AHEAD` items ahead. Frames come out in order, and none is left out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from taolite.media.sources import Frame
from taolite.pictures import to_grey
from taolite.sample import Detection
from taolite.stages.inference.models import Model

__all__ = ["AHEAD", "Seen", "ahead", "find_in", "look"]

AHEAD = 2
"""Batches that wait between two threads; this limits memory to a few batches of frames."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Seen:
    """A frame, and what the model found in it.

    Attributes:
        found: best first; boxes in pixels of the frame.
        seconds: this frame's share of the time from pixels to results, without reading and drawing.
    """

    frame: Frame
    found: tuple[Detection, ...]
    seconds: float


def look(model: Model, frames: Iterable[Frame], *, batch_size: int = 1) -> Iterator[Seen]:
    """What `model` finds in each frame, `batch_size` frames at once. The model's decoding must be known.

    Closing the generator ends its threads. Raises what the frames raise, and ModelError.
    """
    with closing(ahead(_grouped(frames, batch_size))) as groups, closing(ahead(_seen(model, groups))) as batches:
        for batch in batches:
            yield from batch


def find_in(model: Model, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
    """What the model finds in each (H, W, 3) picture, best first, in pixels of the picture."""
    assert model.decoding is not None, "the caller gives a model whose decoding is known"
    prep = model.preprocessing
    outputs = model.predict(np.stack([prep.apply(to_grey(one) if prep.channels == 1 else one) for one in images]))
    looked = []
    for index, image_hwc in enumerate(images):
        found = model.use.decode(tuple(output[index] for output in outputs), model.decoding, preprocessing=prep)
        looked.append(found.in_photo(model.classes, preprocessing=prep, photo_hw=image_hwc.shape[:2]))
    return looked


def ahead(items: Iterable[Item], *, count: int = AHEAD) -> Generator[Item, None, None]:
    """The same items, produced in a thread of its own, at most `count` ahead of the reader. An error is raised in its
    place in the order. Closing the generator ends the thread, and closes `items` where that is a generator."""
    waiting: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(count)
    left = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None, bool]) -> None:
        while not left.is_set():
            try:
                return waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put((item, None, False))
                if left.is_set():
                    return
            put((None, None, True))
        except BaseException as error:  # raised again where the items are read
            put((None, error, True))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error, ends = waiting.get()
            if error is not None:
                raise error
            if ends:
                return
            yield item  # type: ignore[misc]
    finally:
        left.set()
        thread.join()


def _seen(model: Model, groups: Iterable[list[Frame]]) -> Iterator[list[Seen]]:
    for frames in groups:
        began = time.perf_counter()
        found = find_in(model, [frame.image_hwc for frame in frames])
        seconds = (time.perf_counter() - began) / len(frames)
        yield [Seen(frame, tuple(one), seconds) for frame, one in zip(frames, found, strict=True)]


def _grouped(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """The frames in groups of `size`; the last group may be smaller."""
    iterator = iter(frames)
    while group := list(islice(iterator, size)):
        yield group
