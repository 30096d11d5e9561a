"""GoogLeNet as TAO has it (reference 5.3): a stem and nine inception modules, stride 16, no auxiliary classifiers.

Layers are `conv1`, `bn_conv1`, `pool1`, `conv2_reduce`, `bn_conv2_reduce`, `conv2`, `bn_conv2`, `pool2`; then in each
module four branches `inception_3a_1x1`, `_3x3_reduce` -> `_3x3`, `_5x5_reduce` -> `_5x5`, `_pool` -> `_pool_proj`, each
convolution with `<name>_bn`, concatenated in this order to `inception_3a_output`. Max-pools between modules are 2x2;
`pool3` follows 3b. The 5x5 kernel is the paper's; torchvision's is 3x3.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn, relu

from taolite.nn.backbone import Backbone, Walk, named

__all__ = ["GoogLeNet"]

INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of 1x1; 3x3_reduce, 3x3; 5x5_reduce, 5x5; pool_proj."""

STEM = (("conv1", 64, 7, 2), ("conv2_reduce", 64, 1, 1), ("conv2", 192, 3, 1))


class GoogLeNet(Backbone):
    """A GoogLeNet without its classifier.

    Args:
        use_batch_norm: a batch norm behind every convolution (never the paper's local response normalisation).
        final_stride: 16, or 32 for the classification network's `pool4` before module 5a.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is the stem, 1 to 9 are modules 3a to 5b.

    Raises ModelError as `Backbone`, and for another stride.
    """

    arch = "googlenet"
    blocks = tuple(range(10))
    fields: ClassVar = {
        "in_channels": int,
        "use_batch_norm": bool,
        "final_stride": int,
        "freeze_blocks": list,
        "freeze_bn": bool,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        use_batch_norm: bool = True,
        final_stride: int = 16,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        self._check("final_stride", final_stride, (16, 32))
        super().__init__(in_channels=in_channels, stride=final_stride, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.use_batch_norm = use_batch_norm
        self.final_stride = final_stride
        channels = in_channels
        for name, width, kernel, stride in STEM:
            self._add_conv(name, channels, width, kernel, stride, bn=f"bn_{name}" if use_batch_norm else None)
            channels = width
        for module, (one, reduce3, three, reduce5, five, proj) in INCEPTIONS.items():
            for branch, inputs, width, kernel in (
                ("1x1", channels, one, 1),
                ("3x3_reduce", channels, reduce3, 1),
                ("3x3", reduce3, three, 3),
                ("5x5_reduce", channels, reduce5, 1),
                ("5x5", reduce5, five, 5),
                ("pool_proj", channels, proj, 1),
            ):
                name = f"inception_{module}_{branch}"
                self._add_conv(name, inputs, width, kernel, bn=f"{name}_bn" if use_batch_norm else None)
            channels = one + three + five + proj
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        ends = ("1x1", "3x3", "5x5", "pool_proj")
        return sum(self._conv(f"inception_5b_{branch}").out_channels for branch in ends)

    def block_of(self, layer: str) -> int | None:
        return list(INCEPTIONS).index(layer.split("_")[1]) + 1 if layer.startswith("inception") else 0

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._relu(x_nchw, "conv1", "bn_conv1")
        x = yield from named("pool1", nn.functional.max_pool2d(x, 2))
        x = yield from self._relu(x, "conv2_reduce", "bn_conv2_reduce")
        x = yield from self._relu(x, "conv2", "bn_conv2")
        x = yield from named("pool2", nn.functional.max_pool2d(x, 2))
        for module in INCEPTIONS:
            x = yield from self._inception(x, f"inception_{module}")
            if module == "3b" or (module == "4e" and self.final_stride == 32):
                x = yield from named(f"pool{module[0]}", nn.functional.max_pool2d(x, 2))
        return x

    def _inception(self, x: Tensor, module: str) -> Walk:
        one = yield from self._branch(x, f"{module}_1x1")
        three = yield from self._branch((yield from self._branch(x, f"{module}_3x3_reduce")), f"{module}_3x3")
        five = yield from self._branch((yield from self._branch(x, f"{module}_5x5_reduce")), f"{module}_5x5")
        pool = yield from named(f"{module}_pool", nn.functional.max_pool2d(x, 3, stride=1, padding=1))
        proj = yield from self._branch(pool, f"{module}_pool_proj")
        return (yield from named(f"{module}_output", torch.cat((one, three, five, proj), dim=1)))

    def _branch(self, x: Tensor, conv: str) -> Walk:
        return self._relu(x, conv, f"{conv}_bn")

    def _relu(self, x: Tensor, conv: str, bn: str) -> Walk:
        # TAO's ReLUs have no names of their own here.
        return relu((yield from self._through(x, conv, *([bn] if self.use_batch_norm else []))))
