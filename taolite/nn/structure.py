"""The channel counts of a network as JSON, and a network resized to such counts: how a pruned model is stored and
rebuilt.

Counts are keyed by the module's path, as in the state dict: `{"backbone.conv1": [3, 40], "backbone.bn_conv1": [40, 40],
...}`, each [in, out] (for a linear layer: features). They come from files, so `resize` checks all of them first.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from taolite.errors import ModelError

__all__ = ["channels_of", "resize"]


def channels_of(module: nn.Module) -> dict[str, list[int]]:
    """[in, out] channels of every convolution, batch norm and linear layer of `module`, by path, in layer order."""
    channels: dict[str, list[int]] = {}
    for path, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            channels[path] = [layer.in_channels, layer.out_channels]
        elif isinstance(layer, nn.BatchNorm2d):
            channels[path] = [layer.num_features, layer.num_features]
        elif isinstance(layer, nn.Linear):
            channels[path] = [layer.in_features, layer.out_features]
    return channels


def resize(module: nn.Module, channels: Mapping[str, Sequence[int]]) -> None:
    """Replace, in place, every layer of `module` that is wider than `channels` says by a new one of that size.

    The new layers keep kernel size, stride, padding, eps, momentum and device; the caller loads their values.

    Args:
        module: a network just built, at full width.
        channels: `channels_of` the pruned network. It must name every layer, none wider than in `module`, each with
            one channel or more, and each depthwise convolution with as many outputs as inputs.

    Raises ModelError for anything else, before a layer is replaced.
    """
    full = channels_of(module)
    unknown, missing = sorted(set(channels) - set(full)), sorted(set(full) - set(channels))
    if unknown or missing:
        what = f"names {unknown[0]}, which is no layer" if unknown else f"does not name {missing[0]}, a layer"
        raise ModelError(f"the stored structure {what} of this network; the file is not of this architecture")
    for path, most in full.items():
        counts = channels[path]
        two = isinstance(counts, (list, tuple)) and len(counts) == 2
        if not two or not all(type(n) is int and 1 <= n <= m for n, m in zip(counts, most, strict=True)):
            raise ModelError(
                f"the stored structure gives {path} the channels {reprlib.repr(counts)}; "
                f"it needs two numbers from 1 to {most} (the unpruned network)"
            )
        if _is_depthwise(module.get_submodule(path)) and counts[0] != counts[1]:
            raise ModelError(
                f"the stored structure gives {path} the channels {list(counts)}; a depthwise convolution has as many "
                "outputs as inputs"
            )
    for path, most in full.items():
        if list(channels[path]) != most:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, _fresh(module.get_submodule(path), *channels[path]))


def _fresh(layer: nn.Module, inputs: int, outputs: int) -> nn.Module:
    """A layer like `layer` with other channel counts, on its device, with its training mode and requires_grad."""
    fresh: nn.Module
    if isinstance(layer, nn.BatchNorm2d):
        fresh = type(layer)(outputs, eps=layer.eps, momentum=layer.momentum, device=layer.weight.device)
    elif isinstance(layer, nn.Linear):
        fresh = nn.Linear(inputs, outputs, bias=layer.bias is not None, device=layer.weight.device)
    else:
        assert isinstance(layer, nn.Conv2d)
        assert layer.groups == 1 or _is_depthwise(layer), "only plain and depthwise convolutions are resized"
        assert not isinstance(layer.padding, str)
        fresh = nn.Conv2d(
            inputs,
            outputs,
            (layer.kernel_size[0], layer.kernel_size[1]),
            (layer.stride[0], layer.stride[1]),
            (layer.padding[0], layer.padding[1]),
            (layer.dilation[0], layer.dilation[1]),
            groups=inputs if _is_depthwise(layer) else 1,
            bias=layer.bias is not None,
            device=layer.weight.device,
        )
    requires_grad: dict[str, bool] = {name: p.requires_grad for name, p in layer.named_parameters()}
    for name, parameter in fresh.named_parameters():
        parameter.requires_grad_(requires_grad[name])
    return fresh.train(layer.training).to(torch.float32)


def _is_depthwise(layer: nn.Module) -> bool:
    """Whether `layer` is a convolution with one filter for each input channel."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1
