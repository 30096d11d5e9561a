"""VGG, DarkNet, SqueezeNet and GoogLeNet: sizes, names, arithmetic, freezing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.archs import ARCHS
from taolite.nn.backbones import BACKBONES, backbone_from_config, build_backbone
from taolite.nn.darknet import DarkNet
from taolite.nn.googlenet import GoogLeNet
from taolite.nn.squeezenet import SqueezeNet
from taolite.nn.vgg import VGG

torch.set_num_threads(1)

NETWORKS = [("vgg", 16), ("vgg", 19), ("darknet", 19), ("darknet", 53), ("squeezenet", 0), ("googlenet", 0)]


def meta(arch, num_layers=0, **options):
    with torch.device("meta"):
        return build_backbone(arch, num_layers=num_layers, **options)


def parameters(network, *kinds):
    return sum(p.numel() for m in network.modules() if isinstance(m, kinds) for p in m.parameters())


def convolutions(network):
    return {name: m for name, m in network.named_children() if isinstance(m, nn.Conv2d)}


def names(network, size=64):
    return [name for name, _ in network.eval().walk(torch.empty(1, network.in_channels, size, size, device="meta"))]


@pytest.mark.parametrize("num_layers", [16, 19])
def test_a_vgg_has_as_many_weights_as_torchvisions(num_layers):
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        features = getattr(torchvision.models, f"vgg{num_layers}")(weights=None).features

    assert parameters(meta("vgg", num_layers), nn.Conv2d) == sum(p.numel() for p in features.parameters())
    # A gamma and a beta for each of 64 64 128 128 256 ... channels.
    channels = sum(m.out_channels for m in features if isinstance(m, nn.Conv2d))
    assert parameters(meta("vgg", num_layers), nn.BatchNorm2d) == 2 * channels


def test_a_squeezenet_has_as_many_weights_as_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        features = torchvision.models.squeezenet1_0(weights=None).features

    assert parameters(meta("squeezenet"), nn.Conv2d) == sum(p.numel() for p in features.parameters())
    assert parameters(meta("squeezenet", use_batch_norm=True), nn.BatchNorm2d) == 0


def test_a_googlenet_has_torchvisions_weights_with_biases_and_true_5x5_kernels():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        other = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False)

    biases = sum(m.out_channels for m in other.modules() if isinstance(m, nn.Conv2d))
    inceptions = [m for name, m in other.named_children() if name.startswith("inception")]
    wider = sum((25 - 9) * m.branch3[1].conv.in_channels * m.branch3[1].conv.out_channels for m in inceptions)
    assert len(inceptions) == 9
    assert parameters(meta("googlenet"), nn.Conv2d) == parameters(other, nn.Conv2d) + biases + wider
    assert parameters(meta("googlenet"), nn.BatchNorm2d) == parameters(other, nn.BatchNorm2d)


def test_the_darknets_have_the_papers_weights():
    # 3x3 from 3 to 32; then a stage of width w: from w/2, per pair 1x1 down to w/2 and 3x3 up to w. No biases.
    def pair(w):
        return w * (w // 2) + 9 * (w // 2) * w

    widths = (64, 128, 256, 512, 1024)
    nineteen = 9 * 3 * 32 + sum(9 * (w // 2) * w + k * pair(w) for w, k in zip(widths, (0, 1, 1, 2, 2), strict=True))
    fifty_three = 9 * 3 * 32 + sum(9 * (w // 2) * w + k * pair(w) for w, k in zip(widths, (1, 2, 8, 8, 4), strict=True))

    assert parameters(meta("darknet", 19), nn.Conv2d) == nineteen
    assert parameters(meta("darknet", 53), nn.Conv2d) == fifty_three
    assert len(convolutions(meta("darknet", 19))) == 19 - 1
    assert len(convolutions(meta("darknet", 53))) == 53 - 1


@pytest.mark.parametrize(
    ("arch", "num_layers", "options", "shape"),
    [
        ("vgg", 16, {}, (512, 7, 9)),
        ("vgg", 19, {"use_pooling": True}, (512, 6, 8)),
        ("darknet", 19, {}, (1024, 3, 4)),
        ("darknet", 53, {}, (1024, 4, 5)),
        ("squeezenet", 0, {"in_channels": 1}, (512, 7, 9)),
        ("googlenet", 0, {"use_batch_norm": False}, (1024, 6, 8)),
    ],
)
def test_strides_round_the_grid_up_and_2x2_pools_round_it_down(arch, num_layers, options, shape):
    network = meta(arch, num_layers, **options)

    features = network.eval()(torch.empty(1, network.in_channels, 101, 131, device="meta"))

    assert features.shape == (1, *shape)
    assert network.out_channels == shape[0]
    assert network.stride == {"darknet": 32}.get(arch, 16)


@pytest.mark.parametrize(("arch", "num_layers"), NETWORKS)
def test_a_walk_passes_every_layer_once(arch, num_layers):
    network = meta(arch, num_layers)
    passed = names(network)

    assert len(set(passed)) == len(passed)
    assert {name for name, layer in network.named_children() if layer.state_dict()} <= set(passed)


def test_layers_are_called_what_tao_calls_them():
    assert names(meta("vgg", 16))[3:9] == [
        "block_1b_conv_1",
        "block_1b_bn_1",
        "block_1b_relu",
        "block_2a_conv_1",
        "block_2a_bn_1",
        "block_2a_relu",
    ]
    assert names(meta("vgg", 16, use_pooling=True, use_batch_norm=False))[2:6] == [
        "block_1b_conv_1",
        "block_1b_relu",
        "block1_pool",
        "block_2a_conv_1",
    ]
    assert names(meta("darknet", 19))[:5] == ["conv1", "conv1_bn", "conv1_lrelu", "maxpool_1", "b1_conv1"]
    assert names(meta("darknet", 53))[6:13] == [
        "b1_conv1_1",
        "b1_conv1_1_bn",
        "b1_conv1_1_lrelu",
        "b1_conv1_2",
        "b1_conv1_2_bn",
        "b1_conv1_2_lrelu",
        "b1_add1",
    ]
    assert names(meta("squeezenet"))[:10] == [
        "conv1",
        "conv1_relu",
        "pool1",
        "fire2_squeeze_conv",
        "fire2_squeeze",
        "fire2_expand_conv1x1",
        "fire2_expand_1x1",
        "fire2_expand_conv3x3",
        "fire2_expand_3x3",
        "fire2",
    ]
    assert [name for name in names(meta("googlenet")) if not name.endswith("bn")][:15] == [
        "conv1",
        "bn_conv1",
        "pool1",
        "conv2_reduce",
        "bn_conv2_reduce",
        "conv2",
        "bn_conv2",
        "pool2",
        "inception_3a_1x1",
        "inception_3a_3x3_reduce",
        "inception_3a_3x3",
        "inception_3a_5x5_reduce",
        "inception_3a_5x5",
        "inception_3a_pool",
        "inception_3a_pool_proj",
    ]


def test_pools_stand_where_the_grid_halves():
    def pools(network):
        return [name for name in names(network) if "pool" in name and "inception" not in name]

    assert pools(meta("vgg", 19, use_pooling=True)) == [f"block{k}_pool" for k in (1, 2, 3, 4)]
    assert pools(meta("darknet", 19)) == [f"maxpool_{k}" for k in (1, 2, 3, 4, 5)]
    assert pools(meta("squeezenet")) == ["pool1", "pool4", "pool8"]
    assert pools(meta("googlenet")) == ["pool1", "pool2", "pool3"]
    with torch.device("meta"):
        assert pools(GoogLeNet(final_stride=32)) == ["pool1", "pool2", "pool3", "pool4"]
    strided = {name: m.stride for name, m in convolutions(meta("vgg", 16)).items() if m.stride != (1, 1)}
    assert strided == {f"block_{k}a_conv_1": (2, 2) for k in (2, 3, 4, 5)}


def test_kernels_fill_glorots_range_biases_are_zero_and_norms_have_keras_constants():
    torch.manual_seed(0)
    network = SqueezeNet()
    kernel = network.get_parameter("fire9_expand_conv3x3.weight")
    limit = (6 / (9 * 64 + 9 * 256)) ** 0.5

    assert 0.999 * limit < kernel.abs().max() <= limit
    assert all(m.bias is not None and not m.bias.any() for m in convolutions(network).values())
    assert all(m.bias is not None for m in convolutions(meta("vgg", 16)).values())
    assert all(m.bias is not None for m in convolutions(meta("googlenet")).values())
    assert all(m.bias is None for m in convolutions(meta("darknet", 53, use_batch_norm=False)).values())
    for arch, num_layers in NETWORKS:
        norms = [m for m in meta(arch, num_layers).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, m.momentum) for m in norms} == (set() if arch == "squeezenet" else {(1e-3, 0.01)})


def frozen(arch, num_layers, block):
    network = meta(arch, num_layers, freeze_blocks=[block])
    return [name for name, conv in convolutions(network).items() if not conv.weight.requires_grad]


def test_frozen_blocks_are_taos():
    assert frozen("vgg", 16, 5) == ["block_5a_conv_1", "block_5b_conv_1", "block_5c_conv_1"]
    assert frozen("darknet", 53, 0) == ["conv1"]
    assert frozen("darknet", 53, 2) == ["conv3", "b2_conv1_1", "b2_conv1_2", "b2_conv2_1", "b2_conv2_2"]
    assert frozen("darknet", 19, 2) == ["b2_conv1", "b2_conv2", "b2_conv3"]
    assert frozen("squeezenet", 0, 1) == ["fire2_squeeze_conv", "fire2_expand_conv1x1", "fire2_expand_conv3x3"]
    assert frozen("googlenet", 0, 0) == ["conv1", "conv2_reduce", "conv2"]
    branches = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    assert frozen("googlenet", 0, 9) == [f"inception_5b_{branch}" for branch in branches]


@pytest.mark.parametrize(("arch", "num_layers"), NETWORKS)
def test_every_convolution_is_in_one_block_and_norms_train_in_frozen_ones(arch, num_layers):
    network = meta(arch, num_layers, freeze_blocks=BACKBONES[arch].blocks)

    training = {name.rpartition(".")[0] for name, p in network.named_parameters() if p.requires_grad}

    assert not training & set(convolutions(network))
    assert training == {name for name, m in network.named_children() if isinstance(m, nn.BatchNorm2d)}


@pytest.mark.parametrize(("arch", "num_layers"), NETWORKS)
def test_a_network_comes_back_from_its_config(arch, num_layers):
    network = meta(arch, num_layers, in_channels=1, use_pooling=True, freeze_blocks=[1], freeze_bn=True)

    with torch.device("meta"):
        twin = backbone_from_config({"network": arch, **network.config})

    assert twin.config == network.config
    assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in network.named_parameters()}
    assert not any(m.training for m in twin.modules() if isinstance(m, nn.BatchNorm2d))


def test_what_cannot_be_built_is_said_with_the_choices():
    def message(make):
        with pytest.raises(ModelError) as caught:
            make()
        return str(caught.value)

    assert message(lambda: VGG(18)) == "VGG: num_layers is 18; it needs to be one of 16, 19"
    assert message(lambda: VGG(freeze_blocks=[0])) == "VGG: freeze_blocks is 0; it needs to be one of 1, 2, 3, 4, 5"
    assert message(lambda: DarkNet(18)) == "DarkNet: num_layers is 18; it needs to be one of 19, 53"
    assert message(lambda: SqueezeNet(in_channels=4)) == "SqueezeNet: in_channels is 4; it needs to be one of 1, 3"
    assert message(lambda: GoogLeNet(final_stride=8)) == "GoogLeNet: final_stride is 8; it needs to be one of 16, 32"
    assert ARCHS["vgg"] == (16, 19)
    assert ARCHS["darknet"] == (19, 53)


# Slow, obvious NumPy layers on (C, H, W), from the definition: zeros on both sides, then every window.


def windows(x, kernel, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    rows = range(0, x.shape[1] - kernel + 1, stride)
    columns = range(0, x.shape[2] - kernel + 1, stride)
    return np.array([[x[:, i : i + kernel, j : j + kernel] for j in columns] for i in rows])  # (h, w, C, k, k)


def conv(network, name, x):
    layer = network.get_submodule(name)
    weight = layer.weight.detach().numpy().astype(np.float64)
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()[:, None, None]
    seen = windows(x, weight.shape[-1], layer.stride[0], weight.shape[-1] // 2)
    return np.einsum("hwckl,ockl->ohw", seen, weight) + bias


def norm(network, name, x):
    layer = network.get_submodule(name)
    mean, var, gamma, beta = (
        t.detach().numpy()[:, None, None] for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(var + 1e-3) * gamma + beta


def pool(x, kernel, stride, padding):
    return windows(x, kernel, stride, padding).max(axis=(3, 4)).transpose(2, 0, 1)


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def activations(network, size=(17, 22)):
    """The input and every named activation, of a network whose biases and statistics are not neutral."""
    generator = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    x = torch.rand(1, 3, *size, generator=generator)
    with torch.no_grad():
        seen = {name: a[0].numpy() for name, a in network.eval().walk(x)}
    return x[0].numpy().astype(np.float64), seen


def test_vgg_computes_what_its_definition_says():
    network = VGG(16)
    x, seen = activations(network)

    x = relu(norm(network, "block_1a_bn_1", conv(network, "block_1a_conv_1", x)))
    np.testing.assert_allclose(seen["block_1a_relu"], x, rtol=1e-4, atol=1e-5)
    x = relu(norm(network, "block_1b_bn_1", conv(network, "block_1b_conv_1", x)))
    x = relu(norm(network, "block_2a_bn_1", conv(network, "block_2a_conv_1", x)))
    assert x.shape == (128, 9, 11)
    np.testing.assert_allclose(seen["block_2a_relu"], x, rtol=1e-4, atol=1e-5)


def test_darknet_computes_what_its_definition_says():
    def layer(network, name, x):
        return leaky(norm(network, f"{name}_bn", conv(network, name, x)))

    nineteen = DarkNet(19)
    x, seen = activations(nineteen, (32, 37))
    x = layer(nineteen, "b1_conv1", pool(layer(nineteen, "conv1", x), 2, 2, 0))
    assert (x < 0).any()
    np.testing.assert_allclose(seen["b1_conv1_lrelu"], x, rtol=1e-4, atol=1e-5)

    fifty_three = DarkNet(53)
    x, seen = activations(fifty_three)
    x = layer(fifty_three, "conv2", layer(fifty_three, "conv1", x))
    x = x + layer(fifty_three, "b1_conv1_2", layer(fifty_three, "b1_conv1_1", x))
    np.testing.assert_allclose(seen["b1_add1"], x, rtol=1e-4, atol=1e-5)


def test_squeezenet_computes_what_its_definition_says():
    network = SqueezeNet()
    x, seen = activations(network)

    x = pool(relu(conv(network, "conv1", x)), 3, 2, 1)
    np.testing.assert_allclose(seen["pool1"], x, rtol=1e-4, atol=1e-5)
    x = relu(conv(network, "fire2_squeeze_conv", x))
    x = np.concatenate([relu(conv(network, f"fire2_expand_conv{k}", x)) for k in ("1x1", "3x3")])
    np.testing.assert_allclose(seen["fire2"], x, rtol=1e-4, atol=1e-5)


def test_googlenet_computes_what_its_definition_says():
    network = GoogLeNet()
    x, seen = activations(network)

    def layer(name, x):
        return relu(norm(network, f"inception_3a_{name}_bn", conv(network, f"inception_3a_{name}", x)))

    first = relu(norm(network, "bn_conv1", conv(network, "conv1", x)))
    np.testing.assert_allclose(seen["pool1"], pool(first, 2, 2, 0), rtol=1e-4, atol=1e-5)
    x = seen["pool2"].astype(np.float64)
    branches = [
        layer("1x1", x),
        layer("3x3", layer("3x3_reduce", x)),
        layer("5x5", layer("5x5_reduce", x)),
        layer("pool_proj", pool(x, 3, 1, 1)),
    ]
    assert [len(branch) for branch in branches] == [64, 128, 32, 32]
    np.testing.assert_allclose(seen["inception_3a_output"], np.concatenate(branches), rtol=1e-4, atol=1e-5)
