"""Priors against pytorch-ssd's loops written out, the sizes its users see, and a small TAO grid by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from taolite.tasks.ssd.plan import Level, PriorPlan
from taolite.tasks.ssd.priors import jetson_boxes_per_cell, jetson_levels, priors, tao_boxes_per_cell, tao_levels

MAPS_300 = {
    "mb1-ssd": (19, 10, 5, 3, 2, 1),
    "mb1-ssd-lite": (19, 10, 5, 3, 2, 1),
    "mb2-ssd-lite": (19, 10, 5, 3, 2, 1),
    "sq-ssd-lite": (17, 10, 5, 3, 2, 1),
    "vgg16-ssd": (38, 19, 10, 5, 3, 1),
}


def square(sides):
    return [(side, side) for side in sides]


def pytorch_ssd(rows, side):
    """Its nested loops: (map, shrinkage, min, max, ratios) -> the clamped list."""
    out = []
    for cells, shrinkage, least, largest, ratios in rows:
        for j, i in itertools.product(range(cells), repeat=2):
            x, y = (i + 0.5) * shrinkage / side, (j + 0.5) * shrinkage / side
            middle = math.sqrt(largest * least) / side
            out += [(x, y, least / side, least / side), (x, y, middle, middle)]
            for ratio in ratios:
                w, h = least / side * math.sqrt(ratio), least / side / math.sqrt(ratio)
                out += [(x, y, w, h), (x, y, h, w)]
    return np.array(out, np.float32).clip(0, 1)


@pytest.mark.parametrize("net", ["mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite"])
def test_the_mobilenets_and_squeezenet_have_the_published_tables_at_300_pixels(net):
    maps = MAPS_300[net]
    table = zip(
        maps, (16, 32, 64, 100, 150, 300), (60, 105, 150, 195, 240, 285), (105, 150, 195, 240, 285, 330), strict=True
    )

    found = priors(jetson_levels(net, 300, square(maps)), square(maps))

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pytorch_ssd([(*row, (2, 3)) for row in table], 300), rtol=0, atol=6e-8)
    assert len(found) == (2568 if net == "sq-ssd-lite" else 3000)


def test_vgg_has_its_own_table_and_ratios():
    maps = MAPS_300["vgg16-ssd"]
    rows = [
        (38, 8, 30, 60, (2,)),
        (19, 16, 60, 111, (2, 3)),
        (10, 32, 111, 162, (2, 3)),
        (5, 64, 162, 213, (2, 3)),
        (3, 100, 213, 264, (2,)),
        (1, 300, 264, 315, (2,)),
    ]

    found = priors(jetson_levels("vgg16-ssd", 300, square(maps)), square(maps))

    assert len(found) == 8732
    np.testing.assert_allclose(found, pytorch_ssd(rows, 300), rtol=0, atol=6e-8)


def test_centres_beyond_the_input_are_clamped_and_sizes_stay():
    found = priors(jetson_levels("mb1-ssd", 300, square(MAPS_300["mb1-ssd"])), square(MAPS_300["mb1-ssd"]))

    corner = found[19 * 19 * 6 + 10 * 10 * 6 - 6]  # the first box of the last cell of the second map: 304 / 300
    np.testing.assert_allclose(corner, [1, 1, 0.35, 0.35], atol=1e-7)


@pytest.mark.parametrize(
    ("side", "maps", "shrinkage", "least", "count"),
    [
        (320, (20, 10, 5, 3, 2, 1), (16, 32, 64, 107, 160, 320), (32, 64, 118.4, 172.8, 227.2, 281.6), 3234),
        (416, (26, 13, 7, 4, 2, 1), (16, 32, 60, 104, 208, 416), (41.6, 83.2, 153.9, 224.6, 295.4, 366.1), 5490),
        (512, (32, 16, 8, 4, 2, 1), (16, 32, 64, 128, 256, 512), (51.2, 102.4, 189.4, 276.5, 363.5, 450.6), 8190),
        (600, (38, 19, 10, 5, 3, 2), (16, 32, 60, 120, 200, 300), (60, 120, 222, 324, 426, 528), 11658),
        (640, (40, 20, 10, 5, 3, 2), (16, 32, 64, 128, 214, 320), (64, 128, 236.8, 345.6, 454.4, 563.2), 12828),
        (768, (48, 24, 12, 6, 3, 2), (16, 32, 64, 128, 256, 384), (76.8, 153.6, 284.2, 414.7, 545.3, 675.8), 18438),
        (1024, (64, 32, 16, 8, 4, 2), (16, 32, 64, 128, 256, 512), (102.4, 204.8, 378.9, 553.0, 727.0, 901.1), 32760),
    ],
)
def test_other_resolutions_climb_the_ladder(side, maps, shrinkage, least, count):
    plan = jetson_levels("mb1-ssd", side, square(maps))

    assert [round(level.boxes[0][0] * side, 1) for level in plan.levels] == list(least)
    assert [round(level.step_yx[1] * side, 6) for level in plan.levels] == list(shrinkage)
    assert len(priors(plan, square(maps))) == count


def test_the_ladders_second_boxes_reach_to_the_next_size_and_at_the_top_to_105_per_cent():
    plan = jetson_levels("mb1-ssd", 512, square((32, 16, 8, 4, 2, 1)))

    middle = [level.boxes[1][0] ** 2 for level in plan.levels]
    np.testing.assert_allclose(middle, [0.1 * 0.2, 0.2 * 0.37, 0.37 * 0.54, 0.54 * 0.71, 0.71 * 0.88, 0.88 * 1.05])


@pytest.mark.parametrize("net", MAPS_300)
@pytest.mark.parametrize("side", [300, 512])
def test_boxes_per_cell_are_known_before_the_maps_are(net, side):
    plan = jetson_levels(net, side, square(MAPS_300[net]))

    assert jetson_boxes_per_cell(net) == tuple(len(level.boxes) for level in plan.levels)


TAO = {
    "input_hw": (100, 200),
    "aspect_ratios": [[1.0, 4.0], [0.25]],
    "scales": [0.2, 0.45, 0.8],
    "two_boxes_for_ar1": True,
    "variances": (0.1, 0.1, 0.2, 0.2),
}


def test_tao_sizes_are_shares_of_the_shorter_side_and_ratio_one_is_followed_by_a_second_box():
    plan = tao_levels([(2, 4), (1, 2)], **TAO)

    pixels = [[(w * 200, h * 100) for w, h in level.boxes] for level in plan.levels]
    np.testing.assert_allclose(pixels[0], [(20, 20), (30, 30), (40, 10)])  # sqrt(0.2 * 0.45) = 0.3
    np.testing.assert_allclose(pixels[1], [(22.5, 90)])
    assert tao_boxes_per_cell(TAO["aspect_ratios"], two_boxes_for_ar1=True) == (3, 1)
    assert tao_boxes_per_cell(TAO["aspect_ratios"], two_boxes_for_ar1=False) == (2, 1)


def test_tao_cells_go_row_by_row_with_centres_in_the_middle():
    found = priors(tao_levels([(2, 4), (1, 2)], **TAO), [(2, 4), (1, 2)])

    assert found.shape == (2 * 4 * 3 + 2, 4)
    np.testing.assert_allclose(found[0], [0.125, 0.25, 0.1, 0.2], atol=1e-7)
    np.testing.assert_allclose(found[3, :2], [0.375, 0.25], atol=1e-7)  # one to the right
    np.testing.assert_allclose(found[4 * 3, :2], [0.125, 0.75], atol=1e-7)  # one down
    np.testing.assert_allclose(found[-1], [0.75, 0.5, 0.1125, 0.9], atol=1e-7)


def test_tao_steps_are_pixels_and_offsets_cells_each_y_before_x():
    plan = tao_levels([(2, 4), (1, 2)], **TAO, steps=[(40, 60), (10, 20)], offsets=[(0.25, 0.75), (0.5, 0.5)])

    found = priors(plan, [(2, 4), (1, 2)])

    np.testing.assert_allclose(found[0, :2] * (200, 100), [45, 10], atol=1e-5)
    np.testing.assert_allclose(found[4 * 3 + 3, :2] * (200, 100), [105, 50], atol=1e-5)  # row 1, column 1


def test_clip_boxes_cuts_corners_at_the_input():
    free = priors(tao_levels([(2, 4), (1, 2)], **TAO), [(2, 4), (1, 2)])
    cut = priors(tao_levels([(2, 4), (1, 2)], **TAO, clip_boxes=True), [(2, 4), (1, 2)])

    np.testing.assert_allclose(cut[0], free[0], atol=1e-7)
    assert free[2].tolist() == pytest.approx([0.125, 0.25, 0.2, 0.1])
    np.testing.assert_allclose(cut[1], [0.125, 0.25, 0.15, 0.3], atol=1e-7)
    wide = priors(PriorPlan((Level(((0.5, 0.5),), (0.5, 0.5)),), (1, 1, 1, 1), "corners"), [(2, 2)])
    np.testing.assert_allclose(wide[0], [0.25, 0.25, 0.5, 0.5])
    over = priors(PriorPlan((Level(((0.8, 0.4),), (0.5, 0.5)),), (1, 1, 1, 1), "corners"), [(2, 2)])
    np.testing.assert_allclose(over[0], [0.325, 0.25, 0.65, 0.4], atol=1e-7)  # -0.15..0.65 becomes 0..0.65


def test_priors_that_clipping_wipes_out_keep_a_side_that_can_be_divided_by():
    plan = tao_levels([(2, 4), (1, 2)], **TAO, steps=[(40, 60), (10, 150)], clip_boxes=True)

    found = priors(plan, [(2, 4), (1, 2)])

    tiny = np.isclose(found[:, 2], 1e-6)  # centres at 210 and 225 of 200 pixels, half widths of 10, 10 and 11.25
    assert np.flatnonzero(tiny).tolist() == [9, 21, 25]
    assert found[~tiny, 2:].min() == pytest.approx(0.025)  # 195 to 200
