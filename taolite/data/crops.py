"""From photo to a classifier's input: stretched, cropped at the centre or at random, mirrored, colours changed.

Functions with `tao` in their names follow TAO (reference/tao_classification_ssd.md 3.3), the others torchvision and
jetson-inference (reference/jetson_workflows.md 2.3). Pictures are (H, W, C) uint8, C 1 or 3, in and out; sizes are
(height, width) in pixels. Resizing is Pillow's, as in Keras and torchvision: it averages when it shrinks, so there is
no aliasing. A crop of a resized picture is resampled from that part of the photo only. Random numbers come from the
generator given; except for `draw_resized_crop`, a call draws the same count of them for any photo.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Interpolation",
    "Photo",
    "centre_crop",
    "draw_resized_crop",
    "mirror",
    "random_resized_crop",
    "stretch",
    "tao_centre_crop",
    "tao_random_crop",
    "tao_recolour",
]

Photo: TypeAlias = NDArray[np.uint8]
Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
_TRIES = 10  # draws of a crop that fits; after that the largest centred part
_PADDING = 32  # pixels that TAO adds to the input's sides before it crops the centre
_LEAST_SHARE = 0.45  # of the resized photo's binding side that TAO's random crop shows
_HUE, _SATURATION, _CONTRAST = 25.0, 0.2, 0.1  # degrees, 0..1, share: TAO's color_augmentation


def stretch(photo_hwc: Photo, to_hw: tuple[int, int], *, interpolation: Interpolation = "bilinear") -> Photo:
    """The whole photo resized to `to_hw`, aspect ratio not kept; the photo itself where it has that size."""
    height, width = photo_hwc.shape[:2]
    return _resample(photo_hwc, (0, 0, width, height), to_hw, interpolation)


def centre_crop(
    photo_hwc: Photo, to_hw: tuple[int, int], *, resize_to: int | None = None, interpolation: Interpolation = "bilinear"
) -> Photo:
    """torchvision's Resize and CenterCrop: the centre `to_hw` of the photo, resized with its aspect ratio kept.

    Args:
        photo_hwc: (H, W, C) uint8.
        to_hw: (height, width) of the result, pixels.
        resize_to: pixels of the short side after resizing, enough to cover `to_hw`; None resizes to just cover it.
        interpolation: of the resizing.
    """
    height, width = photo_hwc.shape[:2]
    if resize_to is None:
        covering = _covering((height, width), to_hw, to_hw)
    else:
        short = min(height, width)
        covering = (int(resize_to * height / short), int(resize_to * width / short))
    corner = (round((covering[0] - to_hw[0]) / 2), round((covering[1] - to_hw[1]) / 2))
    return _crop_of_resized(photo_hwc, covering, corner, to_hw, interpolation)


def random_resized_crop(
    photo_hwc: Photo,
    to_hw: tuple[int, int],
    rng: np.random.Generator,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bilinear",
) -> Photo:
    """torchvision's RandomResizedCrop: a random part of the photo, stretched to `to_hw`.

    area: the part's area as a fraction of the photo's. ratio: its width / height.
    """
    top, left, height, width = draw_resized_crop(photo_hwc.shape[:2], rng, area=area, ratio=ratio)
    return stretch(photo_hwc[top : top + height, left : left + width], to_hw, interpolation=interpolation)


def draw_resized_crop(
    hw: tuple[int, ...], rng: np.random.Generator, *, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """(top, left, height, width) in pixels of a random part of a photo of size `hw`.

    Its area, as a fraction of the photo's, is uniform in `area`; the logarithm of its width / height is uniform in
    `ratio`. Where ten draws do not fit in the photo it is the largest centred part with an allowed ratio.
    """
    height, width = hw
    for _ in range(_TRIES):
        pixels = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    h, w = height, width
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def tao_centre_crop(photo_hwc: Photo, to_hw: tuple[int, int], *, interpolation: Interpolation = "bilinear") -> Photo:
    """The centre `to_hw` of the photo, resized with its aspect ratio kept to cover `to_hw` plus 32 pixels a side."""
    hw = photo_hwc.shape[:2]
    if hw == to_hw:
        return photo_hwc
    covering = _covering(hw, (to_hw[0] + _PADDING, to_hw[1] + _PADDING), to_hw)
    corner = (round(covering[0] / 2) - round(to_hw[0] / 2), round(covering[1] / 2) - round(to_hw[1] / 2))
    return _crop_of_resized(photo_hwc, covering, corner, to_hw, interpolation)


def tao_random_crop(
    photo_hwc: Photo, to_hw: tuple[int, int], rng: np.random.Generator, *, interpolation: Interpolation = "bilinear"
) -> Photo:
    """A random part `to_hw` of the photo, resized with its aspect ratio kept to cover `to_hw` / s, s random in 0.45 to
    1."""
    share, down, right = rng.uniform(_LEAST_SHARE, 1.0), rng.random(), rng.random()
    hw = photo_hwc.shape[:2]
    if hw == to_hw:
        return photo_hwc
    covering = _covering(hw, (to_hw[0] / share, to_hw[1] / share), to_hw)
    corner = (int(down * (covering[0] - to_hw[0] + 1)), int(right * (covering[1] - to_hw[1] + 1)))
    return _crop_of_resized(photo_hwc, covering, corner, to_hw, interpolation)


def mirror(photo_hwc: Photo, rng: np.random.Generator, *, probability: float = 0.5) -> Photo:
    """The photo, flipped left to right with `probability` (0..1)."""
    return np.ascontiguousarray(photo_hwc[:, ::-1]) if rng.random() < probability else photo_hwc


def tao_recolour(photo_hwc: Photo, rng: np.random.Generator) -> Photo:
    """The photo with random hue (within 25 degrees), saturation (within 0.2) and contrast (within 10 %); one-channel
    pictures stay as they are. As in TAO, which takes RGB for BGR, grey pixels get a hue where saturation is added."""
    import cv2

    hue, saturation = rng.uniform(-_HUE, _HUE), rng.uniform(-_SATURATION, _SATURATION)
    contrast = 1 + rng.uniform(-_CONTRAST, _CONTRAST)
    if photo_hwc.shape[2] != 3:
        return photo_hwc
    hsv = cv2.cvtColor(photo_hwc.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = np.where(hsv[..., 1] > 0, (hsv[..., 0] + np.float32(hue)) % 360, 0)
    hsv[..., 1] = np.clip(hsv[..., 1] + np.float32(saturation), 0, 1)
    pixels = (cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) - 0.5) * np.float32(contrast) + 0.5
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * 255), dtype=np.uint8)


def _covering(hw: tuple[int, ...], least_hw: tuple[float, float], to_hw: tuple[int, int]) -> tuple[int, int]:
    """The size with the aspect ratio of `hw` that just covers `least_hw`; rounded down as in TAO, at least `to_hw`."""
    ratio = max(least_hw[0] / hw[0], least_hw[1] / hw[1])
    return max(int(hw[0] * ratio), to_hw[0]), max(int(hw[1] * ratio), to_hw[1])


def _crop_of_resized(
    photo_hwc: Photo,
    resized_hw: tuple[int, int],
    corner: tuple[int, int],
    to_hw: tuple[int, int],
    interpolation: Interpolation,
) -> Photo:
    """The part `to_hw` at `corner` (top, left) of the photo resized to `resized_hw`; the rest is not computed."""
    scale_y, scale_x = photo_hwc.shape[0] / resized_hw[0], photo_hwc.shape[1] / resized_hw[1]
    (top, left), (height, width) = corner, to_hw
    box = (left * scale_x, top * scale_y, (left + width) * scale_x, (top + height) * scale_y)
    return _resample(photo_hwc, box, to_hw, interpolation)


def _resample(
    photo_hwc: Photo, box: tuple[float, float, float, float], to_hw: tuple[int, int], interpolation: Interpolation
) -> Photo:
    """The part `box` (x1, y1, x2, y2 in pixels of the photo) resized to `to_hw`."""
    from PIL import Image

    height, width, channels = photo_hwc.shape
    if box == (0, 0, width, height) and to_hw == (height, width):
        return photo_hwc
    image = Image.fromarray(photo_hwc[:, :, 0] if channels == 1 else photo_hwc)
    method = Image.Resampling.BILINEAR if interpolation == "bilinear" else Image.Resampling.BICUBIC
    x1, y1, x2, y2 = box
    inside = (x1, y1, min(x2, float(width)), min(y2, float(height)))  # a rounding may step over the edge
    return np.array(image.resize((to_hw[1], to_hw[0]), method, box=inside)).reshape(*to_hw, channels)
