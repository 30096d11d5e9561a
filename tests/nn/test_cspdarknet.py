"""CSPDarkNet 19, 53 and tiny: sizes, names, activations, freezing. Their arithmetic is in test_keras.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.cspdarknet import CSPDarkNet, CSPDarkNetTiny

torch.set_num_threads(1)


def meta(make, **options):
    with torch.device("meta"):
        return make(**options)


def count(network, kind=nn.Module):
    return sum(p.numel() for layer in network.children() if isinstance(layer, kind) for p in layer.parameters())


def names(network, size=64):
    return [name for name, _ in network.eval().walk(torch.empty(1, 3, size, size, device="meta"))]


def stage(w, pairs):
    """Weights of a stage of width `w`: in from w / 2, past and through, `pairs` of 1x1 and 3x3 inside, and the two
    behind them."""
    half = w // 2
    return 9 * half * w + 2 * w * half + pairs * 10 * half * half + half * half + w * w


def test_19_and_53_are_the_darknets_whose_stages_split_their_channels():
    nineteen = sum(stage(w, pairs) for w, pairs in ((128, 1), (256, 1), (512, 2), (1024, 2)))
    assert count(meta(CSPDarkNet, num_layers=19), nn.Conv2d) == 9 * 3 * 32 + 9 * 32 * 64 + nineteen

    fifty_three = sum(stage(w, pairs) for w, pairs in ((128, 2), (256, 8), (512, 8), (1024, 4)))
    # the first stage has 64 channels on either side, and 32 in its unit
    first = 9 * 32 * 64 + 2 * 64 * 64 + 64 * 32 + 9 * 32 * 64 + 64 * 64 + 128 * 64
    assert count(meta(CSPDarkNet, num_layers=53), nn.Conv2d) == 9 * 3 * 32 + first + fifty_three


def test_tiny_has_the_weights_of_its_blocks():
    blocks = sum(9 * i * w + 2 * 9 * (w // 2) ** 2 + w * w for i, w in ((64, 64), (128, 128), (256, 256)))
    assert count(meta(CSPDarkNetTiny), nn.Conv2d) == 9 * (3 * 32 + 32 * 64 + 512 * 512) + blocks


def test_layers_are_called_what_tao_calls_them():
    bare = {"use_batch_norm": False}
    nineteen = [name for name in names(meta(CSPDarkNet, num_layers=19, **bare)) if not name.endswith("_mish")]
    fifty_three = [name for name in names(meta(CSPDarkNet, num_layers=53, **bare)) if not name.endswith("_mish")]
    tiny = [name for name in names(meta(CSPDarkNetTiny, **bare)) if not name.endswith("_mish")]

    assert nineteen[:5] == ["conv1", "maxpool_1", "b1_conv1", "maxpool_2", "b2_conv1"]
    assert nineteen[5:12] == [
        "b2_part1", "b2_part2", "b2_conv2", "b2_conv3", "b2_partial_trans", "b2_concat", "b2_final_trans"
    ]  # fmt: skip
    assert fifty_three[:9] == [
        "conv1", "conv2", "conv2_1", "conv2_2", "b1_conv1_1", "b1_conv1_2", "b1_add1", "b1_partial_trans", "b1_concat"
    ]  # fmt: skip
    assert fifty_three[-2:] == ["b5_concat", "b5_final_trans"]
    assert tiny[:10] == [
        "conv_0", "conv_1", "conv_2_conv_0", "conv_2_split_0", "conv_2_conv_1", "conv_2_conv_2", "conv_2_concat_0",
        "conv_2_conv_3", "conv_2_concat_1", "conv_2_pool_0",
    ]  # fmt: skip
    assert names(meta(CSPDarkNetTiny))[:3] == ["conv_0", "conv_0_bn", "conv_0_mish"]
    for make in (CSPDarkNet, CSPDarkNetTiny):
        network = meta(make)
        passed = names(network)
        assert len(set(passed)) == len(passed)
        assert {name for name, _ in network.named_children()} <= set(passed)


@pytest.mark.parametrize(
    ("activation", "definition"),
    [
        ("leaky_relu", lambda x: np.where(x > 0, x, 0.1 * x)),
        ("relu", lambda x: np.maximum(x, 0)),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ],
)
@pytest.mark.parametrize("make", [CSPDarkNetTiny, lambda: CSPDarkNet(19)])
def test_every_activation_is_the_one_that_was_set(make, activation, definition):
    network = make().eval()
    network.activation = activation

    with torch.no_grad():
        seen = {name: a.double().numpy() for name, a in network.walk(torch.randn(1, 3, 64, 64))}

    checked = [name for name in seen if name.endswith("_mish")]
    assert len(checked) == len(list(network.children())) // 2
    for name in checked:
        before = seen[name.replace("_mish", "_bn")]
        assert (before < 0).any()
        np.testing.assert_allclose(seen[name], definition(before), rtol=1e-4, atol=1e-6)


def frozen(make, block, **options):
    network = meta(make, freeze_blocks=[block], **options)
    return [name for name, p in network.named_parameters() if not p.requires_grad]


def test_frozen_blocks_are_taos():
    assert frozen(CSPDarkNet, 0) == ["conv1.weight"]
    assert frozen(CSPDarkNet, 1)[:3] == ["conv2.weight", "conv2_1.weight", "conv2_2.weight"]
    assert len(frozen(CSPDarkNet, 5)) == 3 + 4 * 2 + 2
    assert frozen(CSPDarkNet, 1, num_layers=19) == ["b1_conv1.weight"]
    assert frozen(CSPDarkNetTiny, 1) == ["conv_1.weight"]
    assert frozen(CSPDarkNetTiny, 3) == [f"conv_3_conv_{part}.weight" for part in range(4)]


def test_another_depth_is_refused():
    with pytest.raises(ModelError) as caught:
        CSPDarkNet(34)

    assert str(caught.value) == "CSPDarkNet: num_layers is 34; it needs to be one of 19, 53"
