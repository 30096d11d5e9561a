"""Augmentation: boxes follow the pixels, colours follow the reference's matrices, draws follow the seed."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.data.augment import Augmentation, View, draw_view, view_boxes, view_pixels
from taolite.data.order import generator

ALL = Augmentation(
    hflip_probability=0.5,
    zoom_min=0.8,
    zoom_max=1.3,
    translate_max_x=12,
    translate_max_y=7,
    rotate_max_degrees=0,
    color_shift_stddev=0.1,
    hue_rotation_max=25,
    saturation_shift_max=0.2,
    contrast_scale_max=0.1,
)


@pytest.mark.parametrize("seed", range(8))
def test_a_box_around_a_bright_patch_stays_around_it(seed):
    image = np.zeros((96, 128, 3), np.uint8)
    image[30:54, 40:80] = 255
    view = draw_view(ALL, hw=(96, 128), rng=generator(seed, "test"))
    geometry = View(view.warp, np.eye(3, 4))

    seen = view_pixels(image, geometry)
    x1, y1, x2, y2 = view_boxes(np.float32([[40, 30, 80, 54]]), geometry)[0].clip(0, (128, 96, 128, 96))

    rows, columns = np.nonzero(seen[..., 0] > 200)
    assert columns.min() == pytest.approx(x1, abs=1.5)
    assert columns.max() + 1 == pytest.approx(x2, abs=1.5)
    assert rows.min() == pytest.approx(y1, abs=1.5)
    assert rows.max() + 1 == pytest.approx(y2, abs=1.5)


def test_a_flip_mirrors_pixels_and_boxes_exactly():
    image = np.random.default_rng(0).integers(0, 256, (10, 16, 3)).astype(np.uint8)
    view = draw_view(Augmentation(hflip_probability=1.0), hw=(10, 16), rng=generator(1))

    assert np.array_equal(view_pixels(image, view), image[:, ::-1])
    assert view_boxes(np.float32([[2, 3, 5, 8]]), view).tolist() == [[11, 3, 14, 8]]


def test_zoom_above_one_shows_more_and_fills_with_grey():
    image = np.zeros((40, 60, 3), np.uint8)
    view = draw_view(Augmentation(zoom_min=2.0, zoom_max=2.0), hw=(40, 60), rng=generator(3))

    seen = view_pixels(image, view)

    assert view_boxes(np.float32([[0, 0, 60, 40]]), view)[0, 2:] - view_boxes(np.float32([[0, 0, 60, 40]]), view)[
        0, :2
    ] == pytest.approx([30, 20])
    assert (seen == 128).mean() == pytest.approx(0.75, abs=0.05)


def test_no_augmentation_is_the_identity():
    view = draw_view(Augmentation(), hw=(20, 30), rng=generator(0))
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)

    assert np.array_equal(view.warp, np.eye(3))
    np.testing.assert_allclose(view.colour, np.eye(3, 4), atol=2e-3)  # the reference's matrices are rounded to .001
    assert np.abs(view_pixels(image, view).astype(int) - image).max() <= 1


def test_colours_follow_the_reference_row_by_row():
    # reference 4.6: contrast, then [r g b] * M for hue and saturation, then brightness
    view = draw_view(ALL, hw=(20, 30), rng=generator(9))
    grey = np.float64([0.2, 0.2, 0.2, 1])
    rgb = np.float64([0.9, 0.4, 0.1, 1])

    # a grey has no hue: what is left is contrast and brightness, alike in all channels
    assert np.ptp(view.colour @ grey) < 2e-3
    # hue and saturation keep luma, which contrast and brightness then move like the grey of the same luma
    luma = np.float64([0.299, 0.587, 0.114])
    same = luma @ rgb[:3]
    assert luma @ (view.colour @ rgb) == pytest.approx(luma @ (view.colour @ [same, same, same, 1]), abs=5e-3)


def test_the_same_seed_gives_the_same_view_and_another_another():
    first, again, other = (draw_view(ALL, hw=(20, 30), rng=generator(7, "view", 3, i)) for i in (1, 1, 2))

    assert np.array_equal(first.warp, again.warp)
    assert not np.array_equal(first.warp, other.warp)


def test_rotation_turns_about_the_centre_by_degrees():
    settings = Augmentation(rotate_max_degrees=90.0)
    angles = []
    for seed in range(200):
        warp = draw_view(settings, hw=(50, 50), rng=generator(seed)).warp
        assert warp @ [25, 25, 1] == pytest.approx([25, 25, 1])
        angles.append(np.degrees(np.arctan2(warp[1, 0], warp[0, 0])))
    assert -90 <= min(angles) < -70
    assert 70 < max(angles) <= 90
