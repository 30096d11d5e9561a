"""What a detector takes for what: its confusion matrix with the background, and the mistakes in each picture.

Finds below the threshold of their class are left out. In each picture, pairs of a true box and a find are taken in the
order of their IoU, the greatest first, whatever their classes, as long as the IoU is 0.5 or more; each box and each
find is in one pair at most. A pair counts in the row of its true class and the column of its predicted class. A true
box without a find is taken for background (last column), and a find without a true box is background that was taken for
an object (last row). Boxes are continuous (`taolite.boxes`).

This is the matrix of YOLOv5 and Ultralytics (`ConfusionMatrix.process_batch`, after Kaan Akan's
object_detection_confusion_matrix), with three differences: rows are true classes, as everywhere here; a find whose best
box went to a better one may take its second choice; and a difficult box counts neither way, nor does what finds it.

Legend: N pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import iou_matrix
from taolite.metrics.match import FoundLike
from taolite.sample import Truth
from taolite.scorecard import Tally

__all__ = ["Confusion", "Pairs", "confuse", "pair"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """counts_kk: (K + 1, K + 1) int64, objects by true class (rows) and predicted class (columns), the background last;
    the last cell is 0. pictures: for each of the N pictures, what was right."""

    counts_kk: NDArray[np.int64]
    pictures: tuple[Tally, ...]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of one picture. kept_f: indices of the F finds that reach the threshold of their class, in the order of
    the finds. find_of: index of a true box -> place of its find in `kept_f`."""

    kept_f: NDArray[np.int64]
    find_of: Mapping[int, int]


def confuse(
    truths: Sequence[Truth], founds: Sequence[FoundLike], *, thresholds: Sequence[float], least_iou: float = 0.5
) -> Confusion:
    """Compare the finds of N pictures with their labels.

    Args:
        truths: labels, one for each picture.
        founds: detections, one for each picture in the same order and frame.
        thresholds: for each of the K classes, the least score of a find that counts.
        least_iou: of a pair.
    """
    classes = len(thresholds)
    total = np.zeros((classes + 1, classes + 1), np.int64)
    pictures = []
    for truth, found in zip(truths, founds, strict=True):
        counts = _of_picture(truth, found, np.asarray(thresholds, np.float64), least_iou)
        total += counts
        right = int(np.trace(counts))
        pictures.append(Tally(right, int(counts[:, :classes].sum()), int(counts[:classes].sum())))
    return Confusion(total, tuple(pictures))


def pair(truth: Truth, found: FoundLike, *, thresholds_k: NDArray[np.float64], least_iou: float = 0.5) -> Pairs:
    """Which find belongs to which true box of a picture, whatever their classes.

    Args:
        truth, found: labels and detections, in one frame.
        thresholds_k: (K,) for each class, the least score of a find that counts.
        least_iou: of a pair.
    """
    kept = np.flatnonzero(np.asarray(found.scores_n) >= thresholds_k[found.classes_n])
    iou_tf = iou_matrix(truth.boxes_n4, found.boxes_n4[kept])
    near = np.argwhere(iou_tf >= least_iou)
    order = np.argsort(-iou_tf[near[:, 0], near[:, 1]], kind="stable")
    find_of: dict[int, int] = {}
    taken: set[int] = set()
    for box, find in near[order].tolist():
        if box not in find_of and find not in taken:
            find_of[box] = find
            taken.add(find)
    return Pairs(kept, find_of)


def _of_picture(
    truth: Truth, found: FoundLike, thresholds_k: NDArray[np.float64], least_iou: float
) -> NDArray[np.int64]:
    """(K + 1, K + 1) counts of one picture."""
    background = len(thresholds_k)
    counts = np.zeros((background + 1, background + 1), np.int64)
    pairs = pair(truth, found, thresholds_k=thresholds_k, least_iou=least_iou)
    kept, find_of, taken = pairs.kept_f, pairs.find_of, set(pairs.find_of.values())
    difficult = np.zeros(len(truth.classes_n), bool) if truth.difficult_n is None else truth.difficult_n
    predicted = np.asarray(found.classes_n)[kept]
    for box, true_class in enumerate(truth.classes_n.tolist()):
        if not difficult[box]:
            counts[true_class, predicted[find_of[box]] if box in find_of else background] += 1
    iou_tf = iou_matrix(truth.boxes_n4, found.boxes_n4[kept])
    excused = np.any(iou_tf[difficult] >= least_iou, axis=0, keepdims=True)[0]
    for find, predicted_class in enumerate(predicted.tolist()):
        if find not in taken and not excused[find]:
            counts[background, predicted_class] += 1
    return counts
