"""DarkNet 19 and 53 as TAO has them (reference 5.3): LeakyReLU 0.1 everywhere, total stride 32.

53: `conv1`, then five stages, each a strided `conv2` ... `conv6` and residual units `b1_conv1_1`, `b1_conv1_2`,
`b1_add1`, ...; the unit's input is added behind its last activation. 19: `conv1`, then `maxpool_1`, `b1_conv1`,
`maxpool_2`, `b2_conv1`, ... Behind each convolution stand `<name>_bn` and `<name>_lrelu`. As in TAO no convolution has
a bias, also not without batch norm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from torch import Tensor, nn

from taolite.nn.backbone import Backbone, Walk, named
from taolite.nn.fake_quant import Shortcut

__all__ = ["DarkNet"]

UNITS = (1, 2, 8, 8, 4)
"""Residual units of the stages of 53."""

CONVOLUTIONS = (1, 3, 3, 5, 5)
"""Convolutions of the stages of 19; every second one is 1x1 and has half the channels."""


class DarkNet(Backbone):
    """A DarkNet without its classifier.

    Args:
        num_layers: 19 or 53, the classifier counted.
        use_batch_norm: a batch norm behind every convolution.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is `conv1`, 1 to 5 are the stages.
    """

    arch = "darknet"
    blocks = (0, 1, 2, 3, 4, 5)
    fields: ClassVar = {
        "num_layers": int,
        "in_channels": int,
        "use_batch_norm": bool,
        "freeze_blocks": list,
        "freeze_bn": bool,
    }

    def __init__(
        self,
        num_layers: int = 53,
        *,
        in_channels: int = 3,
        use_batch_norm: bool = True,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        self._check("num_layers", num_layers, (19, 53))
        super().__init__(in_channels=in_channels, stride=32, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.num_layers = num_layers
        self.use_batch_norm = use_batch_norm
        channels = in_channels
        for name, width, kernel, stride in _convolutions(num_layers):
            self._add_conv(
                name, channels, width, kernel, stride, bn=f"{name}_bn" if use_batch_norm else None, bias=False
            )
            channels = width
        if num_layers == 53:
            for stage, units in enumerate(UNITS, start=1):
                for unit in range(1, units + 1):
                    self.add_module(f"b{stage}_shortcut{unit}", Shortcut())
        self.reset_parameters()
        self.train()

    @property
    def out_channels(self) -> int:
        return self._conv("b5_conv4_2" if self.num_layers == 53 else "b5_conv5").out_channels

    def block_of(self, layer: str) -> int | None:
        return int(layer[1]) if layer.startswith("b") else int(layer.removeprefix("conv")) - 1

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._leaky(x_nchw, "conv1")
        for stage in range(1, 6):
            if self.num_layers == 53:
                x = yield from self._leaky(x, f"conv{stage + 1}")
                for unit in range(1, UNITS[stage - 1] + 1):
                    inner = yield from self._leaky(x, f"b{stage}_conv{unit}_1")
                    inner = yield from self._leaky(inner, f"b{stage}_conv{unit}_2")
                    x = self._modules[f"b{stage}_shortcut{unit}"](x)  # type: ignore[misc]
                    x = yield from named(f"b{stage}_add{unit}", x + inner)
            else:
                x = yield from named(f"maxpool_{stage}", nn.functional.max_pool2d(x, 2))
                for i in range(1, CONVOLUTIONS[stage - 1] + 1):
                    x = yield from self._leaky(x, f"b{stage}_conv{i}")
        return x

    def _leaky(self, x: Tensor, conv: str) -> Walk:
        x = yield from self._through(x, conv, *([f"{conv}_bn"] if self.use_batch_norm else []))
        return (yield from named(f"{conv}_lrelu", nn.functional.leaky_relu(x, 0.1)))


def _convolutions(num_layers: int) -> Iterator[tuple[str, int, int, int]]:
    """(name, output channels, kernel, stride) of every convolution in order; each reads the one before it."""
    yield "conv1", 32, 3, 1
    for stage in range(1, 6):
        width = 32 << stage
        if num_layers == 53:
            yield f"conv{stage + 1}", width, 3, 2
            for unit in range(1, UNITS[stage - 1] + 1):
                yield f"b{stage}_conv{unit}_1", width // 2, 1, 1
                yield f"b{stage}_conv{unit}_2", width, 3, 1
        else:
            for i in range(1, CONVOLUTIONS[stage - 1] + 1):
                yield f"b{stage}_conv{i}", *((width, 3) if i % 2 else (width // 2, 1)), 1
