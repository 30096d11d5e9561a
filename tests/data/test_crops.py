"""Views of photos against torchvision's with the same parameters, and against TAO's steps written down plainly."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from taolite.data.crops import (
    Interpolation,
    centre_crop,
    draw_resized_crop,
    mirror,
    random_resized_crop,
    stretch,
    tao_centre_crop,
    tao_random_crop,
    tao_recolour,
)

v2 = pytest.importorskip("torchvision.transforms.v2")
MODES: list[Interpolation] = ["bilinear", "bicubic"]
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIZES = [(375, 500), (500, 333), (81, 99), (224, 300), (256, 256)]


class Scripted:
    """A generator that gives the numbers of a script: uniform draws as shares of their range, integers as they are."""

    def __init__(self, *script: float) -> None:
        self._script = list(script)

    def uniform(self, low: float, high: float) -> float:
        return low + self._script.pop(0) * (high - low)

    def random(self) -> float:
        return self._script.pop(0)

    def integers(self, low: int, high: int) -> int:
        value = int(self._script.pop(0))
        assert low <= value < high
        return value


def scripted(*script: float) -> np.random.Generator:
    return Scripted(*script)  # type: ignore[return-value]


def photo(hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """A smooth picture with edges and some noise, so that a wrong filter or a shift by a pixel shows."""
    rng = np.random.default_rng(seed)
    rough = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), hw[::-1], interpolation=cv2.INTER_CUBIC)
    rough[hw[0] // 3 : hw[0] // 2] = 255 - rough[hw[0] // 3 : hw[0] // 2]
    return np.clip(rough.astype(int) + rng.integers(-9, 10, rough.shape), 0, 255).astype(np.uint8)


def same(ours: NDArray[np.uint8], theirs: NDArray[np.uint8] | Image.Image) -> None:
    """Equal but for roundings: Pillow takes the edges of a part as float32, and sometimes resizes its rows first."""
    other = np.array(theirs)
    assert ours.shape == other.shape
    difference = np.abs(ours.astype(int) - other.astype(int))
    assert difference.max() <= 6
    assert difference.mean() < 0.3  # a shift by a pixel makes 5


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_stretching_is_torchvision_s_resize_on_pillow_pictures(hw: tuple[int, int], mode: Interpolation):
    ours = stretch(photo(hw), (224, 160), interpolation=mode)
    theirs = v2.functional.resize(Image.fromarray(photo(hw)), [224, 160], v2.InterpolationMode(mode))

    assert np.array_equal(ours, np.array(theirs))


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize(("size", "resize_to"), [(224, None), (224, 256), (64, 80)])
def test_centre_crops_are_torchvision_s_resize_and_centre_crop(hw: tuple[int, int], size: int, resize_to: int | None):
    transform = v2.Compose([v2.Resize(resize_to or size), v2.CenterCrop(size)])

    same(centre_crop(photo(hw), (size, size), resize_to=resize_to), transform(Image.fromarray(photo(hw))))


def test_a_centre_crop_of_another_shape_just_covers_it():
    picture = photo((300, 400))

    same(
        centre_crop(picture, (100, 200)),
        Image.fromarray(picture).resize((200, 150), PILLOW["bilinear"]).crop((0, 25, 200, 125)),
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_random_resized_crop_is_torchvision_s_with_the_same_part(mode: Interpolation):
    picture = photo((375, 500))
    # a fifth of the way through areas 0.08..1, ratio 1; top 7, left 11
    side = round(math.sqrt(375 * 500 * (0.08 + 0.2 * 0.92)))
    theirs = v2.functional.resized_crop(
        Image.fromarray(picture), 7, 11, side, side, [224, 224], v2.InterpolationMode(mode)
    )

    ours = random_resized_crop(picture, (224, 224), scripted(0.2, 0.5, 7, 11), interpolation=mode)

    assert np.array_equal(ours, np.array(theirs))


def test_parts_are_distributed_as_torchvision_s():
    stats = pytest.importorskip("scipy.stats")
    torch = pytest.importorskip("torch")
    transform, rng = v2.RandomResizedCrop(224), np.random.default_rng(5)
    torch.manual_seed(5)
    image = Image.new("RGB", (500, 300))

    theirs = [transform.make_params([image]) for _ in range(3000)]
    ours = [draw_resized_crop((300, 500), rng, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)) for _ in range(3000)]

    for index, name in enumerate(("top", "left", "height", "width")):
        assert stats.ks_2samp([one[name] for one in theirs], [one[index] for one in ours]).pvalue > 0.01, name


@pytest.mark.parametrize(
    ("hw", "part"), [((100, 1000), (0, 433, 100, 133)), ((1000, 100), (433, 0, 133, 100)), ((90, 100), (0, 0, 90, 100))]
)
def test_a_photo_that_no_part_fits_is_taken_as_far_as_the_ratios_allow(
    hw: tuple[int, int], part: tuple[int, int, int, int]
):
    # ten draws of 1.5 times the photo's area do not fit
    assert draw_resized_crop(hw, scripted(*[0.5] * 20), area=(1.5, 1.5), ratio=(3 / 4, 4 / 3)) == part


def tao_crop(picture: NDArray[np.uint8], to_hw: tuple[int, int], mode: str, least: tuple[float, float]) -> Image.Image:
    """The photo, aspect kept, with both sides at `least` (height, width) or more: the first half of both crops."""
    image = Image.fromarray(picture)
    ratio = max(least[1] / image.width, least[0] / image.height)
    return image.resize((int(image.width * ratio), int(image.height * ratio)), PILLOW[mode])


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_tao_s_centre_crop_resizes_to_32_pixels_more_and_cuts(hw: tuple[int, int], mode: Interpolation):
    image = tao_crop(photo(hw), (224, 224), mode, (256, 256))
    left, top = round(image.width / 2) - 112, round(image.height / 2) - 112

    same(tao_centre_crop(photo(hw), (224, 224), interpolation=mode), image.crop((left, top, left + 224, top + 224)))


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_tao_s_random_crop_resizes_by_the_drawn_share_and_cuts(hw: tuple[int, int], share: float):
    fraction = 0.45 + share * 0.55
    image = tao_crop(photo(hw), (192, 224), "bicubic", (192 / fraction, 224 / fraction))
    left, top = int(0.25 * (image.width - 223)), int(0.75 * (image.height - 191))

    ours = tao_random_crop(photo(hw), (192, 224), scripted(share, 0.75, 0.25), interpolation="bicubic")

    same(ours, image.crop((left, top, left + 224, top + 192)))


def test_tao_s_random_crop_reaches_every_edge():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 0], picture[:, -1] = 50, 250

    ends = [
        tao_random_crop(picture, (90, 90), scripted(1.0, 0.5, right))[:, end].max()
        for right, end in ((0.0, 0), (0.999999, -1))
    ]

    assert ends[0] > 20
    assert ends[1] > 120


@pytest.mark.parametrize("crop", [tao_centre_crop, lambda one, hw: tao_random_crop(one, hw, np.random.default_rng(0))])
def test_a_photo_of_the_input_s_size_is_not_cropped_by_tao(crop: Callable[..., NDArray[np.uint8]]):
    picture = photo((224, 192))

    assert crop(picture, (224, 192)) is picture


def test_mirroring_swaps_left_and_right_as_often_as_asked():
    picture = photo((8, 10))
    rng = np.random.default_rng(3)

    assert np.array_equal(
        mirror(picture, scripted(0.49)), np.array(v2.functional.horizontal_flip(Image.fromarray(picture)))
    )
    assert mirror(picture, scripted(0.5)) is picture
    turned = sum(mirror(picture, rng, probability=0.2) is not picture for _ in range(2000))
    assert 320 < turned < 480


def tao_colours(picture: NDArray[np.uint8], hue: float, saturation: float, contrast: float) -> NDArray[np.float64]:
    """One pixel after the other, each step a conversion of its own, as TAO's helper does."""
    out = picture.astype(np.float32) / 255
    for row, column in np.ndindex(picture.shape[:2]):
        pixel = out[row : row + 1, column : column + 1]
        for channel, change in ((0, hue), (1, saturation)):
            hsv = cv2.cvtColor(pixel, cv2.COLOR_BGR2HSV)
            value = float(hsv[0, 0, channel]) + change
            hsv[0, 0, channel] = value % 360 if channel == 0 else min(max(value, 0.0), 1.0)
            pixel = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        out[row, column] = np.clip((pixel - 0.5) * (1 + contrast) + 0.5, 0, 1)[0, 0]
    return np.asarray(out * 255.0)


