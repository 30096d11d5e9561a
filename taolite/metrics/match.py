"""Matching of detections with labels, over a whole data set: which detections are true positives.

Each class is matched on its own, in the order of scores. A detection is compared with the one true box of its class and
image that it overlaps most. It is a true positive where their IoU reaches the class's threshold and no detection with a
higher score has matched that box; else it is a false positive. With `second_choice` it is compared with the true boxes
that are not matched yet. Two conventions (reference/detectnet_v2.md 8.5):

    "tao"         corners rounded to integers (half to even), widths and heights + 1
    "continuous"  corners as they are, width = x2 - x1

Legend: D detections of one class over all images, by descending score (equal scores in order of the images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, iou_matrix
from taolite.sample import Truth

__all__ = ["BoxLimits", "ClassMatches", "Convention", "FoundLike", "match"]

Convention: TypeAlias = Literal["tao", "continuous"]


class FoundLike(Protocol):
    """Detections of one image: (N, 4) boxes, (N,) scores and (N,) class indices, e.g. what a task's `decode` gives."""

    @property
    def boxes_n4(self) -> Boxes: ...

    @property
    def scores_n(self) -> NDArray[np.floating[Any]]: ...

    @property
    def classes_n(self) -> NDArray[np.integer[Any]]: ...


@dataclass(frozen=True)
class BoxLimits:
    """The box sizes, in pixels, that are evaluated; TAO's `evaluation_box_config`. Other boxes, true or detected, are
    dropped before matching, by their unrounded size. A maximum of None is no limit."""

    min_height: float = 0.0
    max_height: float | None = None
    min_width: float = 0.0
    max_width: float | None = None

    def allow(self, boxes_n4: Boxes) -> NDArray[np.bool_]:
        """(N,) bool: width and height are within the limits, ends included."""
        width, height = boxes_n4[:, 2] - boxes_n4[:, 0], boxes_n4[:, 3] - boxes_n4[:, 1]
        inside = (width >= self.min_width) & (height >= self.min_height)
        if self.max_width is not None:
            inside &= width <= self.max_width
        if self.max_height is not None:
            inside &= height <= self.max_height
        return inside


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """One class over the data set. truths: the number of true boxes that count. Of its D detections, by descending
    score: scores_d (D,) float64, correct_d (D,) bool (true positives), images_d (D,) int64, the image index."""

    truths: int
    scores_d: NDArray[np.float64]
    correct_d: NDArray[np.bool_]
    images_d: NDArray[np.int64]


def match(
    truths: Sequence[Truth],
    founds: Sequence[FoundLike],
    *,
    num_classes: int,
    iou_thresholds: Sequence[float],
    limits: Sequence[BoxLimits] | None = None,
    convention: Convention = "tao",
    strict: bool = False,
    second_choice: bool = False,
) -> list[ClassMatches]:
    """Match the detections of a data set with its labels.

    Args:
        truths: labels, one for each image.
        founds: detections, one for each image in the same order, in the same frame; in any order within an image.
        num_classes: classes are 0 .. num_classes - 1.
        iou_thresholds: for each class, the smallest IoU of a true positive.
        limits: for each class, the sizes to evaluate; None evaluates all.
        convention: how IoU is computed, see above.
        strict: the IoU must be greater than the threshold, not equal to it.
        second_choice: see above. A difficult true box then excuses its first detection only; without, it excuses all.

    Returns:
        One ClassMatches for each class.
    """
    assert len(truths) == len(founds), f"{len(truths)} images are labelled, {len(founds)} have detections"
    assert len(iou_thresholds) == num_classes, f"{len(iou_thresholds)} thresholds for {num_classes} classes"
    thresholds_c = np.asarray(iou_thresholds, dtype=np.float64)
    wanted_c = np.zeros(num_classes, dtype=np.int64)
    images = [_Detections.none()]
    for truth, found in zip(truths, founds, strict=True):
        truth = truth.only(_allowed(truth.boxes_n4, truth.classes_n, limits))
        wanted_c += np.bincount(truth.classes_n[~_difficult(truth)], minlength=num_classes)
        images.append(
            _match_image(
                truth,
                found,
                thresholds_c,
                limits=limits,
                convention=convention,
                strict=strict,
                second_choice=second_choice,
            )
        )
    scores = np.concatenate([image.scores for image in images])
    classes = np.concatenate([image.classes for image in images])
    correct = np.concatenate([image.correct for image in images])
    indices = np.repeat(np.arange(-1, len(founds)), [len(image.scores) for image in images])
    order = np.argsort(-scores, kind="stable")
    matches = []
    for label in range(num_classes):
        own = order[classes[order] == label]
        matches.append(ClassMatches(int(wanted_c[label]), scores[own], correct[own], indices[own]))
    return matches


