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
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.metrics.boxed import Detected, FoundLike, Labelled
from taolite.metrics.pairs import Pairs, near_pairs
from taolite.sample import Truth

__all__ = ["BoxLimits", "ClassMatches", "Convention", "FoundLike", "match"]

Convention: TypeAlias = Literal["tao", "continuous"]


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
    true, found = Labelled.of(truths), Detected.of(founds)
    true = true.only(_allowed(true.boxes_n4, true.classes_n, limits))
    found = found.only(_allowed(found.boxes_n4, found.classes_n, limits))
    near = near_pairs(
        _as_measured(found.boxes_n4, convention),
        found.groups(num_classes),
        np.asarray(iou_thresholds, dtype=np.float64)[found.classes_n],
        _as_measured(true.boxes_n4, convention),
        true.groups(num_classes),
        plus=1.0 if convention == "tao" else 0.0,
        strict=strict,
    )
    chosen, best = _free_choices(near) if second_choice else _first_choices(near)
    excused = true.difficult_n[best]
    kept = np.ones(len(found.boxes_n4), dtype=np.bool_)
    kept[chosen[excused]] = False
    _, first = np.unique(best[~excused], return_index=True)  # the best-scored detection of each true box
    correct = np.zeros(len(kept), dtype=np.bool_)
    correct[chosen[~excused][first]] = True
    wanted_c = np.bincount(true.classes_n[~true.difficult_n], minlength=num_classes)
    matches = []
    for label in range(num_classes):
        own = np.flatnonzero(kept & (found.classes_n == label))
        matches.append(ClassMatches(int(wanted_c[label]), found.scores_n[own], correct[own], found.images_n[own]))
    return matches


def _first_choices(near: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The detections that are near a true box, ascending, and for each the box that it overlaps most."""
    found, first = np.unique(near.found_p, return_index=True)
    return found, near.true_p[first]


def _free_choices(near: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The detections that are near a true box that higher scores left, ascending, and the box that each matches."""
    choice: dict[int, int] = {}
    taken: set[int] = set()
    for found, true in zip(near.found_p.tolist(), near.true_p.tolist(), strict=True):
        if found not in choice and true not in taken:
            choice[found] = true
            taken.add(true)
    return np.array([*choice], np.int64), np.array([*choice.values()], np.int64)


def _as_measured(boxes_n4: Boxes, convention: Convention) -> Boxes:
    return np.rint(boxes_n4) if convention == "tao" else boxes_n4


def _allowed(
    boxes_n4: Boxes, classes_n: NDArray[np.integer[Any]], limits: Sequence[BoxLimits] | None
) -> NDArray[np.bool_]:
    """(N,) bool: the box is within the limits of its class."""
    allowed = np.ones(len(boxes_n4), dtype=np.bool_)
    for label, limit in enumerate(limits or ()):
        own = classes_n == label
        allowed[own] = limit.allow(boxes_n4[own])
    return allowed
