"""Where annotated frames go by jetson-inference's manners (reference/jetson_workflows.md 11.1): a picture file, a
pattern of picture files with a number (`out_%i.jpg`, `out_%03d.jpg`), a video file, or a folder."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError
from taolite.media.sinks import PictureFolder, VideoFile
from taolite.media.sources import Frame, Source
from taolite.pictures import EXTENSIONS

__all__ = ["Output"]

_NUMBER = re.compile(r"%(0\d+)?[id]")


class Output:
    """Annotated frames of `source` at `output`; `stack` closes what has to be. Numbers count from 0.

    Raises DataError where `output` is one file and the source is several pictures.
    """

    def __init__(self, output: Path, source: Source, stack: ExitStack) -> None:
        is_file = output.suffix.lower() in EXTENSIONS
        self._pattern = output.name if is_file and _NUMBER.search(output.name) else ""
        self._name = output.name if is_file and len(source.paths) == 1 and source.kind == "pictures" else ""
        self._written = 0
        folder = output.parent if is_file else output
        self._video = None
        if not is_file and (source.kind == "video" or output.suffix.lower() == ".mp4"):
            path = output if output.suffix.lower() == ".mp4" else output / f"{source.paths[0].stem}.mp4"
            self._video = stack.enter_context(VideoFile(path, fps=source.fps or 25.0))
        if is_file and not (self._name or self._pattern):
            raise DataError(
                f"{output}: one file for {source.place}, which is several pictures; give a folder, or a name with a "
                f"number, as in {output.stem}_%i{output.suffix}"
            )
        self._pictures = PictureFolder(folder, protect=source.paths)

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        """Where the picture is now."""
        if self._video is not None:
            self._video.write(picture_hwc)
            return self._video.path
        name = self._name or frame.name
        if self._pattern:
            name = _NUMBER.sub(lambda match: f"{self._written:{match[1] or ''}d}", self._pattern)
        self._written += 1
        return self._pictures.write(name, picture_hwc)
