"""COCO's run-length masks: the box around one.

A mask is counted down its columns: so many pixels outside, so many inside, and so on. `counts` is a list of these
numbers, or pycocotools' text: each number in pieces of 5 bits, the lowest first, 48 added; from the third on it is the
difference to the one two before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taolite.formats.shapes import Box

__all__ = ["rle_box"]

_MOST = 1 << 24  # runs of one mask, and pixels of a side


def rle_box(segmentation: Any) -> Box | None:
    """The box around the pixels of an RLE mask, edges from 0; None for what is no such mask, or an empty one."""
    if not isinstance(segmentation, dict):
        return None
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(_is_count(side) and side for side in size):
        return None
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not isinstance(counts, list) or len(counts) > _MOST or not all(map(_is_count, counts)):
        return None
    return _around_runs(counts, height=size[0], width=size[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST * _MOST


def _around_runs(counts: Sequence[int], *, height: int, width: int) -> Box | None:
    xs: list[int] = []
    ys: list[int] = []
    at = 0
    for place, count in enumerate(counts):
        if place % 2 and count:
            first, last = at, at + count - 1
            xs += [first // height, last // height]
            same_column = first // height == last // height
            ys += [first % height, last % height] if same_column else [0, height - 1]
        at += count
    if not xs or at > height * width:
        return None
    return (float(min(xs)), float(min(ys)), float(max(xs) + 1), float(max(ys) + 1))


def _unpacked(text: str) -> list[int] | None:
    """The numbers of pycocotools' text; None where it is cut off or has other characters."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        piece = ord(letter) - 48
        if not 0 <= piece < 64 or shift > 60:
            return None
        value |= (piece & 31) << shift
        shift += 5
        if piece & 32:
            continue
        if piece & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return None if shift else counts
