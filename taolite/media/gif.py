"""Animated GIFs, encoded frame by frame: memory holds one frame, however long the video is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["GifEncoder"]

_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # the extension that repeats an animation without an end
_END = b"\x3b"
_LEAST_DELAY = 2  # hundredths of a second; browsers slow down what is faster


class GifEncoder:
    """A `videos.Encoder` of GIFs. Every frame has 256 colours of its own, and all are shown for the same time."""

    def __init__(self, path: Path, hw: tuple[int, int], *, fps: float) -> None:
        self._delay_ms = 10 * max(_LEAST_DELAY, round(100 / fps))
        self._stream = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._stream.write(b"GIF89a" + struct.pack("<HHBBB", hw[1], hw[0], 0x70, 0, 0) + _FOR_EVER)

    def add(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        from PIL import Image
        from PIL.GifImagePlugin import getdata

        frame = Image.fromarray(image_hwc).quantize(256, dither=Image.Dither.NONE)
        self._stream.writelines(getdata(frame, duration=self._delay_ms, include_color_table=True, disposal=1))

    def close(self) -> None:
        with self._stream:
            self._stream.write(_END)
