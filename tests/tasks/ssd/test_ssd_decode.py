"""Objects against torchvision's NMS class by class, and the limits one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import nms as torchvision_nms

from taolite.errors import ModelError
from taolite.preprocessing import Preprocessing
from taolite.tasks.ssd.decode import decode

PREP = Preprocessing((100, 200), fit="stretch")
RULE = {"confidence_threshold": 0.3, "nms_iou": 0.45, "top_k": 0, "candidates": 0, "method": "hard"}


def scene(seed, priors=300, classes=3):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (priors, classes + 1))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    low = rng.uniform(-0.1, 0.8, (priors, 2))
    return scores.astype(np.float32), np.concatenate([low, low + rng.uniform(0.1, 0.5, (priors, 2))], axis=1).astype(
        "f4"
    )


def by_torchvision(scores, boxes, *, threshold, iou, candidates, top_k):
    rows = []
    for kind in range(scores.shape[1] - 1):
        own = torch.from_numpy(scores[:, kind + 1].copy())
        best = torch.argsort(own, descending=True, stable=True)
        best = best[own[best] > threshold][:candidates]
        kept = best[torchvision_nms(torch.from_numpy(boxes)[best], own[best], iou)][:top_k]
        rows += [(float(own[index]), kind, *(boxes[index] * (200, 100, 200, 100)).tolist()) for index in kept]
    return sorted(rows, key=lambda row: -row[0])[:top_k]


@pytest.mark.parametrize(("candidates", "top_k"), [(0, 0), (20, 0), (0, 15), (20, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_objects_are_torchvisions(seed, candidates, top_k):
    scores, boxes = scene(seed)

    found = decode((scores, boxes), {**RULE, "candidates": candidates, "top_k": top_k}, preprocessing=PREP)

    expected = by_torchvision(
        scores, boxes, threshold=0.3, iou=0.45, candidates=candidates or None, top_k=top_k or None
    )
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores_n, [row[0] for row in expected])
    assert found.classes_n.tolist() == [row[1] for row in expected]
    np.testing.assert_allclose(found.boxes_n4, [row[2:] for row in expected], rtol=1e-6)
    assert (found.boxes_n4.dtype, found.scores_n.dtype, found.classes_n.dtype) == (np.float32, np.float32, np.int64)


APART = np.float32([(0, 0, 0.1, 0.2), (0.5, 0.5, 0.75, 1.25), (0.2, 0.2, 0.3, 0.3)])


def test_background_is_never_found_and_boxes_become_pixels_unclipped():
    scores = np.float32([(0.9, 0.1, 0), (0.1, 0, 0.9), (0, 0.6, 0.4)])

    found = decode((scores, APART), RULE, preprocessing=PREP)

    assert found.classes_n.tolist() == [1, 0, 1]
    assert found.scores_n.tolist() == pytest.approx([0.9, 0.6, 0.4])
    assert found.boxes_n4[0].tolist() == pytest.approx([100, 50, 150, 125])
    assert found.boxes_n4[1].tolist() == found.boxes_n4[2].tolist()  # two classes at one prior


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_a_score_has_to_pass_the_threshold(method):
    scores = np.float32([(0.5, 0.5), (0.49, 0.51), (1, 0)])

    found = decode((scores, APART), {**RULE, "confidence_threshold": 0.5, "method": method}, preprocessing=PREP)

    assert found.scores_n.tolist() == pytest.approx([0.51])


def test_boxes_as_far_apart_as_the_limit_are_both_kept():
    boxes = np.float32([(0, 0, 0.5, 0.5), (0, 0, 0.5, 0.25)])  # an IoU of exactly a half
    scores = np.float32([(0.1, 0.9), (0.2, 0.8)])

    def count(iou):
        return len(decode((scores, boxes), {**RULE, "nms_iou": iou}, preprocessing=PREP))

    assert (count(0.5), count(0.49)) == (2, 1)


def test_equal_scores_stay_in_order_of_class_and_prior():
    scores = np.float32([(0, 0.5, 0.5), (0, 0.5, 0.5), (1, 0, 0)])

    found = decode((scores, APART), RULE, preprocessing=PREP)

    assert found.classes_n.tolist() == [0, 0, 1, 1]
    assert found.boxes_n4[:, 0].tolist() == pytest.approx([0, 100, 0, 100])


def test_soft_nms_lowers_scores_and_sorts_by_what_is_left():
    boxes = np.float32([(0, 0, 0.5, 0.5), (0, 0, 0.5, 0.25), (0.6, 0.6, 0.9, 0.9)])
    scores = np.float32([(0.1, 0.9), (0.2, 0.8), (0.4, 0.6)])

    found = decode((scores, boxes), {**RULE, "method": "soft"}, preprocessing=PREP)

    assert found.scores_n.tolist() == pytest.approx([0.9, 0.6, 0.8 * np.exp(-0.25 / 0.5)])
    assert found.boxes_n4[:, 0].tolist() == pytest.approx([0, 120, 0])


def test_rows_of_a_model_that_ends_in_nms_are_taken_as_they_are():
    rows = np.float32(
        [(2, 0.9, 0.5, 0.5, 0.75, 1.25), (1, 0.8, 0, 0, 0.5, 0.5), (1, 0.2, 0, 0, 1, 1), (0, 0, 0, 0, 0, 0)]
    )

    found = decode((rows,), RULE, preprocessing=PREP)

    assert found.classes_n.tolist() == [1, 0]
    assert found.scores_n.tolist() == pytest.approx([0.9, 0.8])
    assert found.boxes_n4[0].tolist() == pytest.approx([100, 50, 150, 125])


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_an_image_in_which_nothing_is_found(method):
    scores = np.tile(np.float32([1, 0, 0]), (3, 1))

    found = decode((scores, APART), {**RULE, "method": method}, preprocessing=PREP)

    assert found.boxes_n4.shape == (0, 4)
    assert len(found) == len(found.classes_n) == 0


def test_outputs_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ModelError) as caught:
        decode((np.zeros((5, 3)), np.zeros((4, 4))), RULE, preprocessing=PREP)

    assert str(caught.value) == ("the network gives scores (5, 3) and boxes (4, 4); an SSD's are (P, K + 1) and (P, 4)")


def test_what_is_not_finite_is_refused_where_it_counts():
    scores, boxes = scene(0)
    sure = int(scores[:, 1].argmax())
    unsure = int(scores[:, 0].argmax())

    def broken(place, value):
        changed = boxes.copy()
        changed[place] = value
        return decode((scores, changed), RULE, preprocessing=PREP)

    with pytest.raises(ModelError, match="not finite"):
        broken(sure, np.inf)
    with pytest.raises(ModelError, match="not finite"):
        decode((np.full_like(scores, np.nan), boxes), RULE, preprocessing=PREP)
    assert len(broken(unsure, np.inf)) > 0  # background's boxes are never trained, and may overflow
