"""MobileNet v1 and v2 as TAO has them (reference 5.3; reference/tao_classification_ssd.md 3.4).

DetectNet's end where the stride would become 32: v1 after block 11 (512 channels), v2 after block 12 (96 channels,
before any activation). With `final_stride=32` they are as deep as for classification (1024 and 1280 channels).

v1: `conv1`, `conv1_bn`, `conv_block_relu`, then `conv_dw_1`, `conv_dw_1_bn`, `conv_dw_1_relu`, `conv_pw_1`,
`conv_pw_1_bn`, `conv_pw_relu_1`, ... v2: `conv1`, `bn_conv1`, `re_lu_0`, then `expanded_conv_depthwise`,
`_depthwise_bn`, `_relu`, `_project`, `_project_bn`, then `block_1_expand`, `_expand_bn`, `re_lu_2`,
`block_1_depthwise`, ..., `block_2_add`, ..., `conv_1`, `conv_1_bn`, `re_lu_head`.

Activations are ReLU in the tao graph, as TAO 5 builds these networks in all its tasks, and in pytorch-ssd's v1.
Elsewhere they are ReLU6, with which the published weights were trained, and layer names have `relu6` instead of `relu`.
`nn.separable` lists the other differences between the graphs; the tao graph pads by one zero on each side.
pytorch-ssd's v2 comes in other widths.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

from torch import Tensor, nn

from taolite.errors import ModelError
from taolite.nn.backbone import Graph, Walk, named
from taolite.nn.fake_quant import Shortcut
from taolite.nn.separable import SeparableBackbone

__all__ = ["MobileNetV1", "MobileNetV2"]

V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""(output channels, stride) of blocks 1 to 13."""

