"""Average precision: one number for a curve of precision over recall, by three rules (reference/detectnet_v2.md 8.6).

    SAMPLE     TAO's default and VOC 2007's: the mean of the best precision at recall >= 0, 0.1, ... 1
    INTEGRATE  TAO's own: the area between the first and the last recall reached, each step at its left precision and
               blind to the last recall; N perfect detections of N objects score (N - 1) / N, a lone one scores 0
    AREA       the whole area under the curve made monotonic, VOC 2010's and what papers call AP@0.5

A run reports TAO's number, so that it compares with TAO's logs, and AREA beside it, so that it compares with the
rest of the world. Legend: D detections of one class, by descending score.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.metrics.match import ClassMatches

__all__ = ["Mode", "average_precision", "precision_recall"]

Mode: TypeAlias = Literal["SAMPLE", "INTEGRATE", "AREA"]


def precision_recall(matches: ClassMatches) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(D,) precision and (D,) recall, 0..1, after each detection; recall is 0 where there is nothing to find."""
    right = np.cumsum(matches.correct_d, dtype=np.float64)
    return right / np.arange(1, len(right) + 1), right / max(matches.truths, 1)


def average_precision(matches: ClassMatches, mode: Mode) -> float:
    """Average precision 0..1 of one class; 0 where there is nothing to find or nothing was found."""
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
    """Eleven points. Recall ascends, so the first entry at or after a point holds the best precision from there.

    The points are quotients, as recalls are: 3 of 10 found reaches 0.3, which 3 * 0.1 would miss by a rounding.
    """
    first = np.searchsorted(recall_d, np.arange(11) / 10, side="left")
    reached = first[first < len(best_d)]
    return float(best_d[reached].sum() / 11)


def _integrated(precision_d: NDArray[np.float64], recall_d: NDArray[np.float64]) -> float:
    """TAO's INTEGRATE, with its three losses: left of the first recall, the last recall, and left precisions."""
    levels, starts = np.unique(recall_d, return_index=True)  # entries of one recall stand together
    seen = precision_d[: starts[-1]]  # without the entries at the last recall
    best = np.maximum.accumulate(seen[::-1])[::-1]
    return float(np.sum(np.diff(levels) * best[starts[:-1]]))
