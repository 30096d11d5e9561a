"""Where annotated frames are written, as jetson-inference does it (reference/jetson_workflows.md 11.1): a picture, a
pattern of pictures with a number (`out_%i.jpg`, `out_%03d.jpg`), a video (.mp4, .avi, .mkv, .gif ...), or a folder."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, UsageError
from taolite.media.gif import GifFile
from taolite.media.sinks import VIDEOS, PictureFolder, VideoFile, open_video
from taolite.media.sources import Frame, Source
from taolite.pictures import EXTENSIONS

__all__ = ["Output"]

_NUMBER = re.compile(r"%(0\d+)?[id]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # two letters or more: `c:/` is a drive
_UNWRITTEN = (".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".ts", ".h264", ".h265", ".hevc", ".ogv")
_RATE = 25.0  # frames a second of a video that is made of pictures


class Output:
    """Writes the annotated frames of `source` to `output`; `stack` closes the video. Numbers count from 0.

    Raises UsageError where `output` is a window, a stream, or a kind of video that is not written; DataError where it
    is one file and the source is several pictures.
    """

    def __init__(self, output: Path, source: Source, stack: ExitStack) -> None:
        _refuse(output)
        suffix = output.suffix.lower()
        is_file = suffix in EXTENSIONS
        self._pattern = output.name if is_file and _NUMBER.search(output.name) else ""
        self._name = output.name if is_file and len(source.paths) == 1 and source.kind == "pictures" else ""
        self._written = 0
        folder = output.parent if is_file else output
        self._video: VideoFile | GifFile | None = None
        if not is_file and (source.kind == "video" or suffix in VIDEOS):
            path = output if suffix in VIDEOS else output / f"{source.paths[0].stem}.mp4"
            self._video = open_video(path, fps=source.fps or _RATE)
            stack.enter_context(self._video)
        if is_file and not (self._name or self._pattern):
            raise DataError(
                f"{output}: one file for {source.place}, which is several pictures; give a folder, or a name with a "
                f"number, as in {output.stem}_%i{output.suffix}"
            )
        self._pictures = PictureFolder(folder, protect=source.paths)

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        """Write one frame; the path it was written to."""
        if self._video is not None:
            self._video.write(picture_hwc)
            return self._video.path
        name = self._name or frame.name
        if self._pattern:
            name = _NUMBER.sub(lambda match: f"{self._written:{match[1] or ''}d}", self._pattern)
        self._written += 1
        return self._pictures.write(name, picture_hwc)


def _refuse(output: Path) -> None:
    """Raise UsageError for windows and streams, and for kinds of video that are not written."""
    way_out = f"give a folder, a picture (out.jpg, out_%i.jpg) or a video ({' '.join(VIDEOS)})"
    if scheme := _SCHEME.match(str(output)):
        name = scheme[1].lower()
        address = str(output)[len(scheme[0]) :].lstrip("/")  # a Path keeps one slash of two
        if name == "file":
            raise UsageError(f"file://{address}: give the path alone, without file://")
        does = "opens no window" if name == "display" else "sends no video over the network"
        raise UsageError(f"{name}://{address}: taolite {does}; {way_out}")
    if output.suffix.lower() in _UNWRITTEN:
        raise UsageError(f"{output}: {output.suffix} is not a kind of video that is written here; {way_out}")
