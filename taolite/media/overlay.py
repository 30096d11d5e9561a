"""Boxes and names drawn on pictures, and pictures laid out on a sheet.

Meant to be looked at: lines grow outwards from a box, so that a small object stays visible; a name sits on a filled
tag, placed where it covers the least of other boxes and tags; sizes follow the picture. The colours of `palette` stay
apart for the colour-blind. Images are (H, W, 3) uint8 RGB and are never changed; boxes are in their pixels.
Pillow is imported when something is drawn.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes
from taolite.media.fonts import text_size, write_text
from taolite.sample import Detection

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["Colour", "contact_sheet", "draw_boxes", "draw_detections", "palette"]

Colour: TypeAlias = tuple[int, int, int]
Picture: TypeAlias = NDArray[np.uint8]

_OKABE_ITO: tuple[Colour, ...] = (  # Okabe and Ito's colours for every kind of sight, the loud ones first
    (255, 120, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 178, 130),
    (225, 120, 180),
    (0, 114, 178),
    (213, 60, 30),
)
_GOLDEN, _FIRST_HUE = 0.381966, 0.36  # of the colour wheel: each further hue falls into the widest gap
_HALO = (0, 0, 0, 120)
_INK_ON_LIGHT, _INK_ON_DARK = (15, 15, 15), (255, 255, 255)
_PAPER, _CAPTION = (250, 250, 250), (40, 40, 40)


def palette(count: int) -> list[Colour]:
    """`count` colours, one for each class; the same ones whatever the count, so that a class keeps its colour."""
    colours = list(_OKABE_ITO[:count])
    for index in range(count - len(colours)):
        red, green, blue = colorsys.hsv_to_rgb(
            (_FIRST_HUE + index * _GOLDEN) % 1.0, (0.85, 0.55)[index % 2], (0.95, 0.75)[index // 2 % 2]
        )
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def draw_boxes(
    image_hwc: Picture,
    boxes_n4: Boxes,
    texts: Sequence[str],
    colors: Sequence[Colour],
    *,
    linewidth: int | None = None,
) -> Picture:
    """A copy of the image with a named frame around every box.

    Args:
        image_hwc: (H, W, 3) uint8 RGB.
        boxes_n4: (N, 4) boxes in pixels of the image; what lies outside is cut off.
        texts: N tags; an empty one draws the frame alone.
        colors: N colours.
        linewidth: pixels; None follows the size of the picture, less for small objects. 0 draws one pixel, as TAO does.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    from PIL import Image, ImageDraw

    assert len(boxes_n4) == len(texts) == len(colors), f"{len(boxes_n4)}, {len(texts)} and {len(colors)} things"
    height, width = image_hwc.shape[:2]
    canvas = Image.fromarray(image_hwc)
    draw = ImageDraw.Draw(canvas, "RGBA")
    boxes = clip_boxes(np.asarray(boxes_n4, dtype=np.float32).reshape(-1, 4), hw=(height, width))
    frames = [_frame(box, hw=(height, width), linewidth=linewidth) for box in boxes.tolist()]
    big_first = sorted(range(len(frames)), key=lambda index: -_area(frames[index][0]))
    for index in big_first:
        (x1, y1, x2, y2), thick = frames[index]
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_HALO, width=1)
        draw.rectangle((x1, y1, x2, y2), outline=(*colors[index], 255), width=thick)
    outer = np.array([frame for frame, _ in frames], dtype=np.float64).reshape(-1, 4)
    tags: list[tuple[float, float, float, float]] = []
    for index in reversed(big_first):  # small objects choose first
        if texts[index]:
            tags.append(_draw_tag(draw, texts[index], colors[index], index, outer, tags, hw=(height, width)))
    return np.array(canvas, dtype=np.uint8)


