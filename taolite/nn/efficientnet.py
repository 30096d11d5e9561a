"""EfficientNet B0 to B7 as TAO has them (reference 5.3; reference/tao_classification_ssd.md 3.4): stride 32.

The stride is 32 in DetectNet too: TAO's switch to 16 has no effect. Layers are `stem_conv`, `stem_bn`,
`stem_activation`, then in each block (`block1a`, `block2a`, `block2b`, ...) `_expand_conv`, `_expand_bn`,
`_expand_activation` (not in the first), `_dwconv`, `_bn`, `_activation`, `_se_squeeze`, `_se_reduce`, `_se_expand`,
`_se_excite`, `_project_conv`, `_project_bn`, `_add` where input and output agree, and `top_conv`, `top_bn`,
`top_activation`. Activations are swish, or the one in `activation`. Only the convolutions of squeeze-and-excite have
biases.

B1 to B7 have more and wider blocks. In training, a block with `_add` is dropped for a picture with probability
0.2 b / 16, where b is the number of blocks before it and 16 is that of B0 (drop-connect). Graphs are "tao", with
TensorFlow's padding, and "torchvision".
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from taolite.nn.activations import ACTIVATIONS
from taolite.nn.backbone import Graph, Walk, layer_letters, named
from taolite.nn.drop_rows import DropRows
from taolite.nn.fake_quant import Shortcut
from taolite.nn.separable import SeparableBackbone

__all__ = ["EFFICIENTNETS", "EfficientNetB0", "variant"]

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
"""For each stage of B0: kernel size, blocks, output channels, expansion factor, stride of the first block."""

DROP_CONNECT = 0.2

# The standard deviation of a standard normal distribution that is truncated at two standard deviations.
TRUNCATED_STD = 0.87962566


@dataclass(frozen=True)
class Block:
    """One inverted residual block at full width."""

    name: str
    kernel: int
    stride: int
    inputs: int
    outputs: int
    expansion: int
    drop: float

    @property
    def has_skip(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


class EfficientNetB0(SeparableBackbone):
    """An EfficientNet B0 without its classifier.

    Args:
        graph: "tao" or "torchvision".
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is the stem, 8 `top_conv`.

    `activation` is one of ACTIVATIONS and may be set; squeeze-and-excite uses it too.
    """

    arch = "efficientnet_b0"
    blocks = tuple(range(9))
    fields: ClassVar = {"graph": str, "in_channels": int, "freeze_blocks": list, "freeze_bn": bool}
    graphs = ("tao", "torchvision")
    momentum = 0.01
    width: ClassVar[float] = 1.0
    depth: ClassVar[float] = 1.0
    activation = "swish"

    def __init__(
        self,
        *,
        graph: Graph = "tao",
        in_channels: int = 3,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        super().__init__(
            graph=graph,
            pads_as_tensorflow=graph == "tao",
            in_channels=in_channels,
            stride=32,
            use_batch_norm=True,
            freeze_blocks=freeze_blocks,
            freeze_bn=freeze_bn,
        )
        self.units = _units(self.width, self.depth)
        self._add("stem_conv", "stem_bn", in_channels, self.units[0].inputs, 3, 2)
        for unit in self.units:
            name, inner = unit.name, unit.inputs * unit.expansion
            if unit.expansion > 1:
                self._add(f"{name}_expand_conv", f"{name}_expand_bn", unit.inputs, inner, 1)
            self._add(f"{name}_dwconv", f"{name}_bn", inner, inner, unit.kernel, unit.stride, depthwise=True)
            self._add_conv(f"{name}_se_reduce", inner, unit.inputs // 4, 1)
            self._add_conv(f"{name}_se_expand", unit.inputs // 4, inner, 1)
            self._add(f"{name}_project_conv", f"{name}_project_bn", inner, unit.outputs, 1)
            if unit.has_skip:
                self.add_module(f"{name}_shortcut", Shortcut())
                self.add_module(f"{name}_drop", DropRows(unit.drop))
        self._add("top_conv", "top_bn", self.units[-1].outputs, _scaled(1280, self.width), 1)
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return self._conv("top_conv").out_channels

    def block_of(self, layer: str) -> int | None:
        return {"stem_conv": 0, "top_conv": 8}.get(layer) if not layer.startswith("block") else int(layer[5])

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._swish(self._normalised(x_nchw), "stem_conv", "stem_bn", "stem_activation")
        for unit in self.units:
            x = yield from self._block(x, unit)
        return (yield from self._swish(x, "top_conv", "top_bn", "top_activation"))

    def _block(self, x: Tensor, unit: Block) -> Walk:
        name, inputs = unit.name, x
        if unit.expansion > 1:
            x = yield from self._swish(x, f"{name}_expand_conv", f"{name}_expand_bn", f"{name}_expand_activation")
        x = yield from self._swish(x, f"{name}_dwconv", f"{name}_bn", f"{name}_activation")
        gate = yield from named(f"{name}_se_squeeze", x.mean(dim=(2, 3), keepdim=True))
        gate = ACTIVATIONS[self.activation]((yield from self._through(gate, f"{name}_se_reduce")))
        gate = torch.sigmoid((yield from self._through(gate, f"{name}_se_expand")))
        x = yield from named(f"{name}_se_excite", x * gate)
        x = yield from self._conv_bn(x, f"{name}_project_conv", f"{name}_project_bn")
        if unit.has_skip:
            x = self.get_submodule(f"{name}_drop")(x)
            x = yield from named(f"{name}_add", x + self.get_submodule(f"{name}_shortcut")(inputs))
        return x

    def _swish(self, x: Tensor, conv: str, bn: str, activation: str) -> Walk:
        x = yield from self._conv_bn(x, conv, bn)
        return (yield from named(activation, ACTIVATIONS[self.activation](x)))

    def _draw(self, conv: nn.Conv2d) -> None:
        """Truncated normal at two standard deviations, of variance 2 / fan-out (Keras's VarianceScaling)."""
        fan_out = conv.kernel_size[0] * conv.kernel_size[1] * conv.out_channels // conv.groups
        std = (2 / fan_out) ** 0.5 / TRUNCATED_STD
        nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)


