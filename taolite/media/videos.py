"""Video files, a frame at a time: how one takes its name, and what encodes which container.

A file is written under a temporary name, and takes its own when it is closed. After Ctrl-C, a full disk or another
error of ours it takes it as well, so that what was written can be played; after a bug of ours, and without a frame, no
file appears, and an older one stays. What a killed process leaves gets a name of its own from the next process that
writes to the folder (`taolite.partials`).

    .gif                           Pillow
    .avi                           OpenCV: Motion JPEG, which every player opens
    .mp4 .m4v .mov .mkv            PyAV where it is installed: H.264 with the times of the frames; else OpenCV: MPEG-4
    .webm .flv .ts .h264 .h265 .qt PyAV
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, StorageError, TaoliteError, UsageError
from taolite.files import storage_error
from taolite.media.gif import GifEncoder
from taolite.media.pyav import CODECS, AvEncoder, has_pyav, needs_pyav
from taolite.partials import Partial
from taolite.wording import counted

__all__ = ["BIT_RATE", "CODEC", "VIDEOS", "Clock", "Encoder", "VideoFile"]

CODEC, BIT_RATE = "h264", 4_000_000
"""What is written where nothing else is asked for; bits a second."""

_OPENCV = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {  # FFmpeg's name ("": not by PyAV), and codecs, the usual first
    ".mp4": ("mp4", ("h264", "h265", "vp9")),
    ".m4v": ("mp4", ("h264", "h265")),
    ".mov": ("mov", ("h264", "h265", "mjpeg")),
    ".qt": ("mov", ("h264", "h265", "mjpeg")),
    ".mkv": ("matroska", ("h264", "h265", "vp8", "vp9", "mjpeg")),
    ".webm": ("webm", ("vp9", "vp8")),
    ".flv": ("flv", ("h264",)),
    ".ts": ("mpegts", ("h264", "h265")),
    ".h264": ("h264", ("h264",)),
    ".h265": ("hevc", ("h265",)),
    ".hevc": ("hevc", ("h265",)),
    ".avi": ("", ("mjpeg",)),
    ".gif": ("", ()),
}
VIDEOS = tuple(_CONTAINERS)
"""What videos are written as, by the end of their names; some need PyAV."""

_CRASH_PROOF = {"movflags": "hybrid_fragmented"}  # playable while it is written, and an ordinary file in the end
_RESERVE = 8 << 20  # bytes that a disk keeps free, for the index at the end of a file
_LEAST_S = 0.001  # between two frames: what Matroska can tell apart


class Encoder(Protocol):
    """Encodes frames of one size. It raises OSError where they cannot be written."""

    def add(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        """Encode (H, W, 3) uint8 RGB, shown from `time_s` seconds on."""

    def close(self) -> None:
        """Write the end."""


class Clock:
    """The times of frames in a video, from 0 on and always growing: their own where they have one, else evenly
    spaced. A source that starts again goes on after its last frame."""

    def __init__(self, fps: float) -> None:
        self._step = 1 / fps
        self._last: float | None = None
        self._shift = 0.0

    def at(self, time_s: float | None) -> float:
        """The time in the video of the next frame, in seconds. time_s: its time in its source, if it has one."""
        if self._last is None:
            self._shift, self._last = -(time_s or 0.0), 0.0
        elif time_s is None:
            self._last += self._step
        elif time_s + self._shift <= self._last:
            self._last += self._step
            self._shift = self._last - time_s
        else:
            self._last = max(time_s + self._shift, self._last + _LEAST_S)
        return self._last


class VideoFile:
    """A video file in the format of its extension, for a `with` block. All frames need the size of the first."""

    def __init__(
        self, path: Path, *, fps: float, codec: str = CODEC, bitrate: int = BIT_RATE, protect: Collection[Path] = ()
    ) -> None:
        """Args:
        path: missing folders are made with the first frame; an older file is replaced at the end.
        fps: frames a second, where frames have no time.
        codec: h264, h265, vp8, vp9 or mjpeg, where the container holds it.
        bitrate: bits a second, with PyAV.
        protect: files that must not be replaced, i.e. the video that is read.

        Raises UsageError for what is not written here, and for a protected file.
        """
        self.path = path
        self._fps, self._bitrate = fps, bitrate
        self._codec = _codec(path, codec)
        self._partial: Partial | None = None
        self._clock = Clock(fps)
        self._encoder: Encoder | None = None
        self._hw: tuple[int, int] | None = None
        self._frames = 0
        if path.resolve() in {one.resolve() for one in protect}:
            raise UsageError(f"{path}: this is the input video; choose another name or folder for the output")

    def write(self, image_hwc: NDArray[np.uint8], *, time_s: float | None = None) -> None:
        """Add (H, W, 3) uint8 RGB. time_s: when it is shown, seconds from any start; used where PyAV writes.

        Raises StorageError where the disk refuses (the frames before are kept, and the file is closed), DataError for
        another size.
        """
        hw = (image_hwc.shape[0], image_hwc.shape[1])
        if self._hw is None:
            self._encoder, self._hw = self._open(hw), hw
        if hw != self._hw:
            before = f"{self._hw[1]}x{self._hw[0]}"
            raise DataError(f"{self.path}: a frame of {hw[1]}x{hw[0]} pixels came after {before} ones")
        assert self._encoder is not None, f"{self.path} is closed"
        try:
            if shutil.disk_usage(self.path.parent).free < _RESERVE:
                raise OSError(errno.ENOSPC, "the disk is full")
            self._encoder.add(image_hwc, self._clock.at(time_s))
        except OSError as error:
            with suppress(StorageError):  # the same again; `error` came first
                self.close()
            raise self._kept(error) from error
        self._frames += 1

    def close(self) -> None:
        """Finish the file under its name; without any frame none appears. Raises StorageError."""
        if self._encoder is None:
            return
        encoder, self._encoder = self._encoder, None
        assert self._partial is not None, "made with the encoder"
        try:
            try:
                encoder.close()
            finally:
                if self._frames:
                    self._partial.keep(durable=False)
        except OSError as error:
            raise self._kept(error) from error
        finally:
            self._partial.drop()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, TaoliteError):
            self._frames = 0  # a bug of ours: what was written is not to be trusted
        self.close()

    def _open(self, hw: tuple[int, int]) -> Encoder:
        suffix = self.path.suffix.lower()
        try:
            self._partial = Partial(self.path, ending=suffix)
            partial = self._partial.path
            if suffix == ".gif":
                return GifEncoder(partial, hw, fps=self._fps)
            container = _CONTAINERS[suffix][0]
            if not container or not has_pyav():
                return _OpenCvEncoder(partial, hw, fps=self._fps, code=_OPENCV[suffix])
            return AvEncoder(
                str(partial),
                hw,
                container=container,
                codec=self._codec,
                fps=self._fps,
                bitrate=self._bitrate,
                options=_CRASH_PROOF if container in ("mp4", "mov") else {},
            )
        except OSError as error:
            if self._partial is not None:
                self._partial.drop()
            raise storage_error(self.path, error) from error

    def _kept(self, error: OSError) -> StorageError:
        kept = f"the {counted(self._frames, 'frame')} before are kept" if self._frames else "no video was written"
        what = (error.strerror or str(error)).lower()
        return StorageError(f"{self.path}: {what}; {kept}. Free some space there, or choose another folder")


class _OpenCvEncoder:
    """MPEG-4 or Motion JPEG by OpenCV, with a constant rate. It does not tell when a write fails."""

    def __init__(self, path: Path, hw: tuple[int, int], *, fps: float, code: str) -> None:
        import cv2

        self._writer: Any = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (hw[1], hw[0]))
        if not self._writer.isOpened():
            raise OSError("no video can be written here")

    def add(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        import cv2

        self._writer.write(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()


def _codec(path: Path, asked: str) -> str:
    """The codec for `path`, "" for a GIF. Raises UsageError for a container or a codec that is not written here."""
    suffix = path.suffix.lower()
    if suffix not in VIDEOS:
        raise UsageError(f"{path}: {suffix or 'this'} is not a kind of video that is written here ({' '.join(VIDEOS)})")
    if asked not in CODECS:
        raise UsageError(f"{path}: no codec {asked} here; there are {', '.join(CODECS)}")
    container, holds = _CONTAINERS[suffix]
    if asked not in holds and asked != CODEC:
        kind = f"holds {' or '.join(holds)}" if holds else "has a codec of its own"
        raise UsageError(f"{path}: a {suffix} file {kind}, not {asked}")
    if container and (suffix not in _OPENCV or asked != CODEC):
        needs_pyav(str(path))
    return asked if asked in holds else "".join(holds[:1])
