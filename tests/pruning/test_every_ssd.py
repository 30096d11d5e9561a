"""Every SSD: pruned, it is the dense one without the dropped channels, and its heads keep their outputs; rebuilt it
stays that."""

from __future__ import annotations

import json

import pytest
import torch

from taolite.nn.structure import channels_of
from taolite.pruning.groups import find_groups
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan
from taolite.tasks.ssd.model import build, build_ssd, quantize_features
from taolite.tasks.ssd.plan import NetworkPlan
from taolite.tasks.ssd.priors import jetson_levels, tao_levels
from taolite.tasks.ssd.use import HEADS

from .pruned import assert_masked_is_cut, assert_prunes, spread_filters

torch.set_num_threads(1)

NETWORKS = [
    NetworkPlan("mb1-ssd", (64, 64)),
    NetworkPlan("mb1-ssd-lite", (64, 64)),
    NetworkPlan("mb2-ssd-lite", (64, 64), width_mult=0.5),
    NetworkPlan("sq-ssd-lite", (64, 64)),
    NetworkPlan("tao", (64, 96), arch="resnet", num_layers=10, pred_num_channels=256),
    NetworkPlan("tao", (64, 96), arch="mobilenet_v2"),
    pytest.param(NetworkPlan("vgg16-ssd", (272, 272)), marks=pytest.mark.slow),
    pytest.param(NetworkPlan("tao", (64, 96), arch="efficientnet_b0"), marks=pytest.mark.slow),
    pytest.param(NetworkPlan("tao", (64, 96), arch="squeezenet"), marks=pytest.mark.slow),
]


def dense(network_plan, livelier):
    def plan_priors(sizes):
        if network_plan.net != "tao":
            return jetson_levels(network_plan.net, network_plan.input_hw[0], sizes)
        return tao_levels(
            sizes,
            input_hw=network_plan.input_hw,
            aspect_ratios=[(1.0, 2.0)] * 6,
            scales=[0.1 * i for i in range(1, 8)],
            two_boxes_for_ar1=True,
            variances=(0.1, 0.1, 0.2, 0.2),
        )

    torch.manual_seed(1)
    network = build_ssd(network_plan, 2, plan_priors)
    spread_filters(network)
    return livelier(network).eval()


def label(value):
    return f"{value.net}-{value.arch}".rstrip("-")


@pytest.mark.parametrize("network_plan", NETWORKS, ids=label)
def test_the_pruned_ssd_is_the_dense_one_with_the_dropped_channels_silenced_and_comes_back_from_json(
    network_plan, livelier, silence
):
    network = dense(network_plan, livelier)
    x = torch.rand(1, 3, *network_plan.input_hw)

    found = plan(network, x, threshold=0.5, heads=HEADS)
    pruned, silenced = apply(network, found), silence(network, found)

    if network.tap_norm is not None:  # it reads the first map behind its ReLU, so that the fixture does not see it
        name = network.taps[0].replace("relu", "conv_1")
        with torch.no_grad():
            for tensor in silenced.tap_norm.parameters():
                tensor[sorted({*range(found.depths[name])} - {*found.kept[name]})] = 0
    twin = build(json.loads(json.dumps(pruned.architecture()))).eval()
    twin.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        for a, b in zip(twin(x), pruned(x), strict=True):
            assert torch.equal(a, b)
    # in double precision, so that rounding does not pass for a difference
    networks = (one.double().forward_logits for one in (pruned, silenced, network))
    assert_prunes(*networks, x.double(), atol=1e-6, rtol=1e-6)
    assert found.ratio < 0.9
    assert not {*found.kept} & {*HEADS}
    assert all(counts[1] == channels_of(network)[path][1] for path, counts in channels_of(pruned).items() if head(path))


