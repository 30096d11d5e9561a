"""How far two lists of results for the same pictures agree: which results belong together, and how they differ.

Results of one class are paired by their overlap, the largest first, each at most once; a pair needs an IoU of 0.5.
Equal boxes are a pair, also those without an area, which an untrained network finds.
Results without boxes speak of the whole picture, so the same class is a pair. Legend: N results of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from taolite.boxes import iou_matrix
from taolite.metrics.match import FoundLike

__all__ = ["Agreement", "agreement"]

LEAST_IOU = 0.5


@dataclass(frozen=True)
class Agreement:
    """How many results each model gives over all pictures, and how the pairs differ.

    Attributes:
        first, second: numbers of results. agree: number of pairs.
        iou: mean IoU of the pairs; None where results have no boxes, or there is no pair.
        score: mean absolute difference of the scores of a pair; largest_score: the largest; None without a pair.
    """

    first: int
    second: int
    agree: int
    iou: float | None
    score: float | None
    largest_score: float | None


def agreement(firsts: Sequence[FoundLike], seconds: Sequence[FoundLike]) -> Agreement:
    """Compare the results of two models, image by image; boxes of both are in the same frame."""
    overlaps: list[float] = []
    differences: list[float] = []
    boxes = 0
    for first, second in zip(firsts, seconds, strict=True):
        boxes += len(first.boxes_n4) + len(second.boxes_n4)
        for i, j, overlap in _pairs(first, second):
            overlaps.append(overlap)
            differences.append(abs(float(first.scores_n[i]) - float(second.scores_n[j])))
    return Agreement(
        first=sum(len(one.scores_n) for one in firsts),
        second=sum(len(one.scores_n) for one in seconds),
        agree=len(overlaps),
        iou=float(np.mean(overlaps)) if overlaps and boxes else None,
        score=float(np.mean(differences)) if differences else None,
        largest_score=max(differences, default=None),
    )


def _pairs(first: FoundLike, second: FoundLike) -> Iterator[tuple[int, int, float]]:
    """The index of each result of `first` that has a partner, the partner's index in `second`, and their IoU."""
    overlap = np.ones((len(first.scores_n), len(second.scores_n)))
    if len(first.boxes_n4) == len(first.scores_n) and len(second.boxes_n4) == len(second.scores_n):
        equal = (first.boxes_n4[:, None] == second.boxes_n4[None, :]).all(axis=2)
        overlap = np.where(equal, 1.0, iou_matrix(first.boxes_n4, second.boxes_n4))
    overlap = np.where(first.classes_n[:, None] == second.classes_n[None, :], overlap, 0.0)
    while overlap.size and (best := float(overlap.max())) >= LEAST_IOU:
        i, j = (int(at) for at in np.unravel_index(int(overlap.argmax()), overlap.shape))
        yield i, j, best
        overlap[i, :], overlap[:, j] = 0.0, 0.0
