"""Pairs of boxes found by a grid, against all boxes compared with all; matching, against a loop that reads the rule."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.boxes import iou_matrix, iou_pairs
from taolite.metrics import match
from taolite.metrics.pairs import near_pairs
from taolite.sample import Truth


def boxes(rng, count, *, width=300.0):
    """Boxes of sizes from 2 to 150 pixels, many alike; a few without an area, inverted, far away, or not finite."""
    corner = rng.uniform(0, width, (count, 2))
    made = np.concatenate([corner, corner + np.exp(rng.uniform(0.7, 5, (count, 2)))], axis=1)
    made[::3] = np.rint(made[::3] / 8) * 8
    made[1::7] = made[:1]
    for place in range(0, count, 11):
        made[place, rng.integers(0, 4)] = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0])
    return made.astype(np.float32)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("plus", [0.0, 1.0])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
def test_the_grid_finds_the_pairs_that_all_with_all_finds(plus, strict):
    found_pairs = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found, true = boxes(rng, int(rng.integers(0, 60))), boxes(rng, int(rng.integers(0, 60)))
        true[: len(found) : 2] = found[: len(true) : 2] + np.float32(rng.choice([0, 2]))
        of_found, of_true = rng.integers(0, 4, len(found)) * 3, rng.integers(0, 5, len(true)) * 3
        least = rng.choice([0.0, 0.01, 0.3, 0.5, 0.75, 1.0], len(found))

        near = near_pairs(found, of_found, least, true, of_true, plus=plus, strict=strict)

        iou = iou_matrix(found, true, plus=plus)
        enough = iou > least[:, None] if strict else iou >= least[:, None]
        rows = np.argwhere(enough & (of_found[:, None] == of_true[None, :])).tolist()
        wanted = sorted(((at, -iou[at, of], of) for at, of in rows))
        got = list(zip(near.found_p.tolist(), (-near.iou_p).tolist(), near.true_p.tolist(), strict=True))
        assert got == wanted
        found_pairs += len(got)
    assert found_pairs > 100


def test_the_overlap_of_pairs_is_that_of_the_matrix_bit_by_bit():
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0, 90, (2, 500, 4)).astype(np.float32)

    for plus in (0.0, 1.0):
        assert np.array_equal(iou_pairs(first, second, plus=plus), np.diag(iou_matrix(first, second, plus=plus)))


def by_the_rule(truths, founds, *, least, second_choice):
    """Detections by descending score: image, and whether each is right; the excused ones are left out. One class."""
    rows = sorted(
        ((-score, image, place) for image, found in enumerate(founds) for place, score in enumerate(found.scores_n)),
        key=lambda row: row[0],
    )
    taken, verdicts = set(), []
    for _, image, place in rows:
        truth = truths[image]
        overlaps = iou_matrix(founds[image].boxes_n4[place : place + 1], truth.boxes_n4)[0].tolist()
        left = [of for of in range(len(overlaps)) if not (second_choice and (image, of) in taken)]
        best = max(left, key=lambda of: (overlaps[of], -of), default=None)
        near = best is not None and overlaps[best] >= least
        if near and truth.difficult_n[best]:
            taken.add((image, best))
            continue
        verdicts.append((image, near and (image, best) not in taken))
        if near:
            taken.add((image, best))
    return verdicts


class Found:
    def __init__(self, boxes_n4, scores_n):
        self.boxes_n4, self.scores_n, self.classes_n = boxes_n4, scores_n, np.zeros(len(scores_n), np.int64)


@pytest.mark.parametrize("second_choice", [False, True])
def test_crowded_images_are_matched_by_the_rule(second_choice):
    rng = np.random.default_rng(5)
    truths, founds = [], []
    for count in (0, 1, 30, 200):
        corner = rng.uniform(0, 250, (count, 2))
        true = np.concatenate([corner, corner + rng.uniform(10, 60, (count, 2))], axis=1).astype(np.float32)
        seen = np.repeat(true, rng.integers(0, 3, count), axis=0)
        seen = seen + rng.normal(0, 4, seen.shape).astype(np.float32)
        truths.append(Truth(true, np.zeros(count, np.int64), rng.random(count) < 0.1))
        founds.append(Found(seen, np.rint(rng.random(len(seen)) * 20) / 20))

    (one,) = match(
        truths,
        founds,
        num_classes=1,
        iou_thresholds=[0.4],
        convention="continuous",
        second_choice=second_choice,
    )

    wanted = by_the_rule(truths, founds, least=0.4, second_choice=second_choice)
    assert list(zip(one.images_d.tolist(), one.correct_d.tolist(), strict=True)) == wanted
    assert 40 < sum(right for _, right in wanted) < len(wanted)
