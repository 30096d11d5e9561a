"""Loss masks, regions with a reduced cost: `loss_mask_label_filter` (reference 7.5).

Each filter selects boxes of an image for a class and an objective. The selected boxes are drawn as filled rectangles
on the grid, and the cost of that class and objective is multiplied by a factor inside them. The boxes of several
filters are combined. Sizes and positions are in pixels of the network input, after augmentation. K classes,
2 objectives (cov, bbox), h x w cells. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.sample import Truth

__all__ = ["ClassFilter", "Filter", "LossMask", "RegionFilter", "SizeFilter", "draw_mask"]

_SUBCELLS = (np.arange(5) + 0.5) / 5  # 5 x 5 sample points per cell


@dataclass(frozen=True)
class SizeFilter:
    """Boxes of the masked class whose size is within the bounds (inclusive); 0 means no bound."""

    min_width: float = 0.0
    min_height: float = 0.0
    max_width: float = 0.0
    max_height: float = 0.0

    def picks(self, truth: Truth, masked: int) -> NDArray[np.bool_]:
        """(N,) bool: the boxes of `truth` that this filter selects to mask the cost of class `masked`."""
        x1, y1, x2, y2 = truth.boxes_n4.T
        fits: NDArray[np.bool_] = truth.classes_n == masked
        fits &= (x2 - x1 >= self.min_width) & (x2 - x1 <= (self.max_width or np.inf))
        fits &= (y2 - y1 >= self.min_height) & (y2 - y1 <= (self.max_height or np.inf))
        return fits


@dataclass(frozen=True)
class RegionFilter:
    """Boxes of the masked class that overlap a region (touching edges do not count); an edge of 0 means no bound."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def picks(self, truth: Truth, masked: int) -> NDArray[np.bool_]:
        """(N,) bool: the boxes of `truth` that this filter selects to mask the cost of class `masked`."""
        x1, y1, x2, y2 = truth.boxes_n4.T
        overlaps: NDArray[np.bool_] = truth.classes_n == masked
        overlaps &= (x2 > (self.left or -np.inf)) & (x1 < (self.right or np.inf))
        overlaps &= (y2 > (self.top or -np.inf)) & (y1 < (self.bottom or np.inf))
        return overlaps


@dataclass(frozen=True)
class ClassFilter:
    """Every box of the given classes, whichever class is masked; None: boxes of all classes."""

    classes: tuple[int, ...] | None

    def picks(self, truth: Truth, masked: int) -> NDArray[np.bool_]:
        """(N,) bool: the selected boxes of `truth`; `masked` is not used."""
        if self.classes is None:
            return np.ones(len(truth.classes_n), np.bool_)
        return np.isin(truth.classes_n, self.classes)


Filter: TypeAlias = SizeFilter | RegionFilter | ClassFilter


@dataclass(frozen=True)
class LossMask:
    """`filters[k][o]` select the boxes that mask the cost of class k and objective o.

    The cost there is multiplied by `multiplier`. With `preserve_ground_truth`, cells with an object of class k keep
    their full cost.
    """

    filters: tuple[tuple[tuple[Filter, ...], tuple[Filter, ...]], ...]
    multiplier: float = 0.0
    preserve_ground_truth: bool = False


def draw_mask(
    truth: Truth, cov_khw: NDArray[np.float32], *, mask: LossMask, input_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """(K, 2, h, w) float32: the cost factor of every class, objective and cell.

    Args:
        truth: the boxes of the image, in input pixels.
        cov_khw: the coverage targets of the image.
        mask: the mask settings.
        input_hw: (height, width) of the network input, pixels; the grid covers all of it.
    """
    count, height, width = cov_khw.shape
    factors = np.ones((count, 2, height, width), np.float32)
    for kind, objectives in enumerate(mask.filters):
        for place, filters in enumerate(objectives):
            picked = np.zeros(len(truth.boxes_n4), np.bool_)
            for one in filters:
                picked |= one.picks(truth, kind)
            inside = _cells_inside(truth.boxes_n4[picked], (height, width), input_hw)
            if mask.preserve_ground_truth:
                inside &= cov_khw[kind] <= 0
            factors[kind, place, inside] = mask.multiplier
    return factors


def _cells_inside(boxes_n4: Boxes, grid_hw: tuple[int, int], input_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) bool: at least one sample point of the cell lies in one of the boxes.

    The points form rows and columns, so rows and columns are tested separately.
    """
    columns = _hit(boxes_n4[:, 0], boxes_n4[:, 2], grid_hw[1], input_hw[1])
    rows = _hit(boxes_n4[:, 1], boxes_n4[:, 3], grid_hw[0], input_hw[0])
    inside: NDArray[np.bool_] = rows.T @ columns
    return inside


def _hit(low_n: NDArray[np.float32], high_n: NDArray[np.float32], count: int, length: int) -> NDArray[np.bool_]:
    """(N, count) bool: cell i of an axis of `length` pixels has a sample point in low <= p < high."""
    points = (np.arange(count)[:, None] + _SUBCELLS) * (length / count)
    inside = (points >= low_n[:, None, None]) & (points < high_n[:, None, None])
    return np.asarray(inside.any(axis=2))
