"""Expected values by hand on a network of two convolutions, or from plain loops over its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import UsageError
from taolite.pruning.criteria import importances
from taolite.pruning.groups import find_groups
from taolite.pruning.ranking import rank


class Two(nn.Module):
    """One convolution of three filters with a batch norm, read by the head and by a convolution of two filters."""

    def __init__(self, *, norms: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 1, bias=False)
        self.norm = nn.BatchNorm2d(3) if norms else nn.Identity()
        self.second = nn.Conv2d(3, 2, 1, bias=False)
        self.head = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, -2.0, 3.0]).reshape(3, 1, 1, 1))
            self.second.weight.copy_(torch.tensor([[1.0, 0.0, -1.0], [3.0, 2.0, 1.0]]).reshape(2, 3, 1, 1))
            self.head.weight.copy_(torch.tensor([2.0, -4.0]).reshape(1, 2, 1, 1))
            if norms:
                self.norm.weight.copy_(torch.tensor([0.5, -2.0, 1.0]))

    def forward(self, x):
        return (self.head(torch.relu(self.second(torch.relu(self.norm(self.first(x)))))),)


EXAMPLE = torch.zeros(1, 1, 4, 4)


def found(network, criterion, gradients=None):
    groups = find_groups(network, EXAMPLE, heads=("head",))
    assert [group.members for group in groups] == [("first",), ("second",)]
    return importances(network, EXAMPLE, groups, criterion=criterion, gradients=gradients)


def test_l1_and_l2_average_what_makes_and_what_reads_a_channel_and_compare_with_the_mean_of_the_group():
    one, two = found(Two(), "l1")

    made_read = np.array([(1 + 4) / 2, (2 + 2) / 2, (3 + 2) / 2])  # |w| of its filter, and of what reads it
    np.testing.assert_allclose(one, made_read / made_read.mean(), rtol=1e-6)
    made_read = np.array([(1 + 0 + 1 + 2) / 2, (3 + 2 + 1 + 4) / 2])
    np.testing.assert_allclose(two, made_read / made_read.mean(), rtol=1e-6)

    one, two = found(Two(), "l2")
    made_read = np.array([(1 + 1 + 9) / 2, (4 + 0 + 4) / 2, (9 + 1 + 1) / 2])
    np.testing.assert_allclose(one, made_read / made_read.mean(), rtol=1e-6)


def test_bn_takes_the_scale_as_it_is_and_leaves_a_group_without_one():
    one, two = found(Two(), "bn")

    assert one.tolist() == [0.5, 2.0, 1.0]
    assert two is None


def test_bn_needs_a_batch_norm():
    with pytest.raises(UsageError) as caught:
        found(Two(norms=False), "bn")

    assert str(caught.value) == ("prune: --importance bn has nothing to look at: this network has no batch norms")


def test_taylor_is_the_sum_of_weight_times_gradient_without_a_division():
    network = Two(norms=False).train()
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    network(x)[0].square().sum().backward()
    gradients = {name: one.grad.clone() for name, one in network.named_parameters()}

    one, two = found(network, "taylor", gradients)

    expected = []
    for channel in range(3):
        made = abs(float(network.first.weight[channel] * gradients["first.weight"][channel]))
        read = sum(
            abs(float(network.second.weight[row, channel] * gradients["second.weight"][row, channel])) for row in (0, 1)
        )
        expected.append((made + read) / 2)
    np.testing.assert_allclose(one, expected, rtol=1e-5)
    assert two.shape == (2,)


def test_taylor_without_gradients_says_what_to_give():
    with pytest.raises(UsageError) as caught:
        found(Two(), "taylor")

    assert str(caught.value) == "prune: --importance taylor needs training data; give the spec with -e SPEC"


def test_one_threshold_ranks_the_channels_of_all_groups():
    ranking = rank(
        Two(), EXAMPLE, heads=("head",), criterion="l1", granularity=1, min_filters=1
    )  # first: 1.07, 0.86, 1.07; second: 0.57, 1.43

    assert dict(ranking.at(0.8).kept) == {"first": (0, 1, 2), "second": (1,)}
    assert dict(ranking.at(0.9).kept) == {"first": (0, 2), "second": (1,)}
    assert ranking.at(0.9).settings["importance"] == "l1"


def test_importance_leaves_the_network_alone():
    network = Two()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    found(network, "taylor", {})

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
