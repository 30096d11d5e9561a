"""SSD's views of photos against what is painted on them, against colours turned pixel by pixel, and in numbers."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from numpy.typing import NDArray

from taolite.data.order import generator
from taolite.data.ssd_views import Views, ssd_augment
from taolite.preprocessing import resize
from taolite.sample import Truth

HW = (120, 160)
INPUT = (90, 100)
PLAIN = Views("tao", flip=0.0, crop_scale=(1.0, 1.0), zoom_out=(1.0, 1.0))  # nothing but a stretch
FRAMED = Views("tao", fill=(0, 0, 0), flip=0.5)  # all but colours


def truth_of(*boxes: tuple[float, float, float, float]) -> Truth:
    return Truth(np.array(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes)), np.zeros(len(boxes), np.bool_))


def views_of(
    views: Views, photo: NDArray[np.uint8], truth: Truth, count: int, hw: tuple[int, int] = INPUT
) -> list[tuple[NDArray[np.uint8], Truth]]:
    augment = ssd_augment(views, hw)
    return [augment(photo, truth, generator(3, "view", 0, index)) for index in range(count)]


@pytest.mark.parametrize("kind", ["tao", "pytorch-ssd"])
def test_boxes_lie_where_their_objects_are_seen(kind: str):
    photo = np.zeros((*HW, 3), np.uint8)
    photo[30:70, 50:120] = 255
    views = FRAMED if kind == "tao" else Views("pytorch-ssd", fill=(0, 0, 0))

    for pixels, truth in views_of(views, photo, truth_of((50, 30, 120, 70)), 300, hw=(180, 200)):
        assert (pixels.dtype, pixels.shape) == (np.uint8, (180, 200, 3))
        if len(truth.boxes_n4) == 0:
            continue  # a crop of TAO's may touch an object and not show its centre
        rows, columns = np.nonzero(pixels.max(axis=2) > 110)
        painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert truth.boxes_n4[0] == pytest.approx(np.array(painted), abs=2.1)


def test_boxes_go_where_their_centre_is_not_seen():
    y, x = np.mgrid[0 : HW[0], 0 : HW[1]]
    photo = np.stack([x + 40, y + 40, np.full(HW, 255)], axis=2).astype(np.uint8)  # each pixel tells its place
    centres = [(cx, cy) for cy in range(8, 120, 15) for cx in range(10, 160, 15)]
    everywhere = truth_of(*((cx - 6, cy - 6, cx + 6, cy + 6) for cx, cy in centres))
    cropped = 0

    for pixels, truth in views_of(Views("tao", flip=0.0, zoom_out=(1.0, 1.0)), photo, everywhere, 200):
        seen = pixels[..., :2].reshape(-1, 2).astype(int) - 40
        (x1, y1), (x2, y2) = seen.min(axis=0), seen.max(axis=0)
        cropped += (x2 - x1, y2 - y1) != (159, 119)
        for number, (cx, cy) in enumerate(centres):
            inside = x1 < cx < x2 and y1 < cy < y2
            near = min(abs(cx - x1), abs(cx - x2), abs(cy - y1), abs(cy - y2)) <= 3
            assert near or inside == (number in truth.classes_n)
    assert cropped > 100


def test_a_crop_of_pytorch_ssd_s_shows_an_object_and_no_iou_is_asked_of_it():
    """A small object on a large photo: with IoU floors of 0.1 and more nearly every crop would be refused."""
    made = views_of(Views("pytorch-ssd"), np.zeros((*HW, 3), np.uint8), truth_of((70, 50, 80, 60)), 1000)
    zoom = np.array([float(np.prod(t.boxes_n4[0, 2:] - t.boxes_n4[0, :2])) / 50 for _, t in made])  # 1 where whole

    assert all(len(truth.boxes_n4) == 1 for _, truth in made)
    assert (zoom > 1.5).mean() > 0.3


def test_pytorch_ssd_s_views_are_as_often_whole_larger_and_mirrored_as_its_code_makes_them():
    photo = np.zeros((*HW, 3), np.uint8)
    photo[:] = 60
    photo[:, :80] = 90
    boxes = truth_of((0, 0, 160, 120))
    made = views_of(Views("pytorch-ssd", fill=(255, 0, 255)), photo, boxes, 3000, hw=(30, 40))

    sides = np.array([truth.boxes_n4[0, 2:] - truth.boxes_n4[0, :2] for _, truth in made]) / (40, 30)
    whole = (sides > 0.999).all(axis=1)  # the box fills the view: no canvas around it
    assert len(made) == len(sides)
    # half are not zoomed out, and then every crop of the photo is full of the box; zoomed-out ones seldom are
    assert 0.5 < whole.mean() < 0.62
    # the untouched sixth of the zoomed-out half shows the whole canvas: shares 1 / U(1, 4) of it, equal both ways
    ratio = sides[~whole]
    assert 0.15 < (np.abs(ratio[:, 0] - ratio[:, 1]) < 0.03).mean() < 0.4
    left_lighter = [int(pixels[15, 2].sum()) > int(pixels[15, 37].sum()) for pixels, _ in np.array(made, object)[whole]]
    assert 0.3 < np.mean(left_lighter) < 0.6


@pytest.mark.parametrize(("kind", "share"), [("pytorch-ssd", 1 / 6), ("tao", 0.143)])
def test_a_sixth_or_a_seventh_of_the_photos_keep_their_frame(kind: str, share: float, monkeypatch: pytest.MonkeyPatch):
    """Small objects in opposite corners tell whether anything was cut off; the one that fills the photo has an IoU with
    TAO's crops here that no floor refuses."""
    monkeypatch.setattr("taolite.data.ssd_views._ZOOMED_OUT", 0.0)
    boxes = truth_of((0, 0, 160, 120), (0, 0, 1, 1), (159, 119, 160, 120))

    made = views_of(Views(kind, crop_scale=(0.9, 1.0)), np.zeros((*HW, 3), np.uint8), boxes, 3000)  # type: ignore[arg-type]

    assert np.mean([len(truth.boxes_n4) == 3 for _, truth in made]) == pytest.approx(share, abs=0.025)


