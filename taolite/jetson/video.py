"""videoSource and videoOutput of jetson-utils over `taolite.media`.

A source reads one frame ahead, so `IsStreaming` is False once the last frame of a file was given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from taolite.errors import DataError, UsageError
from taolite.jetson.argv import Words
from taolite.jetson.frames import Ahead, Newest
from taolite.jetson.image import Array, as_format, cudaImage, rgb_of, saveImage
from taolite.jetson.log import told
from taolite.media.output import Output, OutputOptions, open_output
from taolite.media.sources import Flip, Frame, InputOptions, Source, open_source
from taolite.pictures import EXTENSIONS

__all__ = ["videoOutput", "videoSource"]

_INPUT = {  # flag -> key of `options`
    **{"input-width": "width", "width": "width", "input-height": "height", "height": "height"},
    **{"input-rate": "framerate", "framerate": "framerate", "input-codec": "codec", "codec": "codec"},
    **{"input-flip": "flipMethod", "input-flip-method": "flipMethod", "flip-method": "flipMethod"},
    **{"input-loop": "loop", "loop": "loop", "input-latency": "latency", "input-rtsp-latency": "latency"},
}
_OUTPUT = {"output-codec": "codec", "codec": "codec", "bitrate": "bitrate", "framerate": "framerate"}
_SWITCHES = ("headless", "no-display")
_VALUED = frozenset({*_INPUT, *_OUTPUT, "network", "model", "labels", "threshold", "overlay", "topk", "smoothing"})
_FLIPS = {"horizontal-flip": "horizontal", "vertical-flip": "vertical"}
_RATE = 30.0  # frames a second where nobody says


class videoSource:
    """Frames of a picture, folder, pattern, video, camera or stream.

    Args:
        uri: the place; "" is the word number `positionArg` of `argv`, or the default camera.
        argv: flags `--input-width` and others, as in `sys.argv`.
        options: the same by name: width, height, framerate, codec, flipMethod, loop, latency.

    Raises UsageError, PathError, DataError.
    """

    def __init__(
        self,
        uri: str = "",
        argv: Sequence[str] | None = None,
        positionArg: int = -1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        words = Words(argv, _VALUED)
        given = {key: words.text(flag) for flag, key in _INPUT.items() if words.text(flag)} | dict(options or {})
        self._options = given
        place = uri or str(given.get("resource", "")) or _position(words, positionArg)
        self._source = open_source(place or None, options=_input_options(given), listener=told)
        self._uri = place or self._source.place
        self._count = 0
        self._closed = False
        self._frames: Ahead | Newest | None = None

    def Open(self) -> None:
        """Begin to read; `Capture` does it where it is left out."""
        if self._frames is None and not self._closed:
            self._frames = Newest(self._source) if self._source.is_live else Ahead(iter(self._source))

    def Close(self) -> None:
        """End reading."""
        self._closed = True
        self._source.stop()
        if self._frames is not None:
            self._frames.close()

    def Capture(self, format: str = "rgb8", timeout: int = 1000, stream: int = 0) -> cudaImage | None:
        """The next frame as an image of its own; None where a camera gives none for `timeout` milliseconds (-1 waits).

        Raises DataError behind the last frame.
        """
        self.Open()
        ended = DataError(f"{self._uri}: there are no more frames; ask IsStreaming() before Capture()")
        if self._closed or self._frames is None:
            raise ended
        frame = self._frames.take(None if timeout < 0 else timeout / 1000)
        if frame is None:
            if self._frames.ended:
                raise ended
            return None
        self._count += 1
        pixels = frame.image_hwc
        image = cudaImage(pixels.shape[1], pixels.shape[0], "rgb8", time.monotonic_ns())
        image[:] = pixels
        return image if format == "rgb8" else as_format(image, format)

    def IsStreaming(self) -> bool:
        """Whether there are more frames."""
        return not self._closed and (self._frames is None or not self._frames.ended)

    def GetWidth(self) -> int:
        """Pixels of the next frame."""
        return self._size()[1]

    def GetHeight(self) -> int:
        """Pixels of the next frame."""
        return self._size()[0]

    def GetFrameRate(self) -> float:
        """Frames a second."""
        return self._source.fps or _RATE

    def GetFrameCount(self) -> int:
        """Frames captured so far."""
        return self._count

    def GetOptions(self) -> dict[str, Any]:
        """The options by name."""
        return {"resource": self._uri, "width": self.GetWidth(), "height": self.GetHeight(), **self._options}

    @staticmethod
    def Usage() -> str:
        """The flags of a source."""
        return "videoSource: URI, and the flags " + " ".join(f"--{flag}=VALUE" for flag in _INPUT)

    def _size(self) -> tuple[int, int]:
        self.Open()
        frame = self._frames.peek() if self._frames is not None else None
        height, width = (0, 0) if frame is None else frame.image_hwc.shape[:2]
        return int(height), int(width)


class videoOutput:
    """A place for images: a picture, a pattern with `%i`, a folder, a video, a stream, a window.

    Args:
        uri: the place; "" is the word number `positionArg` of `argv`, or a window where there is a display, or nothing.
        argv: flags `--output-codec` and others, as in `sys.argv`.
        options: the same by name: codec, bitrate, framerate.

    Unlike jetson-utils' it opens no window beside a file. Raises UsageError, StorageError.
    """

    def __init__(
        self,
        uri: str = "",
        argv: Sequence[str] | None = None,
        positionArg: int = -1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        words = Words(argv, _VALUED)
        given = {key: words.text(flag) for flag, key in _OUTPUT.items() if words.text(flag)} | dict(options or {})
        headless = words.has(*_SWITCHES)
        place = uri or str(given.get("resource", "")) or _position(words, positionArg)
        self._place = place or ("" if headless or not os.environ.get("DISPLAY") else "display://0")
        self._options = OutputOptions(
            codec=str(given.get("codec", "h264")),
            bitrate=int(given.get("bitrate", 4_000_000)),
            headless=headless,
            fps=float(given.get("framerate", 0)) or None,
        )
        self._stack = ExitStack()
        self._output: Output | None = None
        self._count, self._hw, self._began_s, self._closed = 0, (0, 0), time.monotonic(), False
        path = Path(self._place)
        self._replaces = path.suffix.lower() in EXTENSIONS and not {"%", "*"} & set(path.name) and "://" not in place
        self.Open()

    def __enter__(self) -> videoOutput:
        return self

    def __exit__(self, *error: object) -> None:
        self.Close()

    def __del__(self) -> None:
        if hasattr(self, "_stack"):
            self.Close()

    def Open(self) -> None:
        """Open the place, so that a wrong one is told before the first frame."""
        if self._output is None and not self._replaces:
            source = Source("stream", "frames", fps=self._options.fps or _RATE)
            self._output = open_output(self._place, source, self._stack, options=self._options, listener=told)

    def Close(self) -> None:
        """Finish a video, close a window."""
        self._closed = True
        self._stack.close()

    def Render(self, image: Array, stream: int = 0) -> None:
        """Show or write an image of any format; a single picture is written over each time, as in jetson-utils."""
        if self._closed:
            return
        rgb = rgb_of(image)
        self._hw = (rgb.shape[0], rgb.shape[1])
        if self._output is None:
            saveImage(self._place, rgb)
        else:  # a copy: the script may draw on its image while the frame waits to be written
            self._output.write(Frame(f"{self._count}.jpg", rgb.copy(), self._count), rgb.copy())
        self._count += 1

    def SetStatus(self, text: str) -> None:
        """The title of a window; kept without effect elsewhere."""

    def IsStreaming(self) -> bool:
        """False once it is closed, or its window is."""
        return not self._closed and (self._output is None or self._output.is_open)

    def GetWidth(self) -> int:
        """Pixels of the last image."""
        return self._hw[1]

    def GetHeight(self) -> int:
        """Pixels of the last image."""
        return self._hw[0]

    def GetFrameRate(self) -> float:
        """Images a second since it was opened."""
        return self._count / max(time.monotonic() - self._began_s, 1e-6)

    def GetFrameCount(self) -> int:
        """Images so far."""
        return self._count

    def GetOptions(self) -> dict[str, Any]:
        """The options by name."""
        return {"resource": self._place, "codec": self._options.codec, "bitrate": self._options.bitrate}

    @staticmethod
    def Usage() -> str:
        """The flags of an output."""
        return "videoOutput: URI, and the flags --headless " + " ".join(f"--{flag}=VALUE" for flag in _OUTPUT)


def _position(words: Words, place: int) -> str:
    return words.places[place] if 0 <= place < len(words.places) else ""


def _input_options(given: Mapping[str, Any]) -> InputOptions:
    width, height = int(given.get("width", 0)), int(given.get("height", 0))
    flip = str(given.get("flipMethod", "none")).lower()
    if bool(width) != bool(height):
        raise UsageError("videoSource: give both width and height, or none of them")
    return InputOptions(
        size_hw=(height, width) if width else None,
        rate=float(given.get("framerate", 0)) or None,
        flip=cast(Flip, _FLIPS.get(flip, flip)),
        loop=int(given.get("loop", 0)),
        codec=given.get("codec"),
        latency_ms=int(given.get("latency", 10)),
    )
