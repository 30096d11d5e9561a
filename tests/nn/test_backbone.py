from __future__ import annotations

import pytest
import torch

from taolite.errors import ModelError
from taolite.nn.archs import ARCHS
from taolite.nn.backbone import layer_letters
from taolite.nn.backbones import BACKBONES, backbone_from_config, build_backbone
from taolite.nn.resnet import DEPTHS, ResNet

torch.set_num_threads(1)


def test_a_walk_names_every_layer_in_order_and_ends_with_the_features():
    network = ResNet(18).eval()
    x = torch.rand(1, 3, 48, 64)

    with torch.no_grad():
        seen = list(network.walk(x))
        features = network(x)

    names = [name for name, _ in seen]
    assert names[:11] == ["conv1", "bn_conv1"] + [
        f"block_1a_{end}"
        for end in ("conv_1", "bn_1", "relu_1", "conv_2", "bn_2", "conv_shortcut", "bn_shortcut", "relu")
    ] + ["block_1b_conv_1"]
    assert names[-1] == "block_4b_relu"
    assert {name for name, layer in network.named_children() if layer.state_dict()} <= set(names)
    assert torch.equal(seen[-1][1], features)
    assert dict(seen)["block_2b_relu"].shape == (1, 128, 6, 8)


def test_letters_of_the_parts_of_a_block_go_on_after_z():
    assert [layer_letters(i) for i in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


def test_every_network_in_the_table_that_specs_are_checked_against_can_be_built():
    assert set(ARCHS) <= set(BACKBONES)
    assert ARCHS["resnet"] == tuple(DEPTHS)


def test_a_spec_s_fields_reach_the_network():
    options = {"use_batch_norm": False, "use_pooling": True, "all_projections": True, "freeze_bn": True}

    with torch.device("meta"):
        network = build_backbone("resnet", num_layers=10, in_channels=1, freeze_blocks=[1.0], **options)
        twin = backbone_from_config({"network": "resnet", **network.config, "num_classes": 3})

    assert isinstance(network, ResNet)
    assert network.config == twin.config
    assert network.config.items() >= {**options, "num_layers": 10, "in_channels": 1, "freeze_blocks": [1]}.items()


def test_an_arch_that_does_not_exist_is_said_with_the_choices():
    with pytest.raises(ModelError) as caught:
        build_backbone("helnet")

    assert str(caught.value) == f"arch is 'helnet'; it needs to be one of {', '.join(BACKBONES)}"
