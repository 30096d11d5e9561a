"""Which detections and true boxes of a data set overlap enough for a match: the pairs, not all compared with all.

Where the IoU of two boxes reaches t, neither side of one is longer than 1 / t of the other's, and the corners lie as
near. So the true boxes are sorted by image, class, row and column of a grid whose cells have the detections' mean
size, and a detection is compared with those in its few cells only: the time grows with the number of boxes, not with
its square. The IoU of a pair is `taolite.boxes.iou_matrix`'s, bit by bit.

Legend: D detections, M true boxes, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, iou_pairs

__all__ = ["Pairs", "near_pairs"]

_CELLS = 1 << 18  # of the grid in a row, and rows; boxes beyond count as in the last
_LOW_IOU = 0.05  # below it a detection reaches so far that its whole image is compared
_BLOCK = 1 << 15  # detections at once; bounds the memory
_SLACK = 1e-9  # of the coordinates, for what rounding does to bounds
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detection `found_p` and true box `true_p`, (P,) int64, of one image and class, and their IoU, (P,) float64; by
    detection, then from the highest IoU, then by true box."""

    found_p: Indices
    true_p: Indices
    iou_p: NDArray[np.float64]


def near_pairs(
    found_d4: Boxes,
    found_groups_d: Indices,
    least_d: NDArray[np.float64],
    true_m4: Boxes,
    true_groups_m: Indices,
    *,
    plus: float,
    strict: bool,
) -> Pairs:
    """All pairs of one group whose IoU is at least the detection's `least_d` (D,), or greater with `strict`.

    Args:
        found_d4: (D, 4) detected boxes.
        found_groups_d: (D,) what has to be equal in a pair: a number for each image and class.
        least_d: (D,) IoU.
        true_m4: (M, 4) true boxes.
        true_groups_m: (M,) their groups.
        plus: added to every width and height, as in `iou_matrix`.
        strict: see above.
    """
    groups, true_groups_m = np.unique(true_groups_m, return_inverse=True)
    place_d = np.searchsorted(groups, found_groups_d)
    place_d[place_d == len(groups)] = 0
    asked = np.flatnonzero(groups[place_d] == found_groups_d) if len(groups) else np.zeros(0, np.int64)
    grid = _Grid(true_m4, true_groups_m, cell_wh=_mean_size(found_d4[asked], plus), plus=plus)
    parts: list[tuple[Indices, Indices, NDArray[np.float64]]] = []
    for start in range(0, len(asked), _BLOCK):
        block = asked[start : start + _BLOCK]
        for found, true in grid.reached(found_d4[block], place_d[block], least_d[block]):
            found = block[found]
            iou = iou_pairs(found_d4[found], true_m4[true], plus=plus)
            near = iou > least_d[found] if strict else iou >= least_d[found]
            parts.append((found[near], true[near], iou[near]))
    found_p = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    true_p = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
    iou_p = np.concatenate([np.zeros(0), *(part[2] for part in parts)])
    order = np.lexsort((true_p, -iou_p, found_p))
    return Pairs(found_p[order], true_p[order], iou_p[order])


def _mean_size(boxes_n4: Boxes, plus: float) -> NDArray[np.float64]:
    """(2,) mean width and height of the boxes that have an area."""
    sides = boxes_n4[:, 2:].astype(np.float64) - boxes_n4[:, :2] + plus
    sides = sides[(sides > 0).all(axis=1) & np.isfinite(sides).all(axis=1)]
    return np.maximum(sides.mean(axis=0), np.finfo(np.float32).tiny) if len(sides) else np.ones(2)


class _Grid:
    """True boxes sorted by group, row and column of their top-left corners."""

    def __init__(self, true_m4: Boxes, groups_m: Indices, *, cell_wh: NDArray[np.float64], plus: float) -> None:
        self._cell_wh, self._plus = cell_wh, plus
        corners = np.nan_to_num(true_m4[:, :2].astype(np.float64))
        self._origin = corners.min(axis=0, initial=0.0)
        columns, rows = self._cells(corners).T
        keys = self._key(groups_m, rows, columns)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def _cells(self, points_n2: NDArray[np.float64]) -> Indices:
        """(N, 2) column and row; never smaller for a greater coordinate."""
        cells: Indices = np.clip((points_n2 - self._origin) / self._cell_wh, 0, _CELLS - 1).astype(np.int64)
        return cells

    @staticmethod
    def _key(groups: Indices, rows: Indices | int, columns: Indices | int) -> Indices:
        key: Indices = (groups * _CELLS + rows) * _CELLS + columns
        return key

    def reached(
        self, found_d4: Boxes, groups_d: Indices, least_d: NDArray[np.float64]
    ) -> Iterator[tuple[Indices, Indices]]:
        """Detections and true boxes that may have an IoU of `least_d`; all that have one are among them."""
        boxes = found_d4.astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2] + self._plus
        everything = least_d < _LOW_IOU
        can = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (sides > 0).all(axis=1) & ~everything)
        whole = np.flatnonzero(everything)
        yield self._between(whole, self._key(groups_d[whole], 0, 0), self._key(groups_d[whole], _CELLS - 1, _CELLS - 1))
        corners, sides, least = boxes[can, :2], sides[can], np.minimum(least_d[can], 1.0)[:, None]
        slack = _SLACK * (np.abs(boxes[can]).max(axis=1, initial=0.0)[:, None] + sides / least)
        low = self._cells(corners - (1 / least - 1) * sides - slack)
        high = self._cells(corners + (1 - least) * sides + slack)
        counts = high[:, 1] - low[:, 1] + 1
        each, step = _ranges(counts)
        group, row = groups_d[can[each]], low[each, 1] + step
        yield self._between(can[each], self._key(group, row, low[each, 0]), self._key(group, row, high[each, 0]))

    def _between(self, found: Indices, first: Indices, last: Indices) -> tuple[Indices, Indices]:
        """The pairs of `found` with the true boxes whose keys lie between `first` and `last`, ends included."""
        begin = np.searchsorted(self._keys, first, side="left")
        each, step = _ranges(np.searchsorted(self._keys, last, side="right") - begin)
        return found[each], self._order[begin[each] + step]


def _ranges(counts_n: Indices) -> tuple[Indices, Indices]:
    """For counts (2, 0, 3): whose turn it is, (0, 0, 2, 2, 2), and which of its own, (0, 1, 0, 1, 2)."""
    each = np.repeat(np.arange(len(counts_n)), counts_n)
    return each, np.arange(len(each)) - np.repeat(np.cumsum(counts_n) - counts_n, counts_n)
