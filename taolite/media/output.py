"""Where annotated frames go, told by the place that is named, as jetson-inference does it (reference 11.1): a picture, a pattern of pictures with a number (`out_%i.jpg`, `out_%03d.jpg`, `out_*.jpg`), a video (.mp4, .mkv,
.gif ...), a folder, nothing at all.

Files never lose a frame: `write` waits for them. OpenCV is imported with the first frame of a video, Pillow with the
first of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, UsageError
from taolite.events import Listener, silent
from taolite.media.gif import GifFile
from taolite.media.sinks import VIDEOS, PictureFolder, VideoFile, open_video
from taolite.media.sources import Frame, Source
from taolite.pictures import EXTENSIONS

__all__ = ["Output", "OutputOptions", "open_output", "open_outputs"]

_NUMBER = re.compile(r"%(0\d+)?[id]|\*")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)  # two letters or more: `c:/` is a drive
_UNWRITTEN = (".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".ts", ".h264", ".h265", ".hevc", ".ogv")
_RATE = 25.0  # frames a second of a video that is made of pictures


@dataclass(frozen=True)
class OutputOptions:
    """How frames are written.

    Attributes:
        codec: h264, h265, vp8, vp9, mpeg4, mpeg2 or mjpeg, of a video or a stream.
        bitrate: bits a second of a video or a stream.
        headless: a window is not opened, and its frames go nowhere.
        title: of a window, usually the name of the network; the frames a second follow it.
        fps: frames a second; None is the source's.
        maximized: the window begins as large as the screen, with its frame.
        fullscreen: the window covers the screen.
    """

    codec: str = "h264"
    bitrate: int = 4_000_000
    headless: bool = False
    title: str = "taolite"
    fps: float | None = None
    maximized: bool = False
    fullscreen: bool = False


class Output(Protocol):
    """A place that takes annotated frames."""

    @property
    def is_open(self) -> bool:
        """False once the window has been closed: the run ends."""

    @property
    def lost(self) -> int:
        """The number of frames that were dropped, because a network or a window stalled; files drop none."""

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path | None:
        """Write the annotated picture of `frame`, (H, W, 3) uint8 RGB, which must not change afterwards; the file it
        was written to, None where there is no file. Raises StorageError, DataError, UsageError."""


def open_output(
    place: str | Path,
    source: Source,
    stack: ExitStack,
    *,
    options: OutputOptions | None = None,
    listener: Listener = silent,
) -> Output:
    """An output for the frames of `source` at `place`, closed by `stack`. Numbers of pictures count from 0.

    Args:
        place: as the user gave it; "" writes nothing.
        listener: hears of frames that are lost.

    Raises:
        UsageError: a place of another kind, or one that needs something that is not here.
        DataError: one file for a source of several pictures.
    """
    options = options or OutputOptions()
    if not str(place):
        return _Nowhere()
    path = _path(str(place), options)
    if path is None:
        return _Nowhere()
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return _Pictures(path, source)
    if suffix in VIDEOS or source.kind == "video":
        path = path if suffix in VIDEOS else path / f"{source.paths[0].stem}.mp4"
        file: VideoFile | GifFile = open_video(path, fps=options.fps or source.fps or _RATE)
        stack.push(file)
        return _Video(file)
    return _Pictures(path, source, is_folder=True)


def open_outputs(
    places: Sequence[str | Path],
    source: Source,
    stack: ExitStack,
    *,
    options: OutputOptions | None = None,
    listener: Listener = silent,
) -> Output:
    """One output that writes to all `places`, as a file with a window beside it; see `open_output`. It is open while
    all of them are, and `write` returns the first file."""
    return _Several([open_output(place, source, stack, options=options, listener=listener) for place in places])


class _Nowhere:
    """Writes nothing."""

    is_open = True
    lost = 0

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> None:
        """Do nothing."""


class _Pictures:
    """Pictures in a folder, under the name that is given, a name with a number, or the names they came with."""

    is_open = True
    lost = 0

    def __init__(self, path: Path, source: Source, *, is_folder: bool = False) -> None:
        self._pattern = "" if is_folder or not _NUMBER.search(path.name) else path.name
        self._name = "" if is_folder or self._pattern else path.name
        self._written = 0
        if self._name and not (len(source.paths) == 1 and source.kind == "pictures"):
            raise DataError(
                f"{path}: one file for {source.place}, which is several pictures; give a folder, or a name with a "
                f"number, as in {path.stem}_%i{path.suffix}"
            )
        self._folder = PictureFolder(path if is_folder else path.parent, protect=source.paths)

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        name = self._name or frame.name
        if self._pattern:
            name = _NUMBER.sub(lambda match: f"{self._written:{match[1] or ''}d}", self._pattern)
        self._written += 1
        return self._folder.write(name, picture_hwc)


class _Video:
    """One video file."""

    is_open = True
    lost = 0

    def __init__(self, file: VideoFile | GifFile) -> None:
        self._file = file

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        self._file.write(picture_hwc)
        return self._file.path


class _Several:
    """Several outputs as one."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)

    @property
    def is_open(self) -> bool:
        return all(output.is_open for output in self._outputs)

    @property
    def lost(self) -> int:
        return sum(output.lost for output in self._outputs)

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path | None:
        paths = [output.write(frame, picture_hwc) for output in self._outputs]
        return next((path for path in paths if path is not None), None)


def _path(place: str, options: OutputOptions) -> Path | None:
    """The path that `place` names, None for a window that is not opened; UsageError for other places."""
    way_out = f"give a folder, a picture (out.jpg, out_%i.jpg) or a video ({' '.join(VIDEOS)})"
    if scheme := _SCHEME.match(place):
        name, address = scheme[1].lower(), place[len(scheme[0]) :]
        if name == "file":
            return Path(place[len("file://") :])
        if name == "display" and options.headless:
            return None
        does = "opens no window" if name == "display" else "sends no video over the network"
        raise UsageError(f"{name}://{address}: taolite {does}; {way_out}")
    path = Path(place)
    if path.suffix.lower() in _UNWRITTEN:
        raise UsageError(f"{place}: {path.suffix} is not a kind of video that is written here; {way_out}")
    return path
