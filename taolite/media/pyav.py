"""Video encoded by FFmpeg through PyAV (the extra `video`), into a file or onto the network.

Each frame keeps its own time, to 1/90000 of a second where the container has it (Matroska and WebM: to 1/1000), so the
rate may vary. Colours are converted with BT.601's matrix and marked so: players that read the mark and those that
assume it show the same. The last row or column of an odd size is left out, because chroma is stored for 2x2 pixels.

PyAV's wheels carry x264 and x265, which are GPL: nothing here is imported before a video or a stream is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.extras import install_command

__all__ = ["CODECS", "AvEncoder", "has_pyav", "needs_pyav"]

CODECS = {"h264": "h264", "h265": "hevc", "vp8": "vp8", "vp9": "vp9", "mjpeg": "mjpeg"}
"""What a user calls a codec -> what FFmpeg calls it."""

_TICKS = 90_000  # a second, as RTP and MPEG count
_FAST: dict[str, dict[str, str]] = {  # settings that keep up with a camera on a few cores
    "h264": {"preset": "superfast"},
    "h265": {"preset": "ultrafast", "x265-params": "log-level=none"},  # x265 prints on its own
    "vp8": {"deadline": "realtime", "cpu-used": "8"},
    "vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"},
    "mjpeg": {},
}


def has_pyav() -> bool:
    """Whether PyAV is installed; it is not imported."""
    return find_spec("av") is not None


def needs_pyav(place: str) -> None:
    """Raise UsageError where PyAV, which `place` needs, is not installed."""
    if not has_pyav():
        raise UsageError(f"{place}: this needs PyAV, which is not installed; run {install_command('video')}")


class AvEncoder:
    """A `videos.Encoder` of FFmpeg's. Its errors are OSErrors."""

    def __init__(
        self,
        target: str,
        hw: tuple[int, int],
        *,
        container: str,
        codec: str,
        fps: float,
        bitrate: int,
        is_live: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        target: a path or an address.
        hw: (height, width) of every frame.
        container: FFmpeg's name of the format.
        codec: one of CODECS.
        fps: frames a second that are expected; the times of frames decide.
        bitrate: bits a second.
        is_live: frames leave at once, and a receiver that joins late waits for a second at most.
        options: of the container, as FFmpeg names them.
        """
        import av

        self._hw = (hw[0] & ~1, hw[1] & ~1)
        self._last = -1
        with _as_os_error():
            self._container = av.open(target, "w", format=container, options=dict(options or {}))
            tuned = {"tune": "zerolatency"} if is_live and codec in ("h264", "h265") else {}
            stream: Any = self._container.add_stream(
                CODECS[codec], rate=Fraction(fps).limit_denominator(1001), options=_FAST[codec] | tuned
            )
            stream.height, stream.width = self._hw
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.bit_rate = bitrate
            context = stream.codec_context
            context.time_base = Fraction(1, _TICKS)
            context.gop_size = max(1, round(fps * (1 if is_live else 2)))
            context.colorspace = 6  # BT.601 (SMPTE 170M)
            context.color_range = 2 if codec == "mjpeg" else 1  # 0..255, else 16..235
            context.max_b_frames = 0  # with them, a fragmented MP4 begins late
            if codec == "h265" and container in ("mp4", "mov"):
                context.codec_tag = "hvc1"  # the one that Apple's players open
            self._stream = stream

    def add(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        import av
        import cv2

        image = np.ascontiguousarray(image_hwc[: self._hw[0], : self._hw[1]])
        if self._stream.pix_fmt == "yuv420p":  # OpenCV is ten times as fast as FFmpeg's scaler
            yuv: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)  # type: ignore[assignment]
            frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
        else:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace="ITU601", dst_color_range="JPEG")
        self._last = max(self._last + 1, round(time_s * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        with _as_os_error():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        with _as_os_error():
            try:
                self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()


@contextmanager
def _as_os_error() -> Iterator[None]:
    """FFmpeg's errors as OSErrors without the address, which can have a password in it."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from None
