"""What a low accuracy of a classifier can come from: one class for every picture, folders that changed places.

Legend: N classes of a picture, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from taolite.diagnosis import Cause
from taolite.sample import Truth
from taolite.tasks.base import Outputs
from taolite.tasks.diagnosing import Evidence, Heard

if TYPE_CHECKING:
    from taolite.tasks.classification.experiment import ClassificationExperiment

__all__ = ["causes", "heard"]

_ONE = 0.95  # of the answers
_LARGEST = 0.8  # of the training pictures
_MOST = 0.6  # of the pictures of a class that are taken for one other


def heard(outputs: Outputs, truth: Truth) -> Heard:
    """The score of the picture's own classes, and of the others."""
    scores_k = np.asarray(outputs[0], np.float32).reshape(-1)
    others = scores_k.copy()
    others[truth.classes_n] = 0
    return Heard(scores_k[truth.classes_n], others)


def causes(experiment: ClassificationExperiment, evidence: Evidence) -> Iterator[Cause]:
    """The causes that only this task knows."""
    classes = experiment.classes
    blocks = [int(block) for block in experiment.spec.model_config_.freeze_blocks]
    if evidence.random_start and blocks:
        yield Cause("frozen_random", "training", 0.5, {"field": "model_config.freeze_blocks", "blocks": blocks})
    if evidence.train is not None and (total := sum(evidence.train.labels.values())):
        name, count = max(evidence.train.labels.items(), key=lambda row: row[1])
        facts = {"class": name, "largest": count / total}
        yield Cause("few_of_class", "data", 0.3 if count / total > _LARGEST else 0.0, facts)
    if evidence.confusion:
        yield from _of_confusion(classes, evidence.confusion)


def _of_confusion(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Iterator[Cause]:
    """Answers that are all of one class, or of another class for each class."""
    counts = np.array(confusion, np.float64)
    if counts.shape != (len(classes), len(classes)) or not counts.sum():
        return
    said, truth = counts.sum(axis=0) / counts.sum(), counts.sum(axis=1) / counts.sum()
    most = int(said.argmax())
    facts = {"class": classes[most], "said": float(said[most]), "largest": float(truth[most])}
    one = said[most] >= _ONE and (truth > 0).sum() > 1
    yield Cause("one_class", "answers", 1 - float(truth[most]) if one else 0.0, facts)
    taken = counts.argmax(axis=1)
    sure = counts.max(axis=1) >= _MOST * np.maximum(counts.sum(axis=1), 1)
    moved = taken != np.arange(len(classes))
    if len(set(taken.tolist())) == len(classes) and moved.any() and bool(sure.all()):
        lost = float(counts[moved].sum() / counts.sum())
        first = int(np.flatnonzero(moved)[0])
        facts = {"truth": classes[first], "said": classes[int(taken[first])], "moved": int(moved.sum())}
        yield Cause("folders_swapped", "data", lost * _MOST, facts)
