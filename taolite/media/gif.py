"""Animated GIFs, written frame by frame: memory holds one frame, however long the video is."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, StorageError
from taolite.files import storage_error

__all__ = ["GifFile"]

_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # the extension that repeats an animation without an end
_END = b"\x3b"
_LEAST_DELAY = 2  # hundredths of a second; browsers slow down what is faster


class GifFile:
    """A GIF that takes its name when it is closed without an error. Every frame has 256 colours of its own.

    All frames need the size of the first. Use it in a `with` block.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self.path = path
        self._delay_ms = 10 * max(_LEAST_DELAY, round(100 / fps))
        self._partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.gif")
        self._stream: IO[bytes] | None = None
        self._hw: tuple[int, int] | None = None

    def write(self, image_hwc: NDArray[np.uint8]) -> None:
        """Add (H, W, 3) uint8 RGB. Raises StorageError where the disk refuses, DataError for another size."""
        from PIL import Image
        from PIL.GifImagePlugin import getdata

        hw = (image_hwc.shape[0], image_hwc.shape[1])
        if self._hw is not None and hw != self._hw:
            before = f"{self._hw[1]}x{self._hw[0]}"
            raise DataError(f"{self.path}: a frame of {hw[1]}x{hw[0]} pixels came after {before} ones")
        frame = Image.fromarray(image_hwc).quantize(256, dither=Image.Dither.NONE)
        data = getdata(frame, duration=self._delay_ms, include_color_table=True, disposal=1)
        try:
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream, self._hw = open(self._partial, "wb"), hw  # noqa: SIM115 - closed by `close`
                self._stream.write(b"GIF89a" + struct.pack("<HHBBB", hw[1], hw[0], 0x70, 0, 0) + _FOR_EVER)
            self._stream.writelines(data)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def close(self) -> None:
        """Finish the file; without any frame none appears."""
        if self._stream is None:
            return
        try:
            self._stream.write(_END)
            self._stream.close()
            self._partial.replace(self.path)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror or error}; no video was written") from error
        self._stream = None

    def __enter__(self) -> GifFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._stream is not None:
            self._stream.close()
            self._stream = None
            self._partial.unlink(missing_ok=True)
