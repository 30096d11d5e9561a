"""Boxes -> training targets of each prior (reference/jetson_workflows.md 4.9, reference/tao_classification_ssd.md 4.5).
NumPy only.

Both kinds of `Matching` use the same rule. First, every box gets a prior of its own: the pair with the highest IoU is
matched, then the best pair of the remaining boxes and priors, and so on. Then every other prior whose best IoU with a
box is `positive_iou` or more is matched to that box. "best" computes IoU as pytorch-ssd does, with 1e-5 added to the
union. Where two boxes have the same best prior, pytorch-ssd loses the first box; here it gets its next best prior.

Legend: M boxes, P priors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import iou_matrix
from taolite.data.examples import Encoder
from taolite.sample import Truth
from taolite.tasks.ssd.coding import corners, encode
from taolite.tasks.ssd.plan import Matching, PriorPlan
from taolite.tasks.ssd.priors import priors

__all__ = ["BACKGROUND", "LABELS", "NEUTRAL", "OFFSETS", "match_priors", "ssd_targets"]

LABELS, OFFSETS = "ssd_labels", "ssd_offsets"
BACKGROUND, NEUTRAL = 0.0, -1.0
_EPSILON = {"best": 1e-5, "bipartite": 0.0}  # added to unions, in relative units


def ssd_targets(
    plan: PriorPlan, map_sizes: Sequence[tuple[int, int]], matching: Matching, *, input_hw: tuple[int, int]
) -> Encoder:
    """Make an encoder of an image's targets: `ssd_labels` (P,), k + 1 for class k, BACKGROUND or NEUTRAL, and
    `ssd_offsets` (P, 4), zero where there is no box; both float32. The weight of a sample has no effect.

    Boxes without an area and boxes that overlap no prior are left out; an image without boxes is all background.
    """
    priors_p4 = priors(plan, map_sizes)
    corners_p4 = corners(priors_p4).astype(np.float32)
    height, width = input_hw
    frame = np.array([width, height, width, height], np.float32)

    def encoder(truth: Truth, weight: float) -> Mapping[str, NDArray[np.float32]]:
        labels_p = np.full(len(priors_p4), BACKGROUND, np.float32)
        offsets_p4 = np.zeros((len(priors_p4), 4), np.float32)
        boxes_m4 = truth.boxes_n4 / frame
        real_m = np.isfinite(boxes_m4).all(axis=1) & (boxes_m4[:, 2:] > boxes_m4[:, :2]).all(axis=1)
        boxes_m4, classes_m = boxes_m4[real_m], truth.classes_n[real_m]
        if len(boxes_m4):
            overlap_mp = iou_matrix(boxes_m4, corners_p4, epsilon=_EPSILON[matching.kind])
            box_p, neutral_p = match_priors(overlap_mp, matching)
            found_p = box_p >= 0
            labels_p[found_p] = classes_m[box_p[found_p]] + 1
            labels_p[neutral_p] = NEUTRAL
            offsets_p4[found_p] = encode(boxes_m4[box_p[found_p]], priors_p4[found_p], plan.variances)
        return {LABELS: labels_p, OFFSETS: offsets_p4}

    return encoder


def match_priors(overlap_mp: NDArray[np.float64], matching: Matching) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The box that each prior is matched to, from their overlaps (M, P), M at least 1.

    Returns:
        (P,) int64, the index of a box or -1, and (P,) bool, the priors that count neither as a box nor as background.
        Where two boxes overlap a prior equally the first is taken, and likewise for two priors.
    """
    box_p, closest_p = overlap_mp.argmax(axis=0), overlap_mp.max(axis=0)
    box_p[closest_p < matching.positive_iou] = -1
    left_mp = overlap_mp.copy()
    for _ in range(len(left_mp)):
        box, prior = np.unravel_index(left_mp.argmax(), left_mp.shape)
        if left_mp[box, prior] <= 0:
            break
        box_p[prior] = box
        left_mp[box] = left_mp[:, prior] = 0
    return box_p, (box_p < 0) & (closest_p >= matching.negative_iou)
