"""Where results go: a folder of pictures, a video, a folder of KITTI labels.

Files appear whole or not at all. Two pictures of one name (from two folders) do not overwrite each other as they do in
TAO: the second is called `name_2`, and the listener hears of it. Pillow and OpenCV are imported when something is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, StorageError, UsageError
from taolite.files import open_atomic, write_text
from taolite.media.gif import GifFile
from taolite.sample import Detection

__all__ = ["VIDEOS", "KittiFolder", "PictureFolder", "VideoFile", "format_detection", "open_video"]

_CODES = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
VIDEOS = (*_CODES, ".gif")
"""What videos are written as, by the end of their names."""

_JPEG_QUALITY = 92
_FORMATS = {  # what Pillow calls them
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


def _ignore(text: str) -> None:
    """The listener that listens to nothing."""


class _Names:
    """File names given out so far, so that none is given twice."""

    def __init__(self, on_rename: Callable[[str], None]) -> None:
        self._taken: set[str] = set()
        self._on_rename = on_rename

    def claim(self, name: str) -> str:
        """`name`, or `stem_2.suffix`, `stem_3.suffix` ... where it has been given out (letter case aside)."""
        path, candidate, count = Path(name), name, 1
        while candidate.lower() in self._taken:
            count += 1
            candidate = f"{path.stem}_{count}{path.suffix}"
        self._taken.add(candidate.lower())
        if candidate != name:
            self._on_rename(f"{name}: another picture has this name; this one is written as {candidate}")
        return candidate


class PictureFolder:
    """Pictures under the names they came with, in the format of their extension."""

    def __init__(
        self, folder: Path, *, protect: Collection[Path] = (), on_rename: Callable[[str], None] = _ignore
    ) -> None:
        """Args:
        folder: made when the first picture is written; files of the same name in it are replaced.
        protect: files that must not be replaced, i.e. the pictures that are read.
        on_rename: called with one line when two pictures have the same name.
        """
        self.folder = folder
        self._protected = {path.resolve() for path in protect}
        self._names = _Names(on_rename)

    def write(self, name: str, image_hwc: NDArray[np.uint8]) -> Path:
        """Write (H, W, 3) uint8 RGB as `name`; where it now is. Raises UsageError where it would replace a picture
        that is read, StorageError where the disk refuses."""
        from PIL import Image

        path = self.folder / self._names.claim(name)
        if path.resolve() in self._protected:
            raise UsageError(f"{path}: this is one of the input pictures; choose another folder for the results")
        kind = _FORMATS.get(path.suffix.lower(), "PNG")
        options: dict[str, Any] = {"quality": _JPEG_QUALITY} if kind in ("JPEG", "WEBP") else {}
        with open_atomic(path, durable=False) as stream:
            Image.fromarray(image_hwc).save(stream, kind, **options)
        return path


class VideoFile:
    """A video, a frame at a time; it takes its name when it is closed without an error. MP4, MOV and MKV are MPEG-4,
    AVI is Motion JPEG, which every player opens.

    All frames need the size of the first. Use it in a `with` block.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self.path = path
        self._fps = fps
        self._code = _CODES.get(path.suffix.lower(), "mp4v")
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        self._writer: Any = None
        self._hw: tuple[int, int] | None = None

    def write(self, image_hwc: NDArray[np.uint8]) -> None:
        """Add (H, W, 3) uint8 RGB. Raises StorageError where the file cannot be opened, DataError for another size."""
        import cv2

        hw = (image_hwc.shape[0], image_hwc.shape[1])
        if self._writer is None:
            self._writer, self._hw = self._open(hw), hw
        if hw != self._hw:
            raise DataError(f"{self.path}: a frame of {hw[1]}x{hw[0]} pixels came after {_size(self._hw)} ones")
        self._writer.write(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file; without any frame none appears."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            try:
                self._partial.replace(self.path)
            except OSError as error:
                raise StorageError(f"{self.path}: {error.strerror or error}; no video was written") from error

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.release()
            self._writer = None
            self._partial.unlink(missing_ok=True)

    def _open(self, hw: tuple[int, int]) -> Any:
        import cv2

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror or error}; choose another place for the video") from error
        code = cv2.VideoWriter.fourcc(*self._code)
        writer = cv2.VideoWriter(str(self._partial), code, self._fps, (hw[1], hw[0]))
        if not writer.isOpened():
            raise StorageError(
                f"{self.path}: no video can be written here; choose another folder, or a folder of pictures as output"
            )
        return writer


def open_video(path: Path, *, fps: float) -> VideoFile | GifFile:
    """A video, in the format of its extension, to be written to; for a `with` block."""
    return GifFile(path, fps=fps) if path.suffix.lower() == ".gif" else VideoFile(path, fps=fps)


class KittiFolder:
    """One text file a picture, empty where nothing was found; 16 columns, the last is the score."""

    def __init__(self, folder: Path, *, on_rename: Callable[[str], None] = _ignore) -> None:
        self.folder = folder
        self._names = _Names(on_rename)

    def write(self, name: str, detections: Sequence[Detection]) -> Path:
        """Write the detections of picture `name` as `<its stem>.txt`; where it now is. Raises DataError for a class
        name with a blank in it, StorageError where the disk refuses."""
        path = self.folder / self._names.claim(f"{Path(name).stem}.txt")
        write_text(path, "".join(f"{format_detection(one)}\n" for one in detections), durable=False)
        return path


def format_detection(detection: Detection) -> str:
    """One line as TAO's inference writes it (reference/detectnet_v2.md 12).

    >>> format_detection(Detection("cat", (10, 20.5, 30.25, 40), 3.14159))
    'cat 0.00 0 0.00 10.000 20.500 30.250 40.000 0.00 0.00 0.00 0.00 0.00 0.00 0.00 3.142'
    """
    if detection.name.split() != [detection.name]:
        raise DataError(
            f"class name {detection.name!r} cannot stand in a KITTI file, whose columns are separated by blanks; "
            "give the class another name with output_map"
        )
    assert detection.box is not None, "a KITTI line is about an object, not about the whole picture"
    box = " ".join(f"{value:.3f}" for value in detection.box)
    return f"{detection.name} 0.00 0 0.00 {box} {' '.join(['0.00'] * 7)} {detection.score:.3f}"


def _size(hw: tuple[int, int] | None) -> str:
    return "no" if hw is None else f"{hw[1]}x{hw[0]}"
