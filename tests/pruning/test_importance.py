"""Expected values by hand, or from plain loops that follow reference 9.1 to 9.3 word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from taolite.pruning.importance import equalize, filter_norms, keep_count, normalize, select


def slow_norms(kernel):
    return [math.sqrt(sum(float(k) ** 2 for k in kernel[f].flatten())) for f in range(kernel.shape[0])]


def slow_equalize(rows, criterion):
    out = []
    for column in zip(*rows, strict=True):
        if criterion == "union":
            out.append(max(column))
        elif criterion == "intersection":
            out.append(min(column))
        elif criterion == "arithmetic_mean":
            out.append(sum(column) / len(column))
        else:
            out.append(0.0 if 0 in column else math.exp(sum(math.log(x) for x in column) / len(column)))
    return out


def slow_select(statistic, threshold, granularity, min_filters):
    depth = len(statistic)
    keep = 0
    for value in statistic:
        if value > threshold:
            keep += 1
    keep = max(keep, min(min_filters, depth))
    while keep % granularity:
        keep += 1
    keep = min(keep, depth)
    order = sorted(range(depth), key=lambda i: (-statistic[i], i))
    return tuple(sorted(order[:keep]))


def test_a_filters_norm_is_the_root_of_its_squares_over_inputs_and_window():
    kernel = np.zeros((2, 2, 1, 2), np.float32)
    kernel[0] = [[[3, 0]], [[0, 4]]]
    kernel[1] = [[[1, 1]], [[1, 1]]]

    assert filter_norms(kernel).tolist() == [5.0, 2.0]

    random = np.random.default_rng(0).normal(size=(7, 5, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(filter_norms(random), slow_norms(random), rtol=1e-12)


def test_norms_are_compared_with_the_largest_or_with_the_root_of_their_squares():
    norms = np.array([3.0, 4.0, 0.0])

    assert normalize(norms, "max").tolist() == [0.75, 1.0, 0.0]
    np.testing.assert_allclose(normalize(norms, "L2"), [3 / 5 * 3, 4 / 5 * 3, 0.0])
    assert normalize(np.zeros(3), "max").tolist() == [0.0, 0.0, 0.0]
    assert normalize(np.zeros(3), "L2").tolist() == [0.0, 0.0, 0.0]


def test_a_groups_layers_agree_by_largest_smallest_or_mean():
    rows = np.array([[1.0, 0.25], [0.25, 0.25]])

    assert equalize(rows, "union").tolist() == [1.0, 0.25]
    assert equalize(rows, "intersection").tolist() == [0.25, 0.25]
    assert equalize(rows, "arithmetic_mean").tolist() == [0.625, 0.25]
    np.testing.assert_allclose(equalize(rows, "geometric_mean"), [0.5, 0.25])


@pytest.mark.parametrize("criterion", ["union", "intersection", "arithmetic_mean", "geometric_mean"])
def test_every_equalisation_follows_the_slow_one(criterion):
    random = np.random.default_rng(1)
    for layers in (1, 2, 3, 7):
        rows = random.uniform(0, 1, (layers, 40))
        rows[0, 3] = 0.0

        np.testing.assert_allclose(equalize(rows, criterion), slow_equalize(rows.tolist(), criterion), rtol=1e-12)


def test_nineteen_above_the_threshold_of_sixty_four_keep_twenty_four():
    """Reference 13.5 item 8: threshold 0.1, minimum 16, granularity 8."""
    statistic = np.array([1, 0.5, 0.2, *np.linspace(0.19, 0.11, 16), *np.linspace(0.05, 0.001, 45)])
    assert len(statistic) == 64

    kept = select(statistic, threshold=0.1, granularity=8, min_filters=16)

    assert kept == tuple(range(24))


@pytest.mark.parametrize(
    ("above", "depth", "granularity", "min_filters", "keep"),
    [
        (0, 64, 8, 16, 16),
        (0, 8, 8, 16, 8),
        (17, 64, 8, 16, 24),
        (16, 64, 8, 16, 16),
        (60, 61, 8, 16, 61),
        (0, 64, 8, 17, 24),
        (5, 6, 4, 2, 6),
        (1, 64, 1, 1, 1),
    ],
)
def test_minimum_then_rounding_up_then_the_depth(above, depth, granularity, min_filters, keep):
    assert keep_count(above, depth, granularity=granularity, min_filters=min_filters) == keep


def test_the_threshold_itself_is_not_above_and_of_equals_the_first_stay():
    statistic = np.array([0.5, 0.2, 0.5, 0.5, 0.5, 0.9])

    assert select(statistic, threshold=0.5, granularity=1, min_filters=1) == (5,)
    assert select(statistic, threshold=0.5, granularity=3, min_filters=1) == (0, 2, 5)
    assert select(statistic, threshold=0.0, granularity=1, min_filters=1) == (0, 1, 2, 3, 4, 5)


def test_selection_follows_the_slow_one():
    random = np.random.default_rng(2)
    for _ in range(200):
        statistic = random.integers(0, 12, random.integers(1, 40)) / 10
        rule = {
            "threshold": float(random.integers(0, 12) / 10),
            "granularity": int(random.integers(1, 9)),
            "min_filters": int(random.integers(1, 20)),
        }

        assert select(statistic, **rule) == slow_select(statistic.tolist(), *rule.values())
