"""The networks of SSD: which activations of a backbone are feature maps, what makes further ones of them, and what the
heads on them are (reference/jetson_workflows.md 4.4; reference/tao_classification_ssd.md 4.4).

    mb1-ssd        MobileNet v1; four times 1x1 and a 3x3 of stride 2; 3x3 heads
    mb1-ssd-lite   the same with separable convolutions: a depthwise 3x3 and a 1x1
    mb2-ssd-lite   MobileNet v2 of any width; inverted residuals; separable heads with batch norm
    sq-ssd-lite    SqueezeNet 1.1
    vgg16-ssd      reduced VGG 16, its conv4_3 behind a batch norm of its own
    tao            TAO's, on any of its backbones: maps of stride 8 and 16, then 1x1 and a 3x3 of stride 2

Layers have TAO's names where TAO has them (`ssd_expand_block_1_conv_0`, `ssd_conf_0`, `ssd_loc_0`); pytorch-ssd's,
which are numbers, become `ssd_extra_0_conv_0`, ... The last layer of a separable head is `ssd_conf_0`, before it stand
`ssd_conf_0_dw` and `ssd_conf_0_dw_bn`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from taolite.errors import ModelError
from taolite.nn.backbone import Backbone, Graph
from taolite.nn.backbones import build_backbone
from taolite.nn.chain import Conv
from taolite.tasks.ssd.plan import NetworkPlan

__all__ = ["NETS", "Anatomy", "anatomy", "build_base_net"]

NETS: tuple[str, ...] = get_args(get_type_hints(NetworkPlan)["net"])

BASE_NETS: dict[str, str] = {
    "mb1-ssd": "mobilenet_v1",
    "mb1-ssd-lite": "mobilenet_v1",
    "mb2-ssd-lite": "mobilenet_v2",
    "sq-ssd-lite": "squeezenet1_1",
    "vgg16-ssd": "vgg16_reduced",
}
"""pytorch-ssd's networks and the arch of their backbones."""

MAPS = 6


@dataclass(frozen=True)
class Anatomy:
    """The layers that an SSD adds to its backbone.

    taps: names of the activations that are the first feature maps, in order.
    extras: the convolutions that make each further map from the map before it; the first extra reads the backbone's
    features.
    normed_tap: whether the first tap goes through a batch norm before its heads.
    head: (name, channels out, index of the map) -> the convolutions of a head.
    keras: batch norms and newly initialised heads follow Keras.
    """

    taps: tuple[str, ...]
    extras: tuple[tuple[Conv, ...], ...]
    head: Callable[[str, int, int], tuple[Conv, ...]]
    normed_tap: bool = False
    keras: bool = False


def build_base_net(plan: NetworkPlan, graph: Graph | None = None) -> Backbone:
    """The backbone of `plan` with fresh weights; `graph` is the graph of the weights that will be loaded, None the
    plan's own.

    Raises ModelError for an option that the backbone does not have.
    """
    own = plan.net != "tao"
    return build_backbone(
        BASE_NETS.get(plan.net, plan.arch),
        num_layers=plan.num_layers,
        in_channels=plan.in_channels,
        all_projections=True,
        freeze_blocks=plan.freeze_blocks,
        freeze_bn=plan.freeze_bn,
        graph=graph or ("pytorch-ssd" if own else "tao"),
        final_stride=32 if own else 16,
        width_mult=plan.width_mult,
    )


def anatomy(net: str, backbone: Backbone) -> Anatomy:
    """The layers of `net` on `backbone`. Raises ModelError where the backbone belongs to another network or TAO has no
    SSD on it."""
    if net not in NETS:
        raise ModelError(f"the SSD network is {net!r}; it needs to be one of {', '.join(NETS)}")
    if net == "tao":
        return _tao(backbone)
    if backbone.arch != BASE_NETS[net] or getattr(backbone, "final_stride", 32) != 32:
        raise ModelError(f"{net} stands on {BASE_NETS[net]} of stride 32, and not on this {backbone.arch}")
    relu = "relu6" if backbone.graph != "pytorch-ssd" else "relu"
    if net == "vgg16-ssd":
        padded = (_plain(0, 256, 512), _plain(1, 128, 256))
        return Anatomy(("block_4c_relu", "fc7_relu"), (*padded, _unpadded(2), _unpadded(3)), _plain_head, True)
    if net == "sq-ssd-lite":
        first = (_separable(0, 256, 512, padding=2), _separable(1, 256, 512))
        return Anatomy(("fire8",), (*first, *(_separable(i, 128, 256) for i in (2, 3, 4))), _lite_head)
    if net == "mb2-ssd-lite":
        widths = ((256, 512), (128, 256), (128, 256), (64, 64))
        inverted = tuple(_inverted(i, *pair) for i, pair in enumerate(widths))
        return Anatomy(("re_lu_14", "re_lu_head"), inverted, _normed_lite_head)
    taps = (f"conv_pw_{relu}_11", f"conv_pw_{relu}_13")
    make, head = (_plain, _plain_head) if net == "mb1-ssd" else (_separable, _lite_head)
    return Anatomy(taps, (make(0, 256, 512), *(make(i, 128, 256) for i in (1, 2, 3))), head)


