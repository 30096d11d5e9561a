"""Pretrained weights: read from a file of several kinds, under TAO's layer names, and copied in layer by layer.

Kinds: a state dict of torchvision's, or of another layout in `nn.layer_names` (`nn.state_dict` reads it), a taolite
`.tlt`, and a Keras `.hdf5` of TAO 5 or NGC. Names are carried over to TAO's (`layer1.0.conv1` is `block_1a_conv_1`). A
`.safetensors` file whose metadata says `padding: TensorFlow SAME` holds values that were trained in TensorFlow.

Copying follows TAO (reference 10.1): a layer of the same name and shapes gets the values, any other keeps its own;
heads always start from random values, because `load_weights` is given the backbone. Half-precision values are widened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.sniff import Kind, sniff, wrong_kind
from taolite.errors import ForeignError, ModelError
from taolite.nn.backbone import Graph
from taolite.nn.efficientnet import variant
from taolite.nn.fake_quant import ActivationQuantizer
from taolite.nn.foreign import listed
from taolite.nn.keras import KerasFile, read_keras
from taolite.nn.layer_names import recognise
from taolite.nn.resnet import DEPTHS
from taolite.nn.state_dict import (
    TORCHVISION,
    StateDict,
    download,
    existing,
    holds_state_dict,
    read_state_dict,
    without_prefix,
)

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.preprocessing import Preprocessing

__all__ = [
    "LoadReport",
    "StateDict",
    "Weights",
    "copy_layer",
    "holds_state_dict",
    "load_weights",
    "preferred_graph",
    "read_state_dict",
    "read_weights",
]

KNOWN = (*(f"resnet{n}" for n in (18, 34, 50, 101, 152)), "mobilenet_v2", "efficientnet_b0")
"""torchvision's networks whose layers have TAO's names here."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights under TAO's names.

    source: the file or address, for messages. tensors: by `layer.tensor` (`block_1a_conv_1.weight`), on the CPU. graph:
    the variant of the network that the weights were trained in. num_layers, arch: of that network; None where the names
    do not tell. layers: the names of all layers, also those without weights; empty where the file does not list them
    (all but Keras). preprocessing: of the input they were trained with, where the file tells (a `.tlt`).
    """

    source: str
    tensors: Mapping[str, Tensor]
    graph: Graph
    num_layers: int | None
    arch: str | None = None
    layers: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did.

    loaded: layers of the file that were copied. skipped: the other layers of the file, and the reason for each. Both in
    the file's order; alphabetical for a bundle and a `.safetensors` file, which have none. fresh: layers of the network
    that kept their random values.
    """

    loaded: tuple[str, ...]
    skipped: Mapping[str, str]
    fresh: tuple[str, ...] = ()


def read_weights(path: Path | str, *, key: Key | None = None) -> Weights:
    """Read pretrained weights; the kind of a file is told by its bytes, never by its name.

    Args:
        path: a state dict, a `.tlt`, a Keras `.hdf5`, or `torchvision://` and one of resnet18, 34, 50, 101, 152,
            mobilenet_v2, efficientnet_b0.
        key: opens a `.tlt`; not used otherwise.

    Raises PathError (missing, or a download that failed), UsageError (an unknown torchvision name), ForeignError (a
    pickle of more than tensors, another network, NVIDIA's codec), TruncatedError, DamagedError, and for a `.tlt`
    whatever `read_bundle` raises.
    """
    text = str(path)
    if text.startswith(TORCHVISION):
        return _named(StateDict(text, download(text, KNOWN), {}))
    path = existing(path)
    if holds_state_dict(path):
        return _named(read_state_dict(path))
    kind = sniff(path)
    if kind is Kind.HDF5:
        return _keras(text, read_keras(path))
    if kind is Kind.BUNDLE:
        return _read_tlt(path, key)
    raise wrong_kind(text, kind, needed="a file of pretrained weights (.tlt, .hdf5, .pth or .safetensors)")


