"""Scores of classifiers: one class a picture, or several tags.

Legend: N pictures, K classes. All scores are fractions 0..1. A quotient 0 / 0 (a class without pictures, or one that is
never predicted) counts as 0, as in scikit-learn. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassificationScores", "TagScores", "classification_report", "score_classes", "score_tags"]

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationScores:
    """How N pictures were classified. names: of the K classes. confusion_kk: (K, K) int64, counts of pictures by true
    class (rows) and predicted class (columns). top_k: for each k, the share of pictures whose true class is among the k
    with the highest scores."""

    names: tuple[str, ...]
    confusion_kk: Counts
    top_k: Mapping[int, float]

    @property
    def pictures(self) -> int:
        """N, the number of pictures."""
        return int(self.confusion_kk.sum())

    @property
    def accuracy(self) -> float:
        """Share of the pictures whose predicted class is the true one."""
        return float(np.trace(self.confusion_kk) / max(self.pictures, 1))

    @property
    def support_k(self) -> Counts:
        """(K,) int64, pictures of each true class."""
        return np.asarray(self.confusion_kk.sum(axis=1))

    @cached_property
    def recall_k(self) -> Shares:
        """(K,) for each true class, the share of its pictures that are predicted right: the accuracy of the class."""
        return _share(np.diag(self.confusion_kk), self.support_k)

    @cached_property
    def precision_k(self) -> Shares:
        """(K,) for each predicted class, the share of its pictures that are predicted right."""
        return _share(np.diag(self.confusion_kk), self.confusion_kk.sum(axis=0))

    @cached_property
    def f1_k(self) -> Shares:
        """(K,) harmonic mean of precision and recall."""
        return _share(2 * self.precision_k * self.recall_k, self.precision_k + self.recall_k)

    @property
    def per_class(self) -> dict[str, float]:
        """The accuracy of each class that has pictures, by name."""
        rows = zip(self.names, self.recall_k, self.support_k, strict=True)
        return {name: float(recall) for name, recall, support in rows if support}


@dataclass(frozen=True)
class TagScores:
    """How N pictures were tagged. accuracy: share of all N * K answers that are right, as in jetson-inference (high
    where tags are rare). average_precision_k: (K,) float64; NaN for a tag that no picture has, which the mean leaves
    out."""

    names: tuple[str, ...]
    accuracy: float
    exact: float  # share of the pictures with every tag right
    average_precision_k: Shares

    @property
    def mean_average_precision(self) -> float:
        """Mean average precision of the tags that some picture has; 0 where there are none."""
        known = self.average_precision_k[~np.isnan(self.average_precision_k)]
        return float(known.mean()) if len(known) else 0.0


def score_classes(
    scores_nk: NDArray[np.floating[Any]],
    truths_n: NDArray[np.integer[Any]],
    *,
    names: Sequence[str],
    top_k: Sequence[int] = (1,),
) -> ClassificationScores:
    """Score N pictures.

    Args:
        scores_nk: (N, K) probabilities or logits; of two equal ones the lower class number ranks first.
        truths_n: (N,) class numbers 0..K-1.
        names: of the K classes.
        top_k: the values of k to score; a k above K scores 1.
    """
    classes = len(names)
    rank_nk = np.argsort(-scores_nk, axis=1, kind="stable")
    place_n = np.argmax(rank_nk == truths_n[:, None], axis=1)  # of the true class among the likeliest, from 0
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truths_n, rank_nk[:, 0]), 1)
    shares = {k: float(np.mean(place_n < k)) if len(place_n) else 0.0 for k in top_k}
    return ClassificationScores(tuple(names), confusion, shares)


def score_tags(
    probabilities_nk: NDArray[np.floating[Any]],
    truths_nk: NDArray[np.bool_],
    *,
    names: Sequence[str],
    threshold: float = 0.5,
) -> TagScores:
    """Score the tags of N pictures.

    Args:
        probabilities_nk: (N, K) probabilities.
        truths_nk: (N, K) bool, which tags a picture has.
        names: of the K tags.
        threshold: a tag is predicted where its probability is at least this.
    """
    right_nk = (probabilities_nk >= threshold) == truths_nk
    average = [_average_precision(probabilities_nk[:, k], truths_nk[:, k]) for k in range(len(names))]
    return TagScores(
        tuple(names),
        accuracy=float(right_nk.mean()) if right_nk.size else 0.0,
        exact=float(right_nk.all(axis=1).mean()) if len(right_nk) else 0.0,
        average_precision_k=np.array(average, dtype=np.float64),
    )


def classification_report(scores: ClassificationScores) -> str:
    """A text table as TAO prints it, in scikit-learn's layout: precision, recall and F1 of each class, the accuracy,
    macro and weighted averages."""
    rows = zip(scores.names, scores.precision_k, scores.recall_k, scores.f1_k, scores.support_k, strict=True)
    width = max(len(name) for name in (*scores.names, "weighted avg"))
    total = scores.pictures
    lines = [" " * width + "".join(f" {head:>9}" for head in ("precision", "recall", "f1-score", "support")), ""]

    def line(name: str, values: Sequence[float], support: int) -> str:
        return f"{name:>{width}} " + " ".join(f"{value:>9.2f}" for value in values) + f" {support:>9}"

    lines += [line(name, shares, support) for name, *shares, support in rows]
    measures = (scores.precision_k, scores.recall_k, scores.f1_k)
    weighted = [float(np.sum(measure * scores.support_k)) / max(total, 1) for measure in measures]
    lines += [
        "",
        f"{'accuracy':>{width}} {'':>9} {'':>9} {scores.accuracy:>9.2f} {total:>9}",
        line("macro avg", [float(measure.mean()) for measure in measures], total),
        line("weighted avg", weighted, total),
    ]
    return "\n".join(lines) + "\n"


def _average_precision(scores_n: NDArray[np.floating[Any]], truths_n: NDArray[np.bool_]) -> float:
    """The sum over thresholds of precision times the gain in recall; NaN where no picture has the tag."""
    if not truths_n.any():
        return float("nan")
    order = np.argsort(-scores_n, kind="stable")
    right_d, sorted_d = np.cumsum(truths_n[order]), scores_n[order]
    last = np.append(np.flatnonzero(np.diff(sorted_d)), len(sorted_d) - 1)  # equal scores pass a threshold together
    precision_d, recall_d = right_d[last] / (last + 1), right_d[last] / right_d[-1]
    return float(np.sum(np.diff(recall_d, prepend=0.0) * precision_d))


def _share(part_k: NDArray[Any], whole_k: NDArray[Any]) -> Shares:
    """part / whole, 0 where the whole is 0."""
    shares = np.zeros(len(part_k))
    np.divide(part_k, whole_k, out=shares, where=whole_k > 0)
    return shares
