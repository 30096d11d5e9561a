"""What every detector's score card has beside its task's own metric: figures that tell what to do next.

Boxes are matched at an IoU of 0.5, continuous, as for VOC's AP. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from taolite.metrics import Scores, coco_map, confuse
from taolite.metrics.operating import best_points, sweeps
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.scorecard import AP, Metric, ScoreCard
from taolite.tasks.found import Found

__all__ = ["detailed"]


def detailed(
    card: ScoreCard,
    truths: Sequence[Truth],
    founds: Sequence[Found],
    *,
    voc: Scores,
    preprocessing: Preprocessing,
    photos: Sequence[tuple[int, int]] | None = None,
) -> ScoreCard:
    """`card` with best thresholds, sweeps, the confusion with the background, the count of each picture and, where
    there are labelled objects, COCO's AP.

    Args:
        truths, founds: of each image, in pixels of the network input.
        voc: their scores at an IoU of 0.5, of all classes.
        photos: (height, width) of each photo; small, medium and large objects are told apart there. None: in the input.
    """
    names, card = [one.name for one in voc.classes], replace(card, best=best_points(voc))
    confusion = confuse(truths, founds, thresholds=[card.threshold(name) for name in names])
    beside, by_size = dict(card.beside), {}
    if any(one.truths for one in voc.classes):
        if photos is not None:
            truths = [_truth_in(one, preprocessing, hw) for one, hw in zip(truths, photos, strict=True)]
            founds = [_found_in(one, preprocessing, hw) for one, hw in zip(founds, photos, strict=True)]
        coco = coco_map(truths, founds, names=names)
        beside["COCO"], by_size = Metric(AP, coco.ap, {}), coco.by_size
    return replace(
        card,
        beside=beside,
        confusion=tuple(tuple(row) for row in confusion.counts_kk.tolist()),
        sweeps=sweeps(voc),
        by_size=by_size,
        pictures=confusion.pictures,
    )


def _truth_in(truth: Truth, preprocessing: Preprocessing, hw: tuple[int, int]) -> Truth:
    return replace(truth, boxes_n4=preprocessing.boxes_to_photo(truth.boxes_n4, photo_hw=hw))


def _found_in(found: Found, preprocessing: Preprocessing, hw: tuple[int, int]) -> Found:
    return replace(found, boxes_n4=preprocessing.boxes_to_photo(found.boxes_n4, photo_hw=hw))
