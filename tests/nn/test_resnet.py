from __future__ import annotations

import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.resnet import DEPTHS, ResNet, sub_block_name

torch.set_num_threads(1)


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def strides(network):
    return {name: m.stride[0] for name, m in network.named_children() if isinstance(m, nn.Conv2d) and m.stride[0] > 1}


def test_layers_of_resnet18_are_called_and_ordered_as_tao_does():
    first = ["conv_1", "bn_1", "conv_2", "bn_2", "conv_shortcut", "bn_shortcut"]
    second = ["conv_1", "bn_1", "conv_2", "bn_2"]
    expected = ["conv1", "bn_conv1"]
    for stage in (1, 2, 3, 4):
        expected += [f"block_{stage}a_{end}" for end in first] + [f"block_{stage}b_{end}" for end in second]

    assert [name for name, layer in ResNet(18).named_children() if layer.state_dict()] == expected


def test_projections_stand_where_each_graph_has_them():
    def projected(**options):
        names = [name for name, _ in ResNet(18, **options).named_children() if name.endswith("conv_shortcut")]
        return [name.removesuffix("_conv_shortcut").removeprefix("block_") for name in names]

    assert projected(graph="tao") == ["1a", "2a", "3a", "4a"]
    assert projected(graph="tao", all_projections=True) == ["1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b"]
    assert projected(graph="torchvision") == ["2a", "3a", "4a"]
    assert projected(graph="torchvision", all_projections=True) == ["2a", "3a", "4a"]


def test_strides_of_the_tao_graph_are_in_the_stem_and_the_first_three_stages():
    first = {"conv1": 2}
    for stage in (1, 2, 3):
        first |= {f"block_{stage}a_conv_1": 2, f"block_{stage}a_conv_shortcut": 2}

    assert strides(ResNet(18)) == first
    assert strides(ResNet(50)) == first


def test_bottlenecks_of_the_torchvision_graph_stride_in_the_middle():
    assert strides(ResNet(50, graph="torchvision")) == {
        "conv1": 2,
        "block_2a_conv_2": 2,
        "block_2a_conv_shortcut": 2,
        "block_3a_conv_2": 2,
        "block_3a_conv_shortcut": 2,
    }


def test_a_max_pool_takes_the_place_of_the_first_stages_stride():
    x = torch.rand(1, 3, 64, 96)

    assert strides(ResNet(10, use_pooling=True)).keys() == {
        "conv1",
        "block_2a_conv_1",
        "block_2a_conv_shortcut",
        "block_3a_conv_1",
        "block_3a_conv_shortcut",
    }
    assert ResNet(10, use_pooling=True).eval()(x).shape == (1, 512, 4, 6)


@pytest.mark.parametrize("graph", ["tao", "torchvision"])
@pytest.mark.parametrize(("final_stride", "grid"), [(16, (3, 5)), (32, (2, 3))])
def test_the_grid_is_the_input_over_the_stride_rounded_up(graph, final_stride, grid):
    network = ResNet(10, graph=graph, final_stride=final_stride).eval()

    with torch.no_grad():
        features = network(torch.rand(1, 3, 48, 80))

    assert (network.stride, network.out_channels) == (final_stride, 512)
    assert features.shape == (1, 512, *grid)


def test_convolutions_and_norms_have_each_graphs_constants():
    tao, torchvision = ResNet(10), ResNet(10, graph="torchvision")

    assert all(m.bias is not None for m in tao.modules() if isinstance(m, nn.Conv2d))
    assert all(m.bias is None for m in torchvision.modules() if isinstance(m, nn.Conv2d))
    assert {(m.eps, m.momentum) for m in norms(tao)} == {(1e-3, 0.01)}
    assert {(m.eps, m.momentum) for m in norms(torchvision)} == {(1e-5, 0.1)}
    assert len(norms(tao)) == 1 + 4 * 3
    assert norms(ResNet(10, use_batch_norm=False)) == []


