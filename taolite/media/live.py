"""Frames for someone who watches: a sink that may stall runs in its own thread, and the pipeline never waits for it.

Between the two is a short queue. When it is full, the oldest frame in it is dropped and counted, so what is shown is
never old. The listener hears of it every ten seconds, and at the end; it is called by the pipeline's thread alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import StorageError, TaoliteError
from taolite.events import FramesDropped, Listener, silent
from taolite.media.sources import Frame
from taolite.media.videos import Clock

__all__ = ["LiveOutput", "LiveSink"]

_ROOM = 4  # frames in the queue, as jetson's --num-buffers
_EVERY_S = 10.0  # between two lines about dropped frames
_GRACE_S = 5.0  # for the frames that are left at the end
_AT_ONCE_S = 0.5  # the same, after an error or Ctrl-C


class LiveSink(Protocol):
    """Takes frames in a thread of its own. It raises OSError where it cannot."""

    holds: bool
    """At the end it stays until the user closes it."""

    @property
    def is_open(self) -> bool:
        """False once the user closed it; frames are then dropped without a word."""

    def put(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        """Take (H, W, 3) uint8 RGB. time_s: seconds since the first frame."""

    def close(self) -> None:
        """End it. Called by the thread that calls `put`."""

    def kill(self) -> None:
        """End it at once, from any thread, if that is possible."""


class LiveOutput:
    """An `Output` over `sink`, for a `with` block."""

    def __init__(self, place: str, sink: LiveSink, *, pace: float | None = None, listener: Listener = silent) -> None:
        """Args:
        place: how the output is called in messages.
        pace: frames a second of a source that could be faster than life, as a file; `write` waits for the time of
            each frame. None waits for nothing.
        """
        self.place = place
        self._sink = sink
        self._clock = Clock(pace) if pace else None
        self._listener = listener
        self._queue: deque[tuple[NDArray[np.uint8], float]] = deque(maxlen=_ROOM)
        self._changed = threading.Condition()
        self._is_over = False
        self._error: Exception | None = None
        self._start_s: float | None = None
        self._frames, self._lost, self._told = 0, 0, 0
        self._told_s = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"taolite-{place}", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._sink.is_open

    @property
    def lost(self) -> int:
        return self._lost

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> None:
        """Queue a frame. Raises StorageError where the sink has failed, or what it raised."""
        self._raise()
        now = time.monotonic()
        if self._start_s is None:
            self._start_s = now
        if self._clock is not None:
            time.sleep(max(0.0, self._start_s + self._clock.at(frame.time_s) - now))
        with self._changed:
            self._frames += 1
            self._lost += len(self._queue) == _ROOM and self.is_open
            self._queue.append((picture_hwc, time.monotonic() - self._start_s))
            self._changed.notify()
        if self._lost > self._told and now - self._told_s > _EVERY_S:
            self._tell()

    def close(self, *, at_once: bool = False) -> None:
        """End the sink. It has some seconds for the frames in the queue, half a second with `at_once`; one that holds
        its last frame is waited for. Raises as `write` does."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        try:
            self._thread.join(_AT_ONCE_S if at_once else None if self._sink.holds else _GRACE_S)
        finally:
            with self._changed:
                self._lost += len(self._queue) if self.is_open else 0
                self._queue.clear()
            if self._thread.is_alive():
                self._sink.kill()
        if self._lost > self._told:
            self._tell(at_end=True)
        self._raise()

    def __enter__(self) -> LiveOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(at_once=error is not None)
        except (TaoliteError, KeyboardInterrupt):
            if error is None:
                raise

    def _work(self) -> None:
        """The thread: hand on frames until the end."""
        try:
            try:
                while (item := self._next()) is not None:
                    self._sink.put(*item)
            finally:
                self._sink.close()
        except Exception as error:  # of any kind: `write` raises it where it is seen
            self._error = error

    def _next(self) -> tuple[NDArray[np.uint8], float] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_over)
            return self._queue.popleft() if self._queue else None

    def _raise(self) -> None:
        error, self._error = self._error, None
        if isinstance(error, OSError):
            raise StorageError(f"{self.place}: {error.strerror or error}") from error
        if error is not None:
            raise error

    def _tell(self, *, at_end: bool = False) -> None:
        self._listener(FramesDropped(self.place, self._lost, self._frames, at_end))
        self._told, self._told_s = self._lost, time.monotonic()
