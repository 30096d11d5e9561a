"""Random augmentation of a photo: one affine warp and one colour matrix, drawn once for each sample and epoch.

Distributions and orders are those of TAO's loaders (reference 4.6):

    MULTISOURCE  hflip, translate, zoom (above 1: objects get smaller), rotate; then contrast, hue and saturation,
                 brightness; the area outside the photo is 0.5 grey
    DEFAULT      hflip, rotate, zoom (above 1: objects get larger), translate; then hue and saturation, contrast,
                 brightness (drawn for each channel); the area outside the photo is black

A box is warped by two opposite corners, as in TAO. NumPy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes

__all__ = ["Augmentation", "View", "draw_view", "view_boxes", "view_pixels"]

Matrix = NDArray[np.float64]
_UNCOVERED = {"MULTISOURCE": 0.5, "DEFAULT": 0.0}
_K = np.array([[0.299] * 3, [0.587] * 3, [0.114] * 3])
_P = np.array([[0.701, -0.299, -0.299], [-0.587, 0.413, -0.587], [-0.114, -0.114, 0.886]])
_Q = np.array([[0.168, -0.328, 1.25], [0.330, 0.035, -1.05], [-0.497, 0.292, -0.203]])


@dataclass(frozen=True)
class Augmentation:
    """The spec's `spatial_augmentation` and `color_augmentation`; the defaults here change nothing.

    loader: which of TAO's loaders to follow. translate_max_x, translate_max_y: pixels of the input. zoom_min, zoom_max:
    factors. rotate_max_degrees, hue_rotation_max: degrees. Probabilities, and the other amounts, are fractions.
    """

    loader: Literal["MULTISOURCE", "DEFAULT"] = "MULTISOURCE"
    hflip_probability: float = 0.0
    vflip_probability: float = 0.0
    zoom_min: float = 1.0
    zoom_max: float = 1.0
    translate_max_x: float = 0.0
    translate_max_y: float = 0.0
    rotate_max_degrees: float = 0.0
    rotate_probability: float = 1.0
    color_shift_stddev: float = 0.0
    hue_rotation_max: float = 0.0
    saturation_shift_max: float = 0.0
    contrast_scale_max: float = 0.0
    contrast_center: float = 0.5


@dataclass(frozen=True)
class View:
    """One drawn augmentation.

    warp: (3, 3) float64, maps input pixels to output pixels. colour: (3, 4) float64, maps (r, g, b, 1) in 0..1 to the
    new (r, g, b). uncovered: 0..1, the value of pixels outside the input, before `colour`.
    """

    warp: Matrix
    colour: Matrix
    uncovered: float = _UNCOVERED["MULTISOURCE"]


def draw_view(settings: Augmentation, *, hw: tuple[int, int], rng: np.random.Generator) -> View:
    """Draw the augmentation of an input of `hw` (height, width) pixels. For one loader the count of random numbers does
    not depend on the settings, so changing one setting changes its own operation only."""
    height, width = hw
    flip = np.eye(3)
    if rng.random() < settings.hflip_probability:
        flip = _matrix(-1, 0, width, 0, 1, 0) @ flip
    if rng.random() < settings.vflip_probability:
        flip = _matrix(1, 0, 0, 0, -1, height) @ flip
    shift_x, shift_y = _draw_shift(settings.translate_max_x, rng), _draw_shift(settings.translate_max_y, rng)
    translate = _matrix(1, 0, shift_x, 0, 1, shift_y)
    ratio = rng.uniform(settings.zoom_min, settings.zoom_max)
    growth = ratio if settings.loader == "DEFAULT" else 1 / ratio
    room_x, room_y = width * (1 - growth), height * (1 - growth)
    zoom = _matrix(growth, 0, rng.random() * room_x, 0, growth, rng.random() * room_y)
    turns, angle = rng.random() < settings.rotate_probability, rng.uniform(-1, 1) * settings.rotate_max_degrees
    rotate = _rotation(angle, hw) if turns and angle else np.eye(3)
    warps = {"MULTISOURCE": rotate @ zoom @ translate @ flip, "DEFAULT": translate @ zoom @ rotate @ flip}
    return View(warps[settings.loader], _draw_colour(settings, rng), _UNCOVERED[settings.loader])


def _draw_shift(most: float, rng: np.random.Generator) -> int:
    """A random whole number of pixels from -int(most) to int(most)."""
    reach = int(most)
    return int(rng.random() * (2 * reach + 1)) - reach


def _rotation(degrees: float, hw: tuple[int, int]) -> Matrix:
    """(3, 3), the rotation about the centre of an image of size `hw`."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    to_centre = _matrix(1, 0, -hw[1] / 2, 0, 1, -hw[0] / 2)
    turn: Matrix = np.linalg.inv(to_centre) @ _matrix(cos, -sin, 0, sin, cos, 0) @ to_centre
    return turn


