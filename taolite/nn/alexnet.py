"""AlexNet as TAO has it (reference/tao_classification_ssd.md 3.4): five convolutions with bias, stride 16.

Layers are `conv1`, `conv1_relu`, `pool1`, `conv2`, ..., `pool2`, `conv3`, `conv4`, `conv5`. Max-pools are 3x3 with
stride 2. There is no local response normalisation and no batch norm.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from torch import Tensor, nn, relu

from taolite.nn.backbone import Backbone, Walk, named

__all__ = ["AlexNet"]

CONVOLUTIONS = ((96, 11, 4), (256, 5, 1), (384, 3, 1), (384, 3, 1), (256, 3, 1))
"""Channels, kernel, stride of `conv1` to `conv5`."""

POOLED = (1, 2)


class AlexNet(Backbone):
    """An AlexNet without its classifier.

    Args:
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block k is `conv<k>`, and 6 to 8 are the dense layers of
            the architecture's own head.
    """

    arch = "alexnet"
    blocks = (1, 2, 3, 4, 5, 6, 7, 8)
    fields: ClassVar = {"in_channels": int, "freeze_blocks": list, "freeze_bn": bool}

    def __init__(self, *, in_channels: int = 3, freeze_blocks: Collection[int] = (), freeze_bn: bool = False) -> None:
        super().__init__(in_channels=in_channels, stride=16, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        channels = in_channels
        for number, (width, kernel, stride) in enumerate(CONVOLUTIONS, start=1):
            self._add_conv(f"conv{number}", channels, width, kernel, stride)
            channels = width
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return self._conv("conv5").out_channels

    def block_of(self, layer: str) -> int | None:
        return int(layer.removeprefix("conv"))

    def walk(self, x_nchw: Tensor) -> Walk:
        x = x_nchw
        for number in range(1, len(CONVOLUTIONS) + 1):
            x = yield from self._through(x, f"conv{number}")
            x = yield from named(f"conv{number}_relu", relu(x))
            if number in POOLED:
                x = yield from named(f"pool{number}", nn.functional.max_pool2d(x, 3, stride=2, padding=1))
        return x
