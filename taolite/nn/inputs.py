"""Networks with a normalisation of their own, adapted to input that a Preprocessing has normalised already.

Published weights of torchvision and TensorFlow expect RGB / 255, normalised in their own way; a spec may ask for
another preprocessing. Both are one factor and one offset for each channel. So the network's own factor and offset are
changed to undo the spec's, and for BGR its first kernels are swapped: the output for a photo stays the same.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from taolite.preprocessing import Preprocessing

__all__ = ["Normalising", "swap_colours", "undo_preprocessing"]


class Normalising(Protocol):
    """A network that first maps its input x, RGB or grey / 255, to (x - input_mean) / input_std.

    Both are (1, C, 1, 1) float32.
    """

    input_mean: Tensor
    input_std: Tensor


def undo_preprocessing(network: Normalising, preprocessing: Preprocessing) -> None:
    """Change a newly built network, in place, to expect the pixels of `preprocessing` instead of RGB / 255; its weights
    stay.

    With x = scale (v - offset) / std for v in 0..255, its (v / 255 - mean) / deviation has that form again.
    """
    mean, deviation = network.input_mean, network.input_std
    channels = mean.shape[1]
    offset = torch.tensor(preprocessing.offsets[:channels]).view(1, -1, 1, 1)
    factor = preprocessing.scale / torch.tensor(preprocessing.stds[:channels]).view(1, -1, 1, 1)
    if preprocessing.bgr:
        mean, deviation = mean.flip(1), deviation.flip(1)
    network.input_mean, network.input_std = (255 * mean - offset) * factor, 255 * deviation * factor


def swap_colours(network: nn.Module) -> None:
    """Swap the red and blue kernels of the first convolution, in place: the network takes BGR instead of RGB, or RGB
    instead of BGR."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))
