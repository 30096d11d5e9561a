"""Convolutions that stay in float32 where the rest of a network runs in bfloat16 on a processor.

oneDNN has no fast bfloat16 kernel for the input gradient of a depthwise convolution with a stride: it takes 10 to 80
times as long as the one in float32 (torch 2.14, AVX512-BF16). Four of them were a fifth of the step of an SSD with
MobileNet v1. So they get float32, and what is around them stays in bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["keep_strided_exact"]


def keep_strided_exact(network: nn.Module) -> int:
    """Let the strided depthwise convolutions of `network` compute in float32 under bfloat16 autocast on a processor, in
    place. They stay the same objects, with the same parameters and state. Returns their number."""
    found = [one for one in network.modules() if type(one) is nn.Conv2d and _is_strided_depthwise(one)]
    for layer in found:
        layer.__class__ = _ExactConv2d
    return len(found)


class _ExactConv2d(nn.Conv2d):
    def forward(self, x_nchw: Tensor) -> Tensor:
        if x_nchw.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x_nchw)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_nchw.float()).to(torch.get_autocast_dtype("cpu"))


def _is_strided_depthwise(layer: nn.Conv2d) -> bool:
    return layer.groups == layer.in_channels > 1 and max(layer.stride) > 1
