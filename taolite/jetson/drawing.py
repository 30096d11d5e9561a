"""jetson-utils' operations on images and its font, on the processor: OpenCV and Pillow do the work.

Colours are (red, green, blue[, alpha]) of 0..255; drawing blends by alpha. An operation with an output image writes
into it; drawing without one changes its input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.jetson.image import Array, as_format, format_of

__all__ = [
    "adaptFontSize",
    "cudaConvertColor",
    "cudaCrop",
    "cudaDrawCircle",
    "cudaDrawLine",
    "cudaDrawRect",
    "cudaFont",
    "cudaNormalize",
    "cudaOverlay",
    "cudaResize",
]

Ink: TypeAlias = Sequence[float]
_NOTHING: Ink = (0, 0, 0, 0)


def cudaConvertColor(input: Array, output: Array, stream: int = 0) -> None:
    """Convert `input` to the format of `output`, of the same size."""
    _same_size(input, output, "cudaConvertColor")
    output[:] = as_format(input, format_of(output)).reshape(output.shape)


def cudaResize(input: Array, output: Array, filter: str = "point", stream: int = 0) -> None:
    """Stretch `input` to the size of `output`; filter: point or linear."""
    import cv2

    _same_format(input, output, "cudaResize")
    if filter not in ("point", "linear"):
        raise UsageError(f"cudaResize: filter is {filter!r}; it needs to be point or linear")
    how = cv2.INTER_LINEAR if filter == "linear" else cv2.INTER_NEAREST
    size = (output.shape[1], output.shape[0])
    output[:] = cv2.resize(np.asarray(input), size, interpolation=how).reshape(output.shape)


def cudaCrop(input: Array, output: Array, roi: Sequence[float], stream: int = 0) -> None:
    """Copy the part (left, top, right, bottom) of `input`, in pixels, to `output`, which has its size."""
    _same_format(input, output, "cudaCrop")
    left, top, right, bottom = (int(value) for value in roi)
    part = np.asarray(input)[max(top, 0) : bottom, max(left, 0) : right]
    if part.shape != output.shape or left < 0 or top < 0:
        raise UsageError(
            f"cudaCrop: the part ({left}, {top}, {right}, {bottom}) of an image of {_size(input)} pixels does not fit "
            f"an output of {_size(output)}"
        )
    output[:] = part


def cudaNormalize(
    input: Array,
    inputRange: Sequence[float],
    output: Array,
    outputRange: Sequence[float],
    stream: int = 0,
) -> None:
    """Map values of `inputRange` (low, high) to `outputRange`, into `output`."""
    _same_size(input, output, "cudaNormalize")
    (low, high), (to_low, to_high) = inputRange, outputRange
    values = (np.asarray(input, np.float32) - low) * ((to_high - to_low) / (high - low)) + to_low
    output[:] = values if output.dtype.kind == "f" else np.clip(np.rint(values), 0, 255)


def cudaOverlay(input: Array, output: Array, x: float = 0, y: float = 0, stream: int = 0) -> None:
    """Blend `input` onto `output` with its left top corner at (x, y); what lies outside is cut off."""
    _same_depth(input, output)
    left, top = int(x), int(y)
    part = output[max(top, 0) : top + input.shape[0], max(left, 0) : left + input.shape[1]]
    shown = np.asarray(input)[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
    alpha = shown[..., 3:4].astype(np.float32) / 255 if shown.shape[2] == 4 else np.float32(1)
    colours = part[..., :3] * (1 - alpha) + shown[..., :3] * alpha
    part[..., :3] = colours


def cudaDrawCircle(
    image: Array,
    center: Sequence[float],
    radius: float,
    color: Ink = (255, 255, 255, 255),
    output: Array | None = None,
    stream: int = 0,
) -> None:
    """A filled circle."""
    import cv2

    at = (round(center[0]), round(center[1]))
    _drawn(image, output, color, lambda mask: cv2.circle(mask, at, round(radius), 255, -1, cv2.LINE_AA))


def cudaDrawLine(
    image: Array,
    start: Sequence[float],
    end: Sequence[float],
    color: Ink = (255, 255, 255, 255),
    line_width: float = 1.0,
    output: Array | None = None,
    stream: int = 0,
) -> None:
    """A line from (x, y) to (x, y)."""
    import cv2

    (x1, y1), (x2, y2) = start, end
    ends, wide = ((round(x1), round(y1)), (round(x2), round(y2))), max(1, round(line_width))
    _drawn(image, output, color, lambda mask: cv2.line(mask, *ends, 255, wide, cv2.LINE_AA))


def cudaDrawRect(
    image: Array,
    rect: Sequence[float],
    color: Ink = (255, 255, 255, 255),
    line_color: Ink = _NOTHING,
    line_width: float = 1.0,
    output: Array | None = None,
    stream: int = 0,
) -> None:
    """A rectangle (left, top, right, bottom) filled with `color`, and its edge in `line_color` where that is seen."""
    import cv2

    left, top, right, bottom = (round(value) for value in rect)
    corners, wide = ((left, top), (right - 1, bottom - 1)), max(1, round(line_width))
    _drawn(image, output, color, lambda mask: cv2.rectangle(mask, *corners, 255, -1))
    if _alpha(line_color):
        target = image if output is None else output
        _drawn(target, None, line_color, lambda mask: cv2.rectangle(mask, *corners, 255, wide))


def adaptFontSize(dimension: int) -> int:
    """The size in pixels of a font for an image of this width."""
    return int(min(max(dimension / 36, 28), 32))


class cudaFont:
    """Text on images, in a font that has its letters.

    Args:
        font: taken without effect: the system's fonts are searched for the letters of each text.
        size: height in pixels.
    """

    Black, White = (0, 0, 0, 255), (255, 255, 255, 255)
    Red, Green, Blue = (255, 0, 0, 255), (0, 200, 0, 255), (0, 0, 255, 255)
    Yellow, Orange, Cyan, Magenta = (255, 255, 0, 255), (255, 165, 0, 255), (0, 255, 255, 255), (255, 0, 255, 255)
    Lime, Brown, Tan, Gray = (0, 255, 0, 255), (150, 75, 0, 255), (210, 180, 140, 255), (128, 128, 128, 255)
    Gray90, Gray80, Gray70 = (0, 0, 0, 230), (0, 0, 0, 204), (0, 0, 0, 179)
    Gray60, Gray50, Gray40 = (0, 0, 0, 153), (0, 0, 0, 128), (0, 0, 0, 102)
    Gray30, Gray20, Gray10 = (0, 0, 0, 77), (0, 0, 0, 51), (0, 0, 0, 26)

    def __init__(self, font: str | None = None, size: float = 32.0) -> None:
        self._size = max(4, round(size))

    def GetSize(self) -> float:
        """Pixels."""
        return float(self._size)

    def TextExtents(self, text: str, x: int = 0, y: int = 0) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of the text at (x, y)."""
        from taolite.media.fonts import text_size

        wide, high = text_size(text, self._size)
        return x, y, x + round(wide), y + high

    def OverlayText(
        self,
        image: Array,
        width: int = 0,
        height: int = 0,
        text: str = "",
        x: int = 0,
        y: int = 0,
        color: Ink = (0, 0, 0, 255),
        background: Ink = _NOTHING,
        format: str = "rgb8",
        padding: int = 5,
    ) -> None:
        """Write the text with its left top corner at (x, y). `width`, `height` and `format` are those of the image."""
        from PIL import Image, ImageDraw

        from taolite.media.fonts import write_text

        left, top, right, bottom = self.TextExtents(text, x, y)
        if _alpha(background):
            cudaDrawRect(image, (left - padding, top - padding, right + padding, bottom + padding), background)

        def write(mask: NDArray[np.uint8]) -> None:
            canvas = Image.fromarray(mask)
            write_text(ImageDraw.Draw(canvas), text, self._size, left=left, middle=(top + bottom) / 2, fill=(255,))
            mask[:] = np.asarray(canvas)

        _drawn(image, None, color, write)


