"""How good a model is, as values that events, stages and tasks meet on: fractions 0..1 throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ACCURACY", "AP", "Curve", "Metric", "Point", "ScoreCard", "Words"]


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
class ScoreCard:
    """One evaluation.

    Attributes:
        main: the task's own metric, by which the best weights are chosen.
        beside: others, by name.
        objects: how many labelled objects each class has.
        images: how many were looked at.
        confusion: (K, K) counts, truth by row, for tasks that answer with one class; else empty.
        curves: those behind the main metric by class, for tasks that draw them.
        best: of a detector, each class's point with the highest F1 at an IoU of 0.5; none for a class without one.
    """

    main: Metric
    beside: Mapping[str, Metric]
    objects: Mapping[str, int]
    images: int
    confusion: tuple[tuple[int, ...], ...] = field(default=())
    curves: Mapping[str, Curve] = field(default_factory=dict)
    best: Mapping[str, Point] = field(default_factory=dict)
