"""Strided depthwise convolutions stay in float32 under bfloat16 autocast, and everything else does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from taolite.nn.mobilenet import MobileNetV1
from taolite.nn.reduced import keep_strided_exact


@pytest.fixture
def strided() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)


def gradients(layer: nn.Conv2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The output of `layer`, and the gradients of its input and its kernel, where every output has the slope 1."""
    x = x.detach().requires_grad_()
    output = layer(x)
    slopes = torch.autograd.grad(output.float().sum(), (x, layer.weight))
    return output, *slopes


def test_a_strided_depthwise_convolution_gives_float32s_numbers_rounded_to_bfloat16(strided: nn.Conv2d):
    x = torch.randn(2, 8, 9, 9).bfloat16()
    output, input_slope, kernel_slope = gradients(strided, x.float())

    assert keep_strided_exact(strided) == 1
    with torch.autocast("cpu", torch.bfloat16):
        found, found_input_slope, found_kernel_slope = gradients(strided, x)

    assert found.dtype is torch.bfloat16
    assert torch.equal(found, output.bfloat16())
    assert torch.equal(found_input_slope, input_slope.bfloat16())
    assert torch.equal(found_kernel_slope, kernel_slope)


def test_without_autocast_nothing_changes(strided: nn.Conv2d):
    x = torch.randn(2, 8, 9, 9)
    before = gradients(strided, x)

    keep_strided_exact(strided)

    assert all(torch.equal(one, other) for one, other in zip(before, gradients(strided, x), strict=True))


def test_the_four_strided_blocks_of_mobilenet_v1_are_found_and_no_other_layer():
    network = MobileNetV1(final_stride=32)
    before = {name: type(module) for name, module in network.named_modules()}
    state = list(network.state_dict())

    assert keep_strided_exact(network) == 4

    changed = [name for name, module in network.named_modules() if type(module) is not before[name]]
    assert changed == ["conv_dw_2", "conv_dw_4", "conv_dw_6", "conv_dw_12"]
    assert list(network.state_dict()) == state
