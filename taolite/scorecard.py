"""How good a model is, as values that events, stages and tasks meet on: fractions 0..1 throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ACCURACY", "AP", "BACKGROUND", "Curve", "Metric", "Point", "ScoreCard", "Sweep", "Tally", "Words"]
_USUAL_THRESHOLD = 0.5


@dataclass(frozen=True)
class Words:
    """What a metric is called: in tables and curves, in status.json, above the printed table, and of one class."""

    short: str
    long: str
    heading: str
    of_class: str
    of_class_long: str


AP = Words("mAP", "mean average precision", "Mean average_precision", "AP", "average precision")
ACCURACY = Words("accuracy", "accuracy", "Accuracy", "class_accuracy", "accuracy")
BACKGROUND = "background"
"""What a detector's confusion matrix calls the place without an object."""


@dataclass(frozen=True)
class Metric:
    """One figure, and the same of every class in the order of the classes."""

    words: Words
    value: float
    per_class: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """Recall and precision of a class after each of its finds, best first."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """What a threshold on the score gives: precision, recall and F1."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Sweep:
    """What a class's finds are at thresholds on the score, ascending: their precision and recall. Thresholds above
    every score are left out, because nothing has no precision."""

    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]

    @property
    def f1(self) -> tuple[float, ...]:
        """The harmonic mean of precision and recall at each threshold; 0 where both are 0."""
        pairs = zip(self.precision, self.recall, strict=True)
        return tuple(2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs)


@dataclass(frozen=True)
class Tally:
    """What was right in a picture: `right` finds of `finds`, for `objects` that are labelled."""

    right: int
    finds: int
    objects: int

    @property
    def f1(self) -> float:
        """2 right / (finds + objects); 1 for an empty picture in which nothing is found."""
        both = self.finds + self.objects
        return 2 * self.right / both if both else 1.0

    @property
    def mistakes(self) -> int:
        """Wrong finds and missed objects; an object taken for one of another class is both."""
        return self.finds + self.objects - 2 * self.right


@dataclass(frozen=True)
class ScoreCard:
    """One evaluation.

    Attributes:
        main: the task's own metric, by which the best weights are chosen.
        beside: others, by name.
        objects: how many labelled objects each class has.
        images: how many were looked at.
        confusion: (K, K) counts, truth by row, for tasks that answer with one class; else empty. A detector's has one
            row and column more, the background (`taolite.metrics.confusion`), and counts finds at the best threshold.
        curves: those behind the main metric by class, for tasks that draw them.
        best: of a detector, each class's point with the highest F1 at an IoU of 0.5; none for a class without one.
        sweeps: of a detector, what each class's finds are at an IoU of 0.5 over the threshold on their score.
        by_size: of a detector, COCO's AP of small, medium and large objects, in pixels of the photo; sizes without
            objects are left out, and all are where COCO's library is not installed.
        pictures: of a detector, what was right in each picture at the best threshold, in the order of the pictures.
    """

    main: Metric
    beside: Mapping[str, Metric]
    objects: Mapping[str, int]
    images: int
    confusion: tuple[tuple[int, ...], ...] = field(default=())
    curves: Mapping[str, Curve] = field(default_factory=dict)
    best: Mapping[str, Point] = field(default_factory=dict)
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    by_size: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[Tally, ...] = field(default=())

    def threshold(self, name: str) -> float:
        """The least score at which a class's finds are counted: its best threshold; 0.5 where it has none."""
        return self.best[name].threshold if name in self.best else _USUAL_THRESHOLD
