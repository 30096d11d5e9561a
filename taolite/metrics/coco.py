"""COCO's mAP, the mean over IoU 0.50:0.05:0.95, for comparison with published figures: the numbers of pycocotools.

Its rules, where they differ from `taolite.metrics.match`: a detection takes the true box with the highest IoU that
better detections left, and of equal ones the last. A box that is ignored (a crowd, which is what a difficult one
counts as, or one of another size) is taken only where no other is left; what takes it counts neither way, and neither
does a detection of another size that takes none. A crowd can be taken by many, and its IoU is the share of the
detection that it covers.

Legend: D detections, M true boxes, P pairs of them, T = 10 IoU thresholds, R = 101 recalls, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from taolite.metrics.boxed import Detected, FoundLike, Labelled
from taolite.metrics.pairs import near_pairs
from taolite.sample import Truth

__all__ = ["CocoScores", "coco_map"]

_BORDERS = (0.0, 32.0**2, 96.0**2, 1e10)  # square pixels, of small, medium and large objects (cocoeval's areaRng)
_SIZES = ((_BORDERS[0], _BORDERS[-1]), *pairwise(_BORDERS))
_LEAST_T = np.linspace(0.5, 0.95, 10)
_RECALLS_R = np.linspace(0.0, 1.0, 101)
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


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
    """
    true, found = Labelled.of(truths), Detected.of(founds)
    found = found.only(_best_of_each(found.groups(len(names)), max_detections))
    near, area_d, area_m = _near(true, found, len(names)), _areas(found.boxes_n4), _areas(true.boxes_n4)
    precision: list[Floats] = []
    for low, high in _SIZES:
        ignored_m = true.difficult_n | (area_m < low) | (area_m > high)
        beyond_d = (area_d < low) | (area_d > high)
        verdicts = _Verdicts.of(near, ignored_m, true.difficult_n, beyond_d)
        wanted_k = np.bincount(true.classes_n[~ignored_m], minlength=len(names))
        precision.append(_precision(verdicts, found.classes_n, wanted_k))
    everything, by_size = precision[0], precision[1:]
    whole = [_mean(everything), _mean(everything[0]), _mean(everything[5])]
    if not any(len(one.scores_n) for one in founds):
        whole = [0.0] * len(whole)  # also where there is nothing to find
    return CocoScores(*whole, *(_mean(of_size) for of_size in by_size))


def _best_of_each(groups_d: Indices, most: int) -> Flags:
    """(D,) bool: the detection is one of the first `most` of its group."""
    order = np.argsort(groups_d, kind="stable")
    ordered = groups_d[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered, side="left")
    kept = np.zeros(len(order), np.bool_)
    kept[order] = rank < most
    return kept


@dataclass(frozen=True, eq=False)
class _Near:
    """Pairs of an image and class with an IoU of 0.5 or more: detection, true box and IoU, (P,) each."""

    found_p: Indices
    true_p: Indices
    iou_p: Floats


def _near(true: Labelled, found: Detected, num_classes: int) -> _Near:
    """All such pairs. Those with a crowd can be of very different sizes, so each is compared with all of its class."""
    found_groups, true_groups = found.groups(num_classes), true.groups(num_classes)
    parts = []
    for of, least in ((np.flatnonzero(~true.difficult_n), 0.49), (np.flatnonzero(true.difficult_n), 0.0)):
        pairs = near_pairs(
            found.boxes_n4,
            found_groups,
            np.full(len(found_groups), least),
            true.boxes_n4[of],
            true_groups[of],
            plus=0.0,
            strict=False,
        )
        parts.append((pairs.found_p, of[pairs.true_p]))
    found_p, true_p = (np.concatenate(part) for part in zip(*parts, strict=True))
    iou_p = _overlaps(found.boxes_n4[found_p], true.boxes_n4[true_p], true.difficult_n[true_p])
    enough = iou_p >= _LEAST_T[0]
    return _Near(found_p[enough], true_p[enough], iou_p[enough])


