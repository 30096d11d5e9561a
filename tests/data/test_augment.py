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


EVERYTHING = {
    "hflip_probability": 1.0,
    "vflip_probability": 1.0,
    "translate_max_x": 9.0,
    "translate_max_y": 5.0,
    "zoom_min": 0.7,
    "zoom_max": 1.4,
    "rotate_max_degrees": 30.0,
}
ZOOM, TRANSLATE = ("zoom_min", "zoom_max"), ("translate_max_x", "translate_max_y")
FLIP, ROTATE = ("hflip_probability", "vflip_probability"), ("rotate_max_degrees",)


@pytest.mark.parametrize(
    ("loader", "order"),
    [("MULTISOURCE", (FLIP, TRANSLATE, ZOOM, ROTATE)), ("DEFAULT", (FLIP, ROTATE, ZOOM, TRANSLATE))],
)
def test_a_view_is_its_single_operations_one_after_the_other(loader, order):
    for seed in range(10):
        warps = []
        for names in order:
            alone = Augmentation(loader, **{name: EVERYTHING[name] for name in names})
            warps.append(draw_view(alone, hw=(40, 60), rng=generator(seed)).warp)
        first, second, third, fourth = warps

        whole = draw_view(Augmentation(loader, **EVERYTHING), hw=(40, 60), rng=generator(seed)).warp

        np.testing.assert_allclose(whole, fourth @ third @ second @ first, atol=1e-9)


@pytest.mark.parametrize(("loader", "shrinks"), [("MULTISOURCE", True), ("DEFAULT", False)])
def test_zoom_places_shrunken_content_inside_the_input_and_looks_at_a_window_of_grown_content(loader, shrinks):
    input_box = np.float32([[0, 0, 60, 40]])
    corners = {}
    for ratio in (0.8, 1.25):
        settings = Augmentation(loader, zoom_min=ratio, zoom_max=ratio)
        boxes = np.concatenate(
            [view_boxes(input_box, draw_view(settings, hw=(40, 60), rng=generator(seed))) for seed in range(300)]
        )
        factor = 1 / ratio if shrinks else ratio
        np.testing.assert_allclose(
            boxes[:, 2:] - boxes[:, :2], np.tile([60 * factor, 40 * factor], (300, 1)), rtol=1e-5
        )
        corners[factor < 1] = boxes

    small, large = corners[True], corners[False]
    assert small[:, :2].min() >= 0
    assert (small[:, 2:] <= (60, 40)).all()
    assert large[:, :2].max() <= 0
    assert (large[:, 2:] >= (60, 40)).all()
    np.testing.assert_allclose(small[:, 0].mean(), 6, atol=0.6)  # of 0 to 12 pixels of room
    np.testing.assert_allclose(large[:, 0].mean(), -7.5, atol=0.8)  # of 0 to -15


