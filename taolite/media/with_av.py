"""Videos and streams read with PyAV, whose frames have exact times. Only used where it is installed (extra `video`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from numpy.typing import NDArray

from taolite.media import readers
from taolite.media.flips import upright
from taolite.media.readers import Broken, Link, Shot, Thinning, check_size, plausible_rate

__all__ = ["AvReader"]

_NO_RATE = 25.0  # frames a second of a raw video that names none, as ffmpeg has it
_UNTIMED = ("mpjpeg", "mjpeg")  # Motion JPEG over http has no times: ffmpeg makes up 25 frames a second
_AS_STORED = [1, 0, 0, 0, 1, 0, 0, 0, 1]
_MOST_FAILURES = 1000  # errors of a damaged file one after the other, before its rest is given up


class AvReader:
    """A video or a stream that PyAV has opened; see `readers.Reader`.

    Raises Broken where it cannot be opened, DataError where its frames are larger than allowed.
    """

    def __init__(self, link: Link, *, rate: float | None = None) -> None:
        self._link = link
        self._thinning = Thinning(rate)
        self._anchor: tuple[int, float] | None = None  # a stream's time in its own units, and on the monotonic clock
        self._last_s = time.monotonic()
        self._matrix: tuple[int, int, int, int] | None = None  # how frames are turned; known with the first
        self.unreadable = 0
        self._container = _opened(link)
        try:
            self._stream = self._container.streams.best("video")  # not the cover picture of a song
            if self._stream is None:
                raise Broken("there is no video in it")
            self._stream.thread_type = "SLICE" if link.is_live else "AUTO"  # threads of whole frames hold them back
            self.fps = plausible_rate(float(self._stream.average_rate or self._stream.guessed_rate or 0))
            self.total = self._estimate()
            context = self._stream.codec_context
            check_size(link.shown, context.height, context.width, is_live=link.is_live)
        except BaseException:
            self.close()
            raise

    def shots(self) -> Iterator[Shot]:
        """The frames, to the end. Raises Broken, DataError."""
        for number, frame in enumerate(self._frames()):
            time_s = self._time(frame, number)
            if self._thinning.keeps(time_s):
                yield Shot(self._pixels(frame), number + self.unreadable, time_s)

    def close(self) -> None:
        """Let go of the file or connection."""
        self._container.close()

    def _frames(self) -> Iterator[Any]:
        failures = 0
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except EOFError:
                return
            except FFmpegError:  # decoders of damaged frames raise several kinds
                self.unreadable += 1
                failures += 1
                if failures > _MOST_FAILURES:
                    return
                continue
            failures = 0 if decoded else failures
            yield from decoded

    def _packets(self) -> Iterator[Any]:
        """Compressed frames, up to the end. Data that belongs to no frame ends a file; it was damaged or cut."""
        try:
            yield from self._container.demux(self._stream)
        except (EOFError, InvalidDataError):
            return
        except FFmpegError as error:
            raise Broken(_reason(error)) from None

    def _time(self, frame: Any, number: int) -> float:
        if self._link.is_live:
            return self._live_time(frame)
        if frame.pts is None:
            return number / (self.fps or _NO_RATE)
        return float((frame.pts - (self._stream.start_time or 0)) * frame.time_base)

    def _live_time(self, frame: Any) -> float:
        """The frame's own time, the first being that of the opening: ffmpeg holds frames back while it opens. The time
        of arrival where the stream has none, and where its clock was set back."""
        now_s = time.monotonic()
        if self._container.format.name in _UNTIMED:
            return now_s
        if frame.pts is None:
            return self._last_s if self._anchor is None else now_s
        begin, begin_s = self._anchor or (frame.pts, self._last_s)
        time_s = begin_s + float((frame.pts - begin) * frame.time_base)
        if self._anchor is None or not self._last_s <= time_s <= now_s:
            time_s = self._last_s if self._anchor is None else now_s
            self._anchor = (frame.pts, time_s)
        self._last_s = time_s
        return time_s

    def _pixels(self, frame: Any) -> NDArray[np.uint8]:
        check_size(self._link.shown, frame.height, frame.width)
        if self._matrix is None:  # of the whole video; asking each frame for it leaves frames to the garbage collector
            turned = frame.side_data.get("DISPLAYMATRIX")
            values = _AS_STORED if turned is None else np.frombuffer(bytes(turned), "<i4").tolist()
            self._matrix = (values[0], values[1], values[3], values[4])
        image_hwc: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        return upright(image_hwc, self._matrix)

    def _estimate(self) -> int | None:
        if self._link.is_live:
            return None
        if self._stream.frames:
            return int(self._stream.frames)
        if self._container.duration and self.fps:
            return round(float(self._container.duration) / av.time_base * self.fps)
        return None


def _opened(link: Link) -> Any:
    timeout = (readers.STALL_S, readers.STALL_S) if "://" in link.url or link.is_live else None
    try:
        return av.open(link.url, options=dict(link.options), timeout=timeout)
    except FFmpegError as error:
        raise Broken(_reason(error)) from None  # its text has the address


def _reason(error: FFmpegError) -> str:
    return error.strerror or type(error).__name__
