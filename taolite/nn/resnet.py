"""ResNet backbones 10 to 200 with TAO's layer names, in two graphs.

`graph="tao"` (reference 5.2): no max-pool, stage strides 2 2 2 1, a 1x1 projection on the first sub-block of every
stage (on every sub-block with `all_projections`), convolutions with bias, Glorot-uniform kernels, batch-norm
eps 1e-3 and momentum 0.01. `graph="torchvision"`: 3x3/2 max-pool, strides 1 2 2 1, identity shortcut wherever shapes
allow one, no convolution bias, eps 1e-5, momentum 0.1, bottleneck stride on the 3x3; with an ImageNet state dict it
gives torchvision's features bit by bit (except for the last stage's stride). Both have a total stride of 16, or 32
with `final_stride=32`, and no dilation.

Both take the input of TAO and DeepStream: (N, C, H, W) RGB (or grey) / 255. The torchvision graph normalises inside.

Every layer is a direct child of the network and has TAO's name: `conv1`, `bn_conv1`, then per sub-block
(stage 1..4, letter a, b, ...) `block_1a_conv_1`, `block_1a_bn_1`, ..., `block_1a_conv_shortcut`,
`block_1a_bn_shortcut`. So state-dict keys are `block_1a_conv_1.weight`, `.bias`, `block_1a_bn_1.weight`, `.bias`,
`.running_mean`, `.running_var`, `.num_batches_tracked`. Letters after z are aa, ab, ... (152 and 200 layers).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Graph, Walk, layer_letters, named
from taolite.nn.fake_quant import Shortcut

__all__ = ["DEPTHS", "ResNet", "sub_block_name"]

DEPTHS: dict[int, tuple[int, int, int, int]] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""Sub-blocks of the four stages, by `num_layers`. From 50 up the sub-blocks are bottlenecks."""

WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True)
class SubBlock:
    """One residual unit: its name (`block_1a`), its convolutions at full width, its shortcut."""

    name: str
    stage: int
    convs: tuple[tuple[int, int, int], ...]  # (output channels, kernel size, stride) of conv_1, conv_2, ...
    in_channels: int
    projection_stride: int | None  # None: identity shortcut

    @property
    def out_channels(self) -> int:
        return self.convs[-1][0]


