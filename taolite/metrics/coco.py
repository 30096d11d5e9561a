"""COCO's mAP, the mean over IoU 0.50:0.05:0.95, computed by faster-coco-eval, for comparison with published figures.

The library is optional (`pip install 'taolite[coco]'`) and imported when it is used.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.metrics.match import FoundLike
from taolite.sample import Truth

__all__ = ["CocoScores", "coco_map"]

_BORDERS = (0.0, 32.0**2, 96.0**2, 1e10)  # square pixels, of small, medium and large objects (cocoeval's areaRng)


@dataclass(frozen=True)
class CocoScores:
    """COCO's summary as fractions 0..1; -1 where there are no such objects (no small ones, for example)."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float

    @property
    def by_size(self) -> dict[str, float]:
        """AP of small, medium and large objects, without the sizes that have none."""
        sizes = {"small": self.ap_small, "medium": self.ap_medium, "large": self.ap_large}
        return {name: value for name, value in sizes.items() if value >= 0}


def coco_map(
    truths: Sequence[Truth], founds: Sequence[FoundLike], *, names: Sequence[str], max_detections: int = 100
) -> CocoScores:
    """COCO's detection scores of a data set.

    Args:
        truths: labels, one for each image; difficult ones are ignored, as COCO ignores crowds.
        founds: detections, one for each image in the same order and frame. Small, medium and large are COCO's 32x32
            and 96x96 pixels of that frame.
        names: the classes' names, in the order of their indices.
        max_detections: only this many detections with the highest scores count for each image and class.

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise UsageError(f"COCO's mAP needs faster-coco-eval; run {install_command('coco')}") from error
    if not any(len(found.scores_n) for found in founds):
        return CocoScores(0.0, 0.0, 0.0, *(0.0 if there else -1.0 for there in _sizes_there(truths)))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        labels = COCO(_dataset(truths, names))
        run = COCOeval_faster(labels, labels.loadRes(_results(founds)), iouType="bbox", print_function=lambda *_: None)
        run.params.maxDets = [1, 10, max_detections]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return CocoScores(*(float(value) for value in run.stats[:6]))


def _sizes_there(truths: Sequence[Truth]) -> list[bool]:
    """Whether there are small, medium and large objects that count."""
    areas = [
        (x2 - x1) * (y2 - y1)
        for truth in truths
        for x1, y1, x2, y2 in truth.only(~_difficult(truth)).boxes_n4.astype(np.float64).tolist()
    ]
    return [any(low <= area <= high for area in areas) for low, high in pairwise(_BORDERS)]


def _difficult(truth: Truth) -> NDArray[np.bool_]:
    return np.zeros(len(truth.classes_n), np.bool_) if truth.difficult_n is None else truth.difficult_n


def _dataset(truths: Sequence[Truth], names: Sequence[str]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image, truth in enumerate(truths):
        hard_n = _difficult(truth).tolist()
        for box, label, hard in zip(truth.boxes_n4.tolist(), truth.classes_n.tolist(), hard_n, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": _xywh(box),
                    "area": (box[2] - box[0]) * (box[3] - box[1]),
                    "iscrowd": int(hard),
                }
            )
    return {
        "info": {},
        "images": [{"id": image} for image in range(len(truths))],
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for label, name in enumerate(names)],
    }


def _results(founds: Sequence[FoundLike]) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image, found in enumerate(founds)
        for box, score, label in zip(found.boxes_n4.tolist(), found.scores_n, found.classes_n, strict=True)
    ]


def _xywh(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
