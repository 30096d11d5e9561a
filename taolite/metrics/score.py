"""The score of a model on a data set: the AP of every class, their mean, and the precision-recall curves.

Evaluation prints these numbers, training picks the best epoch by them, and plots draw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.metrics.match import BoxLimits, ClassMatches, Convention, FoundLike, match
from taolite.metrics.precision import Mode, average_precision, precision_recall
from taolite.sample import Truth

__all__ = ["ClassScore", "Scores", "score", "score_matches"]


@dataclass(frozen=True, eq=False)
class ClassScore:
    """One class. average_precision: 0..1. truths: true boxes. correct: true positives. For each of D detections, by
    descending score: its score, and precision and recall (0..1) up to it, each (D,) float64."""

    name: str
    average_precision: float
    truths: int
    correct: int
    scores_d: NDArray[np.float64]
    precision_d: NDArray[np.float64]
    recall_d: NDArray[np.float64]

    @property
    def detections(self) -> int:
        return len(self.scores_d)


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of all classes by one rule (`mode`), in the order of the network's classes."""

    mode: Mode
    classes: tuple[ClassScore, ...]

    @property
    def mean(self) -> float:
        """Mean AP 0..1. A class without true boxes counts as 0 in TAO's modes, as in TAO; AREA leaves it out."""
        counted = [one for one in self.classes if one.truths or self.mode != "AREA"]
        return float(np.mean([one.average_precision for one in counted])) if counted else 0.0

    @property
    def per_class(self) -> Mapping[str, float]:
        """AP 0..1 by class name."""
        return {one.name: one.average_precision for one in self.classes}

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without true boxes in this data set: their AP of 0 says nothing about the model."""
        return tuple(one.name for one in self.classes if not one.truths)

    def to_json(self) -> dict[str, Any]:
        """A JSON value of the scores without the curves, for manifests and `--json`."""
        return {
            "mode": self.mode,
            "mean_average_precision": self.mean,
            "classes": {
                one.name: {
                    "average_precision": one.average_precision,
                    "truths": one.truths,
                    "detections": one.detections,
                    "correct": one.correct,
                }
                for one in self.classes
            },
        }


def score_matches(matches: Sequence[ClassMatches], *, names: Sequence[str], mode: Mode) -> Scores:
    """Score the result of `match`; `names` are the names of the classes, in the same order."""
    classes = []
    for name, one in zip(names, matches, strict=True):
        precision_d, recall_d = precision_recall(one)
        classes.append(
            ClassScore(
                name,
                average_precision(one, mode),
                one.truths,
                int(one.correct_d.sum()),
                one.scores_d,
                precision_d,
                recall_d,
            )
        )
    return Scores(mode, tuple(classes))


def score(
    truths: Sequence[Truth],
    founds: Sequence[FoundLike],
    *,
    names: Sequence[str],
    mode: Mode = "AREA",
    iou_thresholds: Sequence[float] | None = None,
    limits: Sequence[BoxLimits] | None = None,
    convention: Convention | None = None,
) -> Scores:
    """Match and score in one step.

    Args:
        truths: labels, one for each image.
        founds: detections, one for each image, in the same frame.
        names: the classes' names, in the order of their indices.
        mode: the rule, see `taolite.metrics.precision`.
        iou_thresholds: for each class; None is 0.5 for all.
        limits: for each class; None evaluates boxes of every size.
        convention: how IoU is computed; None is "continuous" for AREA and "tao" for TAO's modes.
    """
    matches = match(
        truths,
        founds,
        num_classes=len(names),
        iou_thresholds=[0.5] * len(names) if iou_thresholds is None else iou_thresholds,
        limits=limits,
        convention=convention or ("continuous" if mode == "AREA" else "tao"),
    )
    return score_matches(matches, names=names, mode=mode)
