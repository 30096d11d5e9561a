"""What MobileNets and EfficientNets share: depthwise convolutions, no bias before a batch norm, and a choice of graphs.

| graph | input | zeros around a convolution of stride 2 | batch norm |
|---|---|---|---|
| tao | RGB / 255 as it is | as the network's class says | eps 1e-3, Keras's momentum |
| torchvision | normalised by ImageNet's mean and deviation | the same on both sides | eps 1e-5, momentum 0.1 |
| tensorflow | 2 x - 1, which is RGB / 127.5 - 1 | as TensorFlow's SAME | as torchvision |
| pytorch-ssd | as it is: normalised outside | the same on both sides | as torchvision |

Published weights keep their features in the graph they were trained in; all have TAO's layer names and strides.
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
    """A backbone of these networks; a class of this kind adds its layers with `_add` and passes them by `_conv_bn`."""

    graphs: ClassVar[tuple[Graph, ...]]
    momentum: ClassVar[float]
    """Of the tao graph's batch norms, as PyTorch counts it: 1 - Keras's."""

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
    """The zeros that TensorFlow's SAME puts around the input of an odd `kernel` at stride 2: k // 2 on each side, and
    at the top and left of an even size one less."""
    half = kernel // 2
    height, width = x_nchw.shape[2:]
    return nn.functional.pad(x_nchw, (half - 1 + width % 2, half, half - 1 + height % 2, half))
