"""From photo to network input. The same value is stored in every artifact and used in training, evaluation,
calibration, inference and the DeepStream config.

A photo is resized, and a window of the input's size is cut out of it. Missing pixels at the right and bottom are zero
(reference/detectnet_v2.md 4.2). `fit` is one of:

    crop     the window lies at `crop_at` of the photo, which `photo_scale` may resize first (TAO's default)
    stretch  resized to the input, whatever its aspect (`enable_auto_resize`, and TAO's inference)
    cover    resized until it covers the input, enlarged by as many pixels each way as make its shorter side
             `least_side`; the window is cut from the middle. A photo of the input's size stays as it is
             (classification)
    aspect   resized until its shorter side is `least_side`, or its longer one `most_side`, or it fills the input
             (`output_image_min`, `output_image_max`)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes, scale_boxes

__all__ = ["Preprocessing", "resize"]


@dataclass(frozen=True)
class Preprocessing:
    """The network's input is `scale * (value - offset) / std` of RGB (or grey) values 0..255, CHW float32. With `bgr`
    the channels are reversed first; `offsets` and `stds` are then in BGR order."""

    input_hw: tuple[int, int]
    channels: int = 3
    fit: Literal["crop", "stretch", "aspect", "cover"] = "crop"
    scale: float = 1 / 255
    offsets: tuple[float, ...] = (0.0, 0.0, 0.0)
    stds: tuple[float, ...] = (1.0, 1.0, 1.0)
    bgr: bool = False
    crop_at: tuple[int, int] = (0, 0)  # left, top: pixels of the resized photo
    photo_scale: tuple[float, float] = (1.0, 1.0)  # of width, of height
    least_side: int = 0  # pixels, 0 as large as fits
    most_side: int = 0  # pixels, 0 for no limit
    cubic: bool = False  # photos that grow are interpolated bicubically

    def apply(self, photo_hwc: NDArray[np.uint8], *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(H, W, C) uint8 photo -> (C, height, width) float32 input, contiguous; written to `out` where it is given."""
        pixels = self.fit_photo(photo_hwc)
        if self.bgr:
            pixels = pixels[..., ::-1]
        values = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32) if out is None else out
        for plane, channel in zip(values, pixels.transpose(2, 0, 1), strict=True):
            np.copyto(plane, channel)  # plane by plane, and arithmetic on whole planes, is ten times faster
        if any(self.offsets):
            values -= np.array(self.offsets[: self.channels], np.float32)[:, None, None]
        values *= self._factors()[:, None, None]
        return values

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(..., C) uint8 RGB or grey -> (..., C) float32 as the network takes them; the same values as in `apply`."""
        values = (pixels[..., ::-1] if self.bgr else pixels).astype(np.float32)
        if any(self.offsets):
            values -= np.array(self.offsets[: self.channels], np.float32)
        values *= self._factors()
        return values

    def _factors(self) -> NDArray[np.float32]:
        """(1,) where all channels have one factor, which is much faster, else (C,)."""
        stds = self.stds[:1] if len(set(self.stds)) == 1 else self.stds[: self.channels]
        factors: NDArray[np.float32] = np.float32(self.scale) / np.array(stds, np.float32)
        return factors

    def fit_photo(self, photo_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, C) uint8 -> (height, width, C) uint8 at input size, before scale and offsets."""
        photo_hw = (photo_hwc.shape[0], photo_hwc.shape[1])
        (height, width), (left, top) = self.input_hw, self._corner(photo_hw)
        resized_hw = self._resized(photo_hw)
        photo = photo_hwc if resized_hw == photo_hw else resize(photo_hwc, resized_hw, cubic=self.cubic)
        part = photo[top : top + height, left : left + width]
        if part.shape[:2] == (height, width):
            return part
        canvas = np.zeros((height, width, photo_hwc.shape[2]), dtype=np.uint8)
        canvas[: part.shape[0], : part.shape[1]] = part
        return canvas

    def boxes_to_input(self, boxes_n4: Boxes, *, photo_hw: tuple[int, int]) -> Boxes:
        """Boxes in photo pixels -> boxes in input pixels; not clipped."""
        resized = scale_boxes(boxes_n4, from_hw=photo_hw, to_hw=self._resized(photo_hw))
        return resized - np.array(self._corner(photo_hw) * 2, np.float32)

    def boxes_to_photo(self, boxes_n4: Boxes, *, photo_hw: tuple[int, int]) -> Boxes:
        """Boxes in input pixels -> boxes in photo pixels, clipped to the photo."""
        resized = boxes_n4 + np.array(self._corner(photo_hw) * 2, np.float32)
        return clip_boxes(scale_boxes(resized, from_hw=self._resized(photo_hw), to_hw=photo_hw), hw=photo_hw)

    def _corner(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """Left and top of the input's window in the resized photo."""
        if self.fit == "cover":
            height, width = self._resized(photo_hw)
            return round((width - self.input_hw[1]) / 2), round((height - self.input_hw[0]) / 2)
        return self.crop_at if self.fit == "crop" else (0, 0)

    def _resized(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that a photo has before the input's window is taken out of it."""
        if self.fit == "stretch":
            return self.input_hw
        height, width = photo_hw
        scale_x, scale_y = self.photo_scale
        if self.fit == "cover":
            margin = max(self.least_side - min(self.input_hw), 0) if photo_hw != self.input_hw else 0
            scale_x = scale_y = max(
                (of_input + margin) / side for of_input, side in zip(self.input_hw, photo_hw, strict=True)
            )
        if self.fit == "aspect":
            factor = min(self.input_hw[0] / height, self.input_hw[1] / width)
            if self.least_side:
                factor = min(factor, self.least_side / min(photo_hw))
            if self.most_side:
                factor = min(factor, self.most_side / max(photo_hw))
            scale_x = scale_y = factor
        return max(round(height * scale_y), 1), max(round(width * scale_x), 1)

    def to_json(self) -> dict[str, Any]:
        """A JSON object. `from_json` turns it into an equal Preprocessing."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Preprocessing:
        """The Preprocessing of a JSON object from `to_json`. A field that is missing has its default.

        Raises ValueError for a field or a value that no Preprocessing has.
        """
        if not isinstance(value, dict):
            raise ValueError("preprocessing is no object")
        known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
        for name, given in known.items():
            if name not in _SOUND:
                raise ValueError(f"preprocessing.{name} is not known")
            if not _SOUND[name](given):
                raise ValueError(f"preprocessing.{name} is {value[name]!r}")
        if "input_hw" not in known:
            raise ValueError("preprocessing.input_hw is missing")
        return Preprocessing(**known)


_LARGEST_SIDE = 1 << 16  # pixels
_LARGEST_NUMBER = 1e30  # no nan, no infinity, nothing beyond float32


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _number(value: Any, *, above: float = -math.inf) -> bool:
    return type(value) in (int, float) and max(above, -_LARGEST_NUMBER) < value < _LARGEST_NUMBER


def _tuple(value: Any, count: tuple[int, ...], fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple) and len(value) in count and all(fits(item) for item in value)


_SOUND: dict[str, Callable[[Any], bool]] = {
    "input_hw": lambda v: _tuple(v, (2,), lambda side: _whole(side, 1, _LARGEST_SIDE)),
    "channels": lambda v: _whole(v, 1, 3) and v != 2,
    "fit": lambda v: v in ("crop", "stretch", "aspect", "cover"),
    "scale": _number,
    "offsets": lambda v: _tuple(v, (1, 3), _number),
    "stds": lambda v: _tuple(v, (1, 3), lambda std: _number(std, above=0)),
    "bgr": lambda v: isinstance(v, bool),
    "crop_at": lambda v: _tuple(v, (2,), lambda side: _whole(side, -_LARGEST_SIDE, _LARGEST_SIDE)),
    "photo_scale": lambda v: _tuple(v, (2,), lambda scale: _number(scale, above=0)),
    "least_side": lambda v: _whole(v, 0, _LARGEST_SIDE),
    "most_side": lambda v: _whole(v, 0, _LARGEST_SIDE),
    "cubic": lambda v: isinstance(v, bool),
}


def resize(image_hwc: NDArray[np.uint8], to_hw: tuple[int, int], *, cubic: bool = False) -> NDArray[np.uint8]:
    """Stretch to `to_hw`: area-averaged when it shrinks (no aliasing), bilinear or `cubic` when it grows; (H, W, C)
    uint8."""
    import cv2

    height, width = to_hw
    shrinks = height * width < image_hwc.shape[0] * image_hwc.shape[1]
    grown = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    out = cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_AREA if shrinks else grown)
    return np.asarray(out, dtype=np.uint8).reshape(height, width, image_hwc.shape[2])