def preferred_graph(weights: Weights) -> Graph:
    """The variant of the network in which `weights` give the features they were trained for."""
    return weights.graph


def load_weights(module: nn.Module, weights: Weights) -> LoadReport:
    """Copy into `module`, in place, every layer of `weights` that it has with the same shapes.

    A layer is copied whole or not at all. Three differences are bridged without loss: a convolution with a bias here
    and none in the file gets zeros; where it has none here, the file's bias is subtracted from the moving mean of the
    batch norm that follows; a grey `conv1` gets the sum of the RGB kernels (exact but for the torchvision graph, whose
    normalisation differs by channel).

    Args:
        module: the network, usually `DetectNet.backbone`; its layers are direct children.
        weights: from `read_weights`.

    Raises ModelError for weights of another arch or number of layers, and where not one convolution fits: training
    would silently start from random weights.
    """
    _check_arch(module, weights)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.tensors.items():
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            layers.setdefault(layer, {})[part] = tensor
    own = dict(module.named_children())
    _fold_biases(own, layers)
    loaded: list[str] = []
    skipped: dict[str, str] = {}
    for layer, values in layers.items():
        reason = copy_layer(own[layer], values) if layer in own else "this network has no such layer"
        if reason is None:
            loaded.append(layer)
        else:
            skipped[layer] = reason
    if not any(isinstance(own[layer], nn.Conv2d) for layer in loaded):
        layer, reason = next(iter(skipped.items()), ("it", "holds no layers"))
        raise ModelError(
            f"{weights.source}: none of its layers fits this network ({layer}: {reason}). A pruned model needs "
            "load_graph: true; otherwise choose weights of the same arch and num_layers"
        )
    fresh = (name for name, layer in own.items() if layer.state_dict() and name not in loaded)
    return LoadReport(tuple(loaded), skipped, tuple(fresh))


def _check_arch(module: nn.Module, weights: Weights) -> None:
    """Raises ModelError for weights of another arch or number of layers: some of their layers would fit, and the rest
    of the network would silently start from random values."""
    arch, depth = getattr(module, "arch", None), getattr(module, "num_layers", None)
    if weights.arch is None or arch is None:
        return
    if weights.arch != arch or (None not in (depth, weights.num_layers) and depth != weights.num_layers):
        theirs, ours = f"{weights.arch}{weights.num_layers or ''}", f"{arch}{depth or ''}"
        raise ModelError(
            f"{weights.source} holds weights of {theirs} and this network is {ours}; the spec's arch and number of "
            "layers must be those of its pretrained weights"
        )


def _fold_biases(own: Mapping[str, nn.Module], layers: Mapping[str, dict[str, Tensor]]) -> None:
    """Subtract each bias in `layers` that its convolution in `own` does not have from the mean of the batch norm that
    follows: x + b - mean is x - (mean - b)."""
    for (name, conv), (bn_name, bn) in pairwise(own.items()):
        values, norm = layers.get(name, {}), layers.get(bn_name, {})
        if not (isinstance(conv, nn.Conv2d) and conv.bias is None and isinstance(bn, nn.BatchNorm2d)):
            continue
        if "bias" in values and "running_mean" in norm and values["bias"].shape == norm["running_mean"].shape:
            norm["running_mean"] = norm["running_mean"] - values.pop("bias")


def copy_layer(layer: nn.Module, values: Mapping[str, Tensor]) -> str | None:
    """Copy `values` into `layer`, in place; returns None, or the reason why nothing was copied."""
    targets = {name: t for name, t in layer.state_dict(keep_vars=True).items() if name != "num_batches_tracked"}
    found = dict(values)
    if isinstance(layer, nn.Conv2d):
        if layer.bias is not None and "bias" not in found:
            found["bias"] = torch.zeros(layer.out_channels)
        if layer.in_channels == 1 and "weight" in found and found["weight"].ndim == 4 and found["weight"].shape[1] == 3:
            found["weight"] = found["weight"].float().sum(dim=1, keepdim=True)
    if set(found) != set(targets):
        return f"it holds {', '.join(sorted(found))} and {', '.join(sorted(targets))} are needed"
    for name, target in targets.items():
        if found[name].shape != target.shape:
            return f"its {name} is {_shape(found[name])} and {_shape(target)} is needed"
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(found[name])
    return None


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape)


