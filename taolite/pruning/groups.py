"""Which convolutions must lose the same output channels: the groups of a network (reference 9.3, 9.4).

torch-pruning traces the network once and finds every layer that a channel touches; a group has the convolutions among
them that produce the channel.

- Convolutions whose outputs are added or multiplied form one group: the projection of a ResNet stage and the last
  convolution of each of its sub-blocks; a squeeze-and-excite gate and the layer it scales.
- A depthwise convolution is in the group of the convolution before it.
- The branches of a concatenation are separate groups. A depthwise convolution behind it loses the channels that each
  of the branches loses.
- A convolution with one filter, whose output is broadcast over channels, is in no other layer's group.
- A convolution whose channels are split into parts is not pruned, as in TAO, and is in no group.

A layer's name is TAO's, the last part of its path (`block_1a_conv_1` for `backbone.block_1a_conv_1`), or the whole path
where two layers would have the same name.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from taolite.errors import ModelError

__all__ = ["Group", "convolutions", "find_groups", "trace"]

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Group:
    """Convolutions whose output channels are kept or removed together.

    members: their names, in layer order. depth: output channels of each. followers: depthwise convolutions behind a
    concatenation that has these as a branch, by name; for each of the `depth` channels the index of the channel there
    that is removed with it.
    """

    members: tuple[str, ...]
    depth: int
    followers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


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
        model: any network of plain and depthwise convolutions, batch norms, element-wise operations and
            concatenations, with linear layers behind them.
        example: (N, C, H, W), an input that it accepts, on its device.
        heads: names of the output layers, whose channels are never removed.

    Raises ModelError for a grouped convolution that is not depthwise (one filter a channel), for weights in layers
    other than convolutions, batch norms and linear ones, for a network that shuffles its channels, and where a part of
    a layer's channels is tied to another layer's, as in the sum of a concatenation and a convolution.
    """
    import torch_pruning

    _refuse_other_weights(model)
    twin = traceable(model)
    graph = trace(twin, example)
    layers = convolutions(twin)
    names = {layer: name for name, layer in layers.items()}
    order = {name: i for i, name in enumerate(layers)}
    for name, layer in layers.items():
        if layer.groups > 1 and not layer.groups == layer.in_channels == layer.out_channels:
            raise ModelError(
                f"prune: {name} has {layer.groups} groups of its {layer.in_channels} inputs; only plain "
                "convolutions and depthwise ones with one filter a channel can be pruned"
            )
    makers = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_depthwise_conv_out_channels)
    groups: list[Group] = []
    seen: set[str] = set()
    for name, layer in layers.items():
        if name in seen or name in heads or layer not in graph.module2node:
            continue  # the last: a layer that the network has and does not use
        found = graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, list(range(layer.out_channels)))
        producers = [(names[dep.layer], indices) for dep, indices in found if dep.handler in makers]
        if layer.groups > 1 and any(layers[member].out_channels < layer.out_channels for member, _ in producers):
            continue  # a follower: it belongs to the groups of its branches
        followers = {
            member: tuple(indices)
            for member, indices in producers
            if layers[member].groups > 1 and layers[member].out_channels > layer.out_channels
        }
        producers = [(member, indices) for member, indices in producers if member not in followers]
        members = {member for member, _ in producers}
        for member, indices in producers:
            if sorted(indices) != list(range(layer.out_channels)) or layers[member].out_channels != layer.out_channels:
                raise ModelError(
                    f"prune: {name} has {layer.out_channels} channels and is joined with {member}, which has "
                    f"{layers[member].out_channels}, through a concatenation; such layers cannot be pruned"
                )
        seen |= members
        is_split = any(dep.target.type == torch_pruning.ops.OPTYPE.SPLIT for dep, _ in found)
        fed_by_the_input = all(layers[member].groups > 1 for member in members)
        if not members & set(heads) and not fed_by_the_input and not is_split:
            groups.append(Group(tuple(sorted(members, key=order.__getitem__)), layer.out_channels, followers))
    return tuple(groups)


def _refuse_other_weights(model: nn.Module) -> None:
    """Raises ModelError for a layer whose weights would not be pruned together with its input channels."""
    for path, layer in model.named_modules():
        if list(layer.parameters(recurse=False)) and not isinstance(layer, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)):
            raise ModelError(
                f"prune: {path or 'this network'} is a {type(layer).__name__}; only networks of convolutions, batch "
                "norms and linear layers can be pruned (no transformers)"
            )


def traceable(model: Net) -> Net:
    """A copy in evaluation mode with requires_grad on every parameter: the tracing follows autograd."""
    return copy.deepcopy(model).eval().requires_grad_(True)


def trace(model: nn.Module, example: Tensor) -> Any:
    """torch-pruning's DependencyGraph of a `traceable` model; raises ModelError for shuffled channels."""
    import torch_pruning

    with torch.enable_grad():
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
        except ZeroDivisionError as error:  # in its bookkeeping of a reshape to (groups, channels / groups)
            raise ModelError(
                "prune: this network shuffles its channels, as ShuffleNet does; it cannot be pruned"
            ) from error
    for node in graph.module2node.values():
        node.dependencies = [
            dep
            for dep in node.dependencies
            if not _is_broadcast(node.module, dep.trigger) and not _is_broadcast(dep.target.module, dep.handler)
        ]
    return graph


def _is_broadcast(layer: Any, function: Any) -> bool:
    """Whether `function` prunes the outputs of a `layer` that has one channel: it is broadcast over any number of
    channels, and torch-pruning would tie it to them."""
    import torch_pruning

    if isinstance(layer, nn.Conv2d):
        return layer.out_channels == 1 and function == torch_pruning.prune_conv_out_channels
    return isinstance(layer, nn.BatchNorm2d) and layer.num_features == 1
