"""The backbones by name: built from a spec's fields, or from the description in an artifact."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from taolite.errors import ModelError
from taolite.nn.alexnet import AlexNet
from taolite.nn.backbone import Backbone, Graph
from taolite.nn.cspdarknet import CSPDarkNet, CSPDarkNetTiny
from taolite.nn.darknet import DarkNet
from taolite.nn.efficientnet import EFFICIENTNETS
from taolite.nn.googlenet import GoogLeNet
from taolite.nn.mobilenet import MobileNetV1, MobileNetV2
from taolite.nn.resnet import ResNet
from taolite.nn.squeezenet import SqueezeNet, SqueezeNet11
from taolite.nn.vgg import VGG, ReducedVGG

__all__ = ["BACKBONES", "backbone_from_config", "build_backbone"]

_KINDS: tuple[type[Backbone], ...] = (
    ResNet, VGG, DarkNet, MobileNetV1, MobileNetV2, SqueezeNet, GoogLeNet, *EFFICIENTNETS, AlexNet, CSPDarkNet,
    CSPDarkNetTiny, SqueezeNet11, ReducedVGG,
)  # fmt: skip

BACKBONES: dict[str, type[Backbone]] = {kind.arch: kind for kind in _KINDS}
"""`arch` -> its class. `taolite.nn.archs.ARCHS` lists those that a detector may have, with their depths."""


def build_backbone(
    arch: str,
    *,
    num_layers: int = 18,
    in_channels: int = 3,
    use_batch_norm: bool = True,
    use_pooling: bool = False,
    all_projections: bool = False,
    freeze_blocks: Collection[int] = (),
    freeze_bn: bool = False,
    graph: Graph = "tao",
    final_stride: int = 16,
    width_mult: float = 1.0,
) -> Backbone:
    """The network that a spec asks for, with random weights; arguments that this `arch` does not have are ignored.

    Raises ModelError for an unknown `arch`, and what its class raises for the other arguments.
    """
    options: dict[str, Any] = {
        "num_layers": num_layers,
        "in_channels": in_channels,
        "use_batch_norm": use_batch_norm,
        "use_pooling": use_pooling,
        "all_projections": all_projections,
        "freeze_blocks": freeze_blocks,
        "freeze_bn": freeze_bn,
        "graph": graph,
        "final_stride": final_stride,
        "width_mult": width_mult,
    }
    kind = _kind(arch, what="arch")
    return kind(**{name: value for name, value in options.items() if name in kind.fields})


def backbone_from_config(config: Mapping[str, Any]) -> Backbone:
    """The network that `config` describes: `network` (its arch) and the entries of its `.config`; others are ignored.

    `config` may come from an untrusted file: each field is checked. Raises ModelError where one is missing, has another
    type, or a value that the network does not allow.
    """
    kind = _kind(config.get("network"), what="the stored structure's network")
    config = {**kind.later_fields, **config}
    for name, wanted in kind.fields.items():
        if type(config.get(name)) is not wanted:
            found = repr(config[name]) if name in config else "missing"
            raise ModelError(f"the stored structure's {name} is {found}; it needs to be of type {wanted.__name__}")
    return kind(**{name: config[name] for name in kind.fields})


def _kind(arch: object, *, what: str) -> type[Backbone]:
    kind = BACKBONES.get(arch) if isinstance(arch, str) else None
    if kind is None:
        raise ModelError(f"{what} is {arch!r}; it needs to be one of {', '.join(BACKBONES)}")
    return kind
