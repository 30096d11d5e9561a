"""torchvision's classification networks by name, head included, for `--arch resnet18` or `--arch convnext_tiny`.

Layer names, and so the state-dict keys below `network.`, are torchvision's; state dicts of torchvision and
jetson-inference fit. Input is (N, 3, H, W) RGB / 255, which the network normalises as its published weights need it.
For googlenet and inception_v3 that includes torchvision's `transform_input`.

Shapes: N images, K classes, H x W input pixels.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

from taolite.errors import ModelError
from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD
from taolite.nn.drop_rows import DropRows
from taolite.nn.state_dict import StateDict, without_prefix
from taolite.nn.weights import KNOWN, LoadReport

__all__ = ["TorchvisionNetwork", "arch_of", "load_state_dict", "torchvision_archs"]

AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
"""Auxiliary classifiers, which only training uses."""

SIZED = {"vit": "image_size", "maxvit": "input_size"}
"""Networks whose parameters depend on the input size, and the name of that constructor argument."""

MAX_INPUT = 4096  # pixels; bound on what a file may ask for


@cache
def torchvision_archs() -> tuple[str, ...]:
    """The names of the classification networks in the installed torchvision."""
    from torchvision import models

    return tuple(models.list_models(module=models))


class TorchvisionNetwork(nn.Module):
    """A torchvision network with K classes and random weights from torch's global generator.

    Args:
        arch: one of `torchvision_archs()`.
        num_classes: K, one or more.
        input_size: height and width of the input in pixels; used where parameters depend on it (vit, maxvit).
        auxiliaries: build the auxiliary classifiers of googlenet or inception_v3 (inputs of 299 pixels or more), which
            give logits in training.

    Raises ModelError for an unknown name and for an input size that the network does not allow.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, arch: str, num_classes: int, *, input_size: int = 224, auxiliaries: bool = False) -> None:
        super().__init__()
        if arch not in torchvision_archs():
            near = difflib.get_close_matches(arch, torchvision_archs(), n=3) or ["resnet18", "mobilenet_v2"]
            raise ModelError(
                f"arch is {arch!r}; it needs to be a classification network of torchvision, such as {', '.join(near)}"
            )
        if not 1 <= input_size <= MAX_INPUT:
            raise ModelError(f"{arch}: the input is {input_size} pixels wide; it needs to be 1 to {MAX_INPUT}")
        self.arch = arch
        self.input_size = input_size
        self.auxiliaries = auxiliaries and arch in AUXILIARY
        self.network = _torchvision(arch, num_classes, input_size, self.auxiliaries)
        # Constants of the graph, so not part of the state dict.
        for name, values in zip(("input_mean", "input_std"), _input_statistics(arch), strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) RGB / 255 -> (logits (N, K),), in training followed by those of the auxiliary classifiers."""
        answer = self.network((x_nchw - self.input_mean) / self.input_std)
        return (answer,) if isinstance(answer, Tensor) else tuple(answer)

    @property
    def head(self) -> str:
        """The path of the layer that computes the logits: the last linear one, in a squeezenet the last convolution."""
        kind = nn.Conv2d if self.arch.startswith("squeezenet") else nn.Linear
        paths = [path for path, layer in self.named_modules() if isinstance(layer, kind)]
        return str(paths[-1])

    def renew_head(self, num_classes: int) -> None:
        """Replace the last layer by one with random weights for `num_classes`; auxiliary classifiers are removed."""
        self.drop_auxiliaries()
        parent, _, name = self.head.rpartition(".")
        old = self.get_submodule(self.head)
        if isinstance(old, nn.Linear):
            fresh: nn.Module = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
        else:
            fresh = nn.Conv2d(cast(nn.Conv2d, old).in_channels, num_classes, 1)
        setattr(self.get_submodule(parent), name, fresh)

    def drop_auxiliaries(self) -> None:
        """Remove the auxiliary classifiers, in place."""
        if self.auxiliaries:
            for name in AUXILIARY[self.arch]:
                setattr(self.network, name, None)
            self.network.aux_logits = False
            self.auxiliaries = False


def load_state_dict(network: TorchvisionNetwork, state: StateDict) -> LoadReport:
    """Copy `state` into `network`, in place. The head and auxiliary classifiers keep their values where the file's have
    another shape or are missing.

    Raises ModelError where any other tensor is missing or has another shape: the file belongs to another network.
    """
    may_differ = (network.head, *(f"network.{name}" for name in AUXILIARY.get(network.arch, ())))
    needed = {
        path.removeprefix("network.")
        for path in network.state_dict()
        if not path.endswith("num_batches_tracked") and not path.startswith(may_differ)
    }
    values = {_todays_name(network.arch, name): tensor for name, tensor in state.tensors.items()}
    values = dict(without_prefix(values, lambda inner: needed <= set(inner)))
    taken: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    own = network.state_dict()
    for path, target in own.items():
        name = path.removeprefix("network.")
        found = values.get(name)
        if found is None and name.endswith("num_batches_tracked"):
            continue
        if found is not None and found.shape == target.shape:
            taken[path] = found
            continue
        what = "missing" if found is None else f"{_shape(found)} and {_shape(target)} is needed"
        if not path.startswith(may_differ):
            raise ModelError(f"{state.source} holds no {network.arch}: {name} is {what}; use the arch of these weights")
        skipped[name.rpartition(".")[0]] = f"its {name.rpartition('.')[2]} is {what}"
    network.load_state_dict({path: taken.get(path, target) for path, target in own.items()})
    loaded = dict.fromkeys(path.removeprefix("network.").rpartition(".")[0] for path in taken)
    return LoadReport(tuple(layer for layer in loaded if layer not in skipped), skipped, tuple(skipped))


def arch_of(state: StateDict) -> str:
    """The name of the network in `KNOWN` that has these tensors, whatever classes its head has; "" for another one."""
    for arch in KNOWN:
        with torch.device("meta"):
            network = TorchvisionNetwork(arch, 1)
        head = network.head.removeprefix("network.")
        needed = {path.removeprefix("network."): value.shape for path, value in network.state_dict().items()}
        if _body(needed, head) == _body({name: value.shape for name, value in state.tensors.items()}, head):
            return arch
    return ""


def _body(shapes: Mapping[str, torch.Size], head: str) -> dict[str, torch.Size]:
    """The shapes of all tensors but the head's and the counts of batches, which some files leave out."""
    return {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")
    }


