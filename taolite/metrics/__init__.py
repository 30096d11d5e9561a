"""Scores. Of detections: matching, average precision by TAO's rules and the common ones, COCO's mAP. Of classifiers:
accuracy, confusion matrix, tags.

NumPy only, and independent of tasks: anything with `boxes_n4`, `scores_n` and `classes_n` can be scored.
"""

from taolite.metrics.classes import (
    ClassificationScores,
    TagScores,
    classification_report,
    score_classes,
    score_tags,
)
from taolite.metrics.coco import CocoScores, coco_map
from taolite.metrics.confusion import Confusion, confuse
from taolite.metrics.match import BoxLimits, ClassMatches, FoundLike, match
from taolite.metrics.precision import Mode, average_precision, precision_recall
from taolite.metrics.score import ClassScore, Scores, score, score_matches

__all__ = [
    "BoxLimits",
    "ClassMatches",
    "ClassScore",
    "ClassificationScores",
    "CocoScores",
    "Confusion",
    "FoundLike",
    "Mode",
    "Scores",
    "TagScores",
    "average_precision",
    "classification_report",
    "coco_map",
    "confuse",
    "match",
    "precision_recall",
    "score",
    "score_classes",
    "score_matches",
    "score_tags",
]
