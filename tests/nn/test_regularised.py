"""Which parameters the regulariser acts on (reference 5.6, 7.3)."""

from __future__ import annotations

import pytest
from torch import nn

from taolite.nn.fake_quant import quantize
from taolite.nn.regularised import kernels


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),  # 0
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),  # 2, depthwise
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3, groups=2)),  # 3.0; 3.1, two groups
        nn.Linear(6, 2),  # 4
    )


@pytest.mark.parametrize(
    ("kinds", "biases", "expected"),
    [
        ({"conv2d"}, False, "0.weight 3.0.weight"),
        ({"grouped"}, False, "2.weight 3.1.weight"),
        ({"dense"}, False, "4.weight"),
        ({"conv2d", "grouped"}, True, "0.weight 0.bias 2.weight 3.0.weight 3.0.bias 3.1.weight 3.1.bias"),
        ({"dense"}, True, "4.weight 4.bias"),
        (set(), True, ""),
    ],
)
def test_the_kinds_asked_for_are_taken_in_layer_order_and_biases_where_they_are_asked_for(kinds, biases, expected):
    net = network()
    names = {id(parameter): name for name, parameter in net.named_parameters()}

    assert [names[id(one)] for one in kernels(net, kinds=kinds, biases=biases)] == expected.split()


def test_frozen_and_quantised_convolutions_are_taken_like_any_other():
    net = network()
    net[0].requires_grad_(False)
    plain = [tuple(one.shape) for one in kernels(net, kinds={"conv2d", "grouped"}, biases=True)]

    quantize(net)

    assert [tuple(one.shape) for one in kernels(net, kinds={"conv2d", "grouped"}, biases=True)] == plain
    assert len(plain) == 7
