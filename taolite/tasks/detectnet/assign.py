"""Boxes -> which cells learn which object, for the cost of `taolite { loss { ... } }`.

A cell learns an object where its centre lies in the object's ellipse (`bbox_rasterizer_config`), and every object has
at least the cell of its centre. Of two objects of a class on one cell, the smaller wins. Shapes and units as in
`targets`; `cov` and `norm` are 1 on an object's cells and 0 elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.tasks.detectnet.targets import Raster, Targets, semi_axes

__all__ = ["assign"]


def assign(
    boxes_n4: Boxes,
    classes_n: NDArray[np.integer[Any]],
    *,
    raster: Raster,
    input_hw: tuple[int, int],
    grid_hw: tuple[int, int],
    smaller_wins: bool = True,
) -> Targets:
    """Assign cells to boxes; see `targets.rasterize` for the arguments. Without `smaller_wins` the lower box wins."""
    count, (rows, columns) = len(raster.ellipses), grid_hw
    stride_y, stride_x = input_hw[0] / rows, input_hw[1] / columns
    cov = np.zeros((count, rows, columns), np.float32)
    bbox = np.zeros((count, 4, rows, columns), np.float32)
    sides = boxes_n4[:, 2:] - boxes_n4[:, :2]
    order = np.argsort(-np.prod(sides, axis=1) if smaller_wins else boxes_n4[:, 3], kind="stable")
    for index in order:
        kind, box = int(classes_n[index]), boxes_n4[index].astype(np.float64)
        in_cells = (box / (stride_x, stride_y, stride_x, stride_y)).tolist()
        cx, cy, radius_x, radius_y, *_ = semi_axes(in_cells, raster.ellipses[kind], 0.0)
        left, right = max(math.floor(cx - radius_x), 0), min(math.ceil(cx + radius_x), columns)
        top, bottom = max(math.floor(cy - radius_y), 0), min(math.ceil(cy + radius_y), rows)
        if left >= right or top >= bottom:
            continue
        x, y = np.arange(left, right), np.arange(top, bottom)
        inside = ((x + 0.5 - cx) / radius_x)[None, :] ** 2 + ((y + 0.5 - cy) / radius_y)[:, None] ** 2 <= 1
        inside[min(max(math.floor(cy), top), bottom - 1) - top, min(max(math.floor(cx), left), right - 1) - left] = True
        gx, gy = (x * stride_x + raster.offset)[None, :], (y * stride_y + raster.offset)[:, None]
        distances = np.stack(np.broadcast_arrays(gx - box[0], gy - box[1], box[2] - gx, box[3] - gy))
        cov[kind, top:bottom, left:right][inside] = 1
        bbox[kind, :, top:bottom, left:right][:, inside] = distances[:, inside] / raster.scale
    return Targets(cov, bbox, cov.copy())
