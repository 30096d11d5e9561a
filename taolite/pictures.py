"""Photographs on disk: their size and their pixels, the way a viewer shows them.

EXIF rotation is applied here and nowhere else, so a box drawn in a viewer fits the pixels training sees.
Pillow is imported when a picture is opened: `taolite --help` never pays for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, PathError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["EXTENSIONS", "open_picture", "read_rgb", "read_size", "to_grey"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
_ORIENTATION = 0x0112  # the EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values that swap width and height
_SIGNATURE = 8  # bytes of a PNG before its first chunk
_MAY_TURN = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # its chunks that Pillow reads an orientation from


def open_picture(path: Path) -> IO[bytes]:
    """A picture's file. Raises PathError."""
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise PathError(f"{path}: this image is missing; restore it or remove its label") from error
    except OSError as error:
        raise PathError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_size(path: Path, *, stream: IO[bytes] | None = None) -> tuple[int, int]:
    """(height, width) in pixels, from the file's header alone. With `stream` the file's bytes come from there.

    Raises PathError, DataError.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(stream or path) as image:
            width, height = image.size
            exif = Image.Image.getexif(image) if _ends_with_its_pixels(image) else image.getexif()
            turned = exif.get(_ORIENTATION, 1) in _SIDEWAYS
    except FileNotFoundError as error:
        raise PathError(f"{path}: this image is missing; restore it or remove its label") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable image ({error}); replace the file or remove it") from error
    return (width, height) if turned else (height, width)


def _ends_with_its_pixels(image: ImageFile) -> bool:
    """Whether this is a whole PNG with no EXIF or text behind its pixels. Pillow decodes them all to see that."""
    if image.format != "PNG":
        return False
    stream = image.fp
    assert stream is not None
    begin, behind = stream.tell(), False
    stream.seek(_SIGNATURE)
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND" and not (behind and head[4:] in _MAY_TURN):
        behind |= head[4:] == b"IDAT"
        stream.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    stream.seek(begin)
    return head[4:] == b"IEND"


def read_rgb(path: Path, *, grey: bool = False, stream: IO[bytes] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, or (H, W, 1) with `grey`; a new array. With `stream` the file's bytes come from there.

    Any mode Pillow reads is accepted (palette, alpha over black, CMYK, 16 bit). Raises PathError for a missing
    file and DataError for one that is no image, or a truncated one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(stream or path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I;16", "I", "F"):
                upright = Image.fromarray(_to_eight_bits(np.asarray(upright)))
            pixels = np.array(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise PathError(f"{path}: this image is missing; restore it or remove its label") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable image ({error}); replace the file or remove it") from error
    return to_grey(pixels) if grey else pixels


def to_grey(image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB -> (H, W, 1), the same values that `read_rgb(grey=True)` gives."""
    from PIL import Image

    return np.array(Image.fromarray(image_hwc).convert("L"))[:, :, None]


def _to_eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit and floating greys to 0..255; 8-bit values stored in a wider type stay as they are."""
    wide = values.astype(np.float32)
    return (wide if wide.max(initial=0) <= 255 else wide / 257).clip(0, 255).astype(np.uint8)
