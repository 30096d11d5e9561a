"""cudaImage: jetson-utils' image, here a NumPy array with its attributes. No GPU memory is used.

The array is (H, W, C), or (H, W, 1) for grey; `format` follows from its type and channels: rgb8, rgba8, rgb32f,
rgba32f, gray8, gray32f, and bgr8, bgra8, bgr32f, bgra32f for an image that was made so. Values are 0..255 in every
format, alpha too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.files import open_atomic
from taolite.pictures import read_rgb

__all__ = [
    "Array",
    "as_format",
    "cudaAllocMapped",
    "cudaDeviceSynchronize",
    "cudaFromNumpy",
    "cudaImage",
    "cudaMemcpy",
    "cudaToNumpy",
    "loadImage",
    "loadImageRGBA",
    "rgb_of",
    "saveImage",
    "saveImageRGBA",
]

Array: TypeAlias = NDArray[Any]

_FORMAT = re.compile(r"(rgb|bgr|gray)(a?)(8|32f)")
_CHANNELS = {"rgb": 3, "rgba": 4, "bgr": 3, "bgra": 4, "gray": 1}
_SAVED = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".tga": "TGA", ".webp": "WEBP", ".tif": "TIFF"}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class cudaImage(np.ndarray[Any, Any]):
    """An image, zero at first.

    Args:
        width, height: pixels. format: see above. like: an image whose size and format are taken.
        timestamp: kept. mapped, freeOnDelete, ptr: taken without effect.
    """

    timestamp: int
    _is_bgr: bool

    def __new__(
        cls,
        width: int = 0,
        height: int = 0,
        format: str = "rgb8",
        timestamp: int = 0,
        mapped: bool = True,
        freeOnDelete: bool = True,
        ptr: object = None,
        like: Any = None,
    ) -> cudaImage:
        if like is not None:
            width, height, format = like.width, like.height, like.format
        order, depth = _parsed(format)
        image = np.zeros((int(height), int(width), _CHANNELS[order]), depth).view(cls)
        image.timestamp, image._is_bgr = timestamp, order.startswith("bgr")
        return image

    def __array_finalize__(self, source: object) -> None:
        self.timestamp = getattr(source, "timestamp", 0)
        self._is_bgr = getattr(source, "_is_bgr", False)

    @property
    def width(self) -> int:
        return int(self.shape[1])

    @property
    def height(self) -> int:
        return int(self.shape[0])

    @property
    def channels(self) -> int:
        return int(self.shape[2]) if self.ndim > 2 else 1

    @property
    def format(self) -> str:
        return format_of(self)

    @property
    def mapped(self) -> bool:
        return True

    @property
    def ptr(self) -> int:
        """The address of the pixels in this computer's memory."""
        return int(self.ctypes.data)


def format_of(image: Array) -> str:
    """The format of an image's array. Raises UsageError where it has none."""
    depth = "8" if image.dtype == np.uint8 else "32f" if image.dtype.kind == "f" else ""
    channels = image.shape[2] if image.ndim == 3 else 1 if image.ndim == 2 else 0
    order = {1: "gray", 3: "rgb", 4: "rgba"}.get(channels, "")
    if not depth or not order:
        shape = " x ".join(map(str, image.shape))
        raise UsageError(
            f"an image is (height, width, 1, 3 or 4) of uint8 or float; this one is {shape} of {image.dtype}"
        )
    if channels > 1 and getattr(image, "_is_bgr", False):
        order = order.replace("rgb", "bgr")
    return order + depth


def as_format(image: Array, format: str) -> cudaImage:
    """A new image in another format, as `cudaConvertColor` computes it."""
    order, depth = _parsed(format)
    given, _ = _parsed(format_of(image))
    values = np.asarray(image).reshape(*image.shape[:2], -1)
    colours, alpha = values[..., :3], values[..., 3:4]
    if given.startswith("bgr"):
        colours = colours[..., ::-1]
    if order == "gray":
        colours = colours if given == "gray" else (colours @ _LUMA)[..., None]
    elif given == "gray":
        colours = np.repeat(colours, 3, axis=2)
    if order.startswith("bgr"):
        colours = colours[..., ::-1]
    if order.endswith("a"):
        full = np.full((*values.shape[:2], 1), 255, values.dtype)
        colours = np.concatenate([colours, alpha if alpha.shape[2] else full], axis=2)
    made = cudaImage(image.shape[1], image.shape[0], format, getattr(image, "timestamp", 0))
    made[:] = np.clip(np.rint(colours), 0, 255) if depth == np.uint8 and colours.dtype != np.uint8 else colours
    return made


