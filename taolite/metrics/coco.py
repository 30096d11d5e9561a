"""COCO's mAP, the mean over IoU 0.50:0.05:0.95, computed by faster-coco-eval, for comparison with published figures.

The library is optional (`pip install 'taolite[coco]'`) and imported when it is used.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.metrics.match import FoundLike
from taolite.sample import Truth

__all__ = ["CocoScores", "coco_map"]


@dataclass(frozen=True)
class CocoScores:
    """COCO's summary as fractions 0..1; -1 where there are no such objects (no small ones, for example)."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float


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
        return CocoScores(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        labels = COCO(_dataset(truths, names))
        run = COCOeval_faster(labels, labels.loadRes(_results(founds)), iouType="bbox", print_function=lambda *_: None)
        run.params.maxDets = [1, 10, max_detections]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return CocoScores(*(float(value) for value in run.stats[:6]))


def _dataset(truths: Sequence[Truth], names: Sequence[str]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image, truth in enumerate(truths):
        difficult = np.zeros(len(truth.classes_n), bool) if truth.difficult_n is None else truth.difficult_n
        for box, label, hard in zip(truth.boxes_n4.tolist(), truth.classes_n.tolist(), difficult.tolist(), strict=True):
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
