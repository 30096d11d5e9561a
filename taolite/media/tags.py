"""Tags: names on filled rectangles, and where they cover the least of what is drawn.

A tag is made of pieces that are kept: its name, and the letters of the number behind it. So a tag with another score
costs no drawing of letters. Pillow is imported when a piece is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.media.fonts import text_size, write_text

__all__ = ["Colour", "place_tags", "stamp_tag", "tag_size"]

Colour: TypeAlias = tuple[int, int, int]
Place: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels; right and bottom are the first ones outside."""

_INK_ON_LIGHT, _INK_ON_DARK = (15, 15, 15), (255, 255, 255)
_NUMBER = re.compile(r"[-#:.,%\d ]+$")
_CROWD = 200  # among more frames than this no place is free, and each tag takes the first one


def tag_size(text: str, size: int) -> tuple[int, int]:
    """(width, height) in pixels of a tag with this text, `size` pixels high."""
    high, wide = _cover(text, size).shape
    return wide, high


def stamp_tag(canvas_hwc: NDArray[np.uint8], text: str, colour: Colour, at: tuple[int, int], size: int) -> None:
    """Draw the tag onto (H, W, 3) uint8 RGB with its left top corner `at` (x, y); what lies outside is cut off."""
    x, y = at
    cover = _cover(text, size)
    part = canvas_hwc[max(y, 0) : max(y + cover.shape[0], 0), max(x, 0) : max(x + cover.shape[1], 0)]
    inside = cover[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]]
    part[:] = np.take(_inks(colour), inside, axis=0)


def place_tags(
    frames_n4: NDArray[np.float64], sizes_n2: NDArray[np.float64], wanted: Sequence[int], *, hw: tuple[int, int]
) -> dict[int, Place]:
    """The place of each tag, where it covers the least of other frames and of the tags before it.

    Args:
        frames_n4: (N, 4) frames in pixels of a picture of size `hw`, last pixels included.
        sizes_n2: (N, 2) width and height of each frame's tag.
        wanted: the frames that have a tag; the first one chooses first.
        hw: (height, width) of the picture.
    """
    rows = list(wanted)
    if len(frames_n4) > _CROWD:
        firsts = _spots(frames_n4[rows], sizes_n2[rows], hw=hw)[:, 0].tolist()
        return {
            index: (round(x1), round(y1), round(x2), round(y2))
            for index, (x1, y1, x2, y2) in sorted(zip(rows, firsts, strict=True))
        }
    spots_r10_4 = _spots(frames_n4[rows], sizes_n2[rows], hw=hw)
    area_r = sizes_n2[rows].prod(axis=1)
    area_n = (frames_n4[:, 2] - frames_n4[:, 0] + 1) * (frames_n4[:, 3] - frames_n4[:, 1] + 1)
    shared = _overlap(spots_r10_4[:, :, None], frames_n4)
    hidden = (shared / np.minimum(area_n, 40.0 * area_r[:, None])[:, None]).sum(axis=2)
    costs_r10 = hidden + 4e-3 * np.arange(spots_r10_4.shape[1])
    taken_r4 = np.zeros((len(rows), 4))
    for row, best in enumerate(costs_r10.argmin(axis=1).tolist()):
        before = taken_r4[:row]
        if _overlap(spots_r10_4[row, best], before).any():
            shared = _overlap(spots_r10_4[row][:, None], before)
            best = int((costs_r10[row] + 3 * (shared / area_r[row]).sum(axis=1)).argmin())
        taken_r4[row] = spots_r10_4[row, best]
    return dict(zip(rows, map(tuple, taken_r4.astype(int).tolist()), strict=True))


def _spots(
    frames_n4: NDArray[np.float64], sizes_n2: NDArray[np.float64], *, hw: tuple[int, int]
) -> NDArray[np.float64]:
    """(N, 10, 4) places around and in each frame, the best-looking first, moved into the picture."""
    x1, y1, x2, y2 = frames_n4.T
    wide, high = sizes_n2.T
    left, right, above, below = x1, x2 + 1 - wide, y1 - high, y2 + 1
    inner_top, inner_low = y1, y2 + 1 - high
    columns = [left, left, right, right, x2 + 1, x1 - wide, left, left, right, right]
    rows = [above, below, above, below, y1, y1, inner_top, inner_low, inner_top, inner_low]
    xs = np.clip(np.stack(columns, axis=1), 0, np.maximum(hw[1] - wide, 0)[:, None])
    ys = np.clip(np.stack(rows, axis=1), 0, np.maximum(hw[0] - high, 0)[:, None])
    return np.stack([xs, ys, xs + wide[:, None], ys + high[:, None]], axis=2)


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that boxes share; (..., 4) and (..., 4) are broadcast."""
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0])
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1])
    shared: NDArray[np.float64] = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


@lru_cache(maxsize=4096)
def _cover(text: str, size: int) -> NDArray[np.uint8]:
    """(height, width) uint8: how much of each pixel of a tag its letters cover, 0..255."""
    number = _NUMBER.search(text)
    name, letters = (text[: number.start()], number[0]) if number else (text, "")
    pieces = [_piece(words, size) for words in (name, *letters) if words] or [_piece("", size)]
    wide, high = sum(piece.shape[1] for piece in pieces), max(piece.shape[0] for piece in pieces) + 1
    cover, x = np.zeros((high, wide + 2 * _pad(size)), np.uint8), _pad(size)
    for piece in pieces:
        y = (high - piece.shape[0]) // 2
        cover[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
        x += piece.shape[1]
    return cover


@lru_cache(maxsize=4096)
def _piece(words: str, size: int) -> NDArray[np.uint8]:
    """(height, width) uint8: how much of each pixel the letters cover."""
    from PIL import Image, ImageDraw

    width, height = text_size(words, size)
    canvas = Image.new("L", (max(round(width), 1), height))
    write_text(ImageDraw.Draw(canvas), words, size, left=0, middle=height / 2, fill=(255,))
    return np.array(canvas)


@lru_cache(maxsize=512)
def _inks(colour: Colour) -> NDArray[np.uint8]:
    """(256, 3) uint8: the colours from the tag's own to that of its letters, by how much these cover."""
    red, green, blue = colour
    ink = _INK_ON_LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else _INK_ON_DARK
    share = np.arange(256)[:, None] / 255
    return np.round(np.array(colour) * (1 - share) + np.array(ink) * share).astype(np.uint8)


def _pad(size: int) -> int:
    return max(2, round(size / 4))
