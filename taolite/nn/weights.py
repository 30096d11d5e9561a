"""Pretrained weights: read from a file of several kinds, under TAO's layer names, and copied in layer by layer.

Kinds: a state dict of torchvision's, or of another layout in `nn.layer_names` (`.pth`, `.pt` or `.pth.tar`, read
without running any code in it, or `.safetensors`), a taolite `.tlt`, a Keras `.hdf5` of TAO 5 or NGC, and
`torchvision://resnet18`, the only one that may use the network. Names are carried over to TAO's (`layer1.0.conv1` is
`block_1a_conv_1`). A `.safetensors` file whose metadata says `padding: TensorFlow SAME` holds values that were trained
in TensorFlow. `read_state_dict` leaves a state dict's names as they are.

Copying follows TAO (reference 10.1): a layer of the same name and shapes gets the values, any other keeps its own;
heads always start afresh, because `load_weights` is given the backbone. Half-precision values are widened.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from taolite.errors import DamagedError, ForeignError, ModelError, PathError, TruncatedError, UsageError
from taolite.nn.backbone import Graph
from taolite.nn.efficientnet import variant
from taolite.nn.fake_quant import ActivationQuantizer
from taolite.nn.keras import KerasFile, read_keras
from taolite.nn.layer_names import recognise
from taolite.nn.resnet import DEPTHS

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key

__all__ = [
    "LoadReport",
    "StateDict",
    "Weights",
    "copy_layer",
    "load_weights",
    "preferred_graph",
    "read_state_dict",
    "read_weights",
]

TORCHVISION = "torchvision://"
KNOWN = (*(f"resnet{n}" for n in (18, 34, 50, 101, 152)), "mobilenet_v2", "efficientnet_b0")
"""torchvision's networks that have TAO's layer names here."""

PICKLED = (".pth", ".pt", ".tar")


@dataclass(frozen=True)
class StateDict:
    """Tensors under a file's own names, less a leading `module.`, and the plain values beside them: a checkpoint's
    `arch`, `classes`, `epoch`, ..., or a `.safetensors` file's metadata."""

    source: str
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Weights:
    """Tensors by `layer.tensor` (`block_1a_conv_1.weight`) on the CPU, and what is known of the network they are from.

    `graph` is the variant of the network in which they mean what they were trained to mean. `num_layers` and `arch` are
    None where the names do not tell. `layers` names all layers, those without weights too, where the file does (Keras).
    """

    source: str
    tensors: Mapping[str, Tensor]
    graph: Graph
    num_layers: int | None
    arch: str | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """Names of layers whose values were loaded, and for each that was not: the reason. In the file's order; by name for
    a bundle and a `.safetensors` file, which have none. `fresh` are the network's own that nothing was loaded into."""

    loaded: tuple[str, ...]
    skipped: Mapping[str, str]
    fresh: tuple[str, ...] = ()


