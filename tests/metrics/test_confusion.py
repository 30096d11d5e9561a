"""A detector's confusion matrix: small scenes counted by hand, and random ones against a slow loop.

Boxes lie on a line of squares of 10 x 10; shifted by 2 a box has an IoU of 80 / 120 = 0.667 with its square, by 4 of
60 / 140 = 0.429.
"""

from __future__ import annotations

import numpy as np
import pytest

from taolite.boxes import iou_matrix
from taolite.metrics import confuse
from taolite.sample import Truth
from taolite.scorecard import Tally
from taolite.tasks.found import Found

CAT, DOG, NOTHING = 0, 1, 2
HALF = (0.5, 0.5)


def square(x: float) -> tuple[float, float, float, float]:
    return (x, 0.0, x + 10.0, 10.0)


def truth(*rows: tuple[float, int], difficult: tuple[int, ...] = ()) -> Truth:
    """Rows of (x, class)."""
    boxes = np.array([square(x) for x, _ in rows], np.float32).reshape(-1, 4)
    hard = np.array([index in difficult for index in range(len(rows))], np.bool_)
    return Truth(boxes, np.array([kind for _, kind in rows], np.int64), hard)


def found(*rows: tuple[float, int, float]) -> Found:
    """Rows of (x, class, score)."""
    boxes = np.array([square(x) for x, _, _ in rows], np.float32).reshape(-1, 4)
    kinds, scores = [kind for _, kind, _ in rows], [score for _, _, score in rows]
    return Found(boxes, np.array(scores, np.float32), np.array(kinds, np.int64))


def counted(one: Truth, two: Found, thresholds: tuple[float, float] = HALF) -> dict[tuple[int, int], int]:
    """The cells that are not 0, by (true class, predicted class)."""
    counts = confuse([one], [two], thresholds=thresholds).counts_kk
    assert counts.shape == (3, 3)
    return {(row, column): int(counts[row, column]) for row, column in np.argwhere(counts)}


def test_right_wrong_class_missed_and_nothing_there():
    labels = truth((0, CAT), (20, CAT), (40, DOG), (60, DOG))
    finds = found((2, CAT, 0.9), (20, DOG, 0.8), (40, DOG, 0.7), (90, CAT, 0.6))

    assert counted(labels, finds) == {(CAT, CAT): 1, (CAT, DOG): 1, (DOG, DOG): 1, (DOG, NOTHING): 1, (NOTHING, CAT): 1}


def test_a_box_too_far_off_is_a_miss_and_a_wrong_find():
    assert counted(truth((0, CAT)), found((4, CAT, 0.9))) == {(CAT, NOTHING): 1, (NOTHING, CAT): 1}


def test_finds_below_the_threshold_of_their_own_class_are_left_out():
    labels, finds = truth((0, CAT), (20, DOG)), found((0, CAT, 0.4), (20, DOG, 0.4))

    assert counted(labels, finds, (0.4, 0.41)) == {(CAT, CAT): 1, (DOG, NOTHING): 1}


def test_the_nearest_find_takes_the_box_whatever_its_class_and_score():
    labels, finds = truth((0, CAT)), found((2, CAT, 0.99), (0, DOG, 0.5))

    assert counted(labels, finds) == {(CAT, DOG): 1, (NOTHING, CAT): 1}


def test_two_finds_of_one_object_are_one_right_and_one_wrong():
    assert counted(truth((0, DOG)), found((0, DOG, 0.6), (2, DOG, 0.9))) == {(DOG, DOG): 1, (NOTHING, DOG): 1}


def test_a_find_whose_box_went_to_a_nearer_one_takes_its_second_choice():
    # the find at 1 overlaps the box at 0 most (IoU 0.82), which the exact find takes; its IoU with that at 3 is 0.67
    labels, finds = truth((0, CAT), (3, CAT)), found((0, CAT, 0.9), (1, CAT, 0.9))

    assert counted(labels, finds) == {(CAT, CAT): 2}


def test_a_difficult_box_counts_neither_way():
    labels = truth((0, CAT), (20, DOG), difficult=(0,))

    assert counted(labels, found((0, CAT, 0.9), (2, DOG, 0.9), (20, DOG, 0.9))) == {(DOG, DOG): 1}
    assert counted(labels, found()) == {(DOG, NOTHING): 1}


def test_each_picture_has_its_own_count():
    labels = [truth((0, CAT), (20, DOG)), truth(), truth((0, CAT)), truth()]
    finds = [found((0, CAT, 0.9), (20, CAT, 0.9)), found(), found(), found((0, DOG, 0.7))]

    confusion = confuse(labels, finds, thresholds=HALF)

    assert confusion.pictures == (Tally(1, 2, 2), Tally(0, 0, 0), Tally(0, 0, 1), Tally(0, 1, 0))
    assert [one.f1 for one in confusion.pictures] == [0.5, 1.0, 0.0, 0.0]
    assert [one.mistakes for one in confusion.pictures] == [2, 0, 1, 1]
    assert confusion.counts_kk.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_every_object_and_every_find_is_counted_once_as_a_slow_loop_does(seed: int):
    rng = np.random.default_rng(seed)
    one = truth(*((float(x), int(rng.integers(2))) for x in rng.uniform(0, 60, 8)))
    two = found(*((float(x), int(rng.integers(2)), float(rng.random())) for x in rng.uniform(0, 60, 12)))

    counts = confuse([one], [two], thresholds=(0.3, 0.6)).counts_kk

    kept = [k for k in range(12) if two.scores_n[k] >= (0.3, 0.6)[two.classes_n[k]]]
    iou = iou_matrix(one.boxes_n4, two.boxes_n4)
    expected, boxes, finds = np.zeros((3, 3), int), set(range(8)), set(kept)
    while pairs := [(iou[b, f], b, f) for b in boxes for f in finds if iou[b, f] >= 0.5]:
        _, box, find = max(pairs)
        expected[one.classes_n[box], two.classes_n[find]] += 1
        boxes.remove(box)
        finds.remove(find)
    for box in boxes:
        expected[one.classes_n[box], 2] += 1
    for find in finds:
        expected[2, two.classes_n[find]] += 1
    assert counts.tolist() == expected.tolist()
    assert counts[:2].sum(axis=1).tolist() == [int((one.classes_n == kind).sum()) for kind in (0, 1)]
    assert counts[:, :2].sum() == len(kept)
