"""The server's own camera: frames are read in a thread, and the newest is there for whoever asks.

A camera, stream, video or folder of pictures as `taolite.media.sources` opens it. Videos play at their own speed. Where
the source ends or fails, its message stays until `start` is called again; the rest of the server goes on.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, TaoliteError, printable
from taolite.events import Listener, Notice, silent
from taolite.media.places import hide_password
from taolite.media.sources import Source
from taolite.wording import counted

__all__ = ["LiveCamera", "Shown", "encode_jpeg"]

_PICTURES_PER_S = 1.0  # of a folder of pictures
_FIRST_S = 10.0  # to wait for the first frame
_OLD_S = 3.0  # age of a frame that is not shown as present any more
_VIDEO_RATE = 25.0  # frames a second, where a video does not say


class Shown(NamedTuple):
    """The newest frame: its number from 1; (H, W, 3) uint8 RGB, which nobody changes; and when it came, as
    `time.monotonic` counts."""

    number: int
    image_hwc: NDArray[np.uint8]
    came_s: float


class LiveCamera:
    """Reads `place` in a thread, from the first `wait` on."""

    def __init__(self, place: str, open_place: Callable[[], Source], *, listener: Listener = silent) -> None:
        """Args:
        place: its name, for messages; passwords in it are not shown.
        open_place: opens it; called again after each failure.
        listener: hears of failures.
        """
        self.place = hide_password(place)
        self._open, self._listener = open_place, listener
        self._changed = threading.Condition()
        self._newest: Shown | None = None
        self._error = ""
        self._thread: threading.Thread | None = None
        self._source: Source | None = None
        self._left = threading.Event()

    def start(self) -> None:
        """Open the source, if it is not open."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._error, self._newest = "", None
                self._left = threading.Event()
                self._thread = threading.Thread(target=self._work, args=(self._left,), daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop reading, after the frame that is being read."""
        self._left.set()
        if self._source is not None:
            self._source.stop()

    def wait(self, *, after: int = 0) -> Shown:
        """A frame newer than number `after`; the newest one where none comes in time.

        Raises DataError where the source failed or has ended, where no first frame comes, and where the newest frame of
        a camera or stream is old: nobody should take a picture of what is no longer there.
        """
        if self._thread is None:
            self.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or (self._newest is not None and self._newest.number > after),
                _FIRST_S if self._newest is None else _OLD_S,
            )
            if self._error:
                raise DataError(self._error)
            if self._newest is None:
                raise DataError(f"{self.place}: no frame came within {_FIRST_S:g} seconds; see that it is switched on")
            age_s = time.monotonic() - self._newest.came_s
            if age_s > _OLD_S and self._source is not None and self._source.is_live:
                raise DataError(f"{self.place}: no frame for {age_s:.0f} seconds; it is tried again")
            return self._newest

    def _work(self, left: threading.Event) -> None:
        number, said = 0, f"{self.place}: it failed; the terminal says more"
        try:
            self._source = self._open()
            for number, image_hwc in enumerate(_paced(self._source, left), start=1):
                with self._changed:
                    self._newest = Shown(number, image_hwc, time.monotonic())
                    self._changed.notify_all()
            said = f"{self.place}: it has ended after {counted(number, 'frame')}"
        except TaoliteError as error:
            said = str(error)
        finally:
            if not left.is_set():
                self._listener(Notice(printable(said), "warning"))
                with self._changed:
                    self._error = said
                    self._changed.notify_all()


def encode_jpeg(image_hwc: NDArray[np.uint8], *, quality: int, widest: int | None = None) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG. quality: 1 to 100. widest: greater widths are scaled down to it, in pixels."""
    from PIL import Image

    image = Image.fromarray(image_hwc)
    if widest is not None and image.width > widest:
        image = image.resize((widest, max(1, round(image.height * widest / image.width))), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _paced(source: Source, left: threading.Event) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a source until `left` is set, at the speed of a video; a camera or live stream sets its own."""
    rate = _PICTURES_PER_S if source.kind == "pictures" else None if source.is_live else source.fps or _VIDEO_RATE
    began = time.monotonic()
    for number, frame in enumerate(source):
        if left.is_set():
            return
        yield frame.image_hwc
        if rate is not None:
            left.wait(max(0.0, began + (number + 1) / rate - time.monotonic()))
