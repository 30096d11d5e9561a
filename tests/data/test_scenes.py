"""Views of one picture and of four: objects stay in view, and boxes go where their pixels go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from taolite.data.scenes import Scenes
from taolite.sample import Truth

INPUT_HW = (96, 128)
PLAIN = Scenes(
    INPUT_HW,
    mosaic_probability=0.0,
    scale=(1.0, 1.0),
    aspect_max=0.0,
    hflip_probability=0.0,
    brightness_max=0.0,
    contrast_max=0.0,
    saturation_max=0.0,
)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)


def load(index: int) -> tuple[np.ndarray, Truth]:
    """Picture `index`: a rectangle in a colour of its own on black, of a size of its own."""
    hw = [(60, 90), (200, 100), (96, 128), (50, 50)][index]
    box = np.array([[0.2 * hw[1], 0.3 * hw[0], 0.6 * hw[1], 0.9 * hw[0]]], np.float32).round()
    photo = np.zeros((*hw, 3), np.uint8)
    x1, y1, x2, y2 = box[0].astype(int)
    photo[y1:y2, x1:x2] = COLOURS[index]
    return photo, Truth(box, np.array([index]))


def drawn(scenes: Scenes, index: int = 0, *, epoch: int = 0, seed: int = 0) -> tuple[np.ndarray, Truth]:
    return scenes.draw(load, index, count=4, epoch=epoch, rng=np.random.default_rng(seed))


def seen_box(image: np.ndarray, colour: np.ndarray) -> list[int]:
    """The pixels that are nearer to a picture's colour than to black, as a box."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - colour.astype(int)) < 110).all(axis=2))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("index", range(4))
def test_a_plain_view_fits_the_input_with_its_aspect_kept(index: int):
    image, truth = drawn(PLAIN, index)

    photo, before = load(index)
    scale = min(INPUT_HW[0] / photo.shape[0], INPUT_HW[1] / photo.shape[1])
    assert image.shape == (*INPUT_HW, 3)
    assert (truth.boxes_n4[:, 2:] - truth.boxes_n4[:, :2]) == pytest.approx(
        scale * (before.boxes_n4[:, 2:] - before.boxes_n4[:, :2]), abs=0.5
    )
    assert seen_box(image, COLOURS[index]) == pytest.approx(truth.boxes_n4[0].tolist(), abs=1.01)


@pytest.mark.parametrize("seed", range(40))
def test_boxes_go_where_their_pixels_go(seed: int):
    scenes = replace(
        PLAIN,
        mosaic_probability=0.5,
        mosaic_epochs=1,
        scale=(0.6, 1.6),
        aspect_max=0.2,
        hflip_probability=0.5,
        vflip_probability=0.5,
    )

    image, truth = drawn(scenes, seed % 4, seed=seed)

    for kind in set(truth.classes_n.tolist()):
        boxes = truth.boxes_n4[truth.classes_n == kind]
        if len(boxes) == 1:  # a mosaic may show a picture twice
            assert seen_box(image, COLOURS[kind]) == pytest.approx(boxes[0].tolist(), abs=1.51)


@pytest.mark.parametrize("seed", range(20))
def test_an_enlarged_picture_is_cut_where_its_object_stays(seed: int):
    scenes = replace(PLAIN, scale=(2.5, 2.5))

    _, truth = drawn(scenes, 2, seed=seed)

    assert len(truth.boxes_n4) == 1
    x1, y1, x2, y2 = truth.boxes_n4[0]
    assert (x2 - x1) * (y2 - y1) >= 0.5 * 96 * 128 * 0.4 * 0.6 * 2.5**2 * 0.5


def test_a_mosaic_has_four_pictures_until_its_last_epoch():
    scenes = replace(PLAIN, mosaic_probability=1.0, mosaic_epochs=2)

    early = [len(drawn(scenes, epoch=1, seed=seed)[1].boxes_n4) for seed in range(30)]
    late = [len(drawn(scenes, epoch=2, seed=seed)[1].boxes_n4) for seed in range(30)]

    assert max(early) == 4
    assert min(early) >= 2
    assert late == [1] * 30


def test_what_is_hardly_visible_is_dropped():
    photo = np.zeros((96, 128, 3), np.uint8)
    wide = np.array([[-60, 10, 20, 50], [10, 10, 50, 50]], np.float32)  # a quarter of the first lies in the picture

    _, truth = PLAIN.draw(
        lambda _: (photo, Truth(wide, np.array([0, 1]))), 0, count=1, epoch=0, rng=np.random.default_rng(0)
    )

    assert truth.classes_n.tolist() == [1]


def test_pictures_without_objects_and_grey_pictures_have_views_too():
    grey = np.full((40, 300, 1), 128, np.uint8)
    empty = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    scenes = Scenes(INPUT_HW, mosaic_probability=0.5, mosaic_epochs=1)

    for seed in range(10):
        image, truth = scenes.draw(lambda _: (grey, empty), 0, count=1, epoch=0, rng=np.random.default_rng(seed))
        assert image.shape == (*INPUT_HW, 1)
        assert truth.boxes_n4.shape == (0, 4)


def test_colours_change_within_their_bounds_and_grey_stays_grey():
    photo = np.full((96, 128, 3), 100, np.uint8)
    empty = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    scenes = replace(PLAIN, brightness_max=0.2, contrast_max=0.3, saturation_max=0.5, hue_max=30.0)

    values = [
        scenes.draw(lambda _: (photo, empty), 0, count=1, epoch=0, rng=np.random.default_rng(seed))[0][0, 0].tolist()
        for seed in range(30)
    ]

    assert all(max(value) - min(value) <= 1 for value in values)
    assert all(100 - 27.5 * 0.3 - 51 - 1 <= value[0] <= 100 + 27.5 * 0.3 + 51 + 1 for value in values)
    assert len({value[0] for value in values}) > 10


def test_a_view_depends_on_its_random_numbers_alone():
    scenes = Scenes(INPUT_HW, mosaic_epochs=5)

    (first, one), (second, two) = drawn(scenes, seed=3), drawn(scenes, seed=3)

    assert np.array_equal(first, second)
    assert np.array_equal(one.boxes_n4, two.boxes_n4)


@pytest.mark.parametrize("scale", [0.5, 0.7])
def test_pictures_of_a_mosaic_have_its_own_scale(scale: float):
    """Picture 2 has the size of the input, and a box of 51 columns: whole or cut, never wider than at this scale."""
    scenes = replace(PLAIN, mosaic_probability=1.0, mosaic_epochs=1, mosaic_scale=(scale, scale))
    truths = [drawn(scenes, 2, seed=seed)[1] for seed in range(40)]

    boxes = np.concatenate([truth.boxes_n4[truth.classes_n == 2] for truth in truths])

    assert max(boxes[:, 2] - boxes[:, 0]) == pytest.approx(51 * scale, abs=1)
