"""Where results go: a folder of pictures, a folder of KITTI labels.

Files appear whole or not at all. Two pictures of one name (from two folders) do not overwrite each other as they do in
TAO: the second is called `name_2`, and the listener hears of it. Pillow is imported when something is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, UsageError
from taolite.files import open_atomic, write_text
from taolite.sample import Detection

__all__ = ["PICTURES", "KittiFolder", "PictureFolder", "format_detection"]

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
    ".tga": "TGA",
}
PICTURES = tuple(_FORMATS)
"""What pictures are written as, by the end of their names."""


def _ignore(text: str) -> None:
    """The listener that listens to nothing."""


class _Names:
    """File names given out so far, so that none is given twice."""

    def __init__(self, on_rename: Callable[[str], None]) -> None:
        self._counts: dict[str, int] = {}
        self._on_rename = on_rename

    def claim(self, name: str) -> str:
        """`name`, or `stem_2.suffix`, `stem_3.suffix` ... where it has been given out (letter case aside)."""
        path, candidate, count = Path(name), name, self._counts.get(name.lower(), 1)
        while candidate.lower() in self._counts:
            count += 1
            candidate = f"{path.stem}_{count}{path.suffix}"
        self._counts[name.lower()] = count
        self._counts.setdefault(candidate.lower(), 1)
        if candidate != name:
            self._on_rename(f"{name}: another picture has this name; this one is written as {candidate}")
        return candidate


class PictureFolder:
    """Pictures under the names they came with, in the format of their extension."""

    def __init__(
        self,
        folder: Path,
        *,
        protect: Collection[Path] = (),
        is_numbered: bool = False,
        on_rename: Callable[[str], None] = _ignore,
    ) -> None:
        """Args:
        folder: made when the first picture is written; files of the same name in it are replaced.
        protect: files that must not be replaced, i.e. the pictures that are read.
        is_numbered: no two pictures have the same name, so none is remembered: a camera runs for days.
        on_rename: called with one line when two pictures have the same name.
        """
        self.folder = folder
        self._is_numbered = is_numbered
        self._protected = {path.resolve() for path in protect}
        self._names = _Names(on_rename)

    def write(self, name: str, image_hwc: NDArray[np.uint8]) -> Path:
        """Write (H, W, 3) uint8 RGB as `name`; where it now is. Raises UsageError where it would replace a picture
        that is read, StorageError where the disk refuses."""
        from PIL import Image

        path = self.folder / (name if self._is_numbered else self._names.claim(name))
        if path.resolve() in self._protected:
            raise UsageError(f"{path}: this is one of the input pictures; choose another folder for the results")
        kind = _FORMATS.get(path.suffix.lower(), "PNG")
        options: dict[str, Any] = {"quality": _JPEG_QUALITY} if kind in ("JPEG", "WEBP") else {}
        with open_atomic(path, durable=False) as stream:
            Image.fromarray(image_hwc).save(stream, kind, **options)
        return path


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
