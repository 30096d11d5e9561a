"""Networks that normalise their own input, made to take it as a spec's `preprocess_mode` leaves it.

Published weights of torchvision's and TensorFlow's networks expect RGB / 255, normalised their way; TAO's spec says
`caffe`, `tf` or `torch` for every network. Both are a factor and an offset for each channel, so the network's own are
rewritten to undo the spec's, and for BGR its first kernels change places: what it computes of a photo stays the same.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from taolite.preprocessing import Preprocessing
from taolite.tasks.classification.model import Classifier, TaoClassifier, TorchvisionClassifier

__all__ = ["set_input", "swap_colours"]


def set_input(network: Classifier, preprocessing: Preprocessing) -> None:
    """Have a fresh network of this kind, in place, undo `preprocessing`; its weights and any other network stay.

    With x = scale (v - offset) / std for v of 0..255, its (v / 255 - mean) / deviation is again of that form.
    """
    if not network.normalises:
        return
    inner = network.body if isinstance(network, TorchvisionClassifier) else cast(TaoClassifier, network).backbone
    channels = network.in_channels
    offset = torch.tensor(preprocessing.offsets[:channels]).view(1, -1, 1, 1)
    factor = preprocessing.scale / torch.tensor(preprocessing.stds[:channels]).view(1, -1, 1, 1)
    mean, deviation = inner.input_mean, inner.input_std
    if preprocessing.bgr:
        mean, deviation = mean.flip(1), deviation.flip(1)
    inner.input_mean, inner.input_std = (255 * mean - offset) * factor, 255 * deviation * factor


def swap_colours(network: Classifier) -> None:
    """RGB to BGR or back: the first convolution's kernels of red and blue change places, in place."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))
