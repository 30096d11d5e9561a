"""Random views of one picture or of four: scale, aspect, place, flips and colour, with the objects kept in view.

A picture is resized, cut or surrounded by black, and laid on the network's input. A mosaic does this in each of the
four parts around a random point. Boxes are in pixels; (H, W, C) uint8 pictures, RGB or grey. NumPy and OpenCV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.data.examples import Load
from taolite.preprocessing import resize
from taolite.sample import Truth

__all__ = ["Scenes"]

Photo = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
_CENTRE = (0.3, 0.7)  # where the four parts of a mosaic meet, as a share of the input's sides


@dataclass(frozen=True)
class Scenes:
    """How views are drawn; see `ViewsConfig` of the spec for the fields.

    scale, and mosaic_scale in mosaics, are relative to the size at which a picture just fits the input. mosaic_epochs:
    the first epochs, the only ones with mosaics. aspect_max: width / height changes by at most a factor of exp of it.
    """

    input_hw: tuple[int, int]
    mosaic_probability: float = 0.5
    mosaic_epochs: int = 0
    scale: tuple[float, float] = (0.6, 1.6)
    mosaic_scale: tuple[float, float] = (0.5, 1.0)
    aspect_max: float = 0.2
    least_visible: float = 0.3
    hflip_probability: float = 0.5
    vflip_probability: float = 0.0
    brightness_max: float = 0.2
    contrast_max: float = 0.3
    saturation_max: float = 0.5
    hue_max: float = 0.0

    def draw(self, load: Load, index: int, *, count: int, epoch: int, rng: np.random.Generator) -> tuple[Photo, Truth]:
        """A view of sample `index` of `count`: the network's input (h, w, C) uint8, and its labels in pixels of it.
        `epoch` counts from 0."""
        height, width = self.input_hw
        if epoch < self.mosaic_epochs and rng.random() < self.mosaic_probability:
            indices = [index, *rng.integers(0, count, 3).tolist()]
            x, y = (round(side * rng.uniform(*_CENTRE)) for side in (width, height))
            parts = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
            places = rng.permutation(4)
            scale = self.mosaic_scale
        else:
            indices, parts, places, scale = [index], [(0, 0, width, height)], np.array([0]), self.scale
        canvas: Photo | None = None
        boxes, classes, difficult = [], [], []
        for one, place in zip(indices, places, strict=True):
            photo, truth = load(one)
            if canvas is None:
                canvas = np.zeros((height, width, photo.shape[2]), np.uint8)
            left, top, right, bottom = parts[place]
            kept = self._lay(photo, truth, canvas[top:bottom, left:right], scale, rng)
            boxes.append(kept.boxes_n4 + np.array([left, top, left, top], np.float32))
            classes.append(kept.classes_n)
            marks = kept.difficult_n
            difficult.append(np.zeros(len(kept.classes_n), np.bool_) if marks is None else marks)
        assert canvas is not None, "there is at least one picture"
        return self._recoloured(canvas, rng), Truth(
            np.concatenate(boxes), np.concatenate(classes), np.concatenate(difficult)
        )

    def _lay(
        self, photo: Photo, truth: Truth, part: Photo, scale: tuple[float, float], rng: np.random.Generator
    ) -> Truth:
        """Lay a random view of the picture on `part`, a piece of the canvas, in place; its labels in pixels of it."""
        (height, width), (rows, columns) = photo.shape[:2], part.shape[:2]
        fitting = min(self.input_hw[0] / height, self.input_hw[1] / width)
        grown = fitting * math.exp(rng.uniform(math.log(scale[0]), math.log(scale[1])))
        stretch = rng.uniform(-1, 1) * self.aspect_max / 2
        to_hw = max(round(height * grown * math.exp(-stretch)), 1), max(round(width * grown * math.exp(stretch)), 1)
        factors = np.array([to_hw[1] / width, to_hw[0] / height] * 2, np.float32)
        boxes = truth.boxes_n4 * factors
        picked = boxes[int(rng.random() * len(boxes))] if len(boxes) else None
        x, low, high = _slide(to_hw[1], columns, picked, 0, rng)
        y, upper, lower = _slide(to_hw[0], rows, picked, 1, rng)
        seen = resize(photo, to_hw)[y : y + lower - upper, x : x + high - low]
        boxes = boxes + np.array([low - x, upper - y] * 2, np.float32)
        if rng.random() < self.hflip_probability:
            seen, (low, high) = seen[:, ::-1], (columns - high, columns - low)
            boxes = np.stack([columns - boxes[:, 2], boxes[:, 1], columns - boxes[:, 0], boxes[:, 3]], axis=1)
        if rng.random() < self.vflip_probability:
            seen, (upper, lower) = seen[::-1], (rows - lower, rows - upper)
            boxes = np.stack([boxes[:, 0], rows - boxes[:, 3], boxes[:, 2], rows - boxes[:, 1]], axis=1)
        part[upper:lower, low:high] = seen
        return _visible(Truth(boxes, truth.classes_n, truth.difficult_n), (rows, columns), self.least_visible)

    def _recoloured(self, image: Photo, rng: np.random.Generator) -> Photo:
        """The picture with random brightness, contrast, saturation and hue; a grey one keeps its hue."""
        import cv2

        brightness = rng.uniform(-1, 1) * self.brightness_max * 255
        contrast = 1 + rng.uniform(-1, 1) * self.contrast_max
        saturation = 1 + rng.uniform(-1, 1) * self.saturation_max
        angle = np.deg2rad(rng.uniform(-1, 1) * self.hue_max)
        shift = 127.5 * (1 - contrast) + brightness
        if image.shape[2] == 1:
            table = np.clip(np.arange(256) * contrast + shift, 0, 255).round().astype(np.uint8)
            return np.asarray(table[image])
        grey = np.tile(_LUMA, (3, 1))
        turn = grey + saturation * (_turned(angle) - grey)
        matrix = np.hstack([turn * contrast, np.full((3, 1), shift)])
        return np.asarray(cv2.transform(image, matrix), np.uint8)


def _slide(
    length: int, room: int, picked: NDArray[np.float32] | None, axis: int, rng: np.random.Generator
) -> tuple[int, int, int]:
    """Where a picture of `length` pixels lies along one side of `room` pixels: its first pixel that is shown, and where
    the shown ones begin and end. A longer picture is cut so that the centre of the box `picked` stays in view."""
    chance = rng.random()
    if length <= room:
        start = int(chance * (room - length + 1))
        return 0, start, start + length
    least, most = 0.0, float(length - room)
    if picked is not None:
        centre = (picked[axis] + picked[axis + 2]) / 2
        half = min(float(picked[axis + 2] - picked[axis]), room) / 2  # the whole of it, where there is room
        least, most = max(least, centre + half - room), min(most, max(centre - half, 0.0))
        if least > most:
            least = most = min(max(centre - room / 2, 0.0), float(length - room))
    start = min(round(least + chance * (most - least)), length - room)
    return start, 0, room


def _visible(truth: Truth, hw: tuple[int, int], least: float) -> Truth:
    """The labels cut to a part of `hw` pixels, without those of which less than `least` is left."""
    boxes = truth.boxes_n4
    limits = np.array([hw[1], hw[0], hw[1], hw[0]], np.float32)
    cut: Boxes = np.clip(boxes, 0, limits).astype(np.float32)
    before, after = (np.prod(np.maximum(one[:, 2:] - one[:, :2], 0), axis=1) for one in (boxes, cut))
    kept = (after > 0) & (after >= least * before)
    return Truth(cut, truth.classes_n, truth.difficult_n).only(kept)


def _turned(angle: float) -> NDArray[np.float64]:
    """(3, 3): RGB values turned about the grey axis by `angle` radians."""
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turned: NDArray[np.float64] = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    return turned
