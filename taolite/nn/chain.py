"""A sequence of convolutions, each with batch norm and activation, under given names.

In an SSD the extra feature layers behind the backbone and the heads are built of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from taolite.nn.batchnorm import BatchNorm

__all__ = ["Chain", "Conv"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "relu6": nn.functional.relu6,
    "none": lambda x: x,
}


@dataclass(frozen=True)
class Conv:
    """One convolution of a Chain.

    outputs: output channels; ignored where `depthwise`, which has as many outputs as inputs. padding: pixels on each
    side; None keeps the size at stride 1. bn: the name of its batch norm, "" for none.
    """

    name: str
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int | None = None
    depthwise: bool = False
    bias: bool = True
    bn: str = ""
    activation: Literal["relu", "relu6", "none"] = "relu"


class Chain(nn.Module):
    """The convolutions `convs` in order; every layer with weights is a direct child with the name given in its Conv.

    Args:
        inputs: input channels.
        keras_norms: batch norms have Keras's eps and momentum (1e-3, 0.99) instead of PyTorch's.
    """

    def __init__(self, inputs: int, convs: Sequence[Conv], *, keras_norms: bool = False) -> None:
        super().__init__()
        self.convs = tuple(convs)
        channels = inputs
        for conv in convs:
            outputs = channels if conv.depthwise else conv.outputs
            padding = conv.kernel // 2 if conv.padding is None else conv.padding
            groups = channels if conv.depthwise else 1
            layer = nn.Conv2d(channels, outputs, conv.kernel, conv.stride, padding, groups=groups, bias=conv.bias)
            self.add_module(conv.name, layer)
            if conv.bn:
                norm = BatchNorm(outputs, eps=1e-3, momentum=0.01) if keras_norms else BatchNorm(outputs)
                self.add_module(conv.bn, norm)
            channels = outputs

    @property
    def in_channels(self) -> int:
        """Input channels, also after pruning."""
        return cast(nn.Conv2d, self.get_submodule(self.convs[0].name)).in_channels

    @property
    def out_channels(self) -> int:
        """Output channels, also after pruning."""
        return cast(nn.Conv2d, self.get_submodule(self.convs[-1].name)).out_channels

    def forward(self, x_nchw: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, out_channels, h, w)."""
        x = x_nchw
        for conv in self.convs:
            x = _convolved(self.get_submodule(conv.name), x)
            if conv.bn:
                x = self.get_submodule(conv.bn)(x)
            x = _ACTIVATIONS[conv.activation](x)
        return x

    def reset_parameters(self, draw: Callable[[Tensor], object] = nn.init.xavier_uniform_) -> None:
        """Draw random kernels in layer order; set biases to 0 and batch norms to identity."""
        for layer in self.children():
            if isinstance(layer, nn.Conv2d):
                draw(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """`conv(x)`, in float32 on a 1x1 map: with bfloat16 on the CPU torch leaves uninitialised memory in the gradient of
    the kernel of a 3x3 convolution with stride 2 (torch 2.15)."""
    device = x.device.type
    if x.shape[2:] == (1, 1) and device == "cpu" and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return cast(Tensor, conv(x.float()))
    return cast(Tensor, conv(x))