def rgb_of(image: Array) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image in any format; the image's own memory where it is rgb8."""
    return np.asarray(image) if format_of(image) == "rgb8" else np.asarray(as_format(image, "rgb8"))


def loadImage(filename: str, format: str = "rgb8", timestamp: int = 0, stream: int = 0) -> cudaImage:
    """A picture's file, upright. Raises PathError, PictureError, UsageError."""
    pixels = read_rgb(Path(filename).expanduser())
    image = cudaImage(pixels.shape[1], pixels.shape[0], "rgb8", timestamp)
    image[:] = pixels
    return image if format == "rgb8" else as_format(image, format)


def saveImage(filename: str, image: Array, quality: int = 95, stream: int = 0) -> None:
    """Write an image; `quality` is of a JPEG or a WebP. Raises UsageError, StorageError."""
    from PIL import Image

    path = Path(filename).expanduser()
    kind = _SAVED.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: a picture needs a name that ends in one of {' '.join(_SAVED)}")
    keeps_alpha = "a8" in format_of(image) and kind in ("PNG", "TGA", "WEBP", "TIFF")
    pixels = np.asarray(as_format(image, "rgba8")) if keeps_alpha else rgb_of(image)
    options = {"quality": quality} if kind in ("JPEG", "WEBP") else {}
    with open_atomic(path, durable=False) as file:
        Image.fromarray(pixels).save(file, kind, **options)


def loadImageRGBA(filename: str) -> tuple[cudaImage, int, int]:
    """The image as rgba32f, its width and its height: jetson-utils' call before 2020."""
    image = loadImage(filename, "rgba32f")
    return image, image.width, image.height


def saveImageRGBA(
    filename: str, image: Array, width: int = 0, height: int = 0, max_pixel: float = 255.0, quality: int = 100
) -> None:
    """Write an image whose values are 0..`max_pixel`."""
    scaled = image if max_pixel == 255.0 else np.multiply(image, 255.0 / max_pixel, dtype=np.float32)
    saveImage(filename, scaled, quality)


def cudaAllocMapped(
    size: int = 0,
    width: int = 0,
    height: int = 0,
    format: str = "rgb8",
    timestamp: int = 0,
    like: Any = None,
) -> cudaImage:
    """A new image, zero; `size` bytes of it alone are a row of grey pixels."""
    if size and like is None and not width:
        return cudaImage(size, 1, "gray8", timestamp)
    return cudaImage(width, height, format, timestamp, like=like)


def cudaMemcpy(dst: Array, src: Array | None = None) -> cudaImage | None:
    """Copy the pixels of `src` to `dst`; with one image, a copy of it."""
    if src is None:
        return np.array(dst, subok=True) if isinstance(dst, cudaImage) else cudaFromNumpy(dst)
    np.copyto(dst, src)
    return None


def cudaDeviceSynchronize() -> None:
    """Nothing to wait for: calls return when their work is done."""


def cudaToNumpy(image: Array, width: int = 0, height: int = 0, depth: int = 0) -> Array:
    """The same pixels as a plain array; no copy."""
    return np.asarray(image)


def cudaFromNumpy(array: Array, isBGR: bool = False, timestamp: int = 0, stream: int = 0) -> cudaImage:
    """A copy as an image; with `isBGR` its format is bgr, and the pixels stay as they are. Raises UsageError."""
    plain = np.asarray(array)
    image = cudaImage(like=_Like(plain), timestamp=timestamp)
    image[:] = plain.reshape(image.shape)
    image._is_bgr = bool(isBGR)
    return image


class _Like:
    """The size and format of an array."""

    def __init__(self, array: Array) -> None:
        self.format = format_of(array)
        self.height, self.width = array.shape[:2]


def _parsed(format: str) -> tuple[str, type[np.uint8] | type[np.float32]]:
    """(order, type) of a format: `rgba32f` is ("rgba", float32). Raises UsageError for one that is not here."""
    found = _FORMAT.fullmatch(format)
    if found is None or found[1] + found[2] not in _CHANNELS:
        raise UsageError(
            f"{format}: this image format is not here; rgb8, rgba8, rgb32f, rgba32f, gray8, gray32f and their bgr "
            "forms are"
        )
    return found[1] + found[2], np.uint8 if found[3] == "8" else np.float32
