"""Decoding of an SSD's outputs: scores and boxes of every prior -> objects. NumPy only, for edge devices.

Torch, ONNX Runtime, OpenVINO and TensorRT outputs all pass through `decode`, whether NMS is done here or by the model
(`taolite.engines.onnx_nms`). Legend: P priors, K classes, N objects. Boxes are in pixels of the network input and may
reach beyond it, as in training; `Preprocessing.boxes_to_photo` maps them to the photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.errors import ModelError
from taolite.preprocessing import Preprocessing
from taolite.tasks.found import Found
from taolite.tasks.suppress import nms, soft_nms

__all__ = ["SIGMA", "decode"]

SIGMA = 0.5  # of soft-NMS (reference/jetson_workflows.md 5)


def decode(
    outputs: Sequence[NDArray[np.floating[Any]]], decoding: Mapping[str, Any], *, preprocessing: Preprocessing
) -> Found:
    """The objects of one image, by descending score; equal scores are ordered by class, then by prior.

    Args:
        outputs: scores (P, K + 1) after the softmax, background first, and boxes (P, 4), relative corners; or, for a
            model that ends in NMS, only rows (T, 6) as `taolite.engines.onnx_nms` gives them.
        decoding: `confidence_threshold`: scores must be above it. `method` "hard" drops a box that overlaps a better
            one of its class by more than `nms_iou`; "soft" lowers its score instead. `candidates`: number of best boxes
            of each class before NMS. `top_k`: number of boxes kept in each class, and in all classes together. 0 is no
            limit.
        preprocessing: that of the network's input.

    Raises:
        ModelError: the outputs do not fit each other, or hold values that are not finite.
    """
    height, width = preprocessing.input_hw
    frame = np.array([width, height, width, height], np.float32)
    threshold = decoding["confidence_threshold"]
    if len(outputs) == 1:
        rows = np.asarray(outputs[0], np.float32)
        _check_finite(rows)
        rows = rows[(rows[:, 0] > 0) & (rows[:, 1] > threshold)]
        return Found(rows[:, 2:] * frame, rows[:, 1], rows[:, 0].astype(np.int64) - 1)
    scores, places = (np.asarray(output, np.float32) for output in outputs)
    if scores.ndim != 2 or scores.shape[1] < 2 or places.shape != (len(scores), 4):
        raise ModelError(
            f"the network gives scores {scores.shape} and boxes {places.shape}; an SSD's are (P, K + 1) and (P, 4)"
        )
    _check_finite(scores)
    boxes: list[Boxes] = []
    best: list[NDArray[np.float32]] = []
    for scores_p in scores[:, 1:].T:
        likely = np.flatnonzero(scores_p > threshold)
        likely = likely[np.argsort(-scores_p[likely], kind="stable")][: decoding["candidates"] or None]
        _check_finite(places[likely])
        kept, kept_scores = _suppress(places[likely], scores_p[likely], decoding)
        boxes.append(places[likely][kept][: decoding["top_k"] or None])
        best.append(kept_scores[: decoding["top_k"] or None])
    scores_n = np.concatenate(best)
    classes_n = np.repeat(np.arange(len(best)), [len(part) for part in best])
    order = np.argsort(-scores_n, kind="stable")[: decoding["top_k"] or None]
    return Found(np.concatenate(boxes)[order] * frame, scores_n[order], classes_n[order])


def _suppress(
    boxes_n4: Boxes, scores_n: NDArray[np.float32], decoding: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices of the boxes kept in one class, and their scores, descending."""
    if decoding["method"] == "soft":
        kept, scores = soft_nms(boxes_n4, scores_n, sigma=SIGMA, score_threshold=decoding["confidence_threshold"])
        return kept, scores.astype(np.float32)
    kept = nms(boxes_n4, scores_n, iou_threshold=decoding["nms_iou"])
    return kept, scores_n[kept]


def _check_finite(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise ModelError(
            "the network's output holds values that are not finite; where an fp16 or int8 engine overflows, "
            "use fp32, otherwise train again with a lower learning rate"
        )
