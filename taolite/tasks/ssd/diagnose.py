"""What a low mAP of an SSD can come from: anchors that fit no object, thresholds, the overlap that is asked for.

Legend: N objects, K classes, P anchors (priors). Boxes are in pixels of the network input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, iou_matrix
from taolite.diagnosis import Answers, Cause
from taolite.sample import Truth
from taolite.tasks.base import Outputs
from taolite.tasks.diagnosing import Evidence, Heard, of_mean, of_overlap
from taolite.tasks.ssd.coding import corners

if TYPE_CHECKING:
    from taolite.tasks.ssd.experiment import SsdExperiment

__all__ = ["best_anchors", "causes", "heard"]

_LEAST_IOU = 0.3  # of an object with its best anchor; below, boxes are hard to learn
_MOST_OBJECTS = 1000


def heard(outputs: Outputs, truth: Truth, priors_p4: NDArray[np.float32], *, input_hw: tuple[int, int]) -> Heard | None:
    """The scores of the anchors whose centres lie in an object's box, or of the nearest one; and elsewhere, half
    a box or more away. None for a model that ends in NMS."""
    if len(outputs) != 2 or len(outputs[0]) != len(priors_p4):
        return None
    scores_pk = np.asarray(outputs[0], np.float32)[:, 1:]
    x, y = priors_p4[:, 0] * input_hw[1], priors_p4[:, 1] * input_hw[0]
    free_pk = np.ones(scores_pk.shape, np.bool_)
    on = np.zeros(len(truth.boxes_n4), np.float32)
    for index, (box, kind) in enumerate(zip(truth.boxes_n4, truth.classes_n, strict=True)):
        inside = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
        if not inside.any():
            inside[np.hypot(x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2).argmin()] = True
        on[index] = scores_pk[inside, kind].max()
        away_x, away_y = np.abs(x - (box[0] + box[2]) / 2), np.abs(y - (box[1] + box[3]) / 2)
        free_pk[(away_x <= box[2] - box[0]) & (away_y <= box[3] - box[1]), kind] = False
    return Heard(on, np.where(free_pk, scores_pk, 0).max(axis=0))


def best_anchors(boxes_n4: Boxes, priors_p4: NDArray[np.float32], *, input_hw: tuple[int, int]) -> NDArray[np.float64]:
    """(N,) the IoU of each object with the anchor that fits it best."""
    height, width = input_hw
    anchors = corners(priors_p4) * np.array([width, height, width, height], np.float32)
    rows = [iou_matrix(boxes_n4[at : at + 50], anchors).max(axis=1) for at in range(0, len(boxes_n4), 50)]
    return np.concatenate([np.zeros(0), *rows])


def causes(experiment: SsdExperiment, evidence: Evidence) -> Iterator[Cause]:
    """The causes that only this task knows."""
    blocks = list(experiment.plan.network.freeze_blocks)
    if evidence.train is not None and len(evidence.train.objects.boxes_n4):
        yield _of_anchors(experiment, evidence.train.objects.boxes_n4[:_MOST_OBJECTS])
    if evidence.random_start and blocks:
        yield Cause("frozen_random", "training", 0.5, {"field": "ssd_config.freeze_blocks", "blocks": blocks})
    known = {name: answers for name, answers in evidence.answers.items() if answers.on_objects}
    if known:
        yield _of_threshold(known, float(experiment.plan.decoding["confidence_threshold"]))
        yield of_overlap(known, dict.fromkeys(known, experiment.plan.scoring.iou))


def _of_threshold(known: Mapping[str, Answers], least: float) -> Cause:
    """Objects whose scores stay below the threshold."""
    lost = {name: answers.lost_below(least) for name, answers in known.items()}
    worst = max(lost, key=lambda name: lost[name])
    facts = {"class": worst, "field": "nms_config.confidence_threshold", "threshold": least}
    return Cause("threshold", "answers", of_mean(lost), facts | known[worst].facts)


def _of_anchors(experiment: SsdExperiment, boxes_n4: Boxes) -> Cause:
    """Objects that no anchor fits."""
    best = best_anchors(boxes_n4, experiment.anchors, input_hw=experiment.preprocessing.input_hw)
    width, height = np.median(boxes_n4[:, 2:] - boxes_n4[:, :2], axis=0).tolist()
    none = float((best < _LEAST_IOU).mean())
    facts = {"none": none, "least": _LEAST_IOU, "median": float(np.median(best)), "objects": len(best)}
    return Cause("anchors", "input", none, facts | {"width": width, "height": height})