def read_weights(path: Path | str, *, key: Key | None = None) -> Weights:
    """Read pretrained weights; the kind is told by `torchvision://`, the endings `.pth`, `.pt`, `.tar` and
    `.safetensors`, and of any other file by its bytes.

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
        return _named(StateDict(text, _download(text, KNOWN), {}))
    path = Path(path)
    _must_exist(path)
    if path.suffix.lower() in (*PICKLED, ".safetensors"):
        return _named(read_state_dict(path))
    from taolite.artifacts.sniff import Kind, sniff, wrong_kind

    kind = sniff(path)
    if kind is Kind.HDF5:
        return _keras(text, read_keras(path))
    if kind is Kind.BUNDLE:
        return _read_tlt(path, key)
    raise wrong_kind(text, kind, needed="a file of pretrained weights (.tlt, .hdf5, .pth or .safetensors)")


def read_state_dict(path: Path | str) -> StateDict:
    """Read a state dict under its own names: a `.pth`, `.pt` or `.pth.tar` (jetson-inference's checkpoints among
    them), a `.safetensors`, or `torchvision://` and the name of any classification network of torchvision's.

    Raises PathError (missing, or a download that failed), UsageError (an unknown name), ForeignError (another kind of
    file, or a pickle of more than tensors and plain values), TruncatedError, DamagedError.
    """
    text = str(path)
    if text.startswith(TORCHVISION):
        from torchvision import models

        return StateDict(text, _download(text, models.list_models(module=models)), {})
    path = Path(path)
    _must_exist(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        tensors, facts = _read_safetensors(path)
    elif suffix in PICKLED:
        tensors, facts = _read_pth(path)
    else:
        raise ForeignError(f"{path}: a state dict ends in .pth, .pt, .pth.tar or .safetensors")
    return StateDict(text, {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, facts)


def preferred_graph(weights: Weights) -> Graph:
    """The graph in which `weights` keep the features they were trained for."""
    return weights.graph


def load_weights(module: nn.Module, weights: Weights) -> LoadReport:
    """Copy into `module`, in place, every layer of `weights` that it has with the same shapes.

    A layer is copied whole or not at all. Differences that lose nothing are bridged: convolutions that have a bias here
    and none in the file get zeros, one that has none here leaves the file's to the moving mean of the batch norm behind
    it, and a grey `conv1` gets the sum of the RGB kernels (a grey photo is three equal channels; under the torchvision
    graph's normalisation, which differs by channel, this is close, not exact).

    Args:
        module: the network to fill, usually `DetectNet.backbone`; its layers are direct children.
        weights: from `read_weights`.

    Raises ModelError where not one convolution fits: training would silently start from nothing.
    """
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


def _fold_biases(own: Mapping[str, nn.Module], layers: Mapping[str, dict[str, Tensor]]) -> None:
    """Take from `layers` the biases that the convolutions of `own` do not have, and off the means of the batch norms,
    each added to its network behind its convolution: x + b - mean is x - (mean - b)."""
    for (name, conv), (bn_name, bn) in pairwise(own.items()):
        values, norm = layers.get(name, {}), layers.get(bn_name, {})
        if not (isinstance(conv, nn.Conv2d) and conv.bias is None and isinstance(bn, nn.BatchNorm2d)):
            continue
        if "bias" in values and "running_mean" in norm and values["bias"].shape == norm["running_mean"].shape:
            norm["running_mean"] = norm["running_mean"] - values.pop("bias")


def copy_layer(layer: nn.Module, values: Mapping[str, Tensor]) -> str | None:
    """Copy `values` into `layer`; or say why not and copy nothing."""
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


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise PathError(f"Pretrained model file not found: {path}; check pretrained_model_file")


def _named(state: StateDict) -> Weights:
    """Carry a state dict over to TAO's layer names; classifiers are left out."""
    source = state.source
    names = {name.removeprefix("backbone."): tensor for name, tensor in state.tensors.items()}
    if (layout := recognise(names)) is None:
        some = ", ".join(list(state.tensors)[:3]) or "nothing"
        raise ForeignError(
            f"{source}: this is no state dict of a network known here (it holds {some}, ...); it needs the names of "
            "torchvision's ResNet, MobileNet v2 or EfficientNet B0, such as conv1.weight and layer1.0.conv1.weight"
        )
    tensors = {tao: tensor for name, tensor in names.items() if (tao := layout.tao_name(name)) is not None}
    graph: Graph = "tensorflow" if str(state.facts.get("padding", "")).startswith("TensorFlow") else layout.graph
    return Weights(source, tensors, graph, _depth(layout.arch, tensors), _arch(layout.arch, tensors))


def _keras(source: str, file: KerasFile) -> Weights:
    """A Keras model's layers have TAO's names and are of TAO's graph."""
    layout = recognise(file.tensors)
    if layout is None:
        some = ", ".join(list(file.tensors)[:3]) or "no convolutions"
        raise ForeignError(
            f"{source}: this Keras file holds no backbone of TAO's (it holds {some}, ...); its layers need to be "
            "called as TAO calls them, such as conv1 and block_1a_conv_1"
        )
    arch, depth = _arch(layout.arch, file.tensors), _depth(layout.arch, file.tensors)
    return Weights(source, file.tensors, "tao", depth, arch, file.layers)


def _arch(arch: str, tensors: Mapping[str, Tensor]) -> str | None:
    """`arch`, of EfficientNets with the number behind it."""
    if arch != "efficientnet":
        return arch
    blocks = sum(name.endswith("_dwconv.weight") for name in tensors)
    return variant(blocks, len(tensors.get("top_conv.weight", ())))


def _depth(arch: str | None, tensors: Mapping[str, Tensor]) -> int | None:
    """`num_layers` from the layer names, where it is one that we know."""
    if arch == "vgg":
        return 19 if "block_3d_conv_1.weight" in tensors else 16
    if arch in ("darknet", "cspdarknet"):
        return 53 if "b1_conv1_1.weight" in tensors else 19
    repeats = tuple(
        sum(bool(re.fullmatch(rf"block_{stage}[a-z]+_conv_1\.weight", name)) for name in tensors)
        for stage in range(1, 5)
    )
    bottleneck = "block_1a_conv_3.weight" in tensors
    return next((n for n, known in DEPTHS.items() if known == repeats and (n >= 50) == bottleneck), None)


def _read_pth(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """The tensors, and the plain values of a checkpoint that holds more than a state dict."""
    with open(path, "rb") as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
    if zipped and not zipfile.is_zipfile(path):
        raise TruncatedError(f"{path}: the end of this checkpoint is missing; copy or download it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ForeignError(
            f"{path}: this is no file of tensors only; loading it could run code hidden in it, so it is refused. "
            "Where you trust it: torch.save(model.state_dict(), ...) in the program that made it"
        ) from error
    except (RuntimeError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{path}: this checkpoint is damaged; copy or download it again") from error
    facts: dict[str, Any] = {}
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        facts = {str(name): value for name, value in state.items() if _is_plain(value)}
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise ForeignError(f"{path}: this holds a {type(state).__name__}; a state dict (names to tensors) is needed")
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    return tensors, facts


def _is_plain(value: object) -> bool:
    """Whether `value` is a word or a number, or a list of such."""
    return isinstance(value, (str, int, float)) or (isinstance(value, list) and all(map(_is_plain, value)))


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """The tensors and the metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise DamagedError(f"{path}: this is no whole safetensors file ({error}); copy or download it again") from error


def _read_tlt(path: Path, key: Key | None) -> Weights:
    from taolite.artifacts.bundle import read_bundle

    bundle = read_bundle(path, key=key)
    graph = bundle.architecture.get("graph", "tao")
    arch = bundle.architecture.get("network")
    tensors = {
        ".".join(name.split(".")[-2:]): torch.as_tensor(value)
        for name, value in sorted(bundle.tensors.items())  # a bundle has no order of its own
        if name.rpartition(".")[2] not in ActivationQuantizer.STATE
    }
    return Weights(str(path), tensors, graph, _depth(arch, tensors), arch)


def _download(source: str, known: Collection[str]) -> Mapping[str, Tensor]:
    """torchvision's first ImageNet weights of that network, kept in torch's own cache after the first time."""
    name = source.removeprefix(TORCHVISION)
    if name not in known:
        raise UsageError(f"{source}: this network is not known here; it needs to be one of {', '.join(known)}")
    from torchvision.models import get_model_weights

    url = next(iter(get_model_weights(name))).url
    try:
        state = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except OSError as error:
        raise PathError(
            f"{source}: {url} could not be downloaded ({error}). Download it where there is a network, and name the "
            ".pth file instead (in a spec as pretrained_model_file or pretrained_model_path, else behind --pretrained)"
        ) from error
    return dict(state)
