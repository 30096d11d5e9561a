"""The threshold at which a detector is best used: where the F1 of a class is highest."""

from __future__ import annotations

import numpy as np

from taolite.metrics.score import ClassScore, Scores
from taolite.scorecard import Point

__all__ = ["best_point", "best_points"]


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
