"""CSPDarkNet 19, 53 and tiny as TAO's classification has them (reference/tao_classification_ssd.md 3.4): stride 32.

A DarkNet with cross-stage partial connections: half of the channels go through a stage, the other half bypass it, and
both are concatenated. Each convolution is followed by `<name>_bn` and `<name>_mish`, whatever the activation is.

    53    `conv1`, then in stage k a strided `conv<k+1>`. Bypass: `conv<k+1>_1`. Stage: `conv<k+1>_2`, units of
          `b<k>_conv<i>_1` (1x1), `b<k>_conv<i>_2` (3x3) and `b<k>_add<i>`, then `b<k>_partial_trans`. Both are joined
          in `b<k>_concat`, followed by `b<k>_final_trans`
    19    `conv1`, then in stage k `maxpool_<k>` and `b<k>_conv1`. Bypass: `b<k>_part1`. Stage: `b<k>_part2`,
          `b<k>_conv2` (1x1), `b<k>_conv3` (3x3), ..., the rest as above. Stage 1 is `b1_conv1` alone
    tiny  strided `conv_0` and `conv_1`; then in block k (2 to 4) `conv_<k>_conv_0`, whose second half of channels goes
          through `_conv_1` and `_conv_2`; these two are concatenated for `_conv_3` (1x1), which is concatenated with
          all of `_conv_0` and max-pooled 2x2; then `conv_5`
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from taolite.nn.activations import ACTIVATIONS
from taolite.nn.backbone import Walk, named
from taolite.nn.darknet import CONVOLUTIONS, UNITS, Layer, StagedBackbone, UnbiasedBackbone

__all__ = ["CSPDarkNet", "CSPDarkNetTiny"]

TINY = {2: 64, 3: 128, 4: 256}
"""Channels of tiny's blocks."""


class _CspBackbone(UnbiasedBackbone):
    """The base of both; `activation` is one of ACTIVATIONS and may be set."""

    suffix = "mish"
    activation = "leaky_relu"

    def _activate(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x)


class CSPDarkNet(_CspBackbone, StagedBackbone):
    """A CSPDarkNet 19 or 53 without its classifier. `num_layers` is that of the DarkNet it derives from."""

    arch = "cspdarknet"

    @property
    def out_channels(self) -> int:
        return self._conv("b5_final_trans").out_channels

    def _stage_53(self, x: Tensor, stage: int) -> Walk:
        x = yield from self._pass(x, f"conv{stage + 1}")
        past = yield from self._pass(x, f"conv{stage + 1}_1")
        x = yield from self._pass(x, f"conv{stage + 1}_2")
        for unit in range(1, UNITS[stage - 1] + 1):
            inner = yield from self._pass(x, f"b{stage}_conv{unit}_1", f"b{stage}_conv{unit}_2")
            x = yield from named(f"b{stage}_add{unit}", x + inner)
        return (yield from self._joined(x, past, stage))

    def _stage_19(self, x: Tensor, stage: int) -> Walk:
        x = yield from named(f"maxpool_{stage}", nn.functional.max_pool2d(x, 2))
        x = yield from self._pass(x, f"b{stage}_conv1")
        if stage == 1:
            return x
        past = yield from self._pass(x, f"b{stage}_part1")
        convs = (f"b{stage}_conv{i}" for i in range(2, CONVOLUTIONS[stage - 1] + 1))
        x = yield from self._pass(x, f"b{stage}_part2", *convs)
        return (yield from self._joined(x, past, stage))

    def _joined(self, x: Tensor, past: Tensor, stage: int) -> Walk:
        x = yield from self._pass(x, f"b{stage}_partial_trans")
        x = yield from named(f"b{stage}_concat", torch.cat((x, past), dim=1))
        return (yield from self._pass(x, f"b{stage}_final_trans"))

    def _fifty_three(self) -> Iterator[Layer]:
        yield "conv1", self.in_channels, 32, 3, 1
        for stage, units in enumerate(UNITS, start=1):
            width = 32 << stage
            half = width // 2 if stage > 1 else width
            yield f"conv{stage + 1}", width // 2, width, 3, 2
            yield f"conv{stage + 1}_1", width, half, 1, 1
            yield f"conv{stage + 1}_2", width, half, 1, 1
            inner = half if stage > 1 else half // 2
            for unit in range(1, units + 1):
                yield f"b{stage}_conv{unit}_1", half, inner, 1, 1
                yield f"b{stage}_conv{unit}_2", inner, half, 3, 1
            yield f"b{stage}_partial_trans", half, half, 1, 1
            yield f"b{stage}_final_trans", 2 * half, width, 1, 1

    def _nineteen(self) -> Iterator[Layer]:
        yield "conv1", self.in_channels, 32, 3, 1
        for stage, convolutions in enumerate(CONVOLUTIONS, start=1):
            width = 32 << stage
            half = width // 2
            yield f"b{stage}_conv1", half, width, 3, 1
            if stage == 1:
                continue
            yield f"b{stage}_part1", width, half, 1, 1
            yield f"b{stage}_part2", width, half, 1, 1
            for i in range(2, convolutions + 1):
                yield f"b{stage}_conv{i}", half, half, 3 if i % 2 else 1, 1
            yield f"b{stage}_partial_trans", half, half, 1, 1
            yield f"b{stage}_final_trans", width, width, 1, 1


class CSPDarkNetTiny(_CspBackbone):
    """A CSPDarkNet tiny without its classifier.

    Args:
        use_batch_norm: a batch norm behind every convolution.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block k has all layers of `conv_<k>`.
    """

    arch = "cspdarknet_tiny"

    def __init__(
        self,
        *,
        in_channels: int = 3,
        use_batch_norm: bool = True,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        super().__init__(
            in_channels=in_channels, use_batch_norm=use_batch_norm, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn
        )
        self._build(_tiny(in_channels))

    @property
    def out_channels(self) -> int:
        return self._conv("conv_5").out_channels

    def block_of(self, layer: str) -> int | None:
        return int(layer.removeprefix("conv_")[0])

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._pass(x_nchw, "conv_0", "conv_1")
        for block in TINY:
            name = f"conv_{block}"
            whole = yield from self._pass(x, f"{name}_conv_0")
            half = yield from named(f"{name}_split_0", whole.chunk(2, dim=1)[1])
            first = yield from self._pass(half, f"{name}_conv_1")
            second = yield from self._pass(first, f"{name}_conv_2")
            x = yield from named(f"{name}_concat_0", torch.cat((second, first), dim=1))
            x = yield from self._pass(x, f"{name}_conv_3")
            x = yield from named(f"{name}_concat_1", torch.cat((whole, x), dim=1))
            x = yield from named(f"{name}_pool_0", nn.functional.max_pool2d(x, 2))
        return (yield from self._pass(x, "conv_5"))


def _tiny(in_channels: int) -> Iterator[Layer]:
    yield "conv_0", in_channels, 32, 3, 2
    yield "conv_1", 32, 64, 3, 2
    inputs = 64
    for block, width in TINY.items():
        name, half = f"conv_{block}", width // 2
        yield f"{name}_conv_0", inputs, width, 3, 1
        yield f"{name}_conv_1", half, half, 3, 1
        yield f"{name}_conv_2", half, half, 3, 1
        yield f"{name}_conv_3", width, width, 1, 1
        inputs = 2 * width
    yield "conv_5", inputs, 512, 3, 1
