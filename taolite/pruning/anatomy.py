"""Where each channel of a network's groups is found in its layers. The network is traced once; what a plan leaves is
then counted, and its channels silenced, without cutting anything.

A silenced network has the outputs of the cut one: the filters of a removed channel, its batch norm and what later
layers read of it are zero. Silencing costs milliseconds and cutting a trace of the network, but a silenced network is
as slow as the whole one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taolite.pruning.groups import Group, convolutions, find_groups, trace, traceable

__all__ = ["Anatomy", "Size", "study"]

Net = TypeVar("Net", bound=nn.Module)
Kept = Mapping[str, Sequence[int]]
"""The output channels that are kept, by the name of a layer, as in a `Plan`."""

_EVERY = -1  # in place of a channel: this position is never removed


@dataclass(frozen=True)
class Size:
    """What a network amounts to. parameters: numbers that training learns. moving: the batch norms' moving means and
    variances. macs: multiply-accumulates of convolutions and linear layers for one image. folded: numbers in its ONNX,
    where batch norms are part of the convolutions before them."""

    parameters: int
    moving: int
    macs: int
    folded: int


@dataclass(frozen=True)
class _Layer:
    """A convolution, batch norm or linear layer. ins, outs: for each of its input and output channels the channel of
    a group with which it is removed, counted over all groups, or `_EVERY`. kernel: numbers of a filter for one input
    channel. places: positions of its output at which it is computed, for one image."""

    ins: NDArray[np.int64]
    outs: NDArray[np.int64]
    kernel: int
    places: int
    is_norm: bool
    is_depthwise: bool
    has_bias: bool

    def size(self, stays: NDArray[np.bool_]) -> Size:
        outs, ins = _count(self.outs, stays), _count(self.ins, stays)
        if self.is_norm:
            return Size(2 * outs, 2 * outs, 0, 0)
        weights = outs * self.kernel * (1 if self.is_depthwise else ins)
        return Size(weights + outs * self.has_bias, 0, weights * self.places, weights + outs)


@dataclass(frozen=True)
class Anatomy:
    """The groups of one network and the positions of their channels in its layers; made by `study`."""

    groups: tuple[Group, ...]
    layers: Mapping[str, _Layer]
    starts: tuple[int, ...]
    input_shape: tuple[int, ...]

    def size(self, kept: Kept) -> Size:
        """What the network would amount to with these channels only."""
        stays = self._stays(kept)
        sizes = [layer.size(stays) for layer in self.layers.values()]
        return Size(*(sum(getattr(one, name) for one in sizes) for name in Size.__dataclass_fields__))

    def silenced(self, network: Net, kept: Kept) -> Net:
        """A copy of `network`, the one that was studied, in which all other channels contribute nothing."""
        twin = copy.deepcopy(network)
        stays = self._stays(kept)
        modules: dict[str, Any] = dict(twin.named_modules())
        with torch.no_grad():
            for path, layer in self.layers.items():
                outs, ins = _gone(layer.outs, stays), _gone(layer.ins, stays)
                module = modules[path]
                if len(outs):
                    module.weight[outs] = 0
                    if module.bias is not None:
                        module.bias[outs] = 0
                if len(ins) and not layer.is_norm and not layer.is_depthwise:
                    module.weight[:, ins] = 0
        return twin

    def _stays(self, kept: Kept) -> NDArray[np.bool_]:
        """For every channel of all groups, whether it is kept."""
        stays = np.ones(self.starts[-1], np.bool_)
        for start, group in zip(self.starts, self.groups, strict=False):
            if (left := kept.get(group.members[0])) is not None:
                stays[start : start + group.depth] = False
                stays[start + np.asarray(left, np.int64)] = True
        return stays


def study(model: nn.Module, example: Tensor, *, heads: Collection[str]) -> Anatomy:
    """Trace `model` and find its groups and where their channels are; it is left as it is.

    Args:
        example: (N, C, H, W), an input that it accepts, on its device; multiply-accumulates are counted at its size.
        heads: names of the output layers, whose channels are never removed.

    Raises ModelError as `find_groups`.
    """
    import torch_pruning

    groups = find_groups(model, example, heads=heads)
    twin = traceable(model)
    paths = {layer: path for path, layer in twin.named_modules() if list(layer.parameters(recurse=False))}
    sides: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for layer, path in paths.items():
        ins, outs = _channels(layer)
        sides[path] = np.full(ins, _EVERY, np.int64), np.full(outs, _EVERY, np.int64)
    places = _places(twin, paths, example)
    graph, named = trace(twin, example), convolutions(twin)
    readers = (torch_pruning.prune_conv_in_channels, torch_pruning.prune_linear_in_channels)
    starts = [0]
    for group in groups:
        channels = list(range(group.depth))
        found = graph.get_pruning_group(named[group.members[0]], torch_pruning.prune_conv_out_channels, channels)
        for item in found:
            path = paths.get(item.dep.target.module)
            if path is not None:
                side = sides[path][0 if item.dep.handler in readers else 1]
                side[np.asarray(item.idxs, np.int64)] = starts[-1] + np.asarray(item.root_idxs, np.int64)
        starts.append(starts[-1] + group.depth)
    layers = {path: _layer(layer, *sides[path], places[path]) for layer, path in paths.items()}
    return Anatomy(groups, layers, tuple(starts), tuple(example.shape))


def _layer(module: Any, ins: NDArray[np.int64], outs: NDArray[np.int64], places: int) -> _Layer:
    is_conv = isinstance(module, nn.Conv2d)
    return _Layer(
        ins,
        outs,
        int(np.prod(module.kernel_size)) if is_conv else 1,
        places,
        is_norm=isinstance(module, nn.BatchNorm2d),
        is_depthwise=is_conv and module.groups > 1,
        has_bias=module.bias is not None,
    )


def _channels(module: Any) -> tuple[int, int]:
    """(input, output) channels."""
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return module.num_features, module.num_features


def _places(twin: nn.Module, paths: Mapping[nn.Module, str], example: Tensor) -> dict[str, int]:
    """The positions at which each layer computes its channels, for one image."""
    found = dict.fromkeys(paths.values(), 0)

    def watch(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def count(layer: nn.Module, _: Any, output: Tensor) -> None:
            found[path] += output.numel() // (len(example) * _channels(layer)[1])

        return count

    hooks = [layer.register_forward_hook(watch(path)) for layer, path in paths.items()]
    with torch.no_grad():
        twin(example)
    for hook in hooks:
        hook.remove()
    return found


def _count(side: NDArray[np.int64], stays: NDArray[np.bool_]) -> int:
    return len(side) - len(_gone(side, stays))


def _gone(side: NDArray[np.int64], stays: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The positions of a side whose channels are removed."""
    tied = np.flatnonzero(side != _EVERY)
    return np.asarray(tied[~stays[side[tied]]])
