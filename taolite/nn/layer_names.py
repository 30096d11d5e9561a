"""Which network a state dict belongs to, told by its names, and their translation to TAO's names.

TAO's own names are kept. These names of other programs are known:

| state dict | is | in the graph |
|---|---|---|
| `layer1.0.conv1.weight` | torchvision's ResNet | torchvision |
| `features.1.conv.0.0.weight` | torchvision's MobileNet v2 | torchvision |
| `features.1.0.block.0.0.weight` | torchvision's EfficientNet B0 to B7 | torchvision |
| `model.1.3.weight` | MobileNet v1, a widespread PyTorch layout | tensorflow |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from taolite.nn.backbone import Graph, layer_letters
from taolite.nn.resnet import sub_block_name

__all__ = ["Layout", "recognise"]


@dataclass(frozen=True)
class Layout:
    """A kind of state dict. arch: its network (`efficientnet` for B0 to B7). graph: the variant of the network in which
    the weights give their features. tao_name: TAO's `layer.tensor` for a name in the file; None for tensors outside the
    backbone."""

    arch: str
    graph: Graph
    tao_name: Callable[[str], str | None]


def recognise(names: Collection[str]) -> Layout | None:
    """The layout of a state dict with these names; None for an unknown network."""
    for arch, mark in _TAO_MARKS:
        if mark <= set(names):
            graph: Graph = "torchvision" if arch == "resnet" and "conv1.bias" not in names else "tao"
            return Layout(arch, graph, lambda name: name)
    return next((layout for mark, layout in _FOREIGN if mark <= set(names)), None)


def _resnet(name: str) -> str | None:
    """`layer3.1.bn2.bias` -> `block_3b_bn_2.bias`."""
    if stem := re.fullmatch(r"(conv1|bn1)\.(\w+)", name):
        return f"{'conv1' if stem[1] == 'conv1' else 'bn_conv1'}.{stem[2]}"
    if inner := re.fullmatch(r"layer([1-4])\.(\d{1,3})\.(conv|bn)([1-3])\.(\w+)", name):
        return f"{sub_block_name(int(inner[1]), int(inner[2]))}_{inner[3]}_{inner[4]}.{inner[5]}"
    if shortcut := re.fullmatch(r"layer([1-4])\.(\d{1,3})\.downsample\.([01])\.(\w+)", name):
        kind = "conv" if shortcut[3] == "0" else "bn"
        return f"{sub_block_name(int(shortcut[1]), int(shortcut[2]))}_{kind}_shortcut.{shortcut[4]}"
    return None


def _mobilenet_v1(name: str) -> str | None:
    """`model.3.4.bias` -> `conv_pw_3_bn.bias`."""
    if (match := re.fullmatch(r"model\.(\d{1,2})\.([0134])\.(\w+)", name)) is None:
        return None
    block, part, tensor = match.groups()
    if block == "0":
        return f"{('conv1', 'conv1_bn')[int(part)]}.{tensor}" if part in "01" else None
    layer = {"0": "conv_dw_{}", "1": "conv_dw_{}_bn", "3": "conv_pw_{}", "4": "conv_pw_{}_bn"}[part].format(block)
    return f"{layer}.{tensor}"


def _mobilenet_v2(name: str) -> str | None:
    """`features.3.conv.1.0.weight` -> `block_2_depthwise.weight`."""
    ends = {
        "features.0.0": "conv1",
        "features.0.1": "bn_conv1",
        "features.18.0": "conv_1",
        "features.18.1": "conv_1_bn",
    }
    layer, _, tensor = name.rpartition(".")
    if layer in ends:
        return f"{ends[layer]}.{tensor}"
    if (match := re.fullmatch(r"features\.(\d{1,2})\.conv\.([\d.]{1,3})", layer)) is None:
        return None
    parts = {"0.0": "expand", "0.1": "expand_bn", "1.0": "depthwise", "1.1": "depthwise_bn"}
    parts |= {"2": "project", "3": "project_bn"}
    prefix = f"block_{int(match[1]) - 1}"
    if match[1] == "1":  # does not expand
        parts = {"0.0": "depthwise", "0.1": "depthwise_bn", "1": "project", "2": "project_bn"}
        prefix = "expanded_conv"
    return f"{prefix}_{parts[match[2]]}.{tensor}" if match[2] in parts else None


def _efficientnet(name: str) -> str | None:
    """`features.2.0.block.2.fc1.bias` -> `block2a_se_reduce.bias`."""
    ends = {
        "features.0.0": "stem_conv",
        "features.0.1": "stem_bn",
        "features.8.0": "top_conv",
        "features.8.1": "top_bn",
    }
    layer, _, tensor = name.rpartition(".")
    if layer in ends:
        return f"{ends[layer]}.{tensor}"
    if (match := re.fullmatch(r"features\.([1-7])\.(\d{1,2})\.block\.(\d)\.(0|1|fc1|fc2)", layer)) is None:
        return None
    stage, index, step, part = match.groups()
    steps = ["expand_conv expand_bn", "dwconv bn", "se_reduce se_expand", "project_conv project_bn"]
    if stage == "1":  # does not expand
        steps = steps[1:]
    if int(step) >= len(steps) or ("se_reduce" in steps[int(step)]) != part.startswith("fc"):
        return None
    found = steps[int(step)].split()[part in ("1", "fc2")]
    return f"block{stage}{layer_letters(int(index))}_{found}.{tensor}"


_TAO_MARKS: tuple[tuple[str, set[str]], ...] = (
    ("resnet", {"conv1.weight", "block_1a_conv_1.weight"}),
    ("vgg", {"block_1a_conv_1.weight"}),
    ("cspdarknet", {"b2_partial_trans.weight"}),
    ("cspdarknet_tiny", {"conv_2_conv_0.weight"}),
    ("darknet", {"b1_conv1.weight"}),
    ("darknet", {"b1_conv1_1.weight"}),
    ("squeezenet", {"fire2_squeeze_conv.weight"}),
    ("googlenet", {"inception_3a_1x1.weight"}),
    ("mobilenet_v1", {"conv_dw_1.weight"}),
    ("mobilenet_v2", {"expanded_conv_depthwise.weight"}),
    ("efficientnet", {"block1a_dwconv.weight"}),
)
"""Tensors that tell TAO's networks apart; the first match counts."""

_FOREIGN = (
    ({"conv1.weight", "layer1.0.conv1.weight"}, Layout("resnet", "torchvision", _resnet)),
    ({"model.0.0.weight", "model.1.3.weight"}, Layout("mobilenet_v1", "tensorflow", _mobilenet_v1)),
    ({"features.0.0.weight", "features.1.conv.0.0.weight"}, Layout("mobilenet_v2", "torchvision", _mobilenet_v2)),
    (
        {"features.0.0.weight", "features.1.0.block.0.0.weight"},
        Layout("efficientnet", "torchvision", _efficientnet),
    ),
)