def test_tao_s_floors_make_crops_tighter_than_free_ones():
    """IoU of crop and object, seen as the share of the view that the object takes up."""
    photo = np.zeros((*HW, 3), np.uint8)
    views = Views("tao", zoom_out=(1.0, 1.0), flip=0)
    made = [truth for _, truth in views_of(views, photo, truth_of((20, 15, 140, 105)), 1500)]
    shares = np.array([np.prod(t.boxes_n4[0, 2:] - t.boxes_n4[0, :2]) / (90 * 100) for t in made if len(t.boxes_n4)])

    assert (shares > 0.9).mean() > 0.08  # a sixth of the crops has an IoU above 0.9
    assert (shares > 0.5).mean() > 0.5


def test_switched_off_tao_s_views_only_stretch():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*INPUT, 3), dtype=np.uint8)
    for pixels, truth in views_of(PLAIN, photo, truth_of((10, 20, 50, 60)), 20):
        assert np.array_equal(pixels, photo)
        assert truth.boxes_n4.tolist() == [[10, 20, 50, 60]]


def test_views_of_no_kind_are_evaluation_s_own_pixels():
    photo = np.random.default_rng(0).integers(0, 256, (*HW, 3), dtype=np.uint8)
    pixels, truth = views_of(Views("none"), photo, truth_of((16, 12, 80, 60)), 1)[0]

    assert np.array_equal(pixels, resize(photo, INPUT))
    assert truth.boxes_n4 == pytest.approx(np.array([[10, 9, 50, 45]]))