def test_shifts_are_whole_pixels_as_often_one_as_another():
    settings = Augmentation(translate_max_x=2.9, translate_max_y=0.5)
    shifts = np.array([draw_view(settings, hw=(40, 60), rng=generator(seed)).warp[:2, 2] for seed in range(2000)])

    values, counts = np.unique(shifts[:, 0], return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert counts.min() > 320
    assert not shifts[:, 1].any()


def test_flips_and_turns_come_as_often_as_they_should():
    settings = Augmentation(hflip_probability=0.3, vflip_probability=0.6)
    warps = np.array([draw_view(settings, hw=(40, 60), rng=generator(seed)).warp for seed in range(1000)])
    turned = Augmentation(rotate_max_degrees=10, rotate_probability=0.25)
    turns = [draw_view(turned, hw=(40, 60), rng=generator(seed)).warp[0, 1] != 0 for seed in range(1000)]

    assert (warps[:, 0, 0] < 0).mean() == pytest.approx(0.3, abs=0.05)
    assert (warps[:, 1, 1] < 0).mean() == pytest.approx(0.6, abs=0.05)
    assert np.mean(turns) == pytest.approx(0.25, abs=0.05)


def test_colours_are_drawn_from_the_references_distributions():
    # a normal distribution cut at 2 sigma has .8796 of its deviation; a uniform one from -m to m has m / sqrt 3
    k = np.repeat([[0.299], [0.587], [0.114]], 3, axis=1)
    p = np.array([[0.701, -0.299, -0.299], [-0.587, 0.413, -0.587], [-0.114, -0.114, 0.886]])
    q = np.array([[0.168, -0.328, 1.25], [0.330, 0.035, -1.05], [-0.497, 0.292, -0.203]])

    def drawn(**settings):
        return np.array([draw_view(Augmentation(**settings), hw=(4, 4), rng=generator(s)).colour for s in range(2000)])

    brightness = drawn(color_shift_stddev=0.1)[:, 0, 3]
    contrast = drawn(contrast_scale_max=0.2)[:, 0, 0] - 1
    basis = np.stack([p.ravel(), q.ravel()], axis=1)
    turned = drawn(hue_rotation_max=40, saturation_shift_max=0.3)[:, :, :3].transpose(0, 2, 1) - k
    parts = np.linalg.lstsq(basis, turned.reshape(2000, 9).T, rcond=None)[0]
    hue, saturation = np.degrees(np.arctan2(parts[1], parts[0])), np.hypot(*parts)

    for values, limit, deviation in (
        (brightness, 0.2, 0.1 * 0.8796),
        (contrast, 0.2, 0.1 * 0.8796),
        (hue, 40, 20 * 0.8796),
        (saturation - 1, 0.3, 0.3 / np.sqrt(3)),
    ):
        assert np.abs(values).max() <= limit + 1e-9
        assert np.abs(values).max() > 0.95 * limit
        assert values.mean() == pytest.approx(0, abs=0.06 * limit)
        assert values.std() == pytest.approx(deviation, rel=0.06)


@pytest.mark.parametrize("loader", ["MULTISOURCE", "DEFAULT"])
def test_colour_operations_follow_one_another_as_in_the_loader(loader):
    names = {
        "contrast": {"contrast_scale_max": 0.4, "contrast_center": 0.5},
        "hue and saturation": {"hue_rotation_max": 60, "saturation_shift_max": 0.5},
        "brightness": {"color_shift_stddev": 0.2},
    }
    order = list(names) if loader == "MULTISOURCE" else ["hue and saturation", "contrast", "brightness"]
    rgb = np.random.default_rng(0).uniform(0, 1, (5, 3))

    for seed in range(10):
        expected = rgb
        for name in order:
            colour = draw_view(Augmentation(loader, **names[name]), hw=(4, 4), rng=generator(seed)).colour
            expected = np.array([colour @ [*row, 1] for row in expected])
        everything = {key: value for one in names.values() for key, value in one.items()}
        colour = draw_view(Augmentation(loader, **everything), hw=(4, 4), rng=generator(seed)).colour

        np.testing.assert_allclose([colour @ [*row, 1] for row in rgb], expected, atol=1e-9)


def test_brightness_is_one_for_all_channels_or_one_for_each():
    shifts = {
        loader: draw_view(Augmentation(loader, color_shift_stddev=0.2), hw=(4, 4), rng=generator(1)).colour[:, 3]
        for loader in ("MULTISOURCE", "DEFAULT")
    }

    assert len(set(shifts["MULTISOURCE"])) == 1
    assert len(set(shifts["DEFAULT"])) == 3


@pytest.mark.parametrize(("loader", "beyond"), [("MULTISOURCE", 128), ("DEFAULT", 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_follow_the_warp_as_a_slow_bilinear_reading_does(loader, beyond, channels):
    image = np.random.default_rng(2).integers(0, 256, (20, 30, channels)).astype(np.uint8)
    view = draw_view(Augmentation(loader, **EVERYTHING), hw=(20, 30), rng=generator(4))

    seen = view_pixels(image, view).astype(int)

    inverse = np.linalg.inv(view.warp)
    padded = np.full((20 + 200, 30 + 200, channels), float(beyond))
    padded[100:120, 100:130] = image
    for row in range(20):
        for column in range(30):
            x, y, _ = inverse @ [column + 0.5, row + 0.5, 1] - 0.5  # pixel centres lie at .5
            left, top = int(np.floor(x)), int(np.floor(y))
            a, b = x - left, y - top
            corner = padded[top + 100 : top + 102, left + 100 : left + 102]
            value = (1 - b) * ((1 - a) * corner[0, 0] + a * corner[0, 1])
            value += b * ((1 - a) * corner[1, 0] + a * corner[1, 1])
            assert np.abs(seen[row, column] - value).max() <= 9  # OpenCV reads at 1/32 of a pixel


def test_colours_are_clipped_and_grey_images_keep_theirs():
    brighter = View(np.eye(3), np.hstack([np.eye(3), np.full((3, 1), 0.2)]))
    image = np.uint8([[[10, 100, 250]]])

    assert view_pixels(image, brighter).tolist() == [[[61, 151, 255]]]
    assert view_pixels(image[..., :1], brighter).tolist() == [[[10]]]


def test_a_turned_box_is_that_of_two_opposite_corners():
    # reference 4.6: at 45 degrees the diagonal of a square stands upright, and its box has no width
    turned = np.array([[1, -1, 0], [1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)

    box = view_boxes(np.float32([[1, 0, 3, 2]]), View(turned, np.eye(3, 4)))[0]

    assert box == pytest.approx(np.array([1, 1, 1, 5]) / np.sqrt(2))