@dataclass(frozen=True, eq=False)
class _Detections:
    """The detections of one image that are evaluated, by descending score."""

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @staticmethod
    def none() -> _Detections:
        return _Detections(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))


def _match_image(
    truth: Truth,
    found: FoundLike,
    thresholds_c: NDArray[np.float64],
    *,
    limits: Sequence[BoxLimits] | None,
    convention: Convention,
    strict: bool,
    second_choice: bool,
) -> _Detections:
    scores = np.asarray(found.scores_n, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    order = order[_allowed(found.boxes_n4[order], found.classes_n[order], limits)]
    scores, classes = scores[order], np.asarray(found.classes_n[order], dtype=np.int64)
    correct = np.zeros(len(order), dtype=np.bool_)
    if not len(order) or not len(truth.boxes_n4):
        return _Detections(scores, classes, correct)
    iou = _iou(found.boxes_n4[order], truth.boxes_n4, convention)
    iou[classes[:, None] != truth.classes_n[None, :]] = -1.0
    near_nm = (iou > thresholds_c[classes][:, None]) if strict else (iou >= thresholds_c[classes][:, None])
    best = _free_choices(iou, near_nm) if second_choice else iou.argmax(axis=1)
    near = (best >= 0) & near_nm[np.arange(len(best)), best]
    excused = near & _difficult(truth)[best]
    near = np.flatnonzero(near & ~excused)
    _, first = np.unique(best[near], return_index=True)  # the best-scored detection of each true box
    correct[near[first]] = True
    return _Detections(scores[~excused], classes[~excused], correct[~excused])


def _free_choices(iou_nm: NDArray[np.float64], near_nm: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) int64, the true box that each detection matches among those that higher scores left; -1 for none."""
    choices = np.full(len(iou_nm), -1, dtype=np.int64)
    left_nm = np.where(near_nm, iou_nm, -1.0)
    for detection in range(len(left_nm)):
        best = left_nm[detection].argmax()
        if left_nm[detection, best] >= 0:
            choices[detection] = best
            left_nm[:, best] = -1.0
    return choices


def _iou(found_n4: Boxes, true_m4: Boxes, convention: Convention) -> NDArray[np.float64]:
    if convention == "tao":
        return iou_matrix(np.rint(found_n4), np.rint(true_m4), plus=1.0)
    return iou_matrix(found_n4, true_m4)


def _allowed(
    boxes_n4: Boxes, classes_n: NDArray[np.integer[Any]], limits: Sequence[BoxLimits] | None
) -> NDArray[np.bool_]:
    """(N,) bool: the box is within the limits of its class."""
    allowed = np.ones(len(boxes_n4), dtype=np.bool_)
    for label, limit in enumerate(limits or ()):
        own = classes_n == label
        allowed[own] = limit.allow(boxes_n4[own])
    return allowed


def _difficult(truth: Truth) -> NDArray[np.bool_]:
    return np.zeros(len(truth.boxes_n4), dtype=np.bool_) if truth.difficult_n is None else truth.difficult_n
