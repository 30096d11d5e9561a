"""Networks that normalise their own input, made to take it as a Preprocessing leaves it.

Published weights of torchvision's and TensorFlow's networks expect RGB / 255, normalised their way; specs and flags say
something else for every network. Both are a factor and an offset for each channel, so the network's own are rewritten
to undo the other's, and for BGR its first kernels change places: what it computes of a photo stays the same.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from taolite.preprocessing import Preprocessing

__all__ = ["Normalising", "swap_colours", "undo_preprocessing"]


class Normalising(Protocol):
    """A network that takes x of RGB (or grey) / 255 to (x - input_mean) / input_std, each (1, C, 1, 1)."""

    input_mean: Tensor
    input_std: Tensor


def undo_preprocessing(network: Normalising, preprocessing: Preprocessing) -> None:
    """Have a fresh network, in place, take the pixels of `preprocessing` instead of RGB / 255; its weights stay.

    With x = scale (v - offset) / std for v of 0..255, its (v / 255 - mean) / deviation is again of that form.
    """
    mean, deviation = network.input_mean, network.input_std
    channels = mean.shape[1]
    offset = torch.tensor(preprocessing.offsets[:channels]).view(1, -1, 1, 1)
    factor = preprocessing.scale / torch.tensor(preprocessing.stds[:channels]).view(1, -1, 1, 1)
    if preprocessing.bgr:
        mean, deviation = mean.flip(1), deviation.flip(1)
    network.input_mean, network.input_std = (255 * mean - offset) * factor, 255 * deviation * factor


def swap_colours(network: nn.Module) -> None:
    """RGB to BGR or back: the first convolution's kernels of red and blue change places, in place."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))
