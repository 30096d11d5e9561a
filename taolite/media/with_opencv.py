"""Videos, streams and cameras read with OpenCV, which the base brings.

OpenCV's own complaints on stderr, which may hold an address with its password, are silenced; ours say what to do.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taolite.errors import PathError
from taolite.media import readers
from taolite.media.frames import InputOptions
from taolite.media.readers import Broken, Link, Shot, Thinning, check_size, plausible_rate

__all__ = ["CvReader", "camera_reader", "csi_pipeline", "csi_reader", "link_reader"]

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"  # how ffmpeg is set within OpenCV: a variable of the environment
_LOG = "OPENCV_FFMPEG_LOGLEVEL"
_one_opens = threading.Lock()  # the environment belongs to the process
_NO_RATE = 25.0  # frames a second of a video that names none
_MOST_FAILURES = 500  # frames that cannot be read one after the other: the end of a file looks the same
_LIVE_FAILURES = 10


class CvReader:
    """A capture that OpenCV has opened; see `readers.Reader`."""

    def __init__(self, capture: Any, shown: str, *, is_live: bool, rate: float | None = None) -> None:
        import cv2

        self._capture, self._shown, self._is_live = capture, shown, is_live
        self._thinning = Thinning(rate)
        self.unreadable = 0
        self.fps = plausible_rate(float(capture.get(cv2.CAP_PROP_FPS)))
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.total = total if total > 0 and not is_live else None
        if is_live and cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_WARNING:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of each pause of a stream
        try:
            size = (capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            check_size(shown, int(size[0]), int(size[1]), is_live=is_live)
        except BaseException:
            self.close()
            raise

    def shots(self) -> Iterator[Shot]:
        """The frames, to the end. A frame that cannot be read is counted once another one follows."""
        import cv2

        number, failures, last_s = 0, 0, -1.0
        most = _LIVE_FAILURES if self._is_live else _MOST_FAILURES
        while failures < most:
            began = time.monotonic()
            if not self._capture.grab():
                failures += 1
                if self._is_live and time.monotonic() - began > readers.STALL_S / 2:
                    raise Broken(f"no frame came for {time.monotonic() - began:.0f} s")
                continue
            self.unreadable, failures = self.unreadable + failures, 0
            last_s = time_s = self._time(number + self.unreadable, last_s)
            if self._thinning.keeps(time_s):
                ok, image_bgr = self._capture.retrieve()
                if not ok:
                    failures += 1
                    continue
                yield Shot(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), number + self.unreadable, time_s)
            number += 1

    def close(self) -> None:
        """Let go of the file, device or connection."""
        self._capture.release()

    def _time(self, number: int, last_s: float) -> float:
        import cv2

        if self._is_live:
            return time.monotonic()
        time_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        return time_s if time_s > last_s else number / (self.fps or _NO_RATE)


def link_reader(link: Link, *, rate: float | None = None) -> CvReader:
    """A video or a stream. Raises Broken where it cannot be opened, DataError for frames larger than allowed."""
    import cv2

    limit_ms = int(1000 * readers.STALL_S)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
    with _quiet(link.options):
        capture = cv2.VideoCapture(link.url, cv2.CAP_FFMPEG, limits if link.is_live else [])
    if not capture.isOpened():
        raise Broken("it cannot be opened")
    return CvReader(capture, link.shown, is_live=link.is_live, rate=rate)


def camera_reader(number: int, options: InputOptions, *, shown: str) -> CvReader:
    """The V4L2 camera `number`. Raises Broken."""
    import cv2

    with _quiet({}):
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        raise Broken("it cannot be opened")
    if options.size_hw is not None or options.rate is not None:
        # without compression, USB 2 carries 1280x720 at 10 frames a second
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if options.size_hw is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.size_hw[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.size_hw[0])
    if options.rate is not None:
        capture.set(cv2.CAP_PROP_FPS, options.rate)
    return CvReader(capture, shown, is_live=True, rate=options.rate)


def csi_reader(sensor: int, options: InputOptions, *, shown: str) -> CvReader:
    """A Jetson's CSI camera. Raises PathError where OpenCV was built without GStreamer; Broken."""
    import cv2

    if not _has_gstreamer():
        raise PathError(
            f"{shown}: a CSI camera needs an OpenCV that was built with GStreamer, as JetPack's is, and the one here "
            "was not; use JetPack's OpenCV, or a USB camera (/dev/video0)"
        )
    with _quiet({}):
        capture = cv2.VideoCapture(csi_pipeline(sensor, options), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise Broken("it cannot be opened")
    return CvReader(capture, shown, is_live=True, rate=options.rate)


def csi_pipeline(sensor: int, options: InputOptions) -> str:
    """GStreamer's pipeline from a Jetson's CSI camera to OpenCV; 1280x720 at 30 frames a second unless asked
    otherwise."""
    height, width = options.size_hw or (720, 1280)
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM), width={width}, height={height}, "
        f"framerate={round(options.rate or 30)}/1, format=NV12 ! nvvidconv ! video/x-raw, format=BGRx ! videoconvert ! "
        "video/x-raw, format=BGR ! appsink drop=true max-buffers=1"
    )


def _has_gstreamer() -> bool:
    import cv2

    return cv2.CAP_GSTREAMER in cv2.videoio_registry.getStreamBackends()


@contextmanager
def _quiet(options: Mapping[str, str]) -> Iterator[None]:
    """ffmpeg's options, and no complaint of OpenCV's, within the block. A user's own options of ffmpeg stay, where
    ours do not name them."""
    import cv2

    with _one_opens:
        before, level = os.environ.get(_OPTIONS), cv2.utils.logging.getLogLevel()
        os.environ.setdefault(_LOG, "-8")  # AV_LOG_QUIET; read once, when the first video is opened
        text = "|".join(f"{name};{value}" for name, value in options.items())
        if text:
            os.environ[_OPTIONS] = f"{before}|{text}" if before else text
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)
            if before is not None:
                os.environ[_OPTIONS] = before
            else:
                os.environ.pop(_OPTIONS, None)
