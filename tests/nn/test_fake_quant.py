"""Convolutions that round as an int8 engine will: by hand, in NumPy, and through a whole backbone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from taolite.nn.fake_quant import (
    ActivationQuantizer,
    QuantConv2d,
    Shortcut,
    fake_quantize_kernel,
    forget_ranges,
    is_quantized,
    quantize,
    ranges,
    strip,
)
from taolite.nn.resnet import ResNet

torch.set_num_threads(1)


def watching(largest: float) -> ActivationQuantizer:
    """A quantiser that has seen one batch, whose largest |x| was `largest`."""
    quantizer = ActivationQuantizer()
    quantizer(torch.tensor([-largest, largest / 2]))
    return quantizer.eval()


def convolve(x_nchw: np.ndarray, kernel_oihw: np.ndarray, *, stride: int, padding: int, groups: int) -> np.ndarray:
    """The slow, obvious convolution."""
    x = np.pad(x_nchw, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    outputs, per_group, kh, kw = kernel_oihw.shape
    height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    answer = np.zeros((len(x), outputs, height, width))
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        for i in range(height):
            for j in range(width):
                window = x[:, first : first + per_group, i * stride : i * stride + kh, j * stride : j * stride + kw]
                answer[:, o, i, j] = (window * kernel_oihw[o]).sum(axis=(1, 2, 3))
    return answer


@pytest.mark.parametrize("groups", [1, 4], ids=["plain", "depthwise"])
def test_a_quantised_convolution_is_one_of_integers_times_two_scales(groups):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups))
    x = 3 * torch.randn(2, 4, 9, 7)
    kernel, bias = network[0].weight.detach().numpy().copy(), network[0].bias.detach().numpy().copy()

    assert quantize(network) == 1
    found = network(x)

    step = float(x.abs().max()) / 127
    steps_o = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    integers = np.clip(np.round(x.numpy() / step), -128, 127)
    kernel_integers = np.round(kernel / steps_o[:, None, None, None])
    assert np.abs(kernel_integers).max() == 127
    wanted = convolve(integers, kernel_integers, stride=2, padding=1, groups=groups)
    wanted = wanted * step * steps_o[:, None, None] + bias[:, None, None]
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_an_input_is_rounded_to_steps_of_its_range_and_cut_off_outside():
    quantizer = watching(12.7)  # steps of 0.1

    answer = quantizer(torch.tensor([0.04, 0.06, -3.33, 12.7, 12.9, -12.8, -20.0]))

    torch.testing.assert_close(answer, torch.tensor([0.0, 0.1, -3.3, 12.7, 12.7, -12.8, -12.8]))


def test_gradients_pass_straight_through_inside_the_range_and_are_zero_outside():
    x = torch.tensor([0.04, 12.7, -12.8, 13.0, -13.0], requires_grad=True)

    watching(12.7)(x).backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))

    assert x.grad.tolist() == [1.0, 2.0, 3.0, 0.0, 0.0]


def test_every_weight_of_a_kernel_gets_its_gradient():
    kernel = torch.randn(3, 2, 3, 3, requires_grad=True)
    slope = torch.randn(3, 2, 3, 3)

    fake_quantize_kernel(kernel).backward(slope)

    assert torch.equal(kernel.grad, slope)


def test_folding_a_batch_norm_leaves_the_integers_of_a_kernel_as_they_are():
    torch.manual_seed(1)
    kernel, factor_o = torch.randn(6, 4, 3, 3), torch.tensor([3.0, 0.01, -2.0, 1.7, 100.0, 0.3]).view(-1, 1, 1, 1)

    def integers(of):
        return (fake_quantize_kernel(of) / of.abs().amax(dim=(1, 2, 3), keepdim=True) * 127).round()

    assert torch.equal(integers(kernel * factor_o), integers(kernel) * factor_o.sign())


def test_the_range_averages_the_first_batches_plainly_and_then_moves_by_a_thousandth():
    quantizer = ActivationQuantizer()
    assert float(quantizer.range) == 6.0

    for largest in (2.0, 4.0, 9.0):
        quantizer(torch.tensor([-largest, 1.0]))
    assert float(quantizer.range) == pytest.approx(5.0)

    quantizer.batches.fill_(5000)
    quantizer(torch.tensor([105.0, 1.0]))
    assert float(quantizer.range) == pytest.approx(0.999 * 5.0 + 0.001 * 105.0)


def test_evaluation_leaves_the_range_alone_and_forgetting_lets_the_next_batch_replace_it():
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    quantize(network)
    network(torch.full((1, 1, 2, 2), 3.0))

    network.eval()(torch.full((1, 1, 2, 2), 50.0))
    assert ranges(network) == {"0": 3.0}

    forget_ranges(network)
    assert ranges(network) == {"0": 3.0}
    network.train()(torch.full((1, 1, 2, 2), 50.0))
    assert ranges(network) == {"0": 50.0}


def test_all_zero_inputs_and_channels_stay_zero_and_finite():
    network = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False))
    with torch.no_grad():
        network[0].weight[0].zero_()
    quantize(network)

    answer = network(torch.zeros(1, 2, 3, 3))

    assert answer.abs().max() == 0
    answer.sum().backward()
    assert network[0].weight.grad.isfinite().all()


def test_parameters_names_and_random_numbers_are_those_of_the_float_network():
    torch.manual_seed(0)
    network = ResNet(10, freeze_blocks=[0])
    parameters = dict(network.named_parameters())
    drawn = torch.get_rng_state()

    assert quantize(network) == 13

    assert torch.equal(torch.get_rng_state(), drawn)
    assert list(dict(network.named_parameters())) == list(parameters)
    assert all(new is parameters[name] for name, new in network.named_parameters())
    added = {name for name in network.state_dict() if name.endswith((".range", ".batches"))}
    assert len(added) == 2 * (13 + 4)
    assert {"conv1.quantizer.range", "block_1a_shortcut.range", "block_4a_conv_2.quantizer.batches"} <= added


def test_an_identity_shortcut_has_the_range_of_the_convolution_that_reads_the_same_tensor():
    network = ResNet(18)
    quantize(network)

    network(torch.rand(2, 3, 64, 64))

    found = ranges(network)
    for stage in "1234":
        assert found[f"block_{stage}b_shortcut"] == found[f"block_{stage}b_conv_1"]
        assert found[f"block_{stage}a_conv_shortcut"] == found[f"block_{stage}a_conv_1"]
        assert found[f"block_{stage}a_shortcut"] != found[f"block_{stage}a_conv_1"]


def test_stripping_gives_the_float_network_back_or_one_with_the_rounded_kernels():
    torch.manual_seed(0)
    network = ResNet(10).eval()
    x = torch.rand(1, 3, 64, 64)
    expected = network(x)
    quantized = copy.deepcopy(network)
    quantize(quantized)

    plain, rounded = strip(quantized), strip(quantized, round_kernels=True)

    assert is_quantized(quantized)
    assert not is_quantized(plain)
    assert torch.equal(plain(x), expected)
    assert isinstance(plain.block_1a_shortcut, Shortcut)
    assert isinstance(quantized.conv1, QuantConv2d)
    assert torch.equal(rounded.conv1.weight, fake_quantize_kernel(network.conv1.weight))
    assert torch.equal(fake_quantize_kernel(rounded.conv1.weight), rounded.conv1.weight)


def test_quantising_twice_changes_nothing():
    network = ResNet(10)
    quantize(network)
    before = dict(network.named_modules())

    assert quantize(network) == 13
    assert dict(network.named_modules()) == before


def test_a_step_in_bfloat16_and_channels_last_reaches_every_parameter():
    network = ResNet(10).to(memory_format=torch.channels_last)
    quantize(network)
    x = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)

    with torch.autocast("cpu", torch.bfloat16):
        network(x).float().square().mean().backward()

    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert all(0 < value < 1000 for value in ranges(network).values())
