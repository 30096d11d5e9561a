"""Starting weights of an SSD: pytorch-ssd's state dicts by their key names, and backbones of any kind (`nn.weights`).

| keys | is | graph |
|---|---|---|
| `base_net.0.0.weight`, `extras...`, `classification_headers...`, ... | pytorch-ssd's whole model | pytorch-ssd |
| `0.0.weight`, `1.3.weight`, ... | its backbone | pytorch-ssd |
| what `nn.weights.read_weights` knows | a backbone | as it says |

pytorch-ssd's keys are positions in lists. Its layers and ours have the same order, so they are paired by order within
each of the five groups. A group is loaded only where all its layers have our shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from taolite.errors import ModelError
from taolite.nn.backbone import Graph
from taolite.nn.weights import (
    LoadReport,
    StateDict,
    Weights,
    copy_layer,
    holds_state_dict,
    load_weights,
    read_state_dict,
    read_weights,
)
from taolite.tasks.ssd.model import Ssd

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key

__all__ = ["Extent", "SsdWeights", "load_start", "read_start"]

Extent = Literal["whole", "features", "backbone"]
"""How much is loaded: everything (`--resume`), all but the heads (`--pretrained-ssd`), the backbone (`--base-net`)."""

_GROUPS = ("base_net", "source_layer_add_ons", "extras", "classification_headers", "regression_headers")
_TAKEN: dict[Extent, tuple[str, ...]] = {"whole": _GROUPS, "features": _GROUPS[:3], "backbone": _GROUPS[:1]}
_LEFT: dict[Extent, tuple[str, ...]] = {"whole": (), "features": ("heads",), "backbone": ("extras", "heads")}

Layers = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class SsdWeights:
    """pytorch-ssd's layers by group (`base_net`, ...) and name, in the network's order, and the tensors of each."""

    source: str
    tensors: Mapping[str, Tensor]
    groups: Mapping[str, Layers]
    graph: Graph = "pytorch-ssd"


def read_start(path: Path | str, *, key: Key | None = None) -> SsdWeights | Weights:
    """Read weights for an SSD; `.graph` is the graph that its backbone has to be built with (`build_ssd`).

    Raises what `read_weights` raises.
    """
    if holds_state_dict(path):
        state = read_state_dict(path)
        if (groups := _groups(state)) is not None:
            return SsdWeights(state.source, state.tensors, groups)
    return read_weights(path, key=key)


def load_start(network: Ssd, weights: SsdWeights | Weights, extent: Extent) -> LoadReport:
    """Copy `weights` into `network` in place, as far as `extent` says. A part (extras, heads) of which nothing is
    loaded is one entry of `fresh`.

    Raises ModelError for weights of another network, for a model of other classes where "whole" is asked for, and for a
    backbone alone where a whole model is needed. If it raises, none of pytorch-ssd's weights have been copied.
    """
    if isinstance(weights, Weights):
        if extent != "backbone":
            raise ModelError(f"{weights.source}: this is a backbone alone; start from it by --base-net")
        if weights.arch not in (None, network.backbone.arch):
            raise ModelError(
                f"{weights.source} holds weights of {weights.arch} and {network.net} stands on "
                f"{network.backbone.arch}; they must agree"
            )
        report = load_weights(network.backbone, weights)
        return replace(report, fresh=(*report.fresh, *_LEFT["backbone"]))
    if extent != "backbone" and set(weights.groups) == {"base_net"}:
        raise ModelError(f"{weights.source}: this is a backbone alone; start from it by --base-net")
    pairs = [pair for group in _TAKEN[extent] for pair in _pairs(network, weights, group)]
    loaded = []
    for ours, layer, _, tensors in pairs:
        reason = copy_layer(layer, tensors)
        assert reason is None, "shapes were compared"
        loaded.append(ours)
    left = [group for group in weights.groups if group not in _TAKEN[extent]]
    skipped = {name: f"{group} is not asked for" for group in left for name in weights.groups[group]}
    return LoadReport(tuple(loaded), skipped, _LEFT[extent])


def _pairs(network: Ssd, weights: SsdWeights, group: str) -> list[tuple[str, nn.Module, str, Mapping[str, Tensor]]]:
    """(our path, our layer, the file's name, its tensors) of every layer of a group; all layers have our shapes."""
    part = {
        "base_net": "backbone",
        "source_layer_add_ons": "tap_norm",
        "extras": "extras",
        "classification_headers": "conf_heads",
        "regression_headers": "loc_heads",
    }[group]
    ours = [
        (path, layer) for path, layer in network.named_modules() if path.split(".")[0] == part and _has_weights(layer)
    ]
    theirs = weights.groups.get(group, {})
    if len(ours) != len(theirs):
        raise ModelError(
            f"{weights.source}: its {group} has {len(theirs)} layers and that of {network.net} has {len(ours)}; it is "
            "of another network"
        )
    pairs = [(path, layer, name, theirs[name]) for (path, layer), name in zip(ours, theirs, strict=True)]
    for _, layer, name, tensors in pairs:
        expected = {end: _shape(t) for end, t in layer.state_dict().items() if end != "num_batches_tracked"}
        found = {end: _shape(t) for end, t in tensors.items()}
        for end in {**expected, **found}:
            shape, needed = found.get(end, "missing"), expected.get(end, "nothing")
            if shape == needed:
                continue
            hint = f"it is of another network than {network.net}"
            if "headers" in group:
                classes = f"it has other classes than these {network.num_classes}"
                hint = f"{classes}. Start from all but its heads by --pretrained-ssd"
            raise ModelError(f"{weights.source}: its {name}.{end} is {shape} and {needed} is needed; {hint}")
    return pairs


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape)


def _has_weights(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))


def _groups(state: StateDict) -> dict[str, dict[str, dict[str, Tensor]]] | None:
    """The file's layers by group, in the order of the network; None where the file is not one of pytorch-ssd's."""
    names = [name for name in state.tensors if not name.endswith("num_batches_tracked")]
    if all(re.match(r"\d+\.", name) for name in names):
        prefix = "base_net."
    elif all(name.split(".")[0] in _GROUPS for name in names):
        prefix = ""
    else:
        return None
    layers: dict[str, dict[str, Tensor]] = {}
    for name in names:
        layer, _, end = (prefix + name).rpartition(".")
        layers.setdefault(layer, {})[end] = state.tensors[name]
    return {
        group: {name: layers[name] for name in sorted(layers, key=_place) if name.split(".")[0] == group}
        for group in _GROUPS
        if any(name.split(".")[0] == group for name in layers)
    }


def _place(name: str) -> list[tuple[int, str]]:
    """A sort key for the network's layer order: numbers by value, the squeeze layer of a fire module first."""
    return [(int(part), "") if part.isdigit() else (-1, "" if part == "squeeze" else part) for part in name.split(".")]