def test_kernels_of_the_tao_graph_fill_glorots_range_evenly():
    kernel = ResNet(10).get_parameter("block_4a_conv_2.weight")
    limit = (6 / (9 * 512 + 9 * 512)) ** 0.5

    assert kernel.abs().max() <= limit
    assert kernel.abs().max() > 0.999 * limit
    assert kernel.std().item() == pytest.approx(limit / 3**0.5, rel=0.01)


def test_the_torchvision_graph_normalises_its_input_and_keeps_the_constants_out_of_the_state_dict():
    network = ResNet(10, graph="torchvision")
    seen = []
    network.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    network.eval()(torch.tensor([0.485, 0.456, 0.406 + 0.225]).view(1, 3, 1, 1).expand(1, 3, 32, 32))

    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    assert not any("input" in name for name in network.state_dict())


def test_frozen_blocks_keep_their_convolutions_and_train_their_norms():
    network = ResNet(18, freeze_blocks=[0, 2, 2])

    frozen = {name.split(".")[0] for name, p in network.named_parameters() if not p.requires_grad}

    assert network.freeze_blocks == (0, 2)
    assert frozen == {"conv1", *(f"block_2{s}" for s in ("a_conv_1", "a_conv_2", "a_conv_shortcut", "b_conv_1"))} | {
        "block_2b_conv_2"
    }


def test_frozen_norms_use_stored_statistics_also_while_training():
    x = torch.rand(2, 3, 32, 32)
    frozen, free = ResNet(10, freeze_bn=True), ResNet(10)
    before = frozen.bn_conv1.running_mean.clone(), free.bn_conv1.running_mean.clone()

    frozen(x), free(x)

    assert not any(m.training for m in norms(frozen))
    assert torch.equal(frozen.bn_conv1.running_mean, before[0])
    assert not torch.equal(free.bn_conv1.running_mean, before[1])
    assert frozen.bn_conv1.weight.requires_grad
    assert not any(m.training for m in norms(frozen.eval().train()))


@pytest.mark.parametrize("options", [{}, {"graph": "torchvision", "freeze_bn": True}, {"in_channels": 1}])
def test_a_network_is_rebuilt_from_its_config(options):
    network = ResNet(10, freeze_blocks=(1,), **options)

    twin = ResNet(**network.config)
    twin.load_state_dict(network.state_dict())

    x = torch.rand(1, network.in_channels, 32, 32)
    assert twin.config == network.config
    assert torch.equal(twin.eval()(x), network.eval()(x))


def test_channels_last_gives_the_same_features():
    network, x = ResNet(10).eval(), torch.rand(2, 3, 48, 64)

    with torch.no_grad():
        plain = network(x)
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))

    torch.testing.assert_close(last, plain, atol=1e-4, rtol=1e-4)


def test_letters_go_on_after_z():
    assert [sub_block_name(3, i) for i in (0, 1, 25, 26, 35)] == [
        "block_3a",
        "block_3b",
        "block_3z",
        "block_3aa",
        "block_3aj",
    ]
    with torch.device("meta"):
        assert "block_3aj_conv_3" in dict(ResNet(152).named_children())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 20}, "ResNet: num_layers is 20; it needs to be one of 10, 18, 34, 50, 101, 152, 200"),
        ({"graph": "keras"}, "ResNet: graph is keras; it needs to be one of tao, torchvision"),
        ({"in_channels": 4}, "ResNet: in_channels is 4; it needs to be one of 1, 3"),
        ({"final_stride": 8}, "ResNet: final_stride is 8; it needs to be one of 16, 32"),
        ({"freeze_blocks": [1, 5]}, "ResNet: freeze_blocks is 5; it needs to be one of 0, 1, 2, 3, 4"),
    ],
)
def test_what_cannot_be_built_is_said_with_the_choices(options, message):
    with pytest.raises(ModelError) as caught:
        ResNet(**options)

    assert str(caught.value) == message


def test_every_depth_can_be_built():
    with torch.device("meta"):
        layers = {n: sum(isinstance(m, nn.Conv2d) for m in ResNet(n).modules()) for n in DEPTHS}

    # num_layers counts the classifier and no projection: stem + sub-blocks' convolutions + 1.
    assert layers == {n: n - 1 + 4 for n in DEPTHS}