def _draw_colour(settings: Augmentation, rng: np.random.Generator) -> Matrix:
    contrast = _truncated_normal(rng) * settings.contrast_scale_max / 2
    hue = np.deg2rad(_truncated_normal(rng) * settings.hue_rotation_max / 2)
    saturation = 1 + rng.uniform(-1, 1) * settings.saturation_shift_max
    draws = 3 if settings.loader == "DEFAULT" else 1  # of brightness: for each channel, or for all
    brightness = np.array([_truncated_normal(rng) for _ in range(draws)]) * settings.color_shift_stddev
    turn = (_K + saturation * np.cos(hue) * _P + saturation * np.sin(hue) * _Q).T  # column-vector form
    centre = np.full(3, -contrast * settings.contrast_center)
    shift = (centre if settings.loader == "DEFAULT" else turn @ centre) + brightness
    return np.hstack([turn * (1 + contrast), shift[:, None]])


def _truncated_normal(rng: np.random.Generator) -> float:
    """A standard normal number within +-2: the first such of eight, so that the count of draws is fixed."""
    draws = rng.standard_normal(8)
    within = draws[np.abs(draws) <= 2]
    return float(within[0]) if len(within) else 0.0  # eight misses in a row: one in 5e10


def _matrix(a: float, b: float, c: float, d: float, e: float, f: float) -> Matrix:
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]], dtype=np.float64)


def view_pixels(image_hwc: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The augmented image, (H, W, C) uint8 as `image_hwc`. Grey images keep their colours (reference 1.5)."""
    import cv2

    height, width, channels = image_hwc.shape
    image: NDArray[Any] = image_hwc
    if not np.array_equal(view.warp, np.eye(3)):
        half = _matrix(1, 0, 0.5, 0, 1, 0.5)  # pixel centres lie at .5; OpenCV puts them at whole numbers
        warp = (np.linalg.inv(half) @ view.warp @ half)[:2]
        beyond = [round(255 * view.uncovered)] * channels
        image = cv2.warpAffine(
            image, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
        ).reshape(height, width, channels)
    if channels == 3 and not np.allclose(view.colour, np.eye(3, 4), atol=1e-9):
        matrix = view.colour.copy()
        matrix[:, 3] *= 255
        image = cv2.transform(image, matrix)
    return image


def view_boxes(boxes_n4: Boxes, view: View) -> Boxes:
    """The boxes (N, 4), in input pixels, after the warp: (N, 4) float32, not clipped, a new array."""
    if not len(boxes_n4):
        return boxes_n4.copy()
    corners = np.concatenate([boxes_n4[:, :2], boxes_n4[:, 2:]]).astype(np.float64)
    moved = corners @ view.warp[:2, :2].T + view.warp[:2, 2]
    first, second = moved[: len(boxes_n4)], moved[len(boxes_n4) :]
    return np.hstack([np.minimum(first, second), np.maximum(first, second)]).astype(np.float32)
