"""The prior boxes of an SSD, several in every cell of every feature map.

`jetson_levels` gives pytorch-ssd's priors (reference/jetson_workflows.md 4.5 to 4.7), `tao_levels` those of TAO's
`ssd_config` (reference/tao_classification_ssd.md 4.4). `priors` lays out either over the maps of a network. NumPy only.
All values are relative to the network input; map sizes are (rows, columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taolite.tasks.ssd.coding import LEAST_SIDE, centres, corners
from taolite.tasks.ssd.plan import Level, PriorPlan

__all__ = ["jetson_boxes_per_cell", "jetson_levels", "priors", "tao_boxes_per_cell", "tao_levels"]

_LEGACY_SIDE = 300  # pixels; pytorch-ssd has tables for this resolution and computes the others
_MOBILENET = ((16, 60, 105), (32, 105, 150), (64, 150, 195), (100, 195, 240), (150, 240, 285), (300, 285, 330))
_VGG = ((8, 30, 60), (16, 60, 111), (32, 111, 162), (64, 162, 213), (100, 213, 264), (300, 264, 315))
_LADDER = (10, 20, 37, 54, 71, 88, 105)  # % of the side: level i has sizes from entry i to entry i + 1
_RATIOS = ((2, 3),) * 6
_VGG_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
_JETSON_VARIANCES = (0.1, 0.1, 0.2, 0.2)


def priors(plan: PriorPlan, map_sizes: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Every prior of a network, in the order of its outputs: by level, by row, by cell.

    Args:
        plan: has as many levels as there are maps.
        map_sizes: (rows, columns) of each feature map.

    Returns:
        (P, 4) float32: centre x, centre y, width, height. A prior whose centre lies outside the input can be clipped to
        nothing; its sides are then LEAST_SIDE, and no box is matched to it.
    """
    boxes_p4 = np.concatenate([_of_level(level, size) for level, size in zip(plan.levels, map_sizes, strict=True)])
    if plan.clip == "centres":
        boxes_p4 = boxes_p4.clip(0, 1)
    elif plan.clip == "corners":
        boxes_p4 = centres(corners(boxes_p4).clip(0, 1)).astype(np.float64)
        boxes_p4[:, 2:] = boxes_p4[:, 2:].clip(min=LEAST_SIDE)
    return boxes_p4.astype(np.float32)


def jetson_levels(net: str, resolution: int, map_sizes: Sequence[tuple[int, int]]) -> PriorPlan:
    """pytorch-ssd's priors for a square input of `resolution` pixels.

    At 300 pixels they come from the tables that the published weights were trained with; the smallest box is 20 % of
    the side (10 % for vgg16-ssd). At other sizes they are computed from `map_sizes`; the smallest box is 10 %.

    >>> plan = jetson_levels("mb1-ssd", 300, [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)])
    >>> plan.levels[1].boxes[0], round(plan.levels[1].step_yx[0], 4)
    ((0.35, 0.35), 0.1067)
    """
    side = float(resolution)
    if resolution == _LEGACY_SIDE:
        rows: Sequence[tuple[float, float, float]] = _VGG if net == "vgg16-ssd" else _MOBILENET
    else:
        sizes = [side * share / 100 for share in _LADDER]
        steps = [math.ceil(resolution / size_hw[0]) for size_hw in map_sizes]
        rows = list(zip(steps, sizes[:-1], sizes[1:], strict=True))
    levels = [
        Level(_jetson_boxes(least / side, largest / side, ratios), (step / side, step / side))
        for (step, least, largest), ratios in zip(rows, _jetson_ratios(net), strict=True)
    ]
    return PriorPlan(tuple(levels), _JETSON_VARIANCES, clip="centres")


def jetson_boxes_per_cell(net: str) -> tuple[int, ...]:
    """The number of priors in a cell of each map; it is the same at every resolution."""
    return tuple(2 + 2 * len(ratios) for ratios in _jetson_ratios(net))


