"""The next frame of a source: in order for a file, the newest for a camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

from taolite.media.sources import Frame, Source

__all__ = ["Ahead", "Newest"]


class Ahead:
    """Frames in order, the next of them read already."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._next: Frame | None = next(frames, None)

    @property
    def ended(self) -> bool:
        return self._next is None

    def peek(self) -> Frame | None:
        return self._next

    def take(self, timeout_s: float | None) -> Frame | None:
        taken, self._next = self._next, next(self._frames, None) if self._next is not None else None
        return taken

    def close(self) -> None:
        self._next = None
        cast(Any, self._frames).close()


class Newest:
    """The newest frame of a live source, read in a thread; an error of the source is raised where frames are taken."""

    def __init__(self, source: Source) -> None:
        self._source, self._changed = source, threading.Condition()
        self._frame: Frame | None = None
        self._error: BaseException | None = None
        self._over = self._left = False
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._over and self._frame is None

    def peek(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(self._is_ready)
            return self._frame

    def take(self, timeout_s: float | None) -> Frame | None:
        with self._changed:
            self._changed.wait_for(self._is_ready, timeout_s)
            taken, self._frame = self._frame, None
            if taken is None and self._error is not None:
                raise self._error
            return taken

    def close(self) -> None:
        self._left = True

    def _is_ready(self) -> bool:
        return self._frame is not None or self._over

    def _work(self) -> None:
        try:
            for frame in self._source:
                with self._changed:
                    self._frame = frame
                    self._changed.notify_all()
                if self._left:
                    return
        except BaseException as error:  # raised again in `take`
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
