"""Masks of the cost against a slow drawing of reference 7.5, cell by cell and sample point by sample point."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.sample import Truth
from taolite.tasks.detectnet.masks import ClassFilter, LossMask, RegionFilter, SizeFilter, draw_mask

NO_COVER = np.zeros((2, 4, 6), np.float32)  # two classes, 96 x 64 pixels at stride 16


def one_mask(truth, *filters, kind=0, cov=NO_COVER, **settings):
    """The cov mask of one class, masked by `filters`."""
    rows = [((), ()), ((), ())]
    rows[kind] = (filters, ())
    return draw_mask(truth, cov, mask=LossMask(tuple(rows), **settings), input_hw=(64, 96))[kind, 0]


def test_a_cell_is_inside_as_soon_as_one_of_its_sample_points_is():
    # sample points of cell 0 lie at 1.6, 4.8, 8, 11.2 and 14.4 pixels
    for right, cells in ((1.5, 0), (1.7, 1), (17.5, 1), (17.7, 2)):
        mask = one_mask(Truth(np.float32([[0, 0, right, 10]]), np.array([0])), SizeFilter())

        assert mask[0].tolist() == [0.0] * cells + [1.0] * (6 - cells)
        assert mask[1:].min() == 1


def test_sizes_are_inclusive_and_a_bound_of_zero_is_none():
    boxes = np.float32([[0, 0, 10, 10], [16, 0, 36, 10], [48, 0, 79, 10]])  # widths 10, 20, 31
    truth = Truth(boxes, np.zeros(3, np.int64))

    def masked(**bounds):
        return np.flatnonzero(one_mask(truth, SizeFilter(**bounds))[0] == 0).tolist()

    assert masked(min_width=10, max_width=20) == [0, 1, 2]
    assert masked(min_width=10.5) == [1, 2, 3, 4]
    assert masked(max_width=19.5, min_height=10, max_height=10) == [0]
    assert masked(min_height=10.5) == []


def test_a_region_picks_what_overlaps_it_and_an_edge_of_zero_does_not_bound_it():
    boxes = np.float32([[0, 0, 16, 16], [32, 0, 48, 16], [64, 32, 80, 48]])
    truth = Truth(boxes, np.zeros(3, np.int64))

    def masked(**edges):
        rows, columns = np.nonzero(one_mask(truth, RegionFilter(**edges)) == 0)
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    assert masked(left=16, top=1, right=32.5, bottom=20) == [(0, 2)]  # touching the first box' edge is no overlap
    assert masked(right=40) == [(0, 0), (0, 2)]
    assert masked(top=20) == [(2, 4)]
    assert masked() == [(0, 0), (0, 2), (2, 4)]


def test_sizes_and_regions_ask_for_the_masked_class_and_source_classes_do_not():
    truth = Truth(np.float32([[0, 0, 16, 16], [32, 0, 48, 16]]), np.array([0, 1]))

    assert np.flatnonzero(one_mask(truth, SizeFilter())[0] == 0).tolist() == [0]
    assert np.flatnonzero(one_mask(truth, RegionFilter(), kind=1)[0] == 0).tolist() == [2]
    assert np.flatnonzero(one_mask(truth, ClassFilter((1,)))[0] == 0).tolist() == [2]
    assert np.flatnonzero(one_mask(truth, SizeFilter(), ClassFilter((1,)))[0] == 0).tolist() == [0, 2]
    assert np.flatnonzero(one_mask(truth, ClassFilter(None))[0] == 0).tolist() == [0, 2]  # no names: every box


def test_cells_with_an_object_of_the_class_keep_their_cost_where_it_is_asked():
    cov = NO_COVER.copy()
    cov[0, 0, 1] = 1 / 16
    cov[1, 0, 0] = 1.0  # another class: no reason to keep
    truth = Truth(np.float32([[0, 0, 32, 16]]), np.array([0]))

    kept = one_mask(truth, SizeFilter(), cov=cov, multiplier=0.25, preserve_ground_truth=True)
    masked = one_mask(truth, SizeFilter(), cov=cov, multiplier=0.25)

    assert kept[0, :3].tolist() == [0.25, 1, 1]
    assert masked[0, :3].tolist() == [0.25, 0.25, 1]


@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_with_many_filters_equals_a_slow_drawing(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 90, (9, 2))
    boxes = np.hstack([corner, corner + rng.uniform(1, 50, (9, 2))]).astype(np.float32)
    truth = Truth(boxes, rng.integers(0, 2, 9))
    cov = rng.integers(0, 3, (2, 4, 6)).astype(np.float32) / 2
    size, region, named = SizeFilter(min_width=12, max_height=40), RegionFilter(10, 10, 50, 40), ClassFilter((1,))
    filters = (((size, region), ()), ((size,), (region, named)))
    mask = LossMask(filters, multiplier=0.3, preserve_ground_truth=bool(seed % 2))

    fast = draw_mask(truth, cov, mask=mask, input_hw=(64, 96))

    assert fast.dtype == np.float32
    np.testing.assert_array_equal(fast, slow_mask(truth, cov, mask))


def slow_mask(truth, cov, mask):
    """Reference 7.5 read aloud: sizes and regions or-ed, then the class and-ed, then source classes or-ed."""
    factors = np.ones((2, 2, 4, 6), np.float32)
    for k in range(2):
        for o in range(2):
            chosen = []
            for (x1, y1, x2, y2), kind in zip(truth.boxes_n4, truth.classes_n, strict=True):
                own, foreign = False, False
                for f in mask.filters[k][o]:
                    if isinstance(f, SizeFilter):
                        own |= x2 - x1 >= f.min_width and y2 - y1 <= f.max_height
                    elif isinstance(f, RegionFilter):
                        own |= min(x2, f.right) > max(x1, f.left) and min(y2, f.bottom) > max(y1, f.top)
                    else:
                        foreign |= kind in f.classes
                if (own and kind == k) or foreign:
                    chosen.append((x1, y1, x2, y2))
            for j in range(4):
                for i in range(6):
                    points = [((i + (a + 0.5) / 5) * 16, (j + (b + 0.5) / 5) * 16) for a in range(5) for b in range(5)]
                    hit = any(x1 <= x < x2 and y1 <= y < y2 for x, y in points for x1, y1, x2, y2 in chosen)
                    if hit and not (mask.preserve_ground_truth and cov[k, j, i] > 0):
                        factors[k, o, j, i] = mask.multiplier
    return factors
