"""Boxes -> training targets for each cell (reference 5.4 and 6).

The network's grid has h x w cells of equal size that together cover the input; K classes. Each class has its own
planes. `cov`: the share of the cell that a (shrunken, elliptic) object covers. `bbox`: the distances from the cell's
reference point to the left, top, right, bottom edges, divided by `scale`. `norm`: the weight of the bbox cost.
NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes

__all__ = ["Ellipse", "Raster", "Targets", "rasterize"]

_SUBCELLS = (np.arange(4) + 0.5) / 4  # 4 x 4 sample points per cell
_LEAST_RADIUS = 0.1  # cells
_MOST_CELLS = 1 << 14  # of boxes drawn at once; bounds the memory
_NOBODY = -2  # the owner of a cell that was erased


@dataclass(frozen=True)
class Ellipse:
    """`bbox_rasterizer_config` of one class: centre and radii as fractions of the box, least radius in cells."""

    cov_center_x: float
    cov_center_y: float
    cov_radius_x: float
    cov_radius_y: float
    bbox_min_radius: float


@dataclass(frozen=True)
class Raster:
    """The rasteriser settings: one ellipse per class, the shared deadzone (0..1), and the encoding of distances."""

    ellipses: tuple[Ellipse, ...]
    deadzone_radius: float
    scale: float = 35.0  # input pixels per unit of distance
    offset: float = 0.5  # input pixels from a cell's top-left corner to its reference point


@dataclass(frozen=True)
class Targets:
    """cov (K, h, w) in 0..1, bbox (K, 4, h, w) in units of `scale` pixels, norm (K, h, w); float32."""

    cov: NDArray[np.float32]
    bbox: NDArray[np.float32]
    norm: NDArray[np.float32]


def rasterize(
    boxes_n4: Boxes,
    classes_n: NDArray[np.integer[Any]],
    *,
    raster: Raster,
    input_hw: tuple[int, int],
    grid_hw: tuple[int, int],
) -> Targets:
    """Draw every box on the planes of its class, lower boxes (greater y2) over higher ones.

    Args:
        boxes_n4: (N, 4) in input pixels; boxes may extend beyond the image.
        classes_n: (N,) index of each box's class, 0 <= class < K.
        raster: the spec's rasteriser settings.
        input_hw: (height, width) of the network input, pixels.
        grid_hw: (rows, columns) of the network's outputs; a cell has input_hw / grid_hw pixels, as in decoding.
    """
    count = len(raster.ellipses)
    targets = Targets(
        np.zeros((count, *grid_hw), np.float32),
        np.zeros((count, 4, *grid_hw), np.float32),
        np.zeros((count, *grid_hw), np.float32),
    )
    stride_hw = input_hw[0] / grid_hw[0], input_hw[1] / grid_hw[1]
    order = np.argsort(boxes_n4[:, 3], kind="stable")
    areas = _areas(boxes_n4[order].astype(np.float64), classes_n[order], raster, stride_hw, grid_hw)
    ends = np.cumsum(areas.cells_n)
    start = 0
    while start < len(ends):  # as many boxes at once as have a number of cells, at least one
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + _MOST_CELLS, side="right")), start + 1)
        _draw(areas.only(slice(start, stop)), raster, stride_hw, targets)
        start = stop
    return targets


def semi_axes(
    box_cells: Sequence[float], ellipse: Ellipse, deadzone_radius: float
) -> tuple[float, float, float, float, float, float]:
    """Centre and semi-axes of a box in cells: cx, cy, coverage x and y, deadzone x and y (reference 6)."""
    x1, y1, x2, y2 = box_cells
    cx = x1 + ellipse.cov_center_x * (x2 - x1)
    cy = y1 + ellipse.cov_center_y * (y2 - y1)
    half_x = cx - x1 if ellipse.cov_center_x < 0.5 else x2 - cx
    half_y = cy - y1 if ellipse.cov_center_y < 0.5 else y2 - cy
    cov_x = max(ellipse.cov_radius_x * half_x, _LEAST_RADIUS)
    cov_y = max(ellipse.cov_radius_y * half_y, _LEAST_RADIUS)
    least = ellipse.bbox_min_radius
    if cov_x < least:
        cov_x, cov_y = least, least * cov_y / cov_x
    if cov_y < least:
        cov_x, cov_y = least * cov_x / cov_y, least
    dead_x = max((1 - deadzone_radius) * cov_x + deadzone_radius * half_x, cov_x)
    dead_y = max((1 - deadzone_radius) * cov_y + deadzone_radius * half_y, cov_y)
    return cx, cy, cov_x, cov_y, dead_x, dead_y


@dataclass(frozen=True, eq=False)
class _Areas:
    """N boxes in the order in which they are drawn. boxes_n4: in input pixels. centres_n2, coverage_n2, deadzone_n2:
    the centre and the semi-axes (x, y) in cells. corners_n2, sides_n2: the cells that the deadzone can reach, from
    column and row, as many columns and rows. kinds_n: classes. float64 and int64."""

    boxes_n4: NDArray[np.float64]
    kinds_n: NDArray[np.int64]
    centres_n2: NDArray[np.float64]
    coverage_n2: NDArray[np.float64]
    deadzone_n2: NDArray[np.float64]
    corners_n2: NDArray[np.int64]
    sides_n2: NDArray[np.int64]

    @property
    def cells_n(self) -> NDArray[np.int64]:
        """(N,) how many cells each box can reach."""
        return np.asarray(self.sides_n2.prod(axis=1))

    def only(self, rows: slice) -> _Areas:
        return _Areas(*(getattr(self, one.name)[rows] for one in fields(self)))


def _areas(
    boxes_n4: NDArray[np.float64],
    kinds_n: NDArray[np.integer[Any]],
    raster: Raster,
    stride_hw: tuple[float, float],
    grid_hw: tuple[int, int],
) -> _Areas:
    in_cells = boxes_n4 / (stride_hw[1], stride_hw[0], stride_hw[1], stride_hw[0])
    kinds = kinds_n.tolist()
    axes = [
        semi_axes(box, raster.ellipses[kind], raster.deadzone_radius)
        for box, kind in zip(in_cells.tolist(), kinds, strict=True)
    ]
    centres, coverage, deadzone = np.array(axes, np.float64).reshape(-1, 3, 2).transpose(1, 0, 2)
    size = (grid_hw[1], grid_hw[0])
    low = np.clip(np.floor(centres - deadzone), 0, size).astype(np.int64)
    high = np.clip(np.ceil(centres + deadzone), 0, size).astype(np.int64)
    return _Areas(boxes_n4, np.array(kinds, np.int64), centres, coverage, deadzone, low, np.maximum(high - low, 0))


def _draw(areas: _Areas, raster: Raster, stride_hw: tuple[float, float], targets: Targets) -> None:
    """Draw boxes onto the planes of their classes, in place.

    P is the number of pairs of a box and a cell that it can reach. A cell sees its boxes one after another, and all
    cells see their first, then all their second, ... at once: as often as boxes lie on one another.
    """
    boxes, columns, rows = _cells(areas)
    covered = _share_inside(columns, rows, areas.centres_n2[boxes], areas.coverage_n2[boxes])
    dead = _share_inside(columns, rows, areas.centres_n2[boxes], areas.deadzone_n2[boxes])
    height, width = targets.cov.shape[1:]
    cell = (areas.kinds_n[boxes] * height + rows) * width + columns
    order = np.argsort(cell, kind="stable")
    turn = np.empty(len(cell), np.int64)
    turn[order] = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order], side="left")
    cov, norm = targets.cov.reshape(-1), targets.norm.reshape(-1)
    owner = np.full(len(cov), -1)  # the pair that is drawn last on a cell
    for number in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == number)
        at = cell[now]
        erased = (dead[now] > 0) & (dead[now] >= cov[at])
        cov[at[erased]], owner[at[erased]] = 0, _NOBODY
        drawn = (covered[now] > 0) & (covered[now] >= cov[at])
        cov[at[drawn]], owner[at[drawn]] = covered[now[drawn]], now[drawn]
    bbox = targets.bbox.reshape(len(targets.bbox), 4, -1)
    kind, place = np.divmod(np.flatnonzero(owner == _NOBODY), height * width)
    norm[owner == _NOBODY] = 0
    bbox[kind, :, place] = 0
    at = np.flatnonzero(owner >= 0)
    pair = owner[at]
    box = boxes[pair]
    sizes = np.maximum(4 * areas.coverage_n2[:, 0] * areas.coverage_n2[:, 1], 1.0).astype(np.float32)
    norm[at] = covered[pair] / sizes[box]
    gx, gy = columns[pair] * stride_hw[1] + raster.offset, rows[pair] * stride_hw[0] + raster.offset
    x1, y1, x2, y2 = areas.boxes_n4[box].T
    kind, place = np.divmod(at, height * width)
    bbox[kind, :, place] = np.stack([gx - x1, gy - y1, x2 - gx, y2 - gy], axis=1) / raster.scale


def _cells(areas: _Areas) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(P,) box, column and row of every pair of a box and a cell that it can reach."""
    counts = areas.cells_n
    boxes = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(boxes)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(place, areas.sides_n2[boxes, 0])
    return boxes, areas.corners_n2[boxes, 0] + column, areas.corners_n2[boxes, 1] + row


def _share_inside(
    columns_p: NDArray[np.int64],
    rows_p: NDArray[np.int64],
    centres_p2: NDArray[np.float64],
    semi_p2: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(P,): the share of each cell's 16 sample points strictly inside its ellipse, a multiple of 1/16."""
    dx = ((columns_p[:, None] + _SUBCELLS - centres_p2[:, :1]) / semi_p2[:, :1]) ** 2
    dy = ((rows_p[:, None] + _SUBCELLS - centres_p2[:, 1:]) / semi_p2[:, 1:]) ** 2
    inside = dy[:, :, None] + dx[:, None, :] < 1
    return np.asarray(np.count_nonzero(inside, axis=(1, 2)) / np.float32(16), np.float32)