class ResNet(Backbone):
    """A ResNet without its classifier; the module's docstring lists its layers and their names.

    Args:
        num_layers: 10, 18, 34, 50, 101, 152 or 200.
        graph: "tao" or "torchvision"; `nn.weights.preferred_graph` says which one given weights need.
        in_channels: 3 for RGB, 1 for grey.
        use_batch_norm, use_pooling, all_projections: TAO's fields, used in graph "tao". The torchvision graph always
            has batch norm and a max-pool, and a projection only where shapes change. With `use_pooling` the tao graph
            gets the max-pool and strides 1 2 2 1 (TAO's own total stride is then 224).
        final_stride: 16, or 32 for the classification network's stage 4.
        freeze_blocks: stages whose convolutions do not train, 0 is the stem; their batch norms do (reference 5.5).
        freeze_bn: batch norms use their stored statistics in training too; their gamma and beta still train.

    Raises ModelError for a depth, graph, channel count, stride or block id that does not exist.
    """

    arch = "resnet"
    blocks = (0, 1, 2, 3, 4)
    fields: ClassVar = {
        "num_layers": int,
        "graph": str,
        "in_channels": int,
        "use_batch_norm": bool,
        "use_pooling": bool,
        "all_projections": bool,
        "final_stride": int,
        "freeze_blocks": list,
        "freeze_bn": bool,
    }

    def __init__(
        self,
        num_layers: int = 18,
        *,
        graph: Graph = "tao",
        in_channels: int = 3,
        use_batch_norm: bool = True,
        use_pooling: bool = False,
        all_projections: bool = False,
        final_stride: int = 16,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        self._check("num_layers", num_layers, tuple(DEPTHS))
        self._check("graph", graph, ("tao", "torchvision"))
        self._check("final_stride", final_stride, (16, 32))
        super().__init__(in_channels=in_channels, stride=final_stride, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.num_layers = num_layers
        self.graph: Graph = graph
        self.use_batch_norm = use_batch_norm or graph == "torchvision"
        self.use_pooling = use_pooling or graph == "torchvision"
        self.all_projections = all_projections and graph == "tao"
        self.final_stride = final_stride
        self.sub_blocks = _sub_blocks(
            num_layers,
            graph=graph,
            strides=(1 if self.use_pooling else 2, 2, 2, final_stride // 16),
            all_projections=self.all_projections,
        )
        self._add("conv1", "bn_conv1", in_channels, 64, 7, 2)
        for block in self.sub_blocks:
            channels = block.in_channels
            for i, (width, kernel, stride) in enumerate(block.convs, start=1):
                self._add(f"{block.name}_conv_{i}", f"{block.name}_bn_{i}", channels, width, kernel, stride)
                channels = width
            if block.projection_stride is not None:
                names = f"{block.name}_conv_shortcut", f"{block.name}_bn_shortcut"
                self._add(*names, block.in_channels, block.out_channels, 1, block.projection_stride)
            self.add_module(f"{block.name}_shortcut", Shortcut())
        if graph == "torchvision":
            self._normalise_inputs(IMAGENET_MEAN, IMAGENET_STD)
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        """Channels of the features, also after pruning."""
        last = self.sub_blocks[-1]
        return self._conv(f"{last.name}_conv_{len(last.convs)}").out_channels

    def block_of(self, layer: str) -> int | None:
        """0 for the stem, the stage for the convolutions of its sub-blocks."""
        return 0 if layer == "conv1" else int(layer[len("block_")])

    def walk(self, x_nchw: Tensor) -> Walk:
        """`conv1`, `bn_conv1`, then `block_1a_conv_1`, `_bn_1`, `_relu_1`, ..., `_conv_shortcut`, `_bn_shortcut`,
        `_relu` of every sub-block; the last relu is the features."""
        x = torch.relu((yield from self._conv_bn(self._normalised(x_nchw), "conv1", "bn_conv1")))
        if self.use_pooling:
            x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        for block in self.sub_blocks:
            x = yield from self._sub_block(x, block)
        return x

    def _draw(self, conv: nn.Conv2d) -> None:
        if self.graph == "tao":
            super()._draw(conv)
        else:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def _add(self, conv: str, bn: str, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        if self.graph == "tao":
            norm = bn if self.use_batch_norm else None
            self._add_conv(conv, in_channels, out_channels, kernel, stride, bn=norm)
        else:
            self._add_conv(conv, in_channels, out_channels, kernel, stride, bias=False)
            self.add_module(bn, nn.BatchNorm2d(out_channels))

    def _conv_bn(self, x: Tensor, conv: str, bn: str) -> Walk:
        return self._through(x, conv, bn) if self.use_batch_norm else self._through(x, conv)

    def _sub_block(self, x: Tensor, block: SubBlock) -> Walk:
        out = x
        for i in range(1, len(block.convs) + 1):
            out = yield from self._conv_bn(out, f"{block.name}_conv_{i}", f"{block.name}_bn_{i}")
            if i < len(block.convs):
                out = yield from named(f"{block.name}_relu_{i}", torch.relu(out))
        if block.projection_stride is not None:
            x = yield from self._conv_bn(x, f"{block.name}_conv_shortcut", f"{block.name}_bn_shortcut")
        x = self._modules[f"{block.name}_shortcut"](x)  # type: ignore[misc]
        return (yield from named(f"{block.name}_relu", torch.relu(out + x)))


def _sub_blocks(
    num_layers: int, *, graph: Graph, strides: tuple[int, int, int, int], all_projections: bool
) -> tuple[SubBlock, ...]:
    """The residual units in order, with unpruned widths."""
    blocks: list[SubBlock] = []
    bottleneck = num_layers >= 50
    channels = 64
    for stage, (repeats, width, stage_stride) in enumerate(zip(DEPTHS[num_layers], WIDTHS, strides, strict=True), 1):
        for i in range(repeats):
            stride = stage_stride if i == 0 else 1
            out = width * 4 if bottleneck else width
            convs: tuple[tuple[int, int, int], ...]
            if bottleneck and graph == "tao":
                convs = ((width, 1, stride), (width, 3, 1), (out, 1, 1))
            elif bottleneck:
                convs = ((width, 1, 1), (width, 3, stride), (out, 1, 1))
            else:
                convs = ((width, 3, stride), (width, 3, 1))
            # torchvision decides by the classification network, where stages 2 to 4 have stride 2.
            needed = stage > 1 or channels != out
            projects = all_projections or (i == 0 and (graph == "tao" or needed))
            blocks.append(SubBlock(sub_block_name(stage, i), stage, convs, channels, stride if projects else None))
            channels = out
    return tuple(blocks)


def sub_block_name(stage: int, index: int) -> str:
    """TAO's name of sub-block `index` (from 0) of `stage` (1 to 4): `block_1a`."""
    return f"block_{stage}{layer_letters(index)}"