def _torchvision(arch: str, num_classes: int, input_size: int, auxiliaries: bool) -> Any:
    from torchvision.models import get_model
    from torchvision.ops import StochasticDepth

    options: dict[str, Any] = {}
    for family, name in SIZED.items():
        if arch.startswith(f"{family}_"):
            options[name] = input_size if family == "vit" else (input_size, input_size)
    if arch in AUXILIARY:
        options |= {"aux_logits": auxiliaries, "transform_input": True, "init_weights": True}
    try:
        network = get_model(arch, weights=None, num_classes=num_classes, **options)
    except (ValueError, AssertionError) as error:  # a size that patches or windows do not divide
        raise ModelError(f"{arch} cannot be built for inputs of {input_size} x {input_size} pixels: {error}") from error
    if arch.startswith("mnasnet"):  # its own asks for a version number that only PyTorch's own files carry
        network._load_from_state_dict = MethodType(nn.Module._load_from_state_dict, network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, StochasticDepth):  # the same, in a form that `nn.across` knows
                setattr(parent, name, DropRows(child.p))
    return network


@cache
def _input_statistics(arch: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB / 255 that the first published weights of `arch` were trained with."""
    from torchvision.models import get_model_weights

    published = next(iter(get_model_weights(arch)), None)
    if published is None:
        return IMAGENET_MEAN, IMAGENET_STD
    transforms = published.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def _todays_name(arch: str, name: str) -> str:
    """`name` in today's torchvision: published DenseNets have older names, such as `denselayer1.norm.1.weight`."""
    if not arch.startswith("densenet"):
        return name
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "one number"
