"""Random augmentation for SSD: colours, zoom out, crop, horizontal flip, and resizing to the network input.

The augmentation of Liu et al., in two variants:

    pytorch-ssd  1/6 of the photos are not cropped; a crop must contain the centre of an object
                 (reference/jetson_workflows.md 4.11)
    tao          about 1/7 are not cropped; a crop must have an IoU with an object above a minimum drawn from 0, 0.1,
                 0.3, 0.5, 0.7 and 0.9 (reference/tao_classification_ssd.md 4.2)

The window is drawn first, so that only the visible part of the photo is resized, and colours change on pixels of the
input only. All random numbers come from one generator. Pictures are (H, W, C) uint8, in and out; N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes, iou_matrix, scale_boxes
from taolite.data.examples import Augment
from taolite.preprocessing import resize
from taolite.sample import Truth

__all__ = ["Views", "ssd_augment"]

Photo: TypeAlias = NDArray[np.uint8]
Rect: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom: pixels of the photo, beyond it too

_TRIES = 50  # crops to draw before the choice whether to crop is made again
_TAO_FLOORS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_UNTOUCHED = {"pytorch-ssd": 1 / 6, "tao": 0.143}
_ZOOMED_OUT = 0.5  # of the photos
_MIDDLE = {"pytorch-ssd": 0.0, "tao": 127.5}  # the value that a change of contrast does not move


@dataclass(frozen=True)
class Views:
    """How training photos are augmented.

    kind: "pytorch-ssd" uses `fill` and ranges of its own, "tao" uses every field, "none" only resizes. fill: RGB,
    0..255, around a photo that is zoomed out. crop_scale: sides of a crop, as fractions of the photo's. crop_aspect:
    width / height. zoom_out: factors. brightness: 0..255. contrast, saturation: fractions. hue: 0..180, as in OpenCV.
    flip: probability.
    """

    kind: Literal["pytorch-ssd", "tao", "none"]
    fill: tuple[float, ...] = (127.0, 127.0, 127.0)  # RGB of what an expanded photo is surrounded by
    crop_scale: tuple[float, float] = (0.3, 1.0)
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    zoom_out: tuple[float, float] = (1.0, 4.0)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    flip: float = 0.5


_PYTORCH_SSD = Views("pytorch-ssd", brightness=32, contrast=0.5, saturation=0.5, hue=9)


def ssd_augment(views: Views, input_hw: tuple[int, int]) -> Augment:
    """The augmentation to (height, width) `input_hw` pixels. Boxes are moved with the photo and clipped to the input;
    those whose centre is outside are dropped."""
    if views.kind == "pytorch-ssd":
        views = replace(_PYTORCH_SSD, fill=views.fill)
    return partial(_augment, views=views, input_hw=input_hw)


def _augment(
    photo_hwc: Photo, truth: Truth, rng: np.random.Generator, *, views: Views, input_hw: tuple[int, int]
) -> tuple[Photo, Truth]:
    photo_hw = (photo_hwc.shape[0], photo_hwc.shape[1])
    if views.kind == "none":
        boxes = scale_boxes(truth.boxes_n4, from_hw=photo_hw, to_hw=input_hw)
        return resize(photo_hwc, input_hw), Truth(boxes, truth.classes_n, truth.difficult_n)
    window, seen_n = _draw_window(truth.boxes_n4, photo_hw, views, rng)
    recolour, mirrored = _draw_colours(views, rng), rng.random() < views.flip
    pixels, boxes = _look(photo_hwc, truth.boxes_n4, window, views, input_hw, recolour, rng)
    if mirrored:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        boxes[:, [0, 2]] = input_hw[1] - boxes[:, [2, 0]]
    return pixels, Truth(clip_boxes(boxes, hw=input_hw), truth.classes_n, truth.difficult_n).only(seen_n)


def _draw_window(
    boxes_n4: Boxes, photo_hw: tuple[int, int], views: Views, rng: np.random.Generator
) -> tuple[Rect, NDArray[np.bool_]]:
    """The window, in pixels of the photo, that becomes the input, and which of the boxes (N,) bool are in it."""
    height, width = photo_hw
    canvas = (0, 0, width, height)
    if rng.random() < _ZOOMED_OUT:
        ratio, right, down = rng.uniform(*views.zoom_out), rng.random(), rng.random()
        left, top = int(right * width * (ratio - 1)), int(down * height * (ratio - 1))
        canvas = (-left, -top, int(width * ratio) - left, int(height * ratio) - top)
    crop = None if views.crop_scale == (1.0, 1.0) else _draw_crop(boxes_n4, canvas, views, rng)
    if crop is None:
        return canvas, np.ones(len(boxes_n4), np.bool_)
    return crop, _centred(boxes_n4, np.array([crop]))[0]


def _draw_crop(boxes_n4: Boxes, canvas: Rect, views: Views, rng: np.random.Generator) -> Rect | None:
    """A crop of the canvas that fits the variant's rule; None for the whole. Without boxes every crop fits."""
    left, top, right, bottom = canvas
    size = np.array([right - left, bottom - top])
    while rng.random() >= _UNTOUCHED[views.kind]:
        floor = _TAO_FLOORS[rng.integers(len(_TAO_FLOORS))]
        shares, places = rng.uniform(*views.crop_scale, (_TRIES, 2)), rng.random((_TRIES, 2))
        sides = np.maximum(shares * size, 1)
        low = (places * (size - sides)).astype(np.int64) + np.array([left, top])
        rects = np.hstack([low, low + sides.astype(np.int64)])
        aspect = sides[:, 0] / sides[:, 1]
        good = (aspect >= views.crop_aspect[0]) & (aspect <= views.crop_aspect[1])
        if len(boxes_n4) and views.kind == "tao":
            good &= (iou_matrix(rects.astype(np.float32), boxes_n4) > floor).any(axis=1)
        elif len(boxes_n4):
            good &= _centred(boxes_n4, rects).any(axis=1)
        if good.any():
            x1, y1, x2, y2 = rects[good.argmax()].tolist()
            return x1, y1, x2, y2
    return None