@pytest.mark.parametrize("draws", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.3, 0.8, 0.5)])
def test_colours_change_as_tao_s_do(draws: tuple[float, float, float]):
    picture = photo((24, 18), seed=4)
    picture[:3] = 128  # grey, which additive saturation tints
    picture[3] = [255, 0, 0]
    picture[4] = 0
    hue, saturation, contrast = ((2 * draw - 1) * most for draw, most in zip(draws, (25, 0.2, 0.1), strict=True))

    ours = tao_recolour(picture, scripted(*draws))

    assert np.abs(ours - tao_colours(picture, hue, saturation, contrast)).max() < 1


@pytest.mark.parametrize(
    "view",
    [
        lambda one, rng: stretch(one, (40, 50)),
        lambda one, rng: centre_crop(one, (40, 50)),
        lambda one, rng: random_resized_crop(one, (40, 50), rng),
        lambda one, rng: tao_centre_crop(one, (40, 50)),
        lambda one, rng: tao_recolour(tao_random_crop(mirror(one, rng), (40, 50), rng), rng),
    ],
)
def test_views_of_grey_photos_have_one_channel_and_the_photo_stays_as_it_was(
    view: Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]],
):
    grey = photo((70, 90))[:, :, :1]
    before = grey.copy()

    first, second = (view(grey, np.random.default_rng(2)) for _ in range(2))

    assert first.shape == (40, 50, 1)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert np.array_equal(grey, before)
