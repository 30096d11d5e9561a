from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import ModelError, UsageError
from taolite.pruning.groups import Group, find_groups
from taolite.pruning.plan import Plan, apply
from taolite.pruning.ranking import plan, rank
from taolite.pruning.surgery import count_parameters

torch.set_num_threads(1)


class Residual(nn.Module):
    """Stem -> a unit with projection -> a unit with identity -> depthwise pair -> two heads, named as TAO would."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()

        def layer(i, o, **options):
            return nn.Conv2d(i, o, 3, padding=1, bias=bias, **options)

        self.conv1, self.bn_conv1 = layer(3, 12), nn.BatchNorm2d(12)
        self.a_conv_1, self.a_bn_1 = layer(12, 10), nn.BatchNorm2d(10)
        self.a_conv_2, self.a_bn_2 = layer(10, 16), nn.BatchNorm2d(16)
        self.a_shortcut, self.a_bn_s = nn.Conv2d(12, 16, 1, bias=bias), nn.BatchNorm2d(16)
        self.b_conv_1, self.b_bn_1 = layer(16, 14), nn.BatchNorm2d(14)
        self.b_conv_2, self.b_bn_2 = layer(14, 16), nn.BatchNorm2d(16)
        self.wide, self.bn_wide = nn.Conv2d(16, 20, 1, bias=bias), nn.BatchNorm2d(20)
        self.deep, self.bn_deep = layer(20, 20, groups=20), nn.BatchNorm2d(20)
        self.output_cov, self.output_bbox = nn.Conv2d(20, 2, 1), nn.Conv2d(20, 8, 1)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)

    def forward(self, x):
        x = torch.relu(self.bn_conv1(self.conv1(x)))
        y = self.a_bn_2(self.a_conv_2(torch.relu(self.a_bn_1(self.a_conv_1(x)))))
        x = torch.relu(y + self.a_bn_s(self.a_shortcut(x)))
        x = torch.relu(x + self.b_bn_2(self.b_conv_2(torch.relu(self.b_bn_1(self.b_conv_1(x))))))
        x = torch.relu(self.bn_deep(self.deep(torch.relu(self.bn_wide(self.wide(x))))))
        return torch.sigmoid(self.output_cov(x)), self.output_bbox(x)


HEADS = ("output_cov", "output_bbox")
NORMS = {  # the batch norm on each convolution
    "conv1": "bn_conv1",
    "a_conv_1": "a_bn_1",
    "a_conv_2": "a_bn_2",
    "a_shortcut": "a_bn_s",
    "b_conv_1": "b_bn_1",
    "b_conv_2": "b_bn_2",
    "wide": "bn_wide",
    "deep": "bn_deep",
}
EXAMPLE = torch.zeros(1, 3, 8, 8)
LOOSE = {"granularity": 2, "min_filters": 4, "heads": HEADS}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Residual().eval()


def slow_plan(model, groups, *, threshold, normalizer, equalization, granularity, min_filters):
    """Reference 9.1 to 9.3 in plain loops over tensors."""
    kept = {}
    for members in groups:
        rows = []
        for name in members:
            weight = getattr(model, name).weight.detach().double()
            norms = [float((weight[f] ** 2).sum() ** 0.5) for f in range(len(weight))]
            if normalizer == "max":
                rows.append([n / max(norms) for n in norms])
            else:
                rows.append([n / sum(m * m for m in norms) ** 0.5 * len(norms) for n in norms])
        combine = {
            "union": max,
            "intersection": min,
            "arithmetic_mean": lambda column: sum(column) / len(column),
            "geometric_mean": lambda column: float(np.prod(column)) ** (1 / len(column)),
        }[equalization]
        statistic = [combine(column) for column in zip(*rows, strict=True)]
        depth = len(statistic)
        keep = max(sum(s > threshold for s in statistic), min(min_filters, depth))
        keep = min(-(-keep // granularity) * granularity, depth)
        best = sorted(range(depth), key=lambda i: -statistic[i])[:keep]
        for name in members:
            kept[name] = tuple(sorted(best))
    return kept


GROUPS = (("conv1",), ("a_conv_1",), ("a_conv_2", "a_shortcut", "b_conv_2"), ("b_conv_1",), ("wide", "deep"))


def test_added_layers_and_depthwise_pairs_are_groups_and_heads_are_none(model):
    groups = find_groups(model, EXAMPLE, heads=HEADS)

    assert groups == tuple(Group(members, getattr(model, members[0]).out_channels) for members in GROUPS)


def test_finding_groups_leaves_the_model_as_it_was(model):
    model.conv1.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    with torch.no_grad():
        find_groups(model.train(), EXAMPLE, heads=HEADS)

    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.conv1.weight.requires_grad


@pytest.mark.parametrize("normalizer", ["max", "L2"])
@pytest.mark.parametrize("equalization", ["union", "intersection", "arithmetic_mean", "geometric_mean"])
def test_every_plan_follows_the_slow_one(model, normalizer, equalization):
    middle = {"max": 0.93, "L2": 1.0 * 16**0.5}[normalizer]
    rule = {"normalizer": normalizer, "equalization": equalization, "granularity": 2, "min_filters": 4}

    found = plan(model, EXAMPLE, threshold=middle, heads=HEADS, **rule)

    assert dict(found.kept) == slow_plan(model, GROUPS, threshold=middle, **rule)
    assert found.ratio < 1


def test_the_equalisations_keep_in_their_known_order(model):
    kept = [
        len(
            plan(model, EXAMPLE, threshold=0.95, equalization=e, granularity=1, min_filters=1, heads=HEADS).kept[
                "a_conv_2"
            ]
        )
        for e in ("union", "arithmetic_mean", "geometric_mean", "intersection")
    ]

    assert kept == sorted(kept, reverse=True)
    assert kept[0] > kept[-1]


@pytest.mark.parametrize("bias", [True, False])
def test_a_pruned_network_is_the_dense_one_with_the_dropped_channels_silenced(bias):
    torch.manual_seed(4)
    dense = Residual(bias=bias).eval()
    found = plan(dense, EXAMPLE, threshold=0.95, **LOOSE)
    pruned = apply(dense, found)

    silenced = Residual(bias=bias).eval()
    silenced.load_state_dict(dense.state_dict())
    with torch.no_grad():
        for name, norm in NORMS.items():
            gone = sorted(set(range(found.depths[name])) - set(found.kept[name]))
            getattr(silenced, norm).weight[gone] = 0
            getattr(silenced, norm).bias[gone] = 0

    assert found.ratio < 0.8
    for size in ((1, 3, 8, 8), (2, 3, 12, 20)):
        x = torch.rand(size)
        with torch.no_grad():
            for a, b in zip(pruned(x), silenced(x), strict=True):
                torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
            assert not torch.allclose(pruned(x)[1], dense(x)[1], atol=1e-3)


def test_slices_are_the_kept_rows_and_columns(model):
    found = plan(model, EXAMPLE, threshold=0.95, **LOOSE)
    pruned = apply(model, found)
    stem, sum_, deep = (list(found.kept[name]) for name in ("conv1", "a_conv_2", "deep"))

    assert torch.equal(pruned.conv1.weight, model.conv1.weight[stem])
    assert torch.equal(pruned.conv1.bias, model.conv1.bias[stem])
    assert torch.equal(pruned.bn_conv1.running_var, model.bn_conv1.running_var[stem])
    assert torch.equal(pruned.a_shortcut.weight, model.a_shortcut.weight[sum_][:, stem])
    assert torch.equal(pruned.deep.weight, model.deep.weight[deep])
    assert torch.equal(pruned.output_cov.weight, model.output_cov.weight[:, deep])
    assert torch.equal(pruned.output_cov.bias, model.output_cov.bias)


def test_applying_keeps_what_trains_and_leaves_the_dense_model_alone(model):
    model.train()
    model.bn_conv1.eval()
    model.a_conv_1.requires_grad_(False)
    total = count_parameters(model)

    pruned = apply(model, plan(model, EXAMPLE, threshold=0.95, **LOOSE))

    assert count_parameters(model) == total
    assert {n for n, p in pruned.named_parameters() if not p.requires_grad} == {"a_conv_1.weight", "a_conv_1.bias"}
    assert {n for n, m in pruned.named_modules() if not m.training} == {"bn_conv1"}


def test_the_ratio_counts_parameters_and_moving_statistics(model):
    found = plan(model, EXAMPLE, threshold=0.95, **LOOSE)

    def keras_count(network):
        running = [b for name, b in network.named_buffers() if "running_" in name]
        return sum(t.numel() for t in [*network.parameters(), *running])

    assert found.parameters_before == keras_count(model)
    assert found.parameters_after == keras_count(apply(model, found))
    assert found.ratio == found.parameters_after / found.parameters_before


def test_a_tiny_threshold_on_a_healthy_network_removes_nothing(model):
    found = plan(model, EXAMPLE, threshold=0.0000052, heads=HEADS)

    assert found.ratio == 1.0
    assert all(found.kept[name] == tuple(range(found.depths[name])) for name in found.kept)


def test_an_excluded_layer_keeps_its_whole_group_and_no_other(model):
    free = plan(model, EXAMPLE, threshold=0.95, **LOOSE)
    found = plan(model, EXAMPLE, threshold=0.95, excluded=["a_shortcut", "output_cov"], **LOOSE)

    whole = {"a_conv_2", "a_shortcut", "b_conv_2"}
    assert all(found.kept[name] == tuple(range(16)) for name in whole)
    assert {n: k for n, k in found.kept.items() if n not in whole} == {
        n: k for n, k in free.kept.items() if n not in whole
    }
    assert apply(model, found).output_cov.in_channels == len(found.kept["deep"]) < 20


def test_a_layer_that_the_network_does_not_use_is_left_alone(model):
    model.spare = nn.Conv2d(3, 4, 1)

    found = plan(model, EXAMPLE, threshold=0.95, **LOOSE)

    assert "spare" not in found.kept
    assert torch.equal(apply(model, found).spare.weight, model.spare.weight)


def test_layers_are_named_by_the_last_part_of_their_path(model):
    outer = nn.Sequential(OrderedDict(backbone=model))

    found = plan(outer, EXAMPLE, threshold=0.95, excluded=["conv1"], **LOOSE)

    assert set(found.kept) == set(NORMS)
    assert len(found.kept["conv1"]) == 12


def test_a_plan_survives_json_and_applies_the_same(model):
    found = plan(model, EXAMPLE, threshold=0.95, excluded=["conv1"], **LOOSE)

    again = Plan.from_json(json.loads(json.dumps(found.to_json())))

    assert again == found
    for a, b in zip(apply(model, again).parameters(), apply(model, found).parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_threshold_for_a_target_is_the_smallest_that_reaches_it(model):
    rule = {"granularity": 1, "min_filters": 2, "heads": HEADS}
    ranking = rank(model, EXAMPLE, **rule)

    threshold = ranking.for_share(0.5).settings["threshold"]

    reached = plan(model, EXAMPLE, threshold=threshold, **rule)
    just_below = plan(model, EXAMPLE, threshold=np.nextafter(threshold, 0), **rule)
    assert reached.ratio <= 0.5 < just_below.ratio
    assert rank(model, EXAMPLE, **rule).for_share(0.5).settings["threshold"] == threshold
    assert ranking.for_share(1.0).settings["threshold"] == 0.0


def error(kind, call):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_a_target_out_of_reach_says_how_far_it_goes(model):
    rule = {"granularity": 8, "min_filters": 16, "heads": HEADS}
    least = plan(model, EXAMPLE, threshold=2.0, **rule).ratio

    assert error(UsageError, lambda: rank(model, EXAMPLE, **rule).for_share(0.1)) == (
        f"prune: no threshold leaves 0.1 of the parameters; with -nf 16, -pg 8 and these exclusions {least:.3g} is the "
        "smallest fraction. Lower -nf or -pg, or exclude fewer layers"
    )


def test_arguments_that_cannot_be_meant_are_refused(model):
    def message(**options):
        return error(UsageError, lambda: plan(model, EXAMPLE, heads=HEADS, **options))

    assert message(excluded=["a_convv_1"]) == (
        "prune: -el a_convv_1 is no convolution of this model; did you mean a_conv_1 or b_conv_1 or a_conv_2?"
    )
    assert message(excluded=["zzzzzz"]) == (
        "prune: -el zzzzzz is no convolution of this model; names are such as conv1"
    )
    assert message(normalizer="L1") == "prune: -n is 'L1'; it needs to be one of max, L2"
    assert message(equalization="mean") == (
        "prune: -eq is 'mean'; it needs to be one of union, intersection, arithmetic_mean, geometric_mean"
    )
    assert message(threshold=float("nan")) == "prune: -pth is nan; it needs to be a number of 0 or more"
    assert message(granularity=0) == "prune: -pg is 0; it needs to be 1 or more"
    assert message(min_filters=0) == "prune: -nf is 0; it needs to be 1 or more"


def test_a_plan_for_another_network_is_refused(model):
    found = plan(model, EXAMPLE, threshold=0.95, **LOOSE)
    pruned = apply(model, found)
    stem = len(found.kept["conv1"])

    assert error(ModelError, lambda: apply(pruned, found)) == (
        f"the pruning plan was made for another network: conv1 had 12 outputs, and here it has {stem}"
    )
    broken = Plan.from_json({**found.to_json(), "kept": {"conv1": [3, 3]}})
    assert error(ModelError, lambda: apply(model, broken)) == (
        "the pruning plan's channels of conv1 need to be ascending, from 0 to 11"
    )
