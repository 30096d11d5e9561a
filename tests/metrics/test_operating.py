"""The threshold with the best F1, against every threshold tried in a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.metrics.match import ClassMatches
from taolite.metrics.operating import best_point, best_points, risen, sweep, sweeps
from taolite.metrics.score import ClassScore, score_matches


def scored(scores: list[float], correct: list[bool], truths: int) -> ClassScore:
    matches = ClassMatches(truths, np.array(scores), np.array(correct, bool), np.zeros(len(scores), np.int64))
    return score_matches([matches], names=["cat"], mode="AREA").classes[0]


@pytest.mark.parametrize("seed", range(30))
def test_no_threshold_has_a_better_f1(seed: int):
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.integers(1, 20, 40) / 20)[::-1]  # many are equal
    correct, truths = rng.random(40) < scores, 30

    found = best_point(scored(scores.tolist(), correct.tolist(), truths))

    assert found is not None
    tried = {}
    for threshold in np.arange(0.0, 1.0, 0.025):
        kept = scores >= threshold
        right = (kept & correct).sum()
        tried[threshold] = 2 * right / (kept.sum() + truths) if right else 0.0
    kept = scores >= found.threshold
    right = (kept & correct).sum()
    assert found.f1 == pytest.approx(max(tried.values()))
    assert found.f1 == pytest.approx(2 * right / (kept.sum() + truths))
    assert (found.precision, found.recall) == pytest.approx((right / kept.sum(), right / truths))


def test_the_threshold_lies_between_the_last_score_kept_and_the_next():
    found = best_point(scored([0.9, 0.8, 0.3, 0.2], [True, True, False, False], 2))

    assert found is not None
    assert found.threshold == pytest.approx(0.55)
    assert (found.precision, found.recall, found.f1) == (1.0, 1.0, 1.0)


def test_a_class_of_which_nothing_is_found_has_no_best_point():
    assert best_point(scored([], [], 3)) is None
    assert best_point(scored([0.5], [False], 3)) is None
    assert best_point(scored([0.5], [False], 0)) is None
    matches = [ClassMatches(1, np.array([0.5]), np.array([True]), np.zeros(1, np.int64))] * 2
    assert set(best_points(score_matches(matches, names=["a", "b"], mode="AREA"))) == {"a", "b"}


@pytest.mark.parametrize("seed", range(10))
def test_a_sweep_has_precision_and_recall_of_what_reaches_each_threshold(seed: int):
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.random(30).round(2))[::-1]
    correct, truths = rng.random(30) < scores, 25

    found = sweep(scored(scores.tolist(), correct.tolist(), truths))

    assert found.thresholds == tuple(k / 100 for k in range(round(100 * scores[0]) + 1))
    for threshold, precision, recall, f1 in zip(found.thresholds, found.precision, found.recall, found.f1, strict=True):
        kept = scores >= threshold
        right = (kept & correct).sum()
        assert (precision, recall) == pytest.approx((right / kept.sum(), right / truths))
        assert f1 == pytest.approx(2 * right / (kept.sum() + truths))


def test_a_sweep_goes_beyond_one_where_scores_do_and_a_class_without_finds_has_none():
    assert sweep(scored([1.25], [True], 1)).thresholds[-1] == 1.25
    matches = [ClassMatches(n, np.array([0.5][:m]), np.array([True][:m]), np.zeros(m, np.int64)) for n, m in
               ((1, 1), (1, 0), (0, 1))]  # fmt: skip
    assert set(sweeps(score_matches(matches, names=["a", "b", "c"], mode="AREA"))) == {"a"}


def test_a_risen_curve_keeps_the_right_finds_and_the_last_one_and_its_best_precisions():
    one = scored([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [True, False, False, True, False, False], 4)

    found = risen(one)

    assert found.recall == pytest.approx((0.25, 0.5, 0.5))
    assert found.precision == pytest.approx((1.0, 0.5, 2 / 6))
    assert risen(scored([], [], 4)).recall == ()