class EfficientNetB1(EfficientNetB0):
    arch, width, depth = "efficientnet_b1", 1.0, 1.1


class EfficientNetB2(EfficientNetB0):
    arch, width, depth = "efficientnet_b2", 1.1, 1.2


class EfficientNetB3(EfficientNetB0):
    arch, width, depth = "efficientnet_b3", 1.2, 1.4


class EfficientNetB4(EfficientNetB0):
    arch, width, depth = "efficientnet_b4", 1.4, 1.8


class EfficientNetB5(EfficientNetB0):
    arch, width, depth = "efficientnet_b5", 1.6, 2.2


class EfficientNetB6(EfficientNetB0):
    arch, width, depth = "efficientnet_b6", 1.8, 2.6


class EfficientNetB7(EfficientNetB0):
    arch, width, depth = "efficientnet_b7", 2.0, 3.1


EFFICIENTNETS = (
    EfficientNetB0,
    EfficientNetB1,
    EfficientNetB2,
    EfficientNetB3,
    EfficientNetB4,
    EfficientNetB5,
    EfficientNetB6,
    EfficientNetB7,
)


def variant(blocks: int, channels: int) -> str | None:
    """The arch with this many blocks and, where two have as many, this many output channels; None for any other."""
    found = [kind for kind in EFFICIENTNETS if len(_units(kind.width, kind.depth)) == blocks]
    if len(found) > 1:
        found = [kind for kind in found if _scaled(1280, kind.width) == channels]
    return found[0].arch if found else None


def _scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to the nearest multiple of 8 that is at least 90 % of it."""
    wanted = channels * width
    scaled = max(8, int(wanted + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * wanted else scaled


def _units(width: float, depth: float) -> tuple[Block, ...]:
    blocks: list[Block] = []
    channels, total = _scaled(32, width), sum(repeats for _, repeats, *_ in STAGES)
    for stage, (kernel, repeats, full, expansion, first_stride) in enumerate(STAGES, start=1):
        outputs = _scaled(full, width)
        for i in range(math.ceil(repeats * depth)):
            stride = first_stride if i == 0 else 1
            name, drop = f"block{stage}{layer_letters(i)}", DROP_CONNECT * len(blocks) / total
            blocks.append(Block(name, kernel, stride, channels, outputs, expansion, drop))
            channels = outputs
    return tuple(blocks)
