"""What a network said of each class on a whole split, from what it said of each image. Legend: N objects, K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import iou_matrix
from taolite.diagnosis import Answers
from taolite.sample import Truth
from taolite.tasks.diagnosing import Heard
from taolite.tasks.found import Found

__all__ = ["answers_of"]

_ROW = np.linspace(0, 1, 11)


def answers_of(
    classes: Sequence[str], heard: Sequence[Heard | None], truths: Sequence[Truth], founds: Sequence[Found]
) -> Mapping[str, Answers]:
    """The answers of each class; empty where the outputs of an image do not show them."""
    known = [one for one in heard if one is not None]
    if not known or len(known) < len(heard):
        return {}
    kinds = np.concatenate([truth.classes_n for truth in truths])
    on, elsewhere = np.concatenate([one.on_n for one in known]), np.stack([one.elsewhere_k for one in known])
    overlaps = np.concatenate([_overlaps(truth, found) for truth, found in zip(truths, founds, strict=True)])
    return {
        name: Answers(
            _row(on[kinds == kind]),
            _row(elsewhere[:, kind]),
            _row(overlaps[kinds == kind]),
            sum(int((found.classes_n[: found.given] == kind).sum()) for found in founds),
        )
        for kind, name in enumerate(classes)
    }


def _row(values: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in np.quantile(values, _ROW)) if len(values) else ()


def _overlaps(truth: Truth, found: Found) -> NDArray[np.float64]:
    """The best IoU of a result of its class with each object; 1 or 0 for a class of the whole image."""
    kinds = found.classes_n[: found.given]
    if len(found.boxes_n4) < len(found):
        return np.isin(truth.classes_n, kinds).astype(np.float64)
    iou = iou_matrix(truth.boxes_n4, found.boxes_n4)
    iou[truth.classes_n[:, None] != found.classes_n[None, :]] = 0.0
    best: NDArray[np.float64] = iou.max(axis=1, initial=0.0)
    return best
