"""From photograph to network input: one value, stored in every artifact, used by train, evaluate, calibrate, infer
and the DeepStream config alike.

`fit` says how a photo of another size becomes the input: `crop` lays it top-left on the input, cut or padded with
zeros at the right and bottom (TAO's default, reference/detectnet_v2.md 4.2), `stretch` resizes it whole without
keeping its aspect (`enable_auto_resize`, and TAO's inference).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes, scale_boxes

__all__ = ["Preprocessing", "resize"]


@dataclass(frozen=True)
class Preprocessing:
    """Input pixels are `scale * (value - offset)` of RGB (or grey) values 0..255, laid out CHW float32."""

    input_hw: tuple[int, int]
    channels: int = 3
    fit: Literal["crop", "stretch"] = "crop"
    scale: float = 1 / 255
    offsets: tuple[float, ...] = (0.0, 0.0, 0.0)

    def apply(self, photo_hwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, C) uint8 photo -> (C, height, width) float32 input, contiguous."""
        fitted = self.fit_photo(photo_hwc).astype(np.float32)
        values = (fitted - np.array(self.offsets[: self.channels], np.float32)) * np.float32(self.scale)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def fit_photo(self, photo_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, C) uint8 -> (height, width, C) uint8 at input size, before scale and offsets."""
        height, width = self.input_hw
        if photo_hwc.shape[:2] == (height, width):
            return photo_hwc
        if self.fit == "stretch":
            return resize(photo_hwc, self.input_hw)
        canvas = np.zeros((height, width, photo_hwc.shape[2]), dtype=np.uint8)
        part = photo_hwc[:height, :width]
        canvas[: part.shape[0], : part.shape[1]] = part
        return canvas

    def boxes_to_input(self, boxes_n4: Boxes, *, photo_hw: tuple[int, int]) -> Boxes:
        """Boxes in photo pixels -> boxes in input pixels; not clipped."""
        if self.fit == "stretch":
            return scale_boxes(boxes_n4, from_hw=photo_hw, to_hw=self.input_hw)
        return boxes_n4.copy()

    def boxes_to_photo(self, boxes_n4: Boxes, *, photo_hw: tuple[int, int]) -> Boxes:
        """Boxes in input pixels -> boxes in photo pixels, clipped to the photo."""
        if self.fit == "stretch":
            boxes_n4 = scale_boxes(boxes_n4, from_hw=self.input_hw, to_hw=photo_hw)
        return clip_boxes(boxes_n4, hw=photo_hw)

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` gives the same Preprocessing back."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Preprocessing:
        """The Preprocessing that `to_json` wrote."""
        height, width = value["input_hw"]
        return Preprocessing(**{**value, "input_hw": (height, width), "offsets": tuple(value["offsets"])})


def resize(image_hwc: NDArray[np.uint8], to_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch to `to_hw`: area-averaged when it shrinks (no aliasing), bilinear when it grows; (H, W, C) uint8."""
    import cv2

    height, width = to_hw
    shrinks = height * width < image_hwc.shape[0] * image_hwc.shape[1]
    out = cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(out, dtype=np.uint8).reshape(height, width, image_hwc.shape[2])