def draw_detections(
    image_hwc: Picture,
    detections: Sequence[Detection],
    colours: Mapping[str, Colour],
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    linewidth: int | None = None,
) -> Picture:
    """A copy of the image with everything that was found in it: objects in named frames, what is said of the whole
    picture in lines at its top left.

    Args:
        image_hwc: (H, W, 3) uint8 RGB; boxes are in its pixels.
        colours: by class; names: what to write instead of a class; linewidth: see `draw_boxes`.
    """
    placed = [(one, one.box) for one in detections if one.box is not None]
    texts = [f"{names.get(one.name, one.name)}:{one.score:.3f}" for one, _ in placed]
    boxes = np.array([box for _, box in placed], np.float32).reshape(-1, 4)
    drawn = draw_boxes(image_hwc, boxes, texts, [colours[one.name] for one, _ in placed], linewidth=linewidth)
    lines = [
        (f"{names.get(one.name, one.name)}:{one.score:.3f}", colours[one.name]) for one in detections if not one.box
    ]
    return _draw_lines(drawn, lines) if lines else drawn


def _draw_lines(image_hwc: Picture, lines: Sequence[tuple[str, Colour]]) -> Picture:
    """A copy of the image with tags below each other from its top left; those that do not fit are left out."""
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(image_hwc)
    draw = ImageDraw.Draw(canvas, "RGBA")
    size, top = max(10, round(_side(image_hwc.shape[:2]) / 24)), 0.0
    for text, colour in lines:
        wide, high = _tag_size(text, size)
        if top + high > image_hwc.shape[0]:
            break
        _write_tag(draw, text, colour, (0.0, top, wide, top + high), size)
        top += high
    return np.array(canvas, dtype=np.uint8)


def contact_sheet(
    images: Sequence[Picture],
    *,
    columns: int = 4,
    titles: Sequence[str] | None = None,
    heading: str = "",
    cell_hw: tuple[int, int] = (300, 400),
) -> Picture:
    """Pictures in rows on light paper, each whole and as large as its cell allows, titles below.

    Args:
        images: (H, W, 3) uint8 RGB pictures of any sizes.
        columns: pictures in a row; fewer where there are fewer pictures.
        titles: one for each picture, or None.
        heading: a line above all pictures, cut to fit.
        cell_hw: (height, width) in pixels a picture may take.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    from PIL import Image, ImageDraw

    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    gap = max(8, cell_hw[1] // 40)
    size = max(11, round(_side(cell_hw) / 22))
    caption = round(1.9 * size) if titles else 0
    head = round(2.2 * size) if heading else 0
    pitch_y, pitch_x = cell_hw[0] + caption + gap, cell_hw[1] + gap
    sheet = Image.new("RGB", (columns * pitch_x + gap, head + rows * pitch_y + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if heading:
        text = _shortened(heading, size=size, width=sheet.width - 2 * gap)
        write_text(draw, text, size, left=gap, middle=(head + gap) // 2, fill=_CAPTION)
    for index, image in enumerate(images):
        left, top = gap + index % columns * pitch_x, head + gap + index // columns * pitch_y
        scale = min(cell_hw[0] / image.shape[0], cell_hw[1] / image.shape[1])
        fitted = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        thumb = Image.fromarray(image).resize(fitted, Image.Resampling.LANCZOS)
        sheet.paste(thumb, (left + (cell_hw[1] - fitted[0]) // 2, top + (cell_hw[0] - fitted[1]) // 2))
        if titles:
            text = _shortened(titles[index], size=size, width=cell_hw[1])
            place = (left + cell_hw[1] // 2, top + cell_hw[0] + caption // 2)
            write_text(draw, text, size, left=place[0], middle=place[1], fill=_CAPTION, centred=True)
    return np.array(sheet, dtype=np.uint8)


def _frame(
    box: Sequence[float], *, hw: tuple[int, int], linewidth: int | None
) -> tuple[tuple[int, int, int, int], int]:
    """The outer corners, in whole pixels inside the image, of the line around a box; and the line's width."""
    height, width = hw
    if linewidth is None:
        side = min(box[2] - box[0], box[3] - box[1])
        thick = max(1, min(round(_side(hw) / 215), round(side / 12)))
    else:
        thick = max(1, linewidth)
    x1, y1 = max(round(box[0]) - thick, 0), max(round(box[1]) - thick, 0)
    x2, y2 = min(round(box[2]) + thick - 1, width - 1), min(round(box[3]) + thick - 1, height - 1)
    return (x1, y1, max(x2, x1), max(y2, y1)), thick


