"""DarkNet 19 and 53 as TAO has them (reference 5.3): LeakyReLU 0.1 everywhere, total stride 32; and what they share
with the CSPDarkNets.

53: `conv1`, then five stages, each a strided `conv2` ... `conv6` and residual units `b1_conv1_1`, `b1_conv1_2`,
`b1_add1`, ...; a unit's input is added after its last activation. 19: `conv1`, then `maxpool_1`, `b1_conv1`,
`maxpool_2`, `b2_conv1`, ... Each convolution is followed by `<name>_bn` and `<name>_lrelu`. As in TAO, convolutions
have no bias, with or without batch norm.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar

from torch import Tensor, nn

from taolite.nn.backbone import Backbone, Walk, named
from taolite.nn.fake_quant import Shortcut

__all__ = ["DarkNet", "StagedBackbone", "UnbiasedBackbone"]

Layer = tuple[str, int, int, int, int]
"""Name, input channels, output channels, kernel size, stride of a convolution."""

UNITS = (1, 2, 8, 8, 4)
"""Residual units in each of the five stages of 53."""

CONVOLUTIONS = (1, 3, 3, 5, 5)
"""Convolutions in each of the five stages of 19; every second one is 1x1 and has half the channels."""


class UnbiasedBackbone(Backbone):
    """Convolutions without bias, each followed by a batch norm (optional) and the activation; total stride 32.

    Args:
        use_batch_norm: a batch norm behind every convolution.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`.
    """

    blocks = (0, 1, 2, 3, 4, 5)
    fields: ClassVar = {"in_channels": int, "use_batch_norm": bool, "freeze_blocks": list, "freeze_bn": bool}
    suffix: ClassVar[str]
    """The activation behind convolution `conv1` is called `conv1_<suffix>`."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        use_batch_norm: bool = True,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        super().__init__(in_channels=in_channels, stride=32, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.use_batch_norm = use_batch_norm

    @abstractmethod
    def _activate(self, x: Tensor) -> Tensor:
        """The activation behind every convolution."""

    def _build(self, layers: Iterable[Layer]) -> None:
        for name, inputs, outputs, kernel, stride in layers:
            bn = f"{name}_bn" if self.use_batch_norm else None
            self._add_conv(name, inputs, outputs, kernel, stride, bn=bn, bias=False)
        self.reset_parameters()
        self.train()

    def _pass(self, x: Tensor, *convs: str) -> Walk:
        """Apply these convolutions in turn, each with its batch norm and activation."""
        for conv in convs:
            x = yield from self._through(x, conv, *([f"{conv}_bn"] if self.use_batch_norm else []))
            x = yield from named(f"{conv}_{self.suffix}", self._activate(x))
        return x


class StagedBackbone(UnbiasedBackbone):
    """A network of 19 or 53 layers: `conv1` and five stages.

    Args:
        num_layers: 19 or 53, the classifier included.
        use_batch_norm: a batch norm behind every convolution.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is `conv1`, 1 to 5 are the stages.
    """

    fields: ClassVar = {"num_layers": int, **UnbiasedBackbone.fields}

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
        super().__init__(
            in_channels=in_channels, use_batch_norm=use_batch_norm, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn
        )
        self.num_layers = num_layers
        self._build(self._fifty_three() if num_layers == 53 else self._nineteen())

    @abstractmethod
    def _fifty_three(self) -> Iterable[Layer]:
        """The convolutions of 53 in layer order."""

    @abstractmethod
    def _nineteen(self) -> Iterable[Layer]:
        """The convolutions of 19 in layer order."""

    @abstractmethod
    def _stage_53(self, x: Tensor, stage: int) -> Walk:
        """Apply stage `stage` (from 1) of 53."""

    @abstractmethod
    def _stage_19(self, x: Tensor, stage: int) -> Walk:
        """Apply stage `stage` (from 1) of 19."""

    def block_of(self, layer: str) -> int | None:
        return int(layer[1]) if layer.startswith("b") else int(layer.removeprefix("conv")[0]) - 1

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._pass(x_nchw, "conv1")
        for stage in range(1, 6):
            x = yield from self._stage_53(x, stage) if self.num_layers == 53 else self._stage_19(x, stage)
        return x


class DarkNet(StagedBackbone):
    """A DarkNet without its classifier."""

    arch = "darknet"
    suffix = "lrelu"

    @property
    def out_channels(self) -> int:
        return self._conv("b5_conv4_2" if self.num_layers == 53 else "b5_conv5").out_channels

    def _activate(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(x, 0.1)

    def _build(self, layers: Iterable[Layer]) -> None:
        super()._build(layers)
        if self.num_layers == 53:
            for stage, units in enumerate(UNITS, start=1):
                for unit in range(1, units + 1):
                    self.add_module(f"b{stage}_shortcut{unit}", Shortcut())

    def _stage_53(self, x: Tensor, stage: int) -> Walk:
        x = yield from self._pass(x, f"conv{stage + 1}")
        for unit in range(1, UNITS[stage - 1] + 1):
            inner = yield from self._pass(x, f"b{stage}_conv{unit}_1", f"b{stage}_conv{unit}_2")
            x = self._modules[f"b{stage}_shortcut{unit}"](x)  # type: ignore[misc]
            x = yield from named(f"b{stage}_add{unit}", x + inner)
        return x

    def _stage_19(self, x: Tensor, stage: int) -> Walk:
        x = yield from named(f"maxpool_{stage}", nn.functional.max_pool2d(x, 2))
        return (yield from self._pass(x, *(f"b{stage}_conv{i}" for i in range(1, CONVOLUTIONS[stage - 1] + 1))))

    def _fifty_three(self) -> Iterator[Layer]:
        yield "conv1", self.in_channels, 32, 3, 1
        for stage, units in enumerate(UNITS, start=1):
            width = 32 << stage
            yield f"conv{stage + 1}", width // 2, width, 3, 2
            for unit in range(1, units + 1):
                yield f"b{stage}_conv{unit}_1", width, width // 2, 1, 1
                yield f"b{stage}_conv{unit}_2", width // 2, width, 3, 1

    def _nineteen(self) -> Iterator[Layer]:
        yield "conv1", self.in_channels, 32, 3, 1
        for stage, convolutions in enumerate(CONVOLUTIONS, start=1):
            width = 32 << stage
            for i in range(1, convolutions + 1):
                reads, makes, kernel = (width // 2, width, 3) if i % 2 else (width, width // 2, 1)
                yield f"b{stage}_conv{i}", reads, makes, kernel, 1