def _centred(boxes_n4: Boxes, rects_m4: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(M, N) bool: whether the centre of each of N boxes is inside each of M rectangles."""
    centres = (boxes_n4[:, :2].astype(np.float64) + boxes_n4[:, 2:]) / 2
    inside = (rects_m4[:, None, :2] < centres) & (centres < rects_m4[:, None, 2:])
    return np.asarray(inside.all(axis=2))


def _look(
    photo_hwc: Photo,
    boxes_n4: Boxes,
    window: Rect,
    views: Views,
    input_hw: tuple[int, int],
    recolour: _Colours,
    rng: np.random.Generator,
) -> tuple[Photo, Boxes]:
    """The part of the photo in `window`, resized to `input_hw`, with `fill` around it, and the boxes in input pixels.

    The photo's part is placed on whole pixels of the input, and boxes move with it.
    """
    height, width, channels = photo_hwc.shape
    low, high = np.array(window[:2]), np.array(window[2:])
    first, last = np.maximum(low, 0), np.minimum(high, (width, height))
    input_wh = np.array(input_hw[::-1])
    begin, end = (np.rint((edge - low) * input_wh / (high - low)).astype(int) for edge in (first, last))
    end = np.maximum(end, begin + 1)
    pixels = np.empty((*input_hw, channels), np.uint8)
    pixels[:] = np.rint(views.fill[:channels])
    if (first < last).all():
        part = photo_hwc[first[1] : last[1], first[0] : last[0]]
        shown = recolour.apply(_resized(part, (int(end[1] - begin[1]), int(end[0] - begin[0])), views, rng))
        pixels[begin[1] : end[1], begin[0] : end[0]] = shown[: input_hw[0] - begin[1], : input_hw[1] - begin[0]]
    scale = np.tile((end - begin) / np.maximum(last - first, 1), 2)
    boxes = (boxes_n4 - np.tile(first, 2)) * scale + np.tile(begin, 2)
    return pixels, boxes.astype(np.float32)


def _resized(part_hwc: Photo, to_hw: tuple[int, int], views: Views, rng: np.random.Generator) -> Photo:
    """`part_hwc` resized to `to_hw`: as for evaluation, or as in TAO by a random one of OpenCV's interpolations."""
    if views.kind != "tao":
        return resize(part_hwc, to_hw)
    import cv2

    ways = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)
    made = cv2.resize(part_hwc, to_hw[::-1], interpolation=ways[rng.integers(len(ways))])
    return np.asarray(made, np.uint8).reshape(*to_hw, part_hwc.shape[2])


@dataclass(frozen=True)
class _Colours:
    """Lookup tables of 256 values, None where nothing changes. before, after: for all channels, before and after the
    change of hue. between: for hue (a full turn is 256), saturation and value. order: the new order of the channels."""

    before: NDArray[np.uint8] | None
    between: NDArray[np.uint8] | None  # (1, 256, 3)
    after: NDArray[np.uint8] | None
    order: tuple[int, ...] | None

    def apply(self, pixels: Photo) -> Photo:
        """(H, W, C) uint8 with the colours changed; one-channel pictures have no hue."""
        import cv2

        colourful = pixels.shape[2] == 3
        if self.before is not None:
            pixels = self.before[pixels] if not colourful else np.asarray(cv2.LUT(pixels, self.before), np.uint8)
        if colourful and self.between is not None:
            hsv: Any = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL), self.between)
            pixels = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)
        if self.after is not None:
            pixels = self.after[pixels] if not colourful else np.asarray(cv2.LUT(pixels, self.after), np.uint8)
        return pixels[..., self.order] if colourful and self.order is not None else pixels


def _draw_colours(views: Views, rng: np.random.Generator) -> _Colours:
    """Draw each change with probability 0.5; contrast comes before or after the change of hue. Values are clipped to
    0..255 before the change of hue and at the end."""
    amounts = rng.random(4) < 0.5
    brightness, contrast, saturation, hue = amounts * rng.uniform(-1, 1, 4) * (
        views.brightness, views.contrast, views.saturation, views.hue
    )  # fmt: skip
    contrast_first, shuffles, order = rng.random() < 0.5, rng.random() < 0.5, rng.permutation(3)
    levels = np.arange(256.0)
    bright, middle = levels + brightness, _MIDDLE[views.kind]
    before = (bright - middle) * (1 + contrast) + middle if contrast_first else bright
    after = levels if contrast_first else (levels - middle) * (1 + contrast) + middle
    between = np.stack([np.rint(levels + hue * 256 / 180) % 256, levels * (1 + saturation), levels], axis=1)
    return _Colours(
        _table(before) if brightness or (contrast and contrast_first) else None,
        _table(between)[None] if saturation or hue else None,
        _table(after) if contrast and not contrast_first else None,
        tuple(order.tolist()) if shuffles and views.kind == "pytorch-ssd" else None,
    )


def _table(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(values, 0, 255)), np.uint8)