def slowly_recoloured(photo: NDArray[np.uint8], views: Views, index: int, *, middle: float) -> NDArray[np.float64]:
    """Each pixel on its own, in exact numbers, from the draws that `index` makes behind those of the frame."""
    rng = generator(3, "view", 0, index)
    if rng.random() < 0.5:
        rng.random(3)  # zooming out, by a factor of one
    on = rng.random(4) < 0.5
    brightness, contrast, saturation, hue = on * rng.uniform(-1, 1, 4) * (
        views.brightness, views.contrast, views.saturation, views.hue
    )  # fmt: skip
    first = rng.random() < 0.5

    def contrasted(value: float) -> float:
        return (value - middle) * (1 + contrast) + middle

    out = np.empty(photo.shape)
    for place in np.ndindex(*photo.shape[:2]):
        rgb = [value + brightness for value in photo[place].astype(float)]
        if first:
            rgb = [contrasted(value) for value in rgb]
        h, s, v = colorsys.rgb_to_hsv(*(min(max(value, 0), 255) / 255 for value in rgb))
        rgb = [
            255 * value for value in colorsys.hsv_to_rgb((h + hue / 180) % 1, min(max(s * (1 + saturation), 0), 1), v)
        ]
        out[place] = rgb if first else [contrasted(value) for value in rgb]
    return np.clip(out, 0, 255)


def test_colours_change_as_when_each_pixel_is_turned_on_its_own():
    photo = np.random.default_rng(2).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    views = Views("tao", (0, 0, 0), (1.0, 1.0), (0.5, 2.0), (1.0, 1.0), 40, 0.5, 0.5, 20, 0.0)
    differences = []

    for index in range(40):
        pixels, _ = ssd_augment(views, (6, 7))(photo, truth_of(), generator(3, "view", 0, index))
        wanted = slowly_recoloured(photo, views, index, middle=127.5)
        differences.append(np.abs(pixels - wanted))

    # 8-bit hues of 1.4 degrees and saturations of 0.4 %
    assert np.mean(differences) < 1.0
    assert np.max(differences) < 10


def test_pytorch_ssd_shuffles_channels_and_multiplies_by_its_contrast():
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[..., 0] = 200
    made = [pixels for pixels, _ in views_of(Views("pytorch-ssd", fill=(0, 0, 0)), photo, truth_of(), 600, (20, 20))]

    brightest = np.array([pixels.reshape(-1, 3).max(axis=0).argmax() for pixels in made])
    assert 0.60 < (brightest == 0).mean() < 0.73  # half, and a third of the other half
    levels = np.array([pixels.max() for pixels in made])
    assert levels.min() < 115
    assert levels.max() == 255


def test_grey_pictures_keep_their_channel_and_are_filled_with_one_value():
    photo = np.full((*HW, 1), 100, np.uint8)
    views = Views("tao", fill=(7.0,), brightness=20, contrast=0.2, saturation=0.3, hue=10)
    made = [pixels for pixels, _ in views_of(views, photo, truth_of((10, 10, 100, 100)), 60)]

    assert {pixels.shape for pixels in made} == {(*INPUT, 1)}
    assert {7} <= set(np.unique(made).tolist())
    assert len(np.unique([pixels[45, 50, 0] for pixels in made])) > 10


def test_a_view_is_a_function_of_its_generator_and_leaves_photo_and_boxes_alone():
    photo = np.random.default_rng(1).integers(0, 256, (*HW, 3), dtype=np.uint8)
    before, truth = photo.copy(), truth_of((20, 20, 90, 80))

    first, second = (views_of(Views("pytorch-ssd"), photo, truth, 20) for _ in range(2))

    for (one, its), (other, others) in zip(first, second, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(its.boxes_n4, others.boxes_n4)
    assert np.array_equal(photo, before)
    assert truth.boxes_n4.tolist() == [[20, 20, 90, 80]]
    assert len({one.tobytes() for one, _ in first}) == 20


@pytest.mark.parametrize("kind", ["tao", "pytorch-ssd"])
@pytest.mark.parametrize("hw", [(1, 1), (3, 400), (400, 3)])
def test_pictures_of_any_shape_without_a_box_have_views(kind: str, hw: tuple[int, int]):
    made = views_of(Views(kind), np.full((*hw, 3), 50, np.uint8), truth_of(), 50)  # type: ignore[arg-type]

    assert all(pixels.shape == (*INPUT, 3) and len(truth.boxes_n4) == 0 for pixels, truth in made)
