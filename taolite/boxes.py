"""Axis-aligned boxes: the one convention, and arithmetic on it.

A box is a row (x1, y1, x2, y2) in pixels of the image it was drawn on: origin top-left, y down,
edges continuous, so width is x2 - x1 with no + 1. Readers convert on the way in, writers on the
way out, and nothing else converts. Shapes: N boxes, 4 coordinates. NumPy only, for edge devices.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "clip_boxes", "iou_matrix", "iou_pairs", "scale_boxes"]

Boxes: TypeAlias = NDArray[np.float32]


def scale_boxes(boxes_n4: Boxes, *, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Boxes:
    """Carry boxes from one image size to another, e.g. from photo to network input.

    Args:
        boxes_n4: (N, 4) float32, in pixels of an image of size `from_hw`.
        from_hw: (height, width), pixels, of the image the boxes were drawn on.
        to_hw: (height, width), pixels, of the image they are wanted on.

    Returns:
        (N, 4) float32, in pixels of `to_hw`; a new array.

    >>> scale_boxes(np.float32([[0, 0, 1920, 1080]]), from_hw=(1080, 1920), to_hw=(544, 960)).tolist()
    [[0.0, 0.0, 960.0, 544.0]]
    """
    scale_y, scale_x = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    return boxes_n4 * np.array([scale_x, scale_y, scale_x, scale_y], dtype=np.float32)


def clip_boxes(boxes_n4: Boxes, *, hw: tuple[int, int]) -> Boxes:
    """Cut boxes at the edges of an image of size `hw` (height, width); a new (N, 4) float32 array."""
    height, width = hw
    return np.clip(boxes_n4, 0, np.array([width, height, width, height], dtype=np.float32))


def iou_matrix(first_n4: Boxes, second_m4: Boxes, *, plus: float = 0.0, epsilon: float = 0.0) -> NDArray[np.float64]:
    """Intersection over union of every pair.

    Args:
        first_n4: (N, 4) boxes.
        second_m4: (M, 4) boxes, in the same frame.
        plus: added to every width and height; 1 gives the inclusive-pixel convention of PASCAL VOC.
        epsilon: added to the union, as TAO's clustering does; 0 for the plain ratio.

    Returns:
        (N, M) float64; 0 where the union is empty.
    """
    first, second = first_n4.astype(np.float64), second_m4.astype(np.float64)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inter = np.prod(np.clip(high - low + plus, 0, None), axis=2)
    area_n = np.prod(first[:, 2:] - first[:, :2] + plus, axis=1)
    area_m = np.prod(second[:, 2:] - second[:, :2] + plus, axis=1)
    union = area_n[:, None] + area_m[None, :] - inter + epsilon
    overlap: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return overlap


def iou_pairs(first_p4: Boxes, second_p4: Boxes, *, plus: float = 0.0) -> NDArray[np.float64]:
    """Intersection over union of the boxes of P rows, each with the box in the same row; the numbers of `iou_matrix`.

    Args:
        first_p4, second_p4: (P, 4) boxes, in one frame.
        plus: as in `iou_matrix`.

    Returns:
        (P,) float64; 0 where the union is empty.
    """
    first, second = first_p4.astype(np.float64).T, second_p4.astype(np.float64).T
    width = np.clip(np.minimum(first[2], second[2]) - np.maximum(first[0], second[0]) + plus, 0, None)
    height = np.clip(np.minimum(first[3], second[3]) - np.maximum(first[1], second[1]) + plus, 0, None)
    inter = width * height
    area_first = (first[2] - first[0] + plus) * (first[3] - first[1] + plus)
    area_second = (second[2] - second[0] + plus) * (second[3] - second[1] + plus)
    union = area_first + area_second - inter
    overlap: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return overlap