def _plain(index: int, inner: int, outputs: int) -> tuple[Conv, ...]:
    name = f"ssd_extra_{index}_conv"
    return Conv(f"{name}_0", inner), Conv(f"{name}_1", outputs, 3, 2)


def _unpadded(index: int) -> tuple[Conv, ...]:
    name = f"ssd_extra_{index}_conv"
    return Conv(f"{name}_0", 128), Conv(f"{name}_1", 256, 3, padding=0)


def _separable(index: int, inner: int, outputs: int, padding: int = 1) -> tuple[Conv, ...]:
    name = f"ssd_extra_{index}_conv"
    return (
        Conv(f"{name}_0", inner),
        Conv(f"{name}_1_dw", inner, 3, 2, padding, depthwise=True),
        Conv(f"{name}_1", outputs, activation="none"),
    )


def _inverted(index: int, hidden: int, outputs: int) -> tuple[Conv, ...]:
    """An inverted residual block of stride 2, so without a shortcut."""
    name = f"ssd_extra_{index}"
    options: Any = {"bias": False, "activation": "relu6"}
    return (
        Conv(f"{name}_expand", hidden, bn=f"{name}_expand_bn", **options),
        Conv(f"{name}_depthwise", hidden, 3, 2, depthwise=True, bn=f"{name}_depthwise_bn", **options),
        Conv(f"{name}_project", outputs, bias=False, bn=f"{name}_project_bn", activation="none"),
    )


def _plain_head(name: str, outputs: int, index: int) -> tuple[Conv, ...]:
    return (Conv(name, outputs, 3, activation="none"),)


def _lite_head(name: str, outputs: int, index: int) -> tuple[Conv, ...]:
    last = Conv(name, outputs, activation="none")
    return (last,) if index == MAPS - 1 else (Conv(f"{name}_dw", 0, 3, depthwise=True), last)


def _normed_lite_head(name: str, outputs: int, index: int) -> tuple[Conv, ...]:
    last = Conv(name, outputs, activation="none")
    first = Conv(f"{name}_dw", 0, 3, depthwise=True, bn=f"{name}_dw_bn", activation="relu6")
    return (last,) if index == MAPS - 1 else (first, last)


_LARGE = ((512, 512, 1), (256, 512, 2), (128, 256, 2), (128, 256, 2), (128, 256, 2))
_MID = ((256, 256, 1), (128, 256, 2), (64, 128, 2), (64, 128, 2), (64, 128, 2))
_SMALL = (None, (64, 128, 2), (64, 128, 2), (64, 128, 2), (64, 128, 2))
"""TAO's expansion blocks: channels of the 1x1 and of the 3x3, and its stride; None uses the features as they are."""

_Blocks = tuple[tuple[int, int, int] | None, ...]

_TAO: dict[str, tuple[tuple[str, ...], _Blocks]] = {
    "resnet10": (("block_2a_relu",), _SMALL),
    "resnet18": (("block_2b_relu",), _MID),
    "resnet34": (("block_2d_relu",), _MID),
    "resnet50": (("block_2d_relu",), _LARGE),
    "resnet101": (("block_2d_relu",), _LARGE),
    "vgg16": (("block_4c_relu",), _LARGE),
    "vgg19": (("block_4d_relu",), _LARGE),
    "darknet19": (("b3_conv3_lrelu", "b4_conv5_lrelu"), _MID[:-1]),
    "darknet53": (("b3_add8", "b4_add8"), _LARGE[:-1]),
    "mobilenet_v1": (("conv_pw_relu_5",), _SMALL),
    "mobilenet_v2": (("re_lu_7",), _SMALL),
    "squeezenet": (("fire8",), _SMALL),
    "googlenet": (("inception_3b_output",), _LARGE),
    "efficientnet_b0": (("block4a_expand_activation", "block6a_expand_activation"), _LARGE[:-1]),
}
"""arch and depth -> the backbone's layers that are feature maps, and the expansion of its features."""


def _tao(backbone: Backbone) -> Anatomy:
    name = f"{backbone.arch}{getattr(backbone, 'num_layers', '')}"
    if name not in _TAO:
        raise ModelError(f"TAO's SSD has no layers on {name}; it needs to be one of {', '.join(_TAO)}")
    taps, blocks = _TAO[name]
    if backbone.arch == "mobilenet_v1" and backbone.graph == "tensorflow":
        taps = ("conv_pw_relu6_5",)
    if blocks[0] is None:
        taps = (*taps, "")
    extras = tuple(_expansion(i, *block) for i, block in enumerate(blocks) if block is not None)
    return Anatomy(taps, extras, _plain_head, keras=True)


def _expansion(index: int, inner: int, outputs: int, stride: int) -> tuple[Conv, ...]:
    name = f"ssd_expand_block_{index}"
    return Conv(f"{name}_conv_0", inner), Conv(f"{name}_conv_1", outputs, 3, stride, bias=False, bn=f"{name}_bn_1")
