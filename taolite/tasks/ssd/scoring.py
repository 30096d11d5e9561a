"""Metrics of an SSD: the one of pytorch-ssd or TAO, and metrics to compare with other detectors.

pytorch-ssd's metric is PASCAL VOC 2007 (reference/jetson_workflows.md 5): a detection is correct if its IoU with a box
is above the threshold; a second detection of the same box is wrong. TAO's (reference/tao_classification_ssd.md 4.8)
rounds detected boxes to pixels of the network input, and a detection whose best box is already matched may take its
second best. TAO's INTEGRATE is the whole area, unlike DetectNet's. Boxes are in pixels of the network input. Photos are
stretched to it, so IoUs equal those in the photos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taolite.boxes import clip_boxes
from taolite.metrics import Mode, Scores, match, score, score_matches
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.scorecard import AP, Curve, Metric, ScoreCard
from taolite.tasks.details import detailed
from taolite.tasks.found import Found
from taolite.tasks.ssd.plan import Scoring

__all__ = ["ssd_card"]

_MODES: dict[str, Mode] = {"voc07": "SAMPLE", "area": "AREA", "sample": "SAMPLE", "integrate": "AREA"}


def ssd_card(
    truths: Sequence[Truth],
    founds: Sequence[Found],
    *,
    names: Sequence[str],
    scoring: Scoring,
    preprocessing: Preprocessing,
    photos: Sequence[tuple[int, int]] | None = None,
) -> ScoreCard:
    """Score a data set, image by image.

    The main metric is that of `scoring`. The card also has "VOC", the all-point AP from an IoU of 0.5 on, and what
    `taolite.tasks.details` adds for every detector; `photos` are the sizes it needs. Classes without labelled
    objects have no AP and are not in the mean; in TAO's modes they count as 0, as they do in TAO. `objects` tells which
    these are.
    """
    pytorch_ssd = scoring.mode in ("voc07", "area")
    matches = match(
        truths,
        founds if pytorch_ssd else [_in_pixels(found, preprocessing.input_hw) for found in founds],
        num_classes=len(names),
        iou_thresholds=[scoring.iou] * len(names),
        convention="continuous",
        strict=pytorch_ssd,
        second_choice=not pytorch_ssd,
    )
    own = score_matches(matches, names=names, mode=_MODES[scoring.mode])
    main = _of_present(own) if pytorch_ssd else Metric(AP, float(np.mean(list(own.per_class.values()))), own.per_class)
    voc = score(truths, founds, names=names, mode="AREA")
    objects = {one.name: one.truths for one in own.classes}
    curves = {one.name: Curve(tuple(one.recall_d.tolist()), tuple(one.precision_d.tolist())) for one in own.classes}
    card = ScoreCard(main, {"VOC": _of_present(voc)}, objects, len(truths), curves=curves)
    return detailed(card, truths, founds, voc=voc, preprocessing=preprocessing, photos=photos)


def _of_present(scores: Scores) -> Metric:
    """The classes with labelled objects, and their mean."""
    present = {one.name: one.average_precision for one in scores.classes if one.truths}
    return Metric(AP, float(np.mean(list(present.values()))) if present else 0.0, present)


def _in_pixels(found: Found, input_hw: tuple[int, int]) -> Found:
    """`found` with corners on whole pixels (halves to even) inside the input."""
    return Found(clip_boxes(np.rint(found.boxes_n4), hw=input_hw), found.scores_n, found.classes_n)
