"""Size and pixels of pictures, as a viewer shows them. All pictures are opened here.

EXIF rotation is applied here and nowhere else, so that a box drawn in a viewer fits the pixels used in training.
Pictures are untrusted. Only the formats in `FORMATS` are decoded, recognised by content (Pillow has forty more, and
runs Ghostscript for one of them). A picture with more pixels than `max_pixels()` is refused from its header, before
memory is allocated; the environment variable TAOLITE_MAX_PIXELS or `limit_pixels` changes that limit. Pillow is
imported when a picture is opened, so that `taolite --help` is fast.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.errors import PathError, PictureError, TaoliteError, UsageError
from taolite.files import open_file

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "MAX_PIXELS_VARIABLE",
    "limit_pixels",
    "max_pixels",
    "open_image",
    "open_picture",
    "read_rgb",
    "read_scaled",
    "read_size",
    "scaled_hw",
    "to_grey",
]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # Pillow's names; PPM is PBM and PGM too
MAX_PIXELS = 120_000_000  # width x height; the largest cameras have 102 million. As RGB that is 360 MB
MAX_PIXELS_VARIABLE = "TAOLITE_MAX_PIXELS"

_ORIENTATION = 0x0112  # the EXIF tag
_SCAN, _MOST_SCANS = b"\xff\xda", 100  # of a JPEG; these bytes stand nowhere inside a scan
_SIDEWAYS = (5, 6, 7, 8)  # its values that swap width and height
_SIGNATURE = 8  # bytes of a PNG before its first chunk
_MAY_TURN = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # its chunks that Pillow reads an orientation from
_TIFF_WIDTH, _TIFF_HEIGHT, _BITS_PER_SAMPLE = 256, 257, 258  # tags of a TIFF
_DIMMEST = (
    2.0  # a maximum between 1 and this is ambiguous: a picture of 0..1 that a filter overshot, or a dark one of 0..255
)
_KINDS = (  # first bytes of files that have a picture's name
    (b"\xff\xd8\xff", "a damaged JPEG"),
    (b"\x89PNG", "a damaged PNG"),
    (b"II*\0", "a damaged TIFF, or one of a kind that is not read"),
    (b"MM\0*", "a damaged TIFF, or one of a kind that is not read"),
    (b"%!PS", "an EPS or PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (b"%PDF", "a PDF"),
    (b"DDS ", "a DDS texture"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\0\x0cjP", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG"),
)


def max_pixels() -> int:
    """The largest width x height of a picture. Raises UsageError if TAOLITE_MAX_PIXELS is not a number of pixels."""
    given = os.environ.get(MAX_PIXELS_VARIABLE, "").strip()
    if not given:
        return MAX_PIXELS
    if not given.isascii() or not given.isdigit() or len(given) > 18 or int(given) < 1:
        raise UsageError(f"{MAX_PIXELS_VARIABLE} is {given!r}; a whole number of pixels is needed, 1 or more")
    return int(given)


def limit_pixels(pixels: int) -> None:
    """Refuse pictures of more than `pixels` (width x height), in this process and in those it starts later."""
    if pixels < 1:
        raise UsageError(f"pictures of at most {pixels} pixels: a whole number of 1 or more is needed")
    os.environ[MAX_PIXELS_VARIABLE] = str(pixels)


def open_picture(path: Path) -> IO[bytes]:
    """A picture's file, open for reading. Raises PathError."""
    try:
        return open_file(path)
    except PathError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise PathError(f"{path}: this image is missing; restore it or remove its label") from error
        raise


@contextmanager
def open_image(path: Path, *, stream: IO[bytes] | None = None, most: int | None = None) -> Iterator[ImageFile]:
    """Open a picture with Pillow, for the length of a `with` block. Its header is read; its pixels are not yet decoded.

    Args:
        path: the picture's file. With `stream` it is only used in messages.
        stream: has the bytes of the picture, if they are not in `path`; it is not closed.
        most: largest width x height (default: `max_pixels()`).

    Raises:
        PathError: there is no such file. PictureError: the file is not a picture, of another format, damaged, truncated
            or too large. An error of Pillow inside the block is a PictureError too.
    """
    from PIL import Image, UnidentifiedImageError

    allowed = max_pixels() if most is None else most
    _leave_the_bound_to_us(allowed)
    file = open_picture(path) if stream is None else stream
    begin = file.tell()
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > allowed:
                raise PictureError(path, _too_large(f"{width} x {height} = {width * height:,}", allowed))
            yield image
    except TaoliteError:  # of a stream, too
        raise
    except UnidentifiedImageError as error:
        raise PictureError(path, _what_it_is(file, begin)) from error
    except Image.DecompressionBombError as error:
        raise PictureError(path, _too_large(f"more than {2 * allowed:,}", allowed)) from error
    except Exception as error:  # Pillow's decoders raise what they like
        raise PictureError(path, str(error) or type(error).__name__) from error
    finally:
        if stream is None:
            file.close()


def read_size(path: Path, *, stream: IO[bytes] | None = None) -> tuple[int, int]:
    """(height, width) in pixels. Only the header is read, from `stream` if it is given.

    Raises PathError, PictureError.
    """
    from PIL import Image

    with open_image(path, stream=stream) as image:
        width, height = _stored_size(image)
        exif = Image.Image.getexif(image) if _ends_with_its_pixels(image) else image.getexif()
        turned = exif.get(_ORIENTATION, 1) in _SIDEWAYS
    return (width, height) if turned else (height, width)


