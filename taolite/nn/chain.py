"""Convolutions one behind the other, each with its batch norm and activation, under the names they are given.

What stands behind a backbone in an SSD is made of these: the layers that shrink its features further, and the heads.
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
    """A convolution; `bn` is its batch norm's name, "" for none; a depthwise one makes as many channels as it reads,
    whatever `outputs` says. Without `padding` it keeps the size at stride 1."""

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
    """`convs` in order; every layer with weights is a direct child of the name it is given.

    Args:
        inputs: channels of what it reads.
        keras_norms: batch norms have Keras's eps and momentum (1e-3, 0.99), else PyTorch's.
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
        """Channels of what it reads, also after pruning."""
        return cast(nn.Conv2d, self.get_submodule(self.convs[0].name)).in_channels

    @property
    def out_channels(self) -> int:
        """Channels of what it gives, also after pruning."""
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
        """Draw fresh kernels in layer order; biases 0, batch norms neutral."""
        for layer in self.children():
            if isinstance(layer, nn.Conv2d):
                draw(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """`conv(x)`; in float32 on a map of one pixel, where torch's bfloat16 on processors leaves the kernel's gradient of
    a 3x3 convolution with stride 2 as the memory was (torch 2.15)."""
    device = x.device.type
    if x.shape[2:] == (1, 1) and device == "cpu" and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return cast(Tensor, conv(x.float()))
    return cast(Tensor, conv(x))
