"""Scores of a classifier with one class per image, or with tags. Legend: N images, K classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taolite.metrics.classes import score_classes, score_tags
from taolite.sample import Truth
from taolite.scorecard import ACCURACY, AP, Metric, ScoreCard
from taolite.tasks.found import Found

__all__ = ["class_card", "tag_card"]


def class_card(truths: Sequence[Truth], founds: Sequence[Found], *, classes: Sequence[str], top_k: int) -> ScoreCard:
    """Accuracy, top-k accuracy (`top_K`, K = `top_k`), and the confusion matrix of pictures with one class."""
    scores = score_classes(
        np.stack([found.by_class_k for found in founds]),
        np.array([truth.classes_n[0] for truth in truths]),
        names=classes,
        top_k=(top_k,),
    )
    return ScoreCard(
        Metric(ACCURACY, scores.accuracy, scores.per_class),
        {f"top_{top_k}": Metric(ACCURACY, scores.top_k[top_k], {})},
        dict(zip(classes, scores.support_k.tolist(), strict=True)),
        len(truths),
        tuple(tuple(row) for row in scores.confusion_kk.tolist()),
    )


def tag_card(
    truths: Sequence[Truth], founds: Sequence[Found], *, classes: Sequence[str], threshold: float
) -> ScoreCard:
    """Accuracy over all tags, as jetson-inference computes it, and accuracy of each tag.

    Also the mean average precision, which rare tags do not inflate, and the share of pictures with every tag right.
    """
    wanted_nk = np.zeros((len(truths), len(classes)), np.bool_)
    for row, truth in zip(wanted_nk, truths, strict=True):
        row[truth.classes_n] = True
    scores_nk = np.stack([found.by_class_k for found in founds])
    scores = score_tags(scores_nk, wanted_nk, names=classes, threshold=threshold)
    right_k = ((scores_nk >= threshold) == wanted_nk).mean(axis=0)
    known = {name: float(ap) for name, ap in zip(classes, scores.average_precision_k, strict=True) if not np.isnan(ap)}
    return ScoreCard(
        Metric(ACCURACY, scores.accuracy, dict(zip(classes, right_k.tolist(), strict=True))),
        {"tags": Metric(AP, scores.mean_average_precision, known), "exact": Metric(ACCURACY, scores.exact, {})},
        dict(zip(classes, wanted_nk.sum(axis=0).tolist(), strict=True)),
        len(truths),
    )