def tao_levels(
    map_sizes: Sequence[tuple[int, int]],
    *,
    input_hw: tuple[int, int],
    aspect_ratios: Sequence[Sequence[float]],
    scales: Sequence[float],
    two_boxes_for_ar1: bool,
    variances: tuple[float, float, float, float],
    steps: Sequence[tuple[float, float]] | None = None,
    offsets: Sequence[tuple[float, float]] | None = None,
    clip_boxes: bool = False,
) -> PriorPlan:
    """The priors of TAO's `ssd_config`, with L levels.

    Args:
        map_sizes: (rows, columns) of the L maps.
        input_hw: (height, width), pixels; box sizes are fractions of the shorter side.
        aspect_ratios: width / height of the boxes of each level.
        scales: L + 1 scales; the last is for the second box of ratio 1 on the last level.
        two_boxes_for_ar1: ratio 1 is followed by a second box, the geometric mean of this scale and the next.
        variances: of cx, cy, w, h.
        steps: (y, x) pixels from cell to cell of each level; None divides the input size by the map size.
        offsets: (y, x) cells from the map's corner to the first centre of each level; None is 0.5.
        clip_boxes: clip the priors to the input. TAO clips edges beyond the right or bottom to one pixel inside it.
    """
    assert len(scales) == len(map_sizes) + 1, f"{len(scales)} scales for {len(map_sizes)} maps"
    height, width = input_hw
    levels = []
    for index, (rows, columns) in enumerate(map_sizes):
        boxes = _tao_boxes(aspect_ratios[index], scales[index], scales[index + 1], two_boxes_for_ar1)
        side = min(input_hw)
        step_y, step_x = (height / rows, width / columns) if steps is None else steps[index]
        levels.append(
            Level(
                tuple((w * side / width, h * side / height) for w, h in boxes),
                (step_y / height, step_x / width),
                (0.5, 0.5) if offsets is None else offsets[index],
            )
        )
    return PriorPlan(tuple(levels), variances, clip="corners" if clip_boxes else "none")


def tao_boxes_per_cell(aspect_ratios: Sequence[Sequence[float]], *, two_boxes_for_ar1: bool) -> tuple[int, ...]:
    """The number of priors in a cell of each map."""
    return tuple(len(_tao_boxes(ratios, 1.0, 1.0, two_boxes_for_ar1)) for ratios in aspect_ratios)


def _of_level(level: Level, size: tuple[int, int]) -> NDArray[np.float64]:
    """(rows * columns * boxes, 4) priors of one map, unclipped."""
    rows, columns = size
    boxes_b2 = np.array(level.boxes, dtype=np.float64)
    grid = np.empty((rows, columns, len(boxes_b2), 4))
    grid[..., 0] = ((np.arange(columns) + level.offset_yx[1]) * level.step_yx[1])[None, :, None]
    grid[..., 1] = ((np.arange(rows) + level.offset_yx[0]) * level.step_yx[0])[:, None, None]
    grid[..., 2:] = boxes_b2
    return grid.reshape(-1, 4)


def _jetson_ratios(net: str) -> tuple[tuple[int, ...], ...]:
    return _VGG_RATIOS if net == "vgg16-ssd" else _RATIOS


def _jetson_boxes(least: float, largest: float, ratios: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """Two squares, then each aspect ratio as a wide and a tall box, relative (reference/jetson_workflows.md 4.7)."""
    middle = math.sqrt(least * largest)
    lying = [(least * math.sqrt(ratio), least / math.sqrt(ratio)) for ratio in ratios]
    return ((least, least), (middle, middle), *(box for w, h in lying for box in ((w, h), (h, w))))


def _tao_boxes(ratios: Sequence[float], scale: float, following: float, two_for_one: bool) -> list[tuple[float, float]]:
    """(width, height) as fractions of the shorter side."""
    boxes = []
    for ratio in ratios:
        boxes.append((scale * math.sqrt(ratio), scale / math.sqrt(ratio)))
        if ratio == 1 and two_for_one:
            middle = math.sqrt(scale * following)
            boxes.append((middle, middle))
    return boxes
