"""The threshold at which a detector is best used: where the F1 of a class is highest; and what the others give."""

from __future__ import annotations

import numpy as np

from taolite.metrics.score import ClassScore, Scores
from taolite.scorecard import Curve, Point, Sweep

__all__ = ["best_point", "best_points", "risen", "sweep", "sweeps"]

_STEP = 0.01  # between the thresholds of a sweep


def best_point(one: ClassScore) -> Point | None:
    """The point with the highest F1, the harmonic mean of precision and recall; of equal ones that with the most
    detections. The threshold lies between the lowest score that it keeps and the next one. None for a class without
    true boxes, or of which none is found."""
    if not one.truths or not one.correct:
        return None
    scores, precision, recall = one.scores_d, one.precision_d, one.recall_d
    ends = np.append(scores[1:] < scores[:-1], True)  # a threshold keeps all detections of a score, or none
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    f1[~ends] = -1.0
    place = int(np.flatnonzero(f1 == f1.max())[-1])
    below = scores[place + 1] if place + 1 < len(scores) else 0.0
    threshold = float((scores[place] + max(below, 0.0)) / 2)
    return Point(threshold, float(precision[place]), float(recall[place]), float(f1[place]))


def best_points(scores: Scores) -> dict[str, Point]:
    """The best point of each class that has one, by name."""
    found = {one.name: best_point(one) for one in scores.classes}
    return {name: point for name, point in found.items() if point is not None}


def sweep(one: ClassScore) -> Sweep:
    """Precision and recall of the finds with a score of `threshold` or more, for the thresholds 0, 0.01, 0.02 ... up to
    the highest score."""
    most = float(one.scores_d[0]) if one.detections else -1.0
    thresholds = np.arange(int(np.floor(most / _STEP + 1e-9)) + 1) / round(1 / _STEP)
    kept = np.searchsorted(-one.scores_d, -thresholds, side="right")  # scores descend
    last = kept[kept > 0] - 1
    return Sweep(
        tuple(thresholds[kept > 0].tolist()), tuple(one.precision_d[last].tolist()), tuple(one.recall_d[last].tolist())
    )


def sweeps(scores: Scores) -> dict[str, Sweep]:
    """The sweep of each class that has true boxes and finds, by name."""
    return {one.name: sweep(one) for one in scores.classes if one.truths and one.detections}


def risen(one: ClassScore) -> Curve:
    """Recall and precision at the finds that are right, where recall rises, and at the last find: what a plot needs of
    a class with very many wrong finds. The best precision at each recall is the same as with all finds."""
    rises = np.diff(one.recall_d, prepend=0.0) > 0
    rises[-1:] = True
    return Curve(tuple(one.recall_d[rises].tolist()), tuple(one.precision_d[rises].tolist()))
