"""Non-maximum suppression: of many boxes on one object, the best. NumPy only, for edge devices.

Boxes are (N, 4) corners, continuous edges, all of one class and frame; `plus` is added to every width and height
where an older rule counts pixels with both ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes

__all__ = ["nms", "overlaps", "soft_nms"]

_HEAD = 256  # candidates settled at once before the rest is cleared


def nms(
    boxes_n4: Boxes, scores_n: NDArray[np.floating[Any]], *, iou_threshold: float, plus: float = 0.0
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression; `plus` 1 gives the inclusive-pixel areas of PASCAL VOC.

    Args:
        boxes_n4: (N, 4) boxes of one class.
        scores_n: (N,) scores; of equal ones the first given wins.
        iou_threshold: a box is dropped where its IoU with a kept, better one is greater than this.

    Returns:
        (M,) int64 indices of the kept boxes, by descending score.
    """
    boxes = np.asarray(boxes_n4, dtype=np.float64)
    rest = np.argsort(-np.asarray(scores_n, dtype=np.float64), kind="stable")
    kept: list[NDArray[np.int64]] = []
    while rest.size:
        head, rest = rest[:_HEAD], rest[_HEAD:]
        over = overlaps(boxes[head], boxes[head], plus=plus) > iou_threshold
        alive = np.ones(len(head), dtype=np.bool_)
        for row in range(len(head)):
            if alive[row]:
                alive[row + 1 :] &= ~over[row, row + 1 :]
        best = head[alive]
        kept.append(best)
        rest = rest[~(overlaps(boxes[best], boxes[rest], plus=plus) > iou_threshold).any(axis=0)]
    return np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)


def soft_nms(
    boxes_n4: Boxes, scores_n: NDArray[np.floating[Any]], *, sigma: float, score_threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gaussian soft-NMS (arXiv 1704.04503): what overlaps a better box is not dropped but loses score, by a factor of
    exp(-IoU ** 2 / sigma) for each.

    Returns:
        (M,) indices of the kept boxes and (M,) the scores left to them, descending; boxes at or below
        `score_threshold` are dropped on the way.
    """
    boxes, scores = np.asarray(boxes_n4, np.float64), np.array(scores_n, np.float64)
    rest = np.flatnonzero(scores > score_threshold)
    kept: list[int] = []
    while rest.size:
        place = scores[rest].argmax()
        best, rest = rest[place], np.delete(rest, place)
        kept.append(best)
        scores[rest] *= np.exp(-(overlaps(boxes[[best]], boxes[rest])[0] ** 2) / sigma)
        rest = rest[scores[rest] > score_threshold]
    indices = np.array(kept, np.int64)
    return indices, scores[indices]


def overlaps(
    first: NDArray[np.float64], second: NDArray[np.float64], *, plus: float = 0.0, epsilon: float = 0.0
) -> NDArray[np.float64]:
    """(N, M) IoU; the same numbers as `taolite.boxes.iou_matrix`, several times as fast: column by column, in place."""
    width = np.minimum(first[:, None, 2], second[None, :, 2])
    width -= np.maximum(first[:, None, 0], second[None, :, 0])
    width += plus
    np.maximum(width, 0.0, out=width)
    inter = np.minimum(first[:, None, 3], second[None, :, 3])
    inter -= np.maximum(first[:, None, 1], second[None, :, 1])
    inter += plus
    np.maximum(inter, 0.0, out=inter)
    inter *= width
    area_n = (first[:, 2] - first[:, 0] + plus) * (first[:, 3] - first[:, 1] + plus)
    area_m = (second[:, 2] - second[:, 0] + plus) * (second[:, 3] - second[:, 1] + plus)
    union = np.add(area_n[:, None], area_m[None, :], out=width)
    union -= inter
    union += epsilon
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