def _draw_tag(
    draw: ImageDraw,
    text: str,
    colour: Colour,
    index: int,
    frames_n4: NDArray[np.float64],
    tags: Sequence[tuple[float, float, float, float]],
    *,
    hw: tuple[int, int],
) -> tuple[float, float, float, float]:
    """Draw the tag of frame `index` at its best place; the rectangle it takes."""
    x1, y1, x2, y2 = frames_n4[index].tolist()
    largest = max(10, round(_side(hw) / 31))
    least = max(10, round(0.75 * largest))
    fitting = int(largest * (x2 - x1 + 1) / _tag_size(text, largest)[0])  # a tag no wider than its box, where it can be
    size = max(least, min(largest, fitting))
    wide, high = _tag_size(text, size)
    places = [
        (x1, y1 - high),  # above, from the left
        (x1, y2 + 1),  # below
        (x2 + 1 - wide, y1 - high),
        (x2 + 1 - wide, y2 + 1),
        (x2 + 1, y1),  # beside
        (x1 - wide, y1),
        (x1, y1),  # inside
        (x1, y2 + 1 - high),
        (x2 + 1 - wide, y1),
        (x2 + 1 - wide, y2 + 1 - high),
    ]
    spots = np.array([(min(max(x, 0), max(hw[1] - wide, 0)), min(max(y, 0), max(hw[0] - high, 0))) for x, y in places])
    spots = np.concatenate([spots, spots + np.array([wide, high])], axis=1)
    area = (frames_n4[:, 2] - frames_n4[:, 0] + 1) * (frames_n4[:, 3] - frames_n4[:, 1] + 1)
    hidden = _overlap(spots, frames_n4) / np.minimum(area, 40.0 * wide * high)  # share of each object that is hidden
    cost = hidden.sum(axis=1) + 4e-3 * np.arange(len(spots))
    if tags:
        cost += 3 * (_overlap(spots, np.array(tags)) / (wide * high)).sum(axis=1)
    left, top, right, bottom = (float(value) for value in spots[int(cost.argmin())])
    _write_tag(draw, text, colour, (left, top, right, bottom), size)
    return left, top, right, bottom


def _write_tag(draw: ImageDraw, text: str, colour: Colour, place: tuple[float, float, float, float], size: int) -> None:
    """Fill the rectangle `place` with the colour and write the text into it, `size` pixels high."""
    left, top, right, bottom = place
    draw.rectangle((left, top, right - 1, bottom - 1), fill=(*colour, 235))
    red, green, blue = colour
    ink = _INK_ON_LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else _INK_ON_DARK
    write_text(draw, text, size, left=left + _pad(size), middle=(top + bottom) / 2, fill=(*ink, 255))


def _overlap(first_n4: NDArray[np.float64], second_m4: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) area that each pair shares."""
    low = np.maximum(first_n4[:, None, :2], second_m4[None, :, :2])
    high = np.minimum(first_n4[:, None, 2:], second_m4[None, :, 2:])
    shared: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=2)
    return shared


def _side(hw: tuple[int, int]) -> float:
    """The side of a square as large as the picture, pixels; lines and letters follow it."""
    return math.sqrt(hw[0] * hw[1])


def _area(frame: tuple[int, int, int, int]) -> int:
    return (frame[2] - frame[0]) * (frame[3] - frame[1])


def _pad(size: int) -> int:
    return max(2, round(size / 4))


def _tag_size(text: str, size: int) -> tuple[int, int]:
    """(width, height) in pixels of a tag with this text."""
    width, height = text_size(text, size)
    return round(width) + 2 * _pad(size), height + 1


def _shortened(text: str, *, size: int, width: int) -> str:
    """`text`, or its beginning and three dots where it is wider than `width` pixels."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(f"{text}...", size)[0] > width:
        text = text[:-1]
    return f"{text}..."
