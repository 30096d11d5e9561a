"""VGG 16 and 19 as TAO has them (reference 5.3): five blocks of 3x3 convolutions, stride 16, no fully connected layers.

Layers are `block_1a_conv_1`, `block_1a_bn_1`, `block_1a_relu`, `block_1b_conv_1`, ... Without pooling, the first
convolution of blocks 2 to 5 has stride 2; with pooling, blocks 1 to 4 end in a 2x2 max-pool, `block1_pool`, ...

`vgg16_reduced` is pytorch-ssd's: a VGG 16 with max-pools whose fully connected layers became convolutions, `fc6`
(dilated) and `fc7`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from torch import Tensor, nn, relu

from taolite.nn.backbone import Backbone, Walk, layer_letters, named

__all__ = ["VGG", "ReducedVGG"]

REPEATS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(Backbone):
    """A VGG without its classifier.

    Args:
        num_layers: 16 or 19, the fully connected layers included.
        use_batch_norm: a batch norm behind every convolution.
        use_pooling: max-pools instead of strides. Pooling rounds an odd grid size down, strides round it up.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; the blocks are 1 to 5.
    """

    arch = "vgg"
    blocks = (1, 2, 3, 4, 5)
    fields: ClassVar = {
        "num_layers": int,
        "in_channels": int,
        "use_batch_norm": bool,
        "use_pooling": bool,
        "freeze_blocks": list,
        "freeze_bn": bool,
    }

    def __init__(
        self,
        num_layers: int = 16,
        *,
        in_channels: int = 3,
        use_batch_norm: bool = True,
        use_pooling: bool = False,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        self._check("num_layers", num_layers, tuple(REPEATS))
        super().__init__(in_channels=in_channels, stride=16, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.num_layers = num_layers
        self.use_batch_norm = use_batch_norm
        self.use_pooling = use_pooling
        channels = in_channels
        for block, width in enumerate(WIDTHS, start=1):
            for part in self._parts(block):
                stride = 2 if block > 1 and part.endswith("a") and not use_pooling else 1
                bn = f"{part}_bn_1" if use_batch_norm else None
                self._add_conv(f"{part}_conv_1", channels, width, 3, stride, bn=bn)
                channels = width
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return self._conv(f"{self._parts(5)[-1]}_conv_1").out_channels

    def block_of(self, layer: str) -> int | None:
        return int(layer[len("block_")])

    def walk(self, x_nchw: Tensor) -> Walk:
        x = x_nchw
        for block in self.blocks:
            for part in self._parts(block):
                x = yield from self._through(x, f"{part}_conv_1", *([f"{part}_bn_1"] if self.use_batch_norm else []))
                x = yield from named(f"{part}_relu", relu(x))
            if self.use_pooling and block < 5:
                x = yield from named(f"block{block}_pool", nn.functional.max_pool2d(x, 2))
        return x

    def _parts(self, block: int) -> list[str]:
        return [f"block_{block}{layer_letters(i)}" for i in range(REPEATS[self.num_layers][block - 1])]


class ReducedVGG(Backbone):
    """VGG 16 as in SSD: no batch norm; `block3_pool` rounds the grid up, `block5_pool` keeps its size; 1024 outputs.

    Args:
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 6 is `fc6` and `fc7`.
    """

    arch = "vgg16_reduced"
    graph = "pytorch-ssd"
    blocks = (1, 2, 3, 4, 5, 6)
    fields: ClassVar = {"in_channels": int, "freeze_blocks": list, "freeze_bn": bool}

    def __init__(self, *, in_channels: int = 3, freeze_blocks: Collection[int] = (), freeze_bn: bool = False) -> None:
        super().__init__(in_channels=in_channels, stride=16, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        channels = in_channels
        for name, width in _REDUCED:
            self._add_conv(f"{name}_conv_1", channels, width, 3)
            channels = width
        self.fc6 = nn.Conv2d(channels, 1024, 3, padding=6, dilation=6)
        self._add_conv("fc7", 1024, 1024, 1)
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return self._conv("fc7").out_channels

    def block_of(self, layer: str) -> int | None:
        return 6 if layer.startswith("fc") else int(layer[len("block_")])

    def walk(self, x_nchw: Tensor) -> Walk:
        x, block = x_nchw, 1
        for name, _ in _REDUCED:
            if not name.startswith(f"block_{block}"):
                x = yield from named(f"block{block}_pool", nn.functional.max_pool2d(x, 2, ceil_mode=block == 3))
                block += 1
            x = yield from self._through(x, f"{name}_conv_1")
            x = yield from named(f"{name}_relu", relu(x))
        x = yield from named("block5_pool", nn.functional.max_pool2d(x, 3, stride=1, padding=1))
        for name in ("fc6", "fc7"):
            x = yield from self._through(x, name)
            x = yield from named(f"{name}_relu", relu(x))
        return x


_REDUCED = tuple(
    (f"block_{block}{layer_letters(i)}", width)
    for block, (repeats, width) in enumerate(zip(REPEATS[16], WIDTHS, strict=True), start=1)
    for i in range(repeats)
)
"""(name, output channels) of each convolution before `fc6`."""
