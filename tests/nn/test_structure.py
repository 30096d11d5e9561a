from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.structure import channels_of, resize


def small():
    return nn.ModuleDict(
        {"stem": nn.Conv2d(3, 8, 3, 2, 1, bias=False), "bn": nn.BatchNorm2d(8, eps=1e-3, momentum=0.01)}
    )


def test_channels_survive_json_and_resize_gives_layers_of_that_size_and_the_same_settings():
    network = small().eval()
    network["stem"].requires_grad_(False)
    assert channels_of(network) == {"stem": [3, 8], "bn": [8, 8]}

    resize(network, json.loads(json.dumps({"stem": [3, 5], "bn": [5, 5]})))

    stem, bn = network["stem"], network["bn"]
    assert channels_of(network) == {"stem": [3, 5], "bn": [5, 5]}
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 3), (2, 2), (1, 1), None)
    assert (bn.eps, bn.momentum, bn.training) == (1e-3, 0.01, False)
    assert not stem.weight.requires_grad
    assert bn.weight.requires_grad
    assert network["bn"](network["stem"](torch.rand(1, 3, 8, 8))).shape == (1, 5, 4, 4)


def test_full_counts_leave_the_layers_as_they_are():
    network = small()
    stem = network["stem"]

    resize(network, channels_of(network))

    assert network["stem"] is stem


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (
            {"stem": [3, 9], "bn": [8, 8]},
            "the stored structure gives stem the channels [3, 9]; "
            "it needs two numbers from 1 to [3, 8] (the unpruned network)",
        ),
        (
            {"stem": [3, 8], "bn": [0, 0]},
            "the stored structure gives bn the channels [0, 0]; "
            "it needs two numbers from 1 to [8, 8] (the unpruned network)",
        ),
        (
            {"stem": [3, 8.0], "bn": [8, 8]},
            "the stored structure gives stem the channels [3, 8.0]; "
            "it needs two numbers from 1 to [3, 8] (the unpruned network)",
        ),
        (
            {"stem": [3], "bn": [8, 8]},
            "the stored structure gives stem the channels [3]; "
            "it needs two numbers from 1 to [3, 8] (the unpruned network)",
        ),
        (
            {"stem": True, "bn": [8, 8]},
            "the stored structure gives stem the channels True; "
            "it needs two numbers from 1 to [3, 8] (the unpruned network)",
        ),
        (
            {"stem": [3, 8]},
            "the stored structure does not name bn, a layer of this network; the file is not of this architecture",
        ),
        (
            {"stem": [3, 8], "bn": [8, 8], "x": [1, 1]},
            "the stored structure names x, which is no layer of this network; the file is not of this architecture",
        ),
    ],
)
def test_counts_that_no_pruning_can_have_made_are_refused_before_anything_changes(channels, message):
    network = small()
    before = channels_of(network)

    with pytest.raises(ModelError) as caught:
        resize(network, channels)

    assert str(caught.value) == message
    assert channels_of(network) == before


def test_a_depthwise_layer_stays_one_and_is_refused_other_counts_in_than_out():
    network = nn.ModuleDict({"dw": nn.Conv2d(8, 8, 3, groups=8)})

    with pytest.raises(ModelError) as caught:
        resize(network, {"dw": [8, 5]})
    resize(network, {"dw": [5, 5]})

    assert str(caught.value) == (
        "the stored structure gives dw the channels [8, 5]; a depthwise convolution has as many outputs as inputs"
    )
    assert (network["dw"].groups, network["dw"].weight.shape) == (5, (5, 1, 3, 3))
