"""Networks joined in other ways than by addition: concatenations, depthwise convolutions, gates."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from taolite.errors import ModelError
from taolite.nn.structure import channels_of, resize
from taolite.pruning.groups import Group, find_groups
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan, rank

torch.set_num_threads(1)

HEADS = ("output_cov", "output_bbox")
EXAMPLE = torch.zeros(1, 3, 16, 16)
LOOSE = {"granularity": 2, "min_filters": 4, "heads": HEADS}


class Joined(nn.Module):
    """Stem -> two branches, concatenated -> expand, depthwise, squeeze-excite, project -> a one-filter gate -> heads.

    `project` is added to what one more convolution makes of the concatenation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn_conv1 = nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12)
        self.left, self.right = nn.Conv2d(12, 8, 1), nn.Conv2d(12, 10, 3, padding=1)
        self.bn_right = nn.BatchNorm2d(10)
        self.expand, self.bn_expand = nn.Conv2d(18, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.dwconv, self.bn_dw = nn.Conv2d(24, 24, 5, groups=24, bias=False), nn.BatchNorm2d(24)
        self.se_reduce, self.se_expand = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project, self.bn_project = nn.Conv2d(24, 14, 1, bias=False), nn.BatchNorm2d(14)
        self.beside = nn.Conv2d(18, 14, 1)
        self.gate, self.bn_gate = nn.Conv2d(14, 1, 1), nn.BatchNorm2d(1)
        self.output_cov, self.output_bbox = nn.Conv2d(14, 2, 1), nn.Conv2d(14, 8, 1)

    def forward(self, x):
        x = functional.leaky_relu(self.bn_conv1(self.conv1(functional.pad(x, (0, 1, 0, 1)))), 0.1)
        x = functional.max_pool2d(x, 3, stride=1, padding=1)
        x = torch.cat([functional.relu(self.left(x)), functional.relu6(self.bn_right(self.right(x)))], dim=1)
        y = functional.silu(self.bn_expand(self.expand(x)))
        y = functional.silu(self.bn_dw(self.dwconv(functional.pad(y, (2, 2, 2, 2)))))
        y = y * torch.sigmoid(self.se_expand(functional.silu(self.se_reduce(y.mean(dim=(2, 3), keepdim=True)))))
        x = self.bn_project(self.project(y)) + self.beside(x)
        x = x * torch.sigmoid(self.bn_gate(self.gate(x)))
        return torch.sigmoid(self.output_cov(x)), self.output_bbox(x)


@pytest.fixture
def joined(livelier):
    torch.manual_seed(0)
    return livelier(Joined()).eval()


def test_gates_and_depthwise_layers_join_their_feeders_and_branches_and_single_filters_stay_alone(joined):
    assert find_groups(joined, EXAMPLE, heads=HEADS) == (
        Group(("conv1",), 12),
        Group(("left",), 8),
        Group(("right",), 10),
        Group(("expand", "dwconv", "se_expand"), 24),
        Group(("se_reduce",), 6),
        Group(("project", "beside"), 14),
        Group(("gate",), 1),
    )


def test_a_network_joined_in_every_way_is_pruned_to_the_dense_one_with_the_dropped_channels_silenced(joined, silence):
    found = plan(joined, EXAMPLE, threshold=0.95, **LOOSE)
    pruned, silenced = apply(joined, found), silence(joined, found)

    assert [name for name, kept in found.kept.items() if len(kept) == found.depths[name]] == ["gate"]
    assert found.ratio < 0.7
    for size in ((1, 3, 16, 16), (2, 3, 24, 40)):
        x = torch.rand(size)
        with torch.no_grad():
            for a, b in zip(pruned(x), silenced(x), strict=True):
                torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
            assert not torch.allclose(pruned(x)[1], joined(x)[1], atol=1e-3)


def test_readers_of_a_concatenation_keep_the_columns_of_what_each_branch_kept(joined):
    found = plan(joined, EXAMPLE, threshold=0.95, **LOOSE)
    pruned = apply(joined, found)
    columns = [*found.kept["left"], *(8 + i for i in found.kept["right"])]  # reference 9.5

    assert len(columns) < 18
    for reader in ("expand", "beside"):
        rows = list(found.kept[reader])
        assert torch.equal(getattr(pruned, reader).weight, getattr(joined, reader).weight[rows][:, columns])


def test_a_depthwise_kernel_weighs_by_its_window_and_agrees_by_the_groups_criterion(joined):
    """Reference 9.1, 9.3, in plain loops."""

    def statistic(name):
        norms = [float((filter_ * filter_).sum()) ** 0.5 for filter_ in getattr(joined, name).weight.detach().double()]
        return [norm / max(norms) for norm in norms]

    rows = [statistic(name) for name in ("expand", "dwconv", "se_expand")]
    least = [min(column) for column in zip(*rows, strict=True)]
    expected = tuple(i for i, value in enumerate(least) if value > 0.5)

    found = plan(joined, EXAMPLE, threshold=0.5, equalization="intersection", granularity=1, min_filters=1, heads=HEADS)

    assert 1 < len(expected) < 24
    assert found.kept["dwconv"] == found.kept["expand"] == found.kept["se_expand"] == expected


def test_an_excluded_depthwise_layer_keeps_its_feeder_and_its_gate_whole(joined):
    found = plan(joined, EXAMPLE, threshold=0.95, excluded=["dwconv"], **LOOSE)

    assert {name for name, kept in found.kept.items() if len(kept) == found.depths[name]} == {
        "expand",
        "dwconv",
        "se_expand",
        "gate",
    }


def test_a_pruned_network_of_every_joint_is_rebuilt_from_its_channel_counts(joined):
    pruned = apply(joined, plan(joined, EXAMPLE, threshold=0.95, **LOOSE))
    twin = Joined().eval()

    resize(twin, channels_of(pruned))
    twin.load_state_dict(pruned.state_dict())

    x = torch.rand(2, 3, 24, 40)
    assert twin.dwconv.groups == pruned.dwconv.groups < 24
    for a, b in zip(twin(x), pruned(x), strict=True):
        assert torch.equal(a, b)


def test_a_pruned_network_can_be_pruned_again(joined, silence):
    once = apply(joined, plan(joined, EXAMPLE, threshold=0.8, **LOOSE))
    found = rank(once, EXAMPLE, granularity=1, min_filters=1, heads=HEADS).for_share(0.6)
    twice, silenced = apply(once, found), silence(once, found)

    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(twice(x), silenced(x), atol=1e-6, rtol=0)
    assert found.ratio <= 0.6


def test_a_depthwise_layer_on_the_input_itself_stays_whole():
    network = nn.Sequential()
    network.add_module("blur", nn.Conv2d(3, 3, 3, groups=3))
    network.add_module("conv", nn.Conv2d(3, 8, 1))
    network.add_module("head", nn.Conv2d(8, 2, 1))

    assert find_groups(network, EXAMPLE, heads=["head"]) == (Group(("conv",), 8),)


def test_convolutions_in_other_groups_are_refused_by_name():
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 8, 1))
    network.add_module("twofold", nn.Conv2d(8, 16, 3, groups=8))

    with pytest.raises(ModelError) as caught:
        plan(network, EXAMPLE)

    assert str(caught.value) == (
        "prune: twofold has 8 groups of its 8 inputs; only plain convolutions and depthwise ones with one filter a "
        "channel can be pruned"
    )


def test_the_sum_of_a_concatenation_and_a_convolution_is_refused_by_name():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.both = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(3, 10, 1)

        def forward(self, x):
            return torch.cat([self.left(x), self.right(x)], dim=1) + self.both(x)

    with pytest.raises(ModelError) as caught:
        plan(Sum(), EXAMPLE)

    assert str(caught.value) == (
        "prune: left has 4 channels and is joined with both, which has 10, through a concatenation; such layers "
        "cannot be pruned"
    )