V2_STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""For each stage: output channels, blocks, stride of the first block."""

V2_BLOCKS = tuple((width, stride if i == 0 else 1) for width, repeats, stride in V2_STAGES for i in range(repeats))
"""(output channels, stride) of each block: `expanded_conv`, then 1 to 16."""


class _MobileNet(SeparableBackbone):
    relu_graphs: ClassVar[tuple[Graph, ...]] = ("tao",)
    """Graphs whose activations are ReLU."""
    fields: ClassVar = {
        "graph": str,
        "in_channels": int,
        "use_batch_norm": bool,
        "final_stride": int,
        "freeze_blocks": list,
        "freeze_bn": bool,
    }

    def __init__(
        self,
        *,
        graph: Graph = "tao",
        in_channels: int = 3,
        use_batch_norm: bool = True,
        final_stride: int = 16,
        freeze_blocks: Collection[int] = (),
        freeze_bn: bool = False,
    ) -> None:
        self._check("final_stride", final_stride, (16, 32))
        super().__init__(
            graph=graph,
            pads_as_tensorflow=graph == "tensorflow",
            in_channels=in_channels,
            stride=final_stride,
            use_batch_norm=use_batch_norm,
            freeze_blocks=freeze_blocks,
            freeze_bn=freeze_bn,
        )
        self.final_stride = final_stride
        self._relu_name = "relu" if graph in self.relu_graphs else "relu6"
        self._build()
        self.reset_parameters()
        self.train()

    @abstractmethod
    def _build(self) -> None:
        """Add the layers."""

    def _relu(self, name: str, x: Tensor) -> Walk:
        return named(name, nn.functional.relu(x) if self._relu_name == "relu" else nn.functional.relu6(x))


class MobileNetV1(_MobileNet):
    """A MobileNet v1 without its classifier.

    Args:
        graph: "tao", "tensorflow" or "pytorch-ssd".
        use_batch_norm: a batch norm behind every convolution; used in graph "tao", the other graphs always have them.
        final_stride: 16, or 32 for blocks 12 and 13.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is `conv1`.
    """

    arch = "mobilenet_v1"
    blocks = tuple(range(14))
    graphs = ("tao", "tensorflow", "pytorch-ssd")
    relu_graphs = ("tao", "pytorch-ssd")
    momentum = 0.01

    @property
    def out_channels(self) -> int:
        return self._conv(f"conv_pw_{self._last}").out_channels

    def block_of(self, layer: str) -> int | None:
        return 0 if layer == "conv1" else int(layer.rpartition("_")[2])

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._conv_bn(self._normalised(x_nchw), "conv1", "conv1_bn")
        x = yield from self._relu(f"conv_block_{self._relu_name}", x)
        for block in range(1, self._last + 1):
            x = yield from self._conv_bn(x, f"conv_dw_{block}", f"conv_dw_{block}_bn")
            x = yield from self._relu(f"conv_dw_{block}_{self._relu_name}", x)
            x = yield from self._conv_bn(x, f"conv_pw_{block}", f"conv_pw_{block}_bn")
            x = yield from self._relu(f"conv_pw_{self._relu_name}_{block}", x)
        return x

    def _build(self) -> None:
        self._add("conv1", "conv1_bn", self.in_channels, 32, 3, 2)
        channels = 32
        for block, (width, stride) in enumerate(V1_BLOCKS[: self._last], start=1):
            self._add(f"conv_dw_{block}", f"conv_dw_{block}_bn", channels, channels, 3, stride, depthwise=True)
            self._add(f"conv_pw_{block}", f"conv_pw_{block}_bn", channels, width, 1)
            channels = width

    @property
    def _last(self) -> int:
        return 11 if self.final_stride == 16 else 13


class MobileNetV2(_MobileNet):
    """A MobileNet v2 without its classifier.

    Args:
        graph: "tao", "torchvision", "tensorflow" or "pytorch-ssd".
        use_batch_norm: a batch norm behind every convolution; used in graph "tao", the other graphs always have them.
        final_stride: 16, or 32 for blocks 13 to 16 and `conv_1`.
        width_mult: 0.1 to 2.0; scales the channels of every layer, rounded down; `conv_1` has at least 1280.
        in_channels, freeze_blocks, freeze_bn: as `Backbone`; block 0 is `conv1`, 1 `expanded_conv`, k + 1 `block_k`
            and 18 `conv_1`.
    """

    arch = "mobilenet_v2"
    blocks = tuple(range(19))
    graphs = ("tao", "torchvision", "tensorflow", "pytorch-ssd")
    momentum = 0.001
    fields: ClassVar = {**_MobileNet.fields, "width_mult": float}
    later_fields: ClassVar = {"width_mult": 1.0}

    def __init__(self, *, width_mult: float = 1.0, **options: Any) -> None:
        if not 0.1 <= width_mult <= 2.0:
            raise ModelError(f"MobileNetV2: width_mult is {width_mult}; it needs to be 0.1 to 2.0")
        self.width_mult = float(width_mult)
        super().__init__(**options)

    @property
    def out_channels(self) -> int:
        return self._conv(
            "conv_1" if self.final_stride == 32 else f"block_{len(self._widths) - 1}_project"
        ).out_channels

    def block_of(self, layer: str) -> int | None:
        if layer.startswith("block_"):
            return int(layer.split("_")[1]) + 1
        return {"conv1": 0, "conv_1": 18}.get(layer, 1)

    def walk(self, x_nchw: Tensor) -> Walk:
        x = yield from self._conv_bn(self._normalised(x_nchw), "conv1", "bn_conv1")
        x = yield from self._relu("re_lu_0", x)
        for block in range(len(self._widths)):
            x = yield from self._block(x, block)
        if self.final_stride == 32:
            x = yield from self._conv_bn(x, "conv_1", "conv_1_bn")
            x = yield from self._relu("re_lu_head", x)
        return x

    def _build(self) -> None:
        channels = int(32 * self.width_mult)
        self._add("conv1", "bn_conv1", self.in_channels, channels, 3, 2)
        for block, (width, stride) in enumerate(self._widths):
            name, inner = _v2_name(block), channels if block == 0 else 6 * channels
            if block > 0:
                self._add(f"{name}_expand", f"{name}_expand_bn", channels, inner, 1)
            self._add(f"{name}_depthwise", f"{name}_depthwise_bn", inner, inner, 3, stride, depthwise=True)
            self._add(f"{name}_project", f"{name}_project_bn", inner, width, 1)
            if self._has_skip(block):
                self.add_module(f"{name}_shortcut", Shortcut())
            channels = width
        if self.final_stride == 32:
            self._add("conv_1", "conv_1_bn", channels, int(1280 * max(self.width_mult, 1.0)), 1)

    def _block(self, x: Tensor, block: int) -> Walk:
        name, inputs = _v2_name(block), x
        if block > 0:
            x = yield from self._conv_bn(x, f"{name}_expand", f"{name}_expand_bn")
            x = yield from self._relu(f"re_lu_{block + 1}", x)
        x = yield from self._conv_bn(x, f"{name}_depthwise", f"{name}_depthwise_bn")
        x = yield from self._relu(f"{name}_{self._relu_name}", x)
        x = yield from self._conv_bn(x, f"{name}_project", f"{name}_project_bn")
        if self._has_skip(block):
            x = yield from named(f"{name}_add", self.get_submodule(f"{name}_shortcut")(inputs) + x)
        return x

    def _has_skip(self, block: int) -> bool:
        return block > 0 and self._widths[block] == (self._widths[block - 1][0], 1)

    @property
    def _widths(self) -> tuple[tuple[int, int], ...]:
        blocks = V2_BLOCKS[:13] if self.final_stride == 16 else V2_BLOCKS
        return tuple((int(width * self.width_mult), stride) for width, stride in blocks)


def _v2_name(block: int) -> str:
    return f"block_{block}" if block else "expanded_conv"