def _drawn(image: Array, output: Array | None, color: Ink, draw: Callable[[NDArray[np.uint8]], Any]) -> None:
    """Blend `color` where `draw` marks a mask of the image's size, into `output`, or into the image itself."""
    target = image
    if output is not None:
        _same_format(image, output, "drawing")
        output[:] = image
        target = output
    mask = np.zeros(target.shape[:2], np.uint8)
    draw(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cover = mask[part][..., None].astype(np.float32) * (_alpha(color) / 255**2)
    ink = np.array(color[:3], np.float32)
    order = format_of(target)
    if order.startswith("bgr"):
        ink = ink[::-1]
    if order.startswith("gray"):
        ink = ink.mean(keepdims=True)
    pixels = target[part][..., : len(ink)]
    blended = np.asarray(pixels, np.float32) * (1 - cover) + ink * cover
    pixels[:] = blended if target.dtype.kind == "f" else np.rint(blended)


def _alpha(color: Ink) -> float:
    return float(color[3]) if len(color) > 3 else 255.0


def _size(image: Array) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _same_size(first: Array, second: Array, what: str) -> None:
    if first.shape[:2] != second.shape[:2]:
        raise UsageError(f"{what}: the input has {_size(first)} pixels and the output {_size(second)}; they must agree")


def _same_format(first: Array, second: Array, what: str) -> None:
    if format_of(first) != format_of(second):
        raise UsageError(f"{what}: the input is {format_of(first)} and the output {format_of(second)}; they must agree")


def _same_depth(first: Array, second: Array) -> None:
    if first.dtype != second.dtype or min(first.shape[2], second.shape[2]) < 3:
        raise UsageError(
            f"cudaOverlay: the input is {format_of(first)} and the output {format_of(second)}; both need colours of "
            "the same type"
        )