def _overlaps(found_p4: NDArray[np.float32], true_p4: NDArray[np.float32], crowd_p: Flags) -> Floats:
    """(P,) IoU; of a crowd the share of the detection. Edges are corner + width, as in pycocotools, to the last bit."""
    (x, y, right, bottom), (wide, high) = _edges(found_p4)
    (true_x, true_y, true_right, true_bottom), (true_wide, true_high) = _edges(true_p4)
    across = np.maximum(np.minimum(right, true_right) - np.maximum(x, true_x), 0)
    down = np.maximum(np.minimum(bottom, true_bottom) - np.maximum(y, true_y), 0)
    both = across * down
    area = wide * high
    union = np.where(crowd_p, area, area + true_wide * true_high - both)
    overlap: Floats = np.divide(both, union, out=np.zeros_like(both), where=both > 0)
    return overlap


def _edges(boxes_n4: NDArray[np.float32]) -> tuple[tuple[Floats, Floats, Floats, Floats], tuple[Floats, Floats]]:
    x, y, right, bottom = boxes_n4.astype(np.float64).T
    wide, high = right - x, bottom - y
    return (x, y, x + wide, y + high), (wide, high)


def _areas(boxes_n4: NDArray[np.float32]) -> Floats:
    sides = boxes_n4[:, 2:].astype(np.float64) - boxes_n4[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


@dataclass(frozen=True, eq=False)
class _Verdicts:
    """Of each detection at each threshold, (T, D) bool: right, or not counted."""

    right_td: Flags
    ignored_td: Flags

    @classmethod
    def of(cls, near: _Near, ignored_m: Flags, crowd_m: Flags, beyond_d: Flags) -> _Verdicts:
        order = np.lexsort((-near.true_p, -near.iou_p, ignored_m[near.true_p], near.found_p))
        found_p, true_p, iou_p = near.found_p[order], near.true_p[order], near.iou_p[order]
        right_td = np.zeros((len(_LEAST_T), len(beyond_d)), np.bool_)
        ignored_td = np.broadcast_to(beyond_d, right_td.shape).copy()
        for least, right_d, ignored_d in zip(_LEAST_T, right_td, ignored_td, strict=True):
            enough = iou_p >= least
            found, true = _taken(found_p[enough], true_p[enough], crowd_m)
            right_d[found] = ~ignored_m[true]
            ignored_d[found] = ignored_m[true]
        return cls(right_td, ignored_td)


def _taken(found_p: Indices, true_p: Indices, crowd_m: Flags) -> tuple[Indices, Indices]:
    """The detections that take a true box, ascending, and the box. The pairs are those of each detection in turn, in
    the order in which it wants the boxes; a lower index goes first.

    Every detection asks for the box that it wants most; of those that ask for one box the first keeps it, and the
    others ask for their next, until none has to. That gives each what it would get if they chose one after another.
    """
    found, place = np.unique(found_p, return_index=True)
    end = np.append(place[1:], len(found_p))
    holder_m = np.full(len(crowd_m), np.iinfo(np.int64).max)
    asks = np.ones(len(found), np.bool_)
    while True:
        at = np.flatnonzero(asks)
        wanted = true_p[place[at]]
        np.minimum.at(holder_m, wanted, found[at])
        sent_away = at[(holder_m[wanted] != found[at]) & ~crowd_m[wanted]]
        if not len(sent_away):
            return found[at], wanted
        place[sent_away] += 1
        asks[sent_away] = place[sent_away] < end[sent_away]


def _precision(verdicts: _Verdicts, classes_d: Indices, wanted_k: Indices) -> Floats:
    """(T, R, K): the best precision at each recall or a greater one; -1 for a class without objects that count."""
    precision = np.full((len(_LEAST_T), len(_RECALLS_R), len(wanted_k)), -1.0)
    order = np.argsort(classes_d, kind="stable")
    ends = np.searchsorted(classes_d[order], np.arange(len(wanted_k) + 1))
    for label in np.flatnonzero(wanted_k):
        own = order[ends[label] : ends[label + 1]]
        for threshold in range(len(_LEAST_T)):
            counted = own[~verdicts.ignored_td[threshold, own]]
            right = np.cumsum(verdicts.right_td[threshold, counted])
            best = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
            reached = np.searchsorted(right / wanted_k[label], _RECALLS_R, side="left")
            precision[threshold, :, label] = np.append(best, 0.0)[reached]
    return precision


def _mean(precision: Floats) -> float:
    """The mean of what is there; -1 where nothing is."""
    there = precision[precision > -1]
    return float(np.mean(there)) if len(there) else -1.0
