"""SSD box coding: offsets from the priors, scaled by variances (reference/jetson_workflows.md 4.8,
reference/tao_classification_ssd.md 4.5).

Boxes are relative corners (x1, y1, x2, y2), priors relative centres (cx, cy, w, h). The last axis holds the four
numbers; there may be any axes before it. The plain functions take NumPy arrays (data), the `_tensor` ones torch tensors
(network).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LARGEST_GROWTH", "LEAST_SIDE", "centres", "corners", "decode", "decode_tensor", "encode", "encode_tensor"]

Floats = NDArray[np.floating[Any]]

LEAST_SIDE = 1e-6
"""Minimum side of a box before the logarithm; relative, about a thousandth of a pixel. Float32 corners are no finer."""


LARGEST_GROWTH = 10.0
"""Maximum log ratio of a box side to its prior's side. Real boxes stay below it. A network early in training can give
more, and exp(89) overflows float32; exp(10) fits float16."""


def corners(boxes: Floats) -> Floats:
    """(cx, cy, w, h) -> (x1, y1, x2, y2)."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def centres(boxes: Floats) -> Floats:
    """(x1, y1, x2, y2) -> (cx, cy, w, h)."""
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=-1)


def encode(boxes: Floats, priors: Floats, variances: Sequence[float]) -> Floats:
    """The offsets from `priors` to `boxes`, row by row; every box needs an area above 0."""
    boxes = centres(boxes)
    moved = (boxes[..., :2] - priors[..., :2]) / priors[..., 2:]
    grown = np.log(boxes[..., 2:] / priors[..., 2:])
    return np.concatenate([moved, grown], axis=-1) / np.asarray(variances, boxes.dtype)


def decode(offsets: Floats, priors: Floats, variances: Sequence[float]) -> Floats:
    """The boxes that `offsets` describe; the inverse of `encode`."""
    offsets = offsets * np.asarray(variances, offsets.dtype)
    centre = offsets[..., :2] * priors[..., 2:] + priors[..., :2]
    grown = np.exp(np.minimum(offsets[..., 2:], LARGEST_GROWTH))
    return corners(np.concatenate([centre, grown * priors[..., 2:]], axis=-1))


def encode_tensor(boxes: Tensor, priors: Tensor, variances: Sequence[float]) -> Tensor:
    """`encode` in torch. Sides shorter than LEAST_SIDE, which rounding can make of tiny boxes, are set to it."""
    import torch

    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    moved = (centre - priors[..., :2]) / priors[..., 2:]
    grown = torch.log(side.clamp(min=LEAST_SIDE) / priors[..., 2:])
    return torch.cat([moved, grown], dim=-1) / boxes.new_tensor(variances)


def decode_tensor(offsets: Tensor, priors: Tensor, variances: Sequence[float]) -> Tensor:
    """`decode` in torch; it exports to ONNX."""
    import torch

    centre = offsets[..., :2] * (priors[..., 2:] * offsets.new_tensor(variances[:2])) + priors[..., :2]
    grown = (offsets[..., 2:] * offsets.new_tensor(variances[2:])).clamp(max=LARGEST_GROWTH)
    half = torch.exp(grown) * (priors[..., 2:] / 2)
    return torch.cat([centre - half, centre + half], dim=-1)