def read_rgb(path: Path, *, grey: bool = False, stream: IO[bytes] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, or (H, W, 1) with `grey`; a new array. The bytes are read from `stream` if it is given.

    Palettes and CMYK are converted, an alpha channel is dropped. 16-bit samples are scaled to 8 bits; a grey picture
    whose values all fit into 8 bits is not scaled. Float pictures need to have values of 0 to 1, or of 0 to 255.
    Raises PathError for a missing file; PictureError for a file that is not a picture, is truncated, or has grey values
    outside of these ranges.
    """
    with open_image(path, stream=stream) as image:
        pixels = _upright_rgb(path, image)
    return to_grey(pixels) if grey else pixels


def read_scaled(
    path: Path, *, least_hw: tuple[int, int], grey: bool = False, stream: IO[bytes] | None = None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A picture as `read_rgb` gives it, and its own (height, width). A JPEG is decoded at the smallest of 1/1, 1/2, 1/4
    and 1/8 of its size that is not below `least_hw`, both ways; sides are rounded up, so the last row or column may
    show a part only. Raises as `read_rgb` does."""
    with open_image(path, stream=stream) as image:
        sideways = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        width, height = _stored_size(image)
        if image.format in ("JPEG", "MPO"):
            image.draft(None, least_hw if sideways else (least_hw[1], least_hw[0]))
        pixels = _upright_rgb(path, image)
    return to_grey(pixels) if grey else pixels, (width, height) if sideways else (height, width)


def scaled_hw(hw: tuple[int, int], least_hw: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that `read_scaled` gives a JPEG of size `hw`."""
    room = min(hw[0] // least_hw[0], hw[1] // least_hw[1])
    divisor = next((step for step in (8, 4, 2) if room >= step), 1)
    return -(-hw[0] // divisor), -(-hw[1] // divisor)


def _upright_rgb(path: Path, image: ImageFile) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, the pixels of an open picture, which is changed."""
    from PIL import Image, ImageOps

    _refuse_many_scans(path, image)
    tags = getattr(image, "tag_v2", {})
    ImageOps.exif_transpose(image, in_place=True)
    upright: Image.Image = image
    if upright.mode == "F":
        upright = Image.fromarray(_of_floats(path, np.asarray(upright)))
    elif upright.mode.startswith("I"):
        bits = min(tags.get(_BITS_PER_SAMPLE, (16,))[0], 16)
        upright = Image.fromarray(_of_integers(path, np.asarray(upright), highest=(1 << bits) - 1))
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def to_grey(image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB -> (H, W, 1), with the same values as `read_rgb(grey=True)`."""
    from PIL import Image

    return np.array(Image.fromarray(image_hwc).convert("L"))[:, :, None]


def _leave_the_bound_to_us(allowed: int) -> None:
    """Raise Pillow's own limit to ours. Pillow warns at its limit and refuses at twice that, in the whole process."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and allowed > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = allowed
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _too_large(pixels: str, allowed: int) -> str:
    return f"it has {pixels} pixels, and the limit is {allowed:,}; --max-pixels or {MAX_PIXELS_VARIABLE} raises it"


def _what_it_is(file: IO[bytes], begin: int) -> str:
    """The kind of a file that Pillow does not recognise, from its first bytes, in words."""
    file.seek(begin)
    head = file.read(64)
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "the file begins with zeros; it was probably not copied completely"
    kind = next((name for first, name in _KINDS if head.lower().startswith(first.lower())), "")
    if head[4:8] == b"ftyp":
        kind = "an AVIF or HEIC picture, or a video"
    if kind.startswith("a damaged"):
        return kind
    return f"{kind or 'unknown image format'}; {', '.join(FORMATS[:-1])} and {FORMATS[-1]} are read"


def _refuse_many_scans(path: Path, image: ImageFile) -> None:
    """Raise PictureError for a JPEG of more than _MOST_SCANS scans. A scan of a few bytes goes over all pixels, so a
    file of a megabyte can take an hour; programs write up to 20."""
    if image.format not in ("JPEG", "MPO"):
        return
    stream = image.fp
    assert stream is not None
    begin = stream.tell()  # behind the header of the first scan
    scans = 1 + stream.read().count(_SCAN)
    stream.seek(begin)
    if scans > _MOST_SCANS:
        raise PictureError(path, f"it has {scans:,} scans, and up to {_MOST_SCANS} are read; save it as another JPEG")


def _stored_size(image: ImageFile) -> tuple[int, int]:
    """(width, height) of the pixels as stored. Pillow's `size` of a TIFF is that after it was turned upright."""
    tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    return image.size if tags is None else (int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT]))


def _ends_with_its_pixels(image: ImageFile) -> bool:
    """True for a complete PNG without EXIF or text after its pixels. Pillow decodes all pixels to find that out."""
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


def _of_integers(path: Path, values: NDArray[np.generic], *, highest: int) -> NDArray[np.uint8]:
    """Grey values of 0..`highest` scaled to 0..255; not scaled if all of them are 255 or less."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > highest:
        raise PictureError(
            path, f"its grey values are {low} to {high}; convert it to 8 bits (0 to {highest} is read too)"
        )
    wide = values.astype(np.float32)
    return (wide if high <= 255 else wide / (highest / 255)).astype(np.uint8)


def _of_floats(path: Path, values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey values of 0..1, or of 0..255, to 0..255."""
    wide = values.astype(np.float32)
    if not np.isfinite(wide).all():
        raise PictureError(path, "some grey values are not finite numbers (NaN, infinity); convert it to 8 bits")
    low, high = float(wide.min(initial=0)), float(wide.max(initial=0))
    if low >= 0 and high <= 1:
        return np.asarray((wide * 255).round(), np.uint8)
    if low >= 0 and _DIMMEST <= high <= 255:
        return wide.astype(np.uint8)
    raise PictureError(
        path, f"its grey values are {low:g} to {high:g}; convert it to 8 bits (0 to 1 and 0 to 255 are read too)"
    )
