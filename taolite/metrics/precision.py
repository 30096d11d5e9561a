"""Average precision: one number for a curve of precision over recall, by three rules (reference/detectnet_v2.md 8.6).

    SAMPLE     TAO's default and VOC 2007's: the mean of the best precision at recall >= 0, 0.1, ... 1
    INTEGRATE  TAO's own: the area between the first and the last recall, each step with its left precision, the step at
               the last recall left out; N perfect detections of N objects score (N - 1) / N, a single one scores 0
    AREA       the whole area under the monotonic curve: VOC 2010's, and AP@0.5 in papers

A run reports TAO's number, to compare with TAO's logs, and AREA, to compare with published results. Legend: D
detections of one class, by descending score.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.metrics.match import ClassMatches

__all__ = ["Mode", "average_precision", "precision_recall"]

Mode: TypeAlias = Literal["SAMPLE", "INTEGRATE", "AREA"]


def precision_recall(matches: ClassMatches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(D,) precision and (D,) recall, 0..1, after each detection; recall is 0 where there are no true boxes."""
    right = np.cumsum(matches.correct_d, dtype=np.float64)
    return right / np.arange(1, len(right) + 1), right / max(matches.truths, 1)


def average_precision(matches: ClassMatches, mode: Mode) -> float:
    """Average precision 0..1 of one class; 0 without true boxes or without detections."""
    if matches.truths == 0 or len(matches.scores_d) == 0:
        return 0.0
    precision_d, recall_d = precision_recall(matches)
    best_d = np.maximum.accumulate(precision_d[::-1])[::-1]  # the best precision at this recall or a greater one
    if mode == "SAMPLE":
        return _sampled(best_d, recall_d)
    if mode == "INTEGRATE":
        return _integrated(precision_d, recall_d)
    steps = np.diff(recall_d, prepend=0.0)
    return float(np.sum(steps * best_d))


def _sampled(best_d: NDArray[np.float64], recall_d: NDArray[np.float64]) -> float:
    """The eleven-point rule. Recall ascends, so the first entry at or after a point has the best precision from there.

    The points are quotients, as recalls are: 3 found of 10 is 0.3, and 3 * 0.1 is slightly more than that.
    """
    first = np.searchsorted(recall_d, np.arange(11) / 10, side="left")
    reached = first[first < len(best_d)]
    return float(best_d[reached].sum() / 11)


def _integrated(precision_d: NDArray[np.float64], recall_d: NDArray[np.float64]) -> float:
    """TAO's INTEGRATE, which leaves out the area before the first recall and that at the last recall."""
    levels, starts = np.unique(recall_d, return_index=True)  # entries of one recall are next to each other
    seen = precision_d[: starts[-1]]  # without the entries at the last recall
    best = np.maximum.accumulate(seen[::-1])[::-1]
    return float(np.sum(np.diff(levels) * best[starts[:-1]]))
