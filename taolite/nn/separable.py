"""What MobileNets and EfficientNets share: depthwise convolutions, no bias before a batch norm, and a choice of graphs.

| graph | input | zero padding of a convolution with stride 2 | batch norm |
|---|---|---|---|
| tao | RGB / 255, unchanged | set by the network's class | eps 1e-3, Keras's momentum |
| torchvision | normalised by ImageNet's mean and standard deviation | symmetric | eps 1e-5, momentum 0.1 |
| tensorflow | 2 x - 1, which is RGB / 127.5 - 1 | TensorFlow's SAME | as torchvision |
| pytorch-ssd | unchanged: normalised outside | symmetric | as torchvision |

Published weights give their features in the graph they were trained in. All graphs have TAO's layer names and strides.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection
from typing import ClassVar

from torch import Tensor, nn

from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Graph, Walk
from taolite.nn.batchnorm import BatchNorm

__all__ = ["SeparableBackbone", "pad_as_tensorflow"]


class SeparableBackbone(Backbone, ABC):
    """The base of these backbones; a subclass adds its layers with `_add` and applies them with `_conv_bn`."""

    graphs: ClassVar[tuple[Graph, ...]]
    momentum: ClassVar[float]
    """Momentum of the tao graph's batch norms in PyTorch's terms (1 - Keras's)."""

    def __init__(
        self,
        *,
        graph: Graph,
        pads_as_tensorflow: bool,
        in_channels: int,
        stride: int,
        use_batch_norm: bool,
        freeze_blocks: Collection[int],
        freeze_bn: bool,
    ) -> None:
        self._check("graph", graph, self.graphs)
        super().__init__(in_channels=in_channels, stride=stride, freeze_blocks=freeze_blocks, freeze_bn=freeze_bn)
        self.graph: Graph = graph
        self.use_batch_norm = use_batch_norm or graph != "tao"
        self._pads_as_tensorflow = pads_as_tensorflow
        if graph == "torchvision":
            self._normalise_inputs(IMAGENET_MEAN, IMAGENET_STD)
        elif graph == "tensorflow":
            self._normalise_inputs((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def _add(
        self, conv: str, bn: str, inputs: int, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False
    ) -> None:
        padding = 0 if self._pads_as_tensorflow and stride == 2 else (kernel - 1) // 2
        groups = inputs if depthwise else 1
        self.add_module(conv, nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        if self.use_batch_norm:
            tao = self.graph == "tao"
            norm = BatchNorm(outputs, eps=1e-3, momentum=self.momentum) if tao else nn.BatchNorm2d(outputs)
            self.add_module(bn, norm)

    def _conv_bn(self, x: Tensor, conv: str, bn: str) -> Walk:
        layer = self._conv(conv)
        if self._pads_as_tensorflow and layer.stride[0] == 2:
            x = pad_as_tensorflow(x, layer.kernel_size[0])
        return self._through(x, *((conv, bn) if self.use_batch_norm else (conv,)))


def pad_as_tensorflow(x_nchw: Tensor, kernel: int) -> Tensor:
    """Pad (N, C, H, W) with zeros as TensorFlow's SAME does for an odd `kernel` k at stride 2: k // 2 on each side, one
    less at the top of an even height and at the left of an even width."""
    half = kernel // 2
    height, width = x_nchw.shape[2:]
    return nn.functional.pad(x_nchw, (half - 1 + width % 2, half, half - 1 + height % 2, half))
