"""Which convolutions must lose the same output channels: the groups of a network (reference 9.3, 9.4).

torch-pruning traces the network once and finds every layer that a channel touches; of that a group keeps the
convolutions that produce the channel. Convolutions added to each other (a ResNet stage's projection and the last
convolution of each of its sub-blocks) make one group; so does a depthwise convolution with the one that feeds it.

A layer's name is the last part of its path, as TAO knows it (`block_1a_conv_1` for `backbone.block_1a_conv_1`), or
the whole path where two layers would share a name.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Group", "convolutions", "find_groups", "trace"]


@dataclass(frozen=True)
class Group:
    """Names of the convolutions, in layer order, whose `depth` output channels stay or go together."""

    members: tuple[str, ...]
    depth: int


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Every convolution of `model` by its name, in layer order."""
    paths = [path for path, _ in model.named_modules()]
    count = Counter(path.rpartition(".")[2] for path in paths)
    return {
        short if count[short := path.rpartition(".")[2]] == 1 else path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d)
    }


def find_groups(model: nn.Module, example: Tensor, *, heads: Collection[str]) -> tuple[Group, ...]:
    """The groups of `model`, in the order of their first members; `model` is left as it is.

    Args:
        model: any network of convolutions, batch norms and element-wise operations.
        example: an input that it accepts, on its device.
        heads: names of the layers whose outputs are the network's and never go.
    """
    import torch_pruning

    twin = traceable(model)
    graph = trace(twin, example)
    layers = convolutions(twin)
    names = {layer: name for name, layer in layers.items()}
    order = {name: i for i, name in enumerate(layers)}
    producers = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_depthwise_conv_out_channels)
    groups: list[Group] = []
    seen: set[str] = set()
    for name, layer in layers.items():
        if name in seen or name in heads or layer not in graph.module2node:
            continue  # the last: the network has this layer and does not use it
        found = graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, list(range(layer.out_channels)))
        members = {names[dep.layer] for dep, _ in found if dep.handler in producers and dep.layer in names}
        seen |= members
        if not members & set(heads):
            groups.append(Group(tuple(sorted(members, key=order.__getitem__)), layer.out_channels))
    return tuple(groups)


def traceable(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose every parameter takes part in autograd, which the tracing follows."""
    return copy.deepcopy(model).eval().requires_grad_(True)


def trace(model: nn.Module, example: Tensor) -> Any:
    """torch-pruning's DependencyGraph of `model`, which must be `traceable`."""
    import torch_pruning

    with torch.enable_grad():
        return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