@pytest.mark.parametrize("network_plan", NETWORKS, ids=label)
def test_the_silenced_ssd_is_the_cut_one_and_both_are_counted_beforehand(network_plan, livelier):
    network = dense(network_plan, livelier)

    assert_masked_is_cut(
        network, lambda one: one.forward_logits, torch.rand(1, 3, *network_plan.input_hw), heads=HEADS, granularity=4
    )


def head(path):
    return path.rpartition(".")[2] in HEADS


def test_a_map_that_its_heads_and_the_next_layer_read_loses_its_channels_in_both(livelier):
    network = dense(NetworkPlan("mb1-ssd", (64, 64)), livelier)

    found = plan(network, torch.zeros(1, 3, 64, 64), threshold=0.6, heads=HEADS)

    counts = channels_of(apply(network, found))
    kept = len(found.kept["ssd_extra_0_conv_1"])
    assert kept < 512
    readers = ("extras.1.ssd_extra_1_conv_0", "conf_heads.2.ssd_conf_2", "loc_heads.2.ssd_loc_2")
    assert [counts[path][0] for path in readers] == [kept] * 3
    kept = len(found.kept["conv_pw_11"])
    readers = ("backbone.conv_dw_12", "conf_heads.0.ssd_conf_0", "loc_heads.0.ssd_loc_0")
    assert kept < 512
    assert [counts[path][0] for path in readers] == [kept] * 3


def test_a_depthwise_head_goes_with_what_it_reads_also_where_that_is_a_concatenation(livelier):
    lite = dense(NetworkPlan("mb1-ssd-lite", (64, 64)), livelier)
    found = plan(lite, torch.zeros(1, 3, 64, 64), threshold=0.6, heads=HEADS).kept
    assert found["ssd_conf_1_dw"] == found["ssd_loc_1_dw"] == found["conv_pw_13"]

    fires = dense(NetworkPlan("sq-ssd-lite", (64, 64)), livelier)
    found = plan(fires, torch.zeros(1, 3, 64, 64), threshold=0.6, heads=HEADS).kept
    one, three = (found[f"fire8_expand_conv{kernel}"] for kernel in ("1x1", "3x3"))
    assert len(one) + len(three) < 512
    assert found["ssd_conf_0_dw"] == found["ssd_loc_0_dw"] == (*one, *(256 + index for index in three))


def test_a_concatenation_stays_whole_where_the_depthwise_convolution_on_it_is_excluded(livelier):
    network = dense(NetworkPlan("sq-ssd-lite", (64, 64)), livelier)
    x = torch.zeros(1, 3, 64, 64)

    found = plan(network, x, threshold=0.9, heads=HEADS, excluded=["ssd_conf_0_dw"]).kept

    groups = {group.members: group.followers for group in find_groups(network, x, heads=HEADS)}
    assert set(groups["fire8_expand_conv3x3",]) == {"ssd_conf_0_dw", "ssd_loc_0_dw"}
    names = ("fire8_expand_conv1x1", "fire8_expand_conv3x3", "ssd_conf_0_dw", "ssd_loc_0_dw")
    assert [len(found[name]) for name in names] == [256, 256, 512, 512]
    assert len(found["fire9_expand_conv3x3"]) < 256


def test_a_pruned_ssd_trains_on_with_new_heads_and_quantised(livelier):
    network = dense(NetworkPlan("mb2-ssd-lite", (64, 64), width_mult=0.5), livelier)
    pruned = apply(network, plan(network, torch.zeros(1, 3, 64, 64), threshold=0.5, heads=HEADS))

    pruned.renew_heads(4)
    quantize_features(pruned)
    logits, offsets = pruned.train()(torch.rand(2, 3, 64, 64))
    (logits.mean() + offsets.mean()).backward()

    twin = build(json.loads(json.dumps(pruned.architecture()))).eval()
    twin.load_state_dict(pruned.state_dict())
    assert all(parameter.grad is not None for parameter in pruned.parameters())
    with torch.no_grad():
        x = torch.rand(1, 3, 64, 64)
        assert torch.equal(twin(x)[0], pruned.eval()(x)[0])
