"""SqueezeNet 1.0 as TAO has it (reference 5.3), and 1.1: `conv1` and eight fire modules, stride 16, no batch norm.

A fire module is a 1x1 convolution (squeeze), then a 1x1 and a 3x3 in parallel (expand), which are concatenated:
`fire2_squeeze_conv`, `fire2_squeeze`, `fire2_expand_conv1x1`, `fire2_expand_1x1`, `fire2_expand_conv3x3`,
`fire2_expand_3x3`, `fire2`. 3x3/2 max-pools `pool1`, `pool4` and `pool8` follow `conv1`, `fire4` and `fire8`; 1.1 has
`pool1`, `pool3` and `pool5`, and does not pad its first convolution and its pools.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn, relu

from taolite.nn.backbone import Backbone, Walk, named

__all__ = ["SqueezeNet", "SqueezeNet11"]

SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Output channels of the squeeze convolution of each fire module; each expand convolution has four times as many."""


class SqueezeNet(Backbone):
    """A SqueezeNet without its classifier.

    Args:
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is `conv1`, 1 to 8 are fire modules 2 to 9.
    """

    arch = "squeezenet"
    stem: ClassVar = (96, 7, 3)
    """Output channels, kernel size and padding of the first convolution."""
    pooled: ClassVar = (4, 8)
    """Fire modules that are followed by a max-pool."""
    pool_padding: ClassVar = 1
    blocks = (0, 1, 2, 3, 4, 5, 6, 7, 8)
    fields: ClassVar = {"in_channels": int, "freeze_blocks": list, "freeze_bn": bool}

    def __init__(self, *, in_channels: int = 3, freeze_blocks: Collection[int] = (), freeze_bn: bool = False) -> None:
        super().__init__(in_channels=in_channels, stride=16, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        channels, kernel, padding = self.stem
        self.add_module("conv1", nn.Conv2d(in_channels, channels, kernel, 2, padding))
        for fire, squeeze in SQUEEZE.items():
            self._add_conv(f"fire{fire}_squeeze_conv", channels, squeeze, 1)
            self._add_conv(f"fire{fire}_expand_conv1x1", squeeze, 4 * squeeze, 1)
            self._add_conv(f"fire{fire}_expand_conv3x3", squeeze, 4 * squeeze, 3)
            channels = 8 * squeeze
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return sum(self._conv(f"fire9_expand_conv{kernel}").out_channels for kernel in ("1x1", "3x3"))

    def block_of(self, layer: str) -> int | None:
        return 0 if layer == "conv1" else int(layer[len("fire")]) - 1

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._relu(x_nchw, "conv1", "conv1_relu")
        x = yield from named("pool1", self._pool(x))
        for fire in SQUEEZE:
            x = yield from self._fire(x, f"fire{fire}")
            if fire in self.pooled:
                x = yield from named(f"pool{fire}", self._pool(x))
        return x

    def _fire(self, x: Tensor, fire: str) -> Walk:
        x = yield from self._relu(x, f"{fire}_squeeze_conv", f"{fire}_squeeze")
        one = yield from self._relu(x, f"{fire}_expand_conv1x1", f"{fire}_expand_1x1")
        three = yield from self._relu(x, f"{fire}_expand_conv3x3", f"{fire}_expand_3x3")
        return (yield from named(fire, torch.cat((one, three), dim=1)))

    def _relu(self, x: Tensor, conv: str, activation: str) -> Walk:
        x = yield from self._through(x, conv)
        return (yield from named(activation, relu(x)))

    def _pool(self, x: Tensor) -> Tensor:
        # TAO pads with zeros; after a ReLU that gives the same maximum.
        return nn.functional.max_pool2d(x, 3, stride=2, padding=self.pool_padding)


class SqueezeNet11(SqueezeNet):
    """SqueezeNet 1.1, as torchvision and pytorch-ssd have it, without its classifier; arguments as `SqueezeNet`."""

    arch = "squeezenet1_1"
    stem = (64, 3, 0)
    pooled = (3, 5)
    pool_padding = 0
