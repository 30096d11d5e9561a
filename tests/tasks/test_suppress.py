"""Hard NMS against torchvision, soft NMS against its loop written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou
from torchvision.ops import nms as torchvision_nms

from taolite.tasks.suppress import nms, overlaps, soft_nms


def scene(seed, count=400):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], axis=1).astype(np.float32)
    return boxes, rng.uniform(0, 1, count).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_nms_keeps_what_torchvision_keeps(seed, threshold):
    boxes, scores = scene(seed)

    kept = nms(boxes, scores, iou_threshold=threshold)

    assert kept.tolist() == torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist()


def test_overlaps_are_torchvisions():
    boxes, _ = scene(0, 30)

    np.testing.assert_allclose(
        overlaps(boxes.astype(np.float64), boxes[:7].astype(np.float64)),
        box_iou(torch.from_numpy(boxes), torch.from_numpy(boxes[:7])),
        atol=1e-6,
    )


def slow_soft_nms(boxes, scores, sigma, threshold):
    rest = {index: float(score) for index, score in enumerate(scores) if score > threshold}
    kept = []
    while rest:
        best = max(rest, key=lambda index: rest[index])
        kept.append((best, rest.pop(best)))
        for index in list(rest):
            overlap = float(overlaps(boxes[[best]].astype(np.float64), boxes[[index]].astype(np.float64))[0, 0])
            rest[index] *= math.exp(-(overlap**2) / sigma)
            if rest[index] <= threshold:
                del rest[index]
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_soft_nms_is_its_loop(seed):
    boxes, scores = scene(seed, 80)

    kept, left = soft_nms(boxes, scores, sigma=0.5, score_threshold=0.2)

    expected = slow_soft_nms(boxes, scores, 0.5, 0.2)
    assert kept.tolist() == [index for index, _ in expected]
    assert left.tolist() == pytest.approx([score for _, score in expected])


def test_soft_nms_by_hand():
    boxes = np.float32([(0, 0, 10, 10), (0, 0, 10, 20), (50, 50, 60, 60)])  # the first two overlap by a half

    kept, left = soft_nms(boxes, np.float32([0.8, 0.9, 0.1]), sigma=0.5, score_threshold=0.05)

    assert kept.tolist() == [1, 0, 2]
    assert left.tolist() == pytest.approx([0.9, 0.8 * math.exp(-0.25 / 0.5), 0.1])


def test_soft_nms_of_nothing_is_nothing():
    kept, left = soft_nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), sigma=0.5, score_threshold=0.0)

    assert (kept.tolist(), left.tolist()) == ([], [])
