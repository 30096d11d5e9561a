"""Matching against loops over boxes and priors, and scenes that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.sample import Truth
from taolite.tasks.ssd.coding import corners, decode
from taolite.tasks.ssd.plan import Level, Matching, PriorPlan
from taolite.tasks.ssd.priors import priors
from taolite.tasks.ssd.targets import LABELS, OFFSETS, match_priors, ssd_targets

HW = (100, 200)
MAPS = [(4, 4), (2, 2)]
PLAN = PriorPlan(
    (
        Level(((0.3, 0.3), (0.45, 0.2), (0.2, 0.45)), (0.25, 0.25)),
        Level(((0.7, 0.7), (0.9, 0.5)), (0.5, 0.5)),
    ),
    (0.1, 0.1, 0.2, 0.2),
)
BEST = Matching("best")
TAO = Matching("bipartite", positive_iou=0.5, negative_iou=0.4)
FOUR = PriorPlan((Level(((0.5, 0.5),), (0.5, 0.5)),), (0.1, 0.1, 0.2, 0.2))
"""Priors are the quarters of the input."""


def truth(boxes, classes=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Truth(boxes, np.zeros(len(boxes), np.int64) if classes is None else np.array(classes))


def random_truth(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    low = rng.uniform(-0.1, 0.8, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.01, 0.7, (count, 2))], axis=1) * (200, 100, 200, 100)
    return truth(boxes, rng.integers(0, 5, count))


def iou(a, b, epsilon=0.0):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height + epsilon)


def slow_overlaps(found, matching):
    boxes = (found.boxes_n4 / np.float32([200, 100, 200, 100])).astype(np.float64)
    grid = corners(priors(PLAN, MAPS)).astype(np.float64)
    return np.array([[iou(box, prior, 1e-5 if matching.kind == "best" else 0.0) for prior in grid] for box in boxes])


def pytorch_ssd(overlaps, threshold):
    """4.9 word by word: (box of each prior or -1), for boxes whose best priors are different ones."""
    found = []
    forced = {int(row.argmax()): box for box, row in enumerate(overlaps)}
    for prior in range(overlaps.shape[1]):
        box = forced.get(prior, int(overlaps[:, prior].argmax()))
        found.append(box if prior in forced or overlaps[box, prior] >= threshold else -1)
    return found


def tao(overlaps, positive, negative):
    """4.5 word by word: (box of each prior or -1, neutral priors)."""
    boxes, count = overlaps.shape
    found, left = [-1] * count, overlaps.copy()
    for _ in range(boxes):
        pairs = [(left[b, p], -b, -p) for b in range(boxes) for p in range(count)]
        best, b, p = max(pairs)
        if best > 0:
            found[-p] = -b
            left[-b, :] = left[:, -p] = 0
    neutral = []
    for prior in range(count):
        best = overlaps[:, prior].max()
        if found[prior] < 0 and best >= positive:
            found[prior] = int(overlaps[:, prior].argmax())
        neutral.append(found[prior] < 0 and best >= negative)
    return found, neutral


@pytest.mark.parametrize("seed", range(40))
def test_priors_of_pytorch_ssd_stand_for_what_its_loops_say(seed):
    found = random_truth(seed)
    overlaps = slow_overlaps(found, BEST)
    _, first = np.unique(overlaps.argmax(axis=1), return_index=True)  # of boxes with the same best prior, one
    found, overlaps = truth(found.boxes_n4[first], found.classes_n[first]), overlaps[first]

    targets = ssd_targets(PLAN, MAPS, BEST, input_hw=HW)(found, 1.0)

    expected = pytorch_ssd(overlaps, 0.5)
    assert targets[LABELS].tolist() == [0 if box < 0 else found.classes_n[box] + 1 for box in expected]


@pytest.mark.parametrize("seed", range(40))
def test_priors_of_tao_stand_for_what_its_loops_say(seed):
    found = random_truth(seed)

    targets = ssd_targets(PLAN, MAPS, TAO, input_hw=HW)(found, 1.0)

    boxes, neutral = tao(slow_overlaps(found, TAO), 0.5, 0.4)
    expected = [-1 if n else 0 if box < 0 else found.classes_n[box] + 1 for box, n in zip(boxes, neutral, strict=True)]
    assert targets[LABELS].tolist() == expected


@pytest.mark.parametrize("matching", [BEST, TAO])
@pytest.mark.parametrize("seed", range(10))
def test_offsets_lead_back_to_the_boxes_and_are_zero_elsewhere(seed, matching):
    found = random_truth(seed)

    targets = ssd_targets(PLAN, MAPS, matching, input_hw=HW)(found, 1.0)

    labels, offsets = targets[LABELS], targets[OFFSETS]
    assert labels.dtype == offsets.dtype == np.float32
    assert not offsets[labels <= 0].any()
    drawn = decode(offsets, priors(PLAN, MAPS), PLAN.variances)[labels > 0] * (200, 100, 200, 100)
    boxes = [box for box in found.boxes_n4 if np.abs(drawn - box).max(axis=1).min() < 1e-2]
    assert len(boxes) == len(found.boxes_n4)  # every box has a prior
    for row, label in zip(drawn, labels[labels > 0], strict=True):
        near = np.abs(found.boxes_n4 - row).max(axis=1)
        assert near.min() < 1e-2
        assert found.classes_n[near.argmin()] + 1 == label


def test_a_box_that_no_prior_overlaps_by_half_has_its_best_one_by_hand():
    targets = ssd_targets(FOUR, [(2, 2)], BEST, input_hw=HW)(truth([(110, 10, 150, 30)], [2]), 1.0)

    assert targets[LABELS].tolist() == [0, 3, 0, 0]
    # box (0.65, 0.2, 0.2, 0.2), prior (0.75, 0.25, 0.5, 0.5)
    expected = [-0.1 / 0.5 / 0.1, -0.05 / 0.5 / 0.1, np.log(0.4) / 0.2, np.log(0.4) / 0.2]
    assert targets[OFFSETS][1].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["best", "bipartite"])
def test_two_boxes_with_the_same_best_prior_both_keep_one(kind):
    closer, farther = (0, 0, 100, 50), (5, 0, 115, 55)

    targets = ssd_targets(FOUR, [(2, 2)], Matching(kind), input_hw=HW)(truth([farther, closer], [0, 1]), 1.0)

    assert targets[LABELS].tolist() == [2, 1, 0, 0]  # the closer box its best one, the other its next best


@pytest.mark.parametrize(("kind", "labels"), [("bipartite", [1, 1, 0, 0]), ("best", [1, 0, 0, 0])])
def test_pytorch_ssd_measures_with_a_union_greater_by_a_hundred_thousandth(kind, labels):
    upper_half = truth([(0, 0, 200, 50)])  # overlaps both upper quarters by exactly a half, the first is its best

    targets = ssd_targets(FOUR, [(2, 2)], Matching(kind), input_hw=HW)(upper_half, 1.0)

    assert targets[LABELS].tolist() == labels


@pytest.mark.parametrize(
    ("overlap", "box", "neutral"),
    [(0.5, 0, False), (0.4999, -1, True), (0.4, -1, True), (0.3999, -1, False)],
)
def test_thresholds_count_from_their_own_value_on(overlap, box, neutral):
    found, between = match_priors(np.array([[0.9, overlap]]), TAO)

    assert (found.tolist(), between.tolist()) == ([0, box], [False, neutral])


def test_an_image_without_boxes_is_all_background():
    targets = ssd_targets(PLAN, MAPS, TAO, input_hw=HW)(truth([]), 1.0)

    assert not targets[LABELS].any()
    assert not targets[OFFSETS].any()


@pytest.mark.parametrize("matching", [BEST, TAO])
@pytest.mark.parametrize(
    "broken",
    [
        (50, 50, 50, 80),  # no width
        (50, 50, 80, 50),  # no height
        (80, 50, 50, 80),  # inverted
        (80, 80, 50, 50),  # both ways, which would have an area again
        (np.nan, 10, 20, 20),
        (10, 10, np.inf, 20),
        (500, 500, 540, 540),  # outside the input
    ],
)
def test_a_box_that_cannot_be_found_changes_nothing(matching, broken):
    encoder = ssd_targets(PLAN, MAPS, matching, input_hw=HW)
    good = (20, 10, 90, 60)

    alone, beside = encoder(truth([broken]), 1.0), encoder(truth([broken, good], [3, 1]), 1.0)

    assert not alone[LABELS].any()
    assert not alone[OFFSETS].any()
    expected = encoder(truth([good], [1]), 1.0)
    np.testing.assert_array_equal(beside[LABELS], expected[LABELS])
    np.testing.assert_array_equal(beside[OFFSETS], expected[OFFSETS])


def test_more_boxes_than_priors_leave_some_without_and_stay_finite():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 40, (30, 2)), rng.uniform(60, 100, (30, 2))], axis=1) * (2, 1, 2, 1)

    targets = ssd_targets(FOUR, [(2, 2)], BEST, input_hw=HW)(truth(boxes), 1.0)

    assert np.isfinite(targets[OFFSETS]).all()
    assert (targets[LABELS] == 1).all()
