"""Removing channels from a network: from convolutions, the batch norms behind them and the layers that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn

from taolite.errors import ModelError
from taolite.pruning.groups import convolutions, trace, traceable

__all__ = ["count_parameters", "cut"]

Net = TypeVar("Net", bound=nn.Module)


def count_parameters(model: nn.Module) -> int:
    """The parameter count of `model` as in Keras: parameters plus the moving means and variances of batch norms."""
    moving = sum(2 * layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    return moving + sum(parameter.numel() for parameter in model.parameters())


def cut(model: Net, kept: Mapping[str, Sequence[int]], depths: Mapping[str, int], input_shape: Sequence[int]) -> Net:
    """A copy of `model` in which each convolution named in `kept` has these output channels only.

    Args:
        model: left as it is.
        kept: the indices to keep, ascending, by layer name; the same for all layers of a group.
        depths: output channels of each of these layers in `model`.
        input_shape: (N, C, H, W) of an input that `model` accepts.

    Raises ModelError where a layer is missing or has another depth, or an index is out of range.
    """
    import torch_pruning

    twin = traceable(model)
    layers = convolutions(twin)
    for name, indices in kept.items():
        if name not in layers or layers[name].out_channels != depths[name]:
            found = f"here it has {layers[name].out_channels}" if name in layers else "here is no such layer"
            raise ModelError(
                f"the pruning plan was made for another network: {name} had {depths[name]} outputs, and {found}"
            )
        if not indices or list(indices) != sorted({*indices}) or not 0 <= indices[0] <= indices[-1] < depths[name]:
            raise ModelError(
                f"the pruning plan's channels of {name} need to be ascending, from 0 to {depths[name] - 1}"
            )
    device = next(model.parameters()).device
    graph = trace(twin, torch.zeros(*input_shape, device=device))
    for name, indices in kept.items():
        gone = sorted(set(range(depths[name])) - set(indices))
        if not gone or layers[name].out_channels == len(indices):
            continue  # nothing to do, or done with another member of its group
        group = graph.get_pruning_group(layers[name], torch_pruning.prune_conv_out_channels, gone)
        assert graph.check_pruning_group(group), f"all channels of a layer in the group of {name} would go"
        group.prune(record_history=False)
    training = {name: module.training for name, module in model.named_modules()}
    trains = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, module in twin.named_modules():
        module.training = training[name]
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(trains[name])
        parameter.grad = None
    return twin
