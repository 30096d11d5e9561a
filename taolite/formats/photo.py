"""The photograph of a sample: the file it names, or the one embedded in the labelme file it was read from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, PictureError
from taolite.formats.findings import Findings
from taolite.formats.labelme import embedded_picture
from taolite.pictures import open_image, read_rgb
from taolite.sample import Sample

__all__ = ["decodes", "is_turned", "photo_bytes", "read_photo"]

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright


def photo_bytes(sample: Sample) -> bytes:
    """The image file as bytes. Raises DataError where there is neither file nor embedded picture."""
    if sample.image.is_file():
        return sample.image.read_bytes()
    embedded = embedded_picture(sample.source) if sample.source is not None else None
    if embedded is None:
        raise DataError(f"{sample.image}: this image is missing; restore it or remove its label")
    return embedded


def read_photo(sample: Sample) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, upright, wherever the picture lies. Raises DataError for a damaged or missing one."""
    if sample.image.is_file():
        return read_rgb(sample.image)
    try:
        return read_rgb(sample.image, stream=io.BytesIO(photo_bytes(sample)))
    except PictureError as error:
        raise DataError(f"{sample.source}: its embedded picture (`imageData`) is damaged ({error.reason})") from error


def decodes(image: Path, findings: Findings) -> bool:
    """Whether a picture file can be decoded whole; the reason goes to `findings`."""
    try:
        read_rgb(image)
    except DataError as error:
        findings.error("unreadable-image", image, str(error).removeprefix(f"{image}: "))
        return False
    return True


def is_turned(data: bytes, *, path: Path) -> bool:
    """Whether an image file asks its viewer to rotate or mirror it (EXIF). Raises PictureError, of `path`."""
    with open_image(path, stream=io.BytesIO(data)) as image:
        return bool(image.getexif().get(_ORIENTATION, 1) != 1)