def _named(state: StateDict) -> Weights:
    """A state dict under TAO's layer names; classifiers are left out."""
    source = state.source
    names: Mapping[str, Tensor] = {name.removeprefix("backbone."): tensor for name, tensor in state.tensors.items()}
    names = without_prefix(names, lambda inner: recognise(inner) is not None)
    if (layout := recognise(names)) is None:
        some = listed(state.tensors, none="nothing")
        raise ForeignError(
            f"{source}: these are not the weights of a network that taolite knows (it holds {some}); layers need the "
            "names of torchvision's ResNet, MobileNet v2 or EfficientNet B0, such as conv1.weight and "
            "layer1.0.conv1.weight"
        )
    tensors = {tao: tensor for name, tensor in names.items() if (tao := layout.tao_name(name)) is not None}
    graph: Graph = "tensorflow" if str(state.facts.get("padding", "")).startswith("TensorFlow") else layout.graph
    return Weights(source, tensors, graph, _depth(layout.arch, tensors), _arch(layout.arch, tensors))


def _keras(source: str, file: KerasFile) -> Weights:
    """A Keras file, whose layers have TAO's names and belong to TAO's graph."""
    layout = recognise(file.tensors)
    if layout is None:
        some = listed(file.tensors, none="no convolutions")
        raise ForeignError(
            f"{source}: this Keras file holds no backbone of TAO's (it holds {some}); layers need TAO's names, such as "
            "conv1 and block_1a_conv_1"
        )
    arch, depth = _arch(layout.arch, file.tensors), _depth(layout.arch, file.tensors)
    return Weights(source, file.tensors, "tao", depth, arch, file.layers)


def _arch(arch: str, tensors: Mapping[str, Tensor]) -> str | None:
    """`arch`; for EfficientNets the one with its number, `efficientnet_b0`."""
    if arch != "efficientnet":
        return arch
    blocks = sum(name.endswith("_dwconv.weight") for name in tensors)
    return variant(blocks, len(tensors.get("top_conv.weight", ())))


def _depth(arch: str | None, tensors: Mapping[str, Tensor]) -> int | None:
    """`num_layers`, told by the layer names; None where they are of no depth known here."""
    if arch == "vgg":
        if "block_3d_conv_1.weight" in tensors:
            return 19
        return 16 if "block_4a_conv_1.weight" in tensors else None  # a backbone cut inside block 3 may be of either
    if arch in ("darknet", "cspdarknet"):
        return 53 if "b1_conv1_1.weight" in tensors else 19
    repeats = tuple(
        sum(bool(re.fullmatch(rf"block_{stage}[a-z]+_conv_1\.weight", name)) for name in tensors)
        for stage in range(1, 5)
    )
    bottleneck = "block_1a_conv_3.weight" in tensors
    return next((n for n, known in DEPTHS.items() if known == repeats and (n >= 50) == bottleneck), None)


def _read_tlt(path: Path, key: Key | None) -> Weights:
    bundle = read_bundle(path, key=key)
    graph = bundle.architecture.get("graph", "tao")
    arch = bundle.architecture.get("network")
    tensors = {
        ".".join(name.split(".")[-2:]): torch.as_tensor(value)
        for name, value in sorted(bundle.tensors.items())  # a bundle has no order of its own
        if name.rpartition(".")[2] not in ActivationQuantizer.STATE
    }
    return Weights(str(path), tensors, graph, _depth(arch, tensors), arch, preprocessing=bundle.preprocessing)
