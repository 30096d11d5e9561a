"""Boxes -> training targets for each cell (reference 5.4 and 6).

The network's grid has h x w cells of equal size that together cover the input; K classes. Each class has its own
planes. `cov`: the share of the cell that a (shrunken, elliptic) object covers. `bbox`: the distances from the cell's
reference point to the left, top, right, bottom edges, divided by `scale`. `norm`: the weight of the bbox cost.
NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes

__all__ = ["Ellipse", "Raster", "Targets", "rasterize"]

_SUBCELLS = (np.arange(4) + 0.5) / 4  # 4 x 4 sample points per cell
_LEAST_RADIUS = 0.1  # cells


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
    stride_hw = input_hw[0] / grid_hw[0], input_hw[1] / grid_hw[1]
    cov = np.zeros((count, *grid_hw), np.float32)
    norm = np.zeros((count, *grid_hw), np.float32)
    bbox = np.zeros((count, 4, *grid_hw), np.float32)
    for index in np.argsort(boxes_n4[:, 3], kind="stable"):
        kind = int(classes_n[index])
        box = boxes_n4[index].astype(np.float64)
        _draw(box, raster.ellipses[kind], raster, stride_hw, cov[kind], bbox[kind], norm[kind])
    return Targets(cov, bbox, norm)


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


def _draw(
    box: NDArray[np.float64],
    ellipse: Ellipse,
    raster: Raster,
    stride_hw: tuple[float, float],
    cov_hw: NDArray[np.float32],
    bbox_4hw: NDArray[np.float32],
    norm_hw: NDArray[np.float32],
) -> None:
    """Draw one box onto the planes of its class, in place; only the cells its deadzone can reach are touched."""
    stride_y, stride_x = stride_hw
    in_cells = (box / (stride_x, stride_y, stride_x, stride_y)).tolist()
    cx, cy, cov_x, cov_y, dead_x, dead_y = semi_axes(in_cells, ellipse, raster.deadzone_radius)
    height, width = cov_hw.shape
    left, right = max(math.floor(cx - dead_x), 0), min(math.ceil(cx + dead_x), width)
    top, bottom = max(math.floor(cy - dead_y), 0), min(math.ceil(cy + dead_y), height)
    if left >= right or top >= bottom:
        return
    columns, rows = np.arange(left, right), np.arange(top, bottom)
    covered = _share_inside(columns, rows, (cx, cy), (cov_x, cov_y))
    dead = _share_inside(columns, rows, (cx, cy), (dead_x, dead_y))
    window = np.s_[top:bottom, left:right]
    cov, bbox, norm = cov_hw[window], bbox_4hw[:, top:bottom, left:right], norm_hw[window]

    erased = (dead > 0) & (dead >= cov)
    cov[erased] = 0
    norm[erased] = 0
    bbox[:, erased] = 0

    drawn = (covered > 0) & (covered >= cov)
    gx = (columns * stride_x + raster.offset)[None, :]
    gy = (rows * stride_y + raster.offset)[:, None]
    x1, y1, x2, y2 = box
    distances = np.broadcast_arrays(gx - x1, gy - y1, x2 - gx, y2 - gy)
    cov[drawn] = covered[drawn]
    norm[drawn] = covered[drawn] / max(4 * cov_x * cov_y, 1.0)
    bbox[:, drawn] = np.stack(distances)[:, drawn] / raster.scale


def _share_inside(
    columns: NDArray[np.int64], rows: NDArray[np.int64], centre: tuple[float, float], semi: tuple[float, float]
) -> NDArray[np.float32]:
    """(rows, columns): the share of each cell's 16 sample points strictly inside the ellipse, a multiple of 1/16."""
    dx = ((columns[:, None] + _SUBCELLS - centre[0]) / semi[0]) ** 2
    dy = ((rows[:, None] + _SUBCELLS - centre[1]) / semi[1]) ** 2
    inside = dy[:, None, :, None] + dx[None, :, None, :] < 1
    share: NDArray[np.float32] = inside.mean(axis=(2, 3), dtype=np.float32)
    return share
