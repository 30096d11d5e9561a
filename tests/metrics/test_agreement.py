"""Which results of two models belong together, and how they differ: against calculations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.metrics.agreement import Agreement, agreement
from taolite.tasks.found import NO_BOXES, Found


def found(*rows: tuple[tuple[float, float, float, float], float, int]) -> Found:
    boxes = np.float32([box for box, _, _ in rows]).reshape(-1, 4)
    scores, kinds = [score for _, score, _ in rows], [kind for _, _, kind in rows]
    return Found(boxes, np.float32(scores), np.int64(kinds))


def test_boxes_of_a_class_are_paired_by_overlap_and_each_once():
    # 0..10 against 0..8 overlaps by 0.8 and against 1..11 by 9 / 11; the larger overlap is taken first
    first = found(((0, 0, 10, 1), 0.9, 0), ((50, 0, 60, 1), 0.5, 0))
    second = found(((0, 0, 8, 1), 0.4, 0), ((1, 0, 11, 1), 0.75, 0), ((50, 0, 60, 1), 0.5, 1))

    told = agreement([first], [second])

    assert (told.first, told.second, told.agree) == (2, 3, 1)
    assert told.iou == pytest.approx(9 / 11)
    assert told.score == pytest.approx(0.15, abs=1e-6)
    assert told.largest_score == told.score


def test_a_pair_needs_an_iou_of_a_half():
    just = agreement([found(((0, 0, 10, 1), 1, 0))], [found(((0, 0, 5, 1), 1, 0))])
    less = agreement([found(((0, 0, 10, 1), 1, 0))], [found(((0, 0, 4.9, 1), 1, 0))])

    assert (just.agree, just.iou) == (1, 0.5)
    assert less == Agreement(1, 1, 0, None, None, None)


def test_equal_boxes_without_an_area_are_a_pair():
    flat, moved = found(((3, 4, 3, 9), 0.9, 0)), found(((3, 5, 3, 9), 0.9, 0))

    assert agreement([flat], [flat]) == Agreement(1, 1, 1, 1.0, 0.0, 0.0)
    assert agreement([flat], [moved]) == Agreement(1, 1, 0, None, None, None)


def test_pictures_are_compared_one_by_one_and_their_pairs_averaged():
    one, moved = found(((0, 0, 10, 1), 0.9, 0)), found(((0, 0, 8, 1), 0.8, 0))

    told = agreement([one, one, found()], [one, moved, found()])

    assert (told.first, told.second, told.agree) == (2, 2, 2)
    assert told.iou == pytest.approx((1 + 0.8) / 2)
    assert told.score == pytest.approx(0.05)
    assert told.largest_score == pytest.approx(0.1)
    assert agreement([one], [found()]) == Agreement(1, 0, 0, None, None, None)


def test_results_for_whole_pictures_agree_where_they_name_the_same_class():
    def said(kind: int, score: float) -> Found:
        return Found(NO_BOXES, np.float32([score]), np.int64([kind]))

    told = agreement([said(0, 0.9), said(1, 0.6)], [said(0, 0.7), said(2, 0.6)])

    assert (told.first, told.second, told.agree, told.iou) == (2, 2, 1, None)
    assert told.largest_score == pytest.approx(0.2)
