"""Pictures laid out on a sheet, to be looked at side by side. Pillow is imported when a sheet is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taolite.media.fonts import text_size, write_text

__all__ = ["contact_sheet"]

_PAPER, _CAPTION = (250, 250, 250), (40, 40, 40)


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    *,
    columns: int = 4,
    titles: Sequence[str] | None = None,
    heading: str = "",
    cell_hw: tuple[int, int] = (300, 400),
) -> NDArray[np.uint8]:
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
    size = max(11, round(math.sqrt(cell_hw[0] * cell_hw[1]) / 22))
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


def _shortened(text: str, *, size: int, width: int) -> str:
    """`text`, or its beginning and three dots where it is wider than `width` pixels."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(f"{text}...", size)[0] > width:
        text = text[:-1]
    return f"{text}..."
