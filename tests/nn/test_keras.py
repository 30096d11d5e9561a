"""Keras files: layout, names, and the activations that their numbers give in Keras's definition of each network."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from taolite.errors import DamagedError, ModelError, UsageError
from taolite.extras import install_command
from taolite.nn.backbones import build_backbone
from taolite.nn.darknet import DarkNet
from taolite.nn.mobilenet import MobileNetV2
from taolite.nn.resnet import ResNet
from taolite.nn.weights import load_weights, read_weights

torch.set_num_threads(1)
h5py = pytest.importorskip("h5py")


def lively(network):
    """`network` with biases and statistics that are not neutral."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1:
            low, high = (0.5, 1.2) if name.endswith(("weight", "var")) else (-0.2, 0.2)
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


# The networks as NVIDIA's Keras builds them (reference 5.2, 5.3, reference/tao_classification_ssd.md 3.4, 3.5), on
# (C, H, W), with kernels as they lie in the file: (height, width, in, out), depthwise (height, width, channels, 1).


class Definition:
    def __init__(self, path):
        self.file = h5py.File(path)["model_weights"]

    def values(self, layer, kind):
        group = self.file[layer][layer]
        return np.asarray(group[f"{kind}:0"], np.float64) if f"{kind}:0" in group else None

    def conv(self, x, layer, stride=1, *, pads=None):
        """Zeros of half a kernel on both sides unless `pads` says else."""
        kernel = self.values(layer, "kernel")
        half = len(kernel) // 2
        x = np.pad(x, ((0, 0), *(pads or ((half, half), (half, half)))))
        seen = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]  # C h w kh kw
        out = np.tensordot(kernel, seen, axes=((0, 1, 2), (3, 4, 0)))
        bias = self.values(layer, "bias")
        return out if bias is None else out + bias[:, None, None]

    def depthwise(self, x, layer, stride=1, *, pads=None):
        kernel = self.values(layer, "depthwise_kernel")[..., 0]
        half = len(kernel) // 2
        x = np.pad(x, ((0, 0), *(pads or ((half, half), (half, half)))))
        seen = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
        return np.einsum("ijc,chwij->chw", kernel, seen)

    def norm(self, x, layer):
        gamma, beta, mean, variance = (
            self.values(layer, kind)[:, None, None] for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def pool(x, size, stride, pad=0):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride].max(axis=(3, 4))


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def resnet(k, x, repeats, *, bottleneck=False):
    x = relu(k.norm(k.conv(x, "conv1", 2), "bn_conv1"))
    for stage, count in enumerate(repeats, 1):
        for letter in "abcdef"[:count]:
            name, stride = f"block_{stage}{letter}", 2 if letter == "a" and stage < 4 else 1
            out = x
            for i in range(1, 4 if bottleneck else 3):
                out = k.norm(k.conv(out, f"{name}_conv_{i}", stride if i == 1 else 1), f"{name}_bn_{i}")
                out = relu(out) if i < (3 if bottleneck else 2) else out
            if letter == "a":
                x = k.norm(k.conv(x, f"{name}_conv_shortcut", stride), f"{name}_bn_shortcut")
            x = relu(out + x)
    return x


def vgg(k, x):
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for letter in "abc"[:count]:
            stride = 2 if letter == "a" and block > 1 else 1
            x = relu(k.norm(k.conv(x, f"block_{block}{letter}_conv_1", stride), f"block_{block}{letter}_bn_1"))
    return x


def darknet(k, x, depth):
    def layer(x, name, stride=1):
        x = k.norm(k.conv(x, name, stride), f"{name}_bn")
        return np.where(x > 0, x, 0.1 * x)

    x = layer(x, "conv1")
    for stage, units, convs in zip(range(1, 6), (1, 2, 8, 8, 4), (1, 3, 3, 5, 5), strict=True):
        if depth == 53:
            x = layer(x, f"conv{stage + 1}", 2)
            for unit in range(1, units + 1):
                x = x + layer(layer(x, f"b{stage}_conv{unit}_1"), f"b{stage}_conv{unit}_2")
        else:
            x = pool(x, 2, 2)
            for i in range(1, convs + 1):
                x = layer(x, f"b{stage}_conv{i}")
    return x


def mishes(k, x, *names, stride=1):
    """Convolutions of a CSPDarkNet, which has leaky ReLU unless told."""
    for name in names:
        x = k.norm(k.conv(x, name, stride), f"{name}_bn")
        x = np.where(x > 0, x, 0.1 * x)
    return x


def cspdarknet(k, x, depth):
    x = mishes(k, x, "conv1")
    for stage, units, convs in zip(range(1, 6), (1, 2, 8, 8, 4), (1, 3, 3, 5, 5), strict=True):
        b = f"b{stage}"
        if depth == 53:
            x = mishes(k, x, f"conv{stage + 1}", stride=2)
            past, x = (mishes(k, x, f"conv{stage + 1}_{half}") for half in (1, 2))
            for unit in range(1, units + 1):
                x = x + mishes(k, x, f"{b}_conv{unit}_1", f"{b}_conv{unit}_2")
        else:
            x = mishes(k, pool(x, 2, 2), f"{b}_conv1")
            if stage == 1:
                continue
            past, x = (mishes(k, x, f"{b}_part{half}") for half in (1, 2))
            x = mishes(k, x, *(f"{b}_conv{i}" for i in range(2, convs + 1)))
        x = mishes(k, np.concatenate([mishes(k, x, f"{b}_partial_trans"), past]), f"{b}_final_trans")
    return x


def cspdarknet_tiny(k, x):
    x = mishes(k, x, "conv_0", "conv_1", stride=2)
    for block in ("conv_2", "conv_3", "conv_4"):
        whole = mishes(k, x, f"{block}_conv_0")
        first = mishes(k, whole[len(whole) // 2 :], f"{block}_conv_1")
        second = mishes(k, first, f"{block}_conv_2")
        last = mishes(k, np.concatenate([second, first]), f"{block}_conv_3")
        x = pool(np.concatenate([whole, last]), 2, 2)
    return mishes(k, x, "conv_5")


def squeezenet(k, x):
    x = pool(relu(k.conv(x, "conv1", 2)), 3, 2, 1)
    for fire in range(2, 10):
        x = relu(k.conv(x, f"fire{fire}_squeeze_conv"))
        x = np.concatenate([relu(k.conv(x, f"fire{fire}_expand_conv{size}")) for size in ("1x1", "3x3")])
        if fire in (4, 8):
            x = pool(x, 3, 2, 1)
    return x


def googlenet(k, x):
    x = pool(relu(k.norm(k.conv(x, "conv1", 2), "bn_conv1")), 2, 2)
    for name in ("conv2_reduce", "conv2"):
        x = relu(k.norm(k.conv(x, name), f"bn_{name}"))
    x = pool(x, 2, 2)
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):

        def branch(x, *names, module=module):
            for name in (f"inception_{module}_{name}" for name in names):
                x = relu(k.norm(k.conv(x, name), f"{name}_bn"))
            return x

        parts = branch(x, "1x1"), branch(x, "3x3_reduce", "3x3"), branch(x, "5x5_reduce", "5x5")
        x = np.concatenate([*parts, branch(pool(x, 3, 1, 1), "pool_proj")])
        x = pool(x, 2, 2) if module == "3b" else x
    return x


def mobilenet_v1(k, x):
    x = relu(k.norm(k.conv(x, "conv1", 2), "conv1_bn"))
    for block in range(1, 12):
        x = k.depthwise(x, f"conv_dw_{block}", 2 if block in (2, 4, 6) else 1)
        x = relu(k.norm(x, f"conv_dw_{block}_bn"))
        x = relu(k.norm(k.conv(x, f"conv_pw_{block}"), f"conv_pw_{block}_bn"))
    return x


def mobilenet_v2(k, x):
    x = relu(k.norm(k.conv(x, "conv1", 2), "bn_conv1"))
    for block in range(13):
        name, inputs = f"block_{block}" if block else "expanded_conv", x
        if block:
            x = relu(k.norm(k.conv(x, f"{name}_expand"), f"{name}_expand_bn"))
        x = k.depthwise(x, f"{name}_depthwise", 2 if block in (1, 3, 6) else 1)
        x = relu(k.norm(x, f"{name}_depthwise_bn"))
        x = k.norm(k.conv(x, f"{name}_project"), f"{name}_project_bn")
        x = inputs + x if block in (2, 4, 5, 7, 8, 9, 11, 12) else x
    return x


def efficientnet_b0(k, x):
    def swish(x):
        return x * sigmoid(x)

    def one_less(x, size):
        return tuple((size // 2 - (n % 2 == 0), size // 2) for n in x.shape[1:])

    x = swish(k.norm(k.conv(x, "stem_conv", 2, pads=one_less(x, 3)), "stem_bn"))
    repeats, sizes, strides = (1, 2, 2, 3, 3, 4, 1), (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)
    for stage, count, size, first in zip(range(1, 8), repeats, sizes, strides, strict=True):
        for letter in "abcd"[:count]:
            name, inputs, stride = f"block{stage}{letter}", x, first if letter == "a" else 1
            if stage > 1:
                x = swish(k.norm(k.conv(x, f"{name}_expand_conv"), f"{name}_expand_bn"))
            x = k.depthwise(x, f"{name}_dwconv", stride, pads=one_less(x, size) if stride == 2 else None)
            x = swish(k.norm(x, f"{name}_bn"))
            gate = swish(k.conv(x.mean(axis=(1, 2), keepdims=True), f"{name}_se_reduce"))
            x = k.norm(
                k.conv(x * sigmoid(k.conv(gate, f"{name}_se_expand")), f"{name}_project_conv"), f"{name}_project_bn"
            )
            x = inputs + x if letter != "a" else x
    return swish(k.norm(k.conv(x, "top_conv"), "top_bn"))


@pytest.mark.parametrize(
    ("arch", "num_layers", "definition"),
    [
        ("resnet", 10, lambda k, x: resnet(k, x, (1, 1, 1, 1))),
        ("resnet", 18, lambda k, x: resnet(k, x, (2, 2, 2, 2))),
        ("resnet", 50, lambda k, x: resnet(k, x, (3, 4, 6, 3), bottleneck=True)),
        ("vgg", 16, vgg),
        ("darknet", 19, lambda k, x: darknet(k, x, 19)),
        ("darknet", 53, lambda k, x: darknet(k, x, 53)),
        ("cspdarknet", 19, lambda k, x: cspdarknet(k, x, 19)),
        ("cspdarknet", 53, lambda k, x: cspdarknet(k, x, 53)),
        ("cspdarknet_tiny", None, cspdarknet_tiny),
        ("squeezenet", None, squeezenet),
        ("googlenet", None, googlenet),
        ("mobilenet_v1", None, mobilenet_v1),
        ("mobilenet_v2", None, mobilenet_v2),
        ("efficientnet_b0", None, efficientnet_b0),
    ],
)
def test_a_files_features_are_those_of_kerass_definition(tmp_path, write_keras, arch, num_layers, definition):
    torch.manual_seed(1)
    source = lively(build_backbone(arch, num_layers=num_layers or 0))
    path = write_keras(tmp_path / "model.hdf5", source.state_dict())
    picture = torch.rand(1, 3, 50, 68)

    weights = read_weights(path)
    network = build_backbone(arch, num_layers=num_layers or 0, graph=weights.graph).eval()
    report = load_weights(network, weights)

    with torch.no_grad():
        features = network(picture)[0].numpy()
    expected = definition(Definition(path), picture[0].double().numpy())
    assert (weights.arch, weights.num_layers, weights.graph) == (arch, num_layers, "tao")
    assert (report.skipped, report.fresh) == ({}, ())
    assert features.std() > 1e-3
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_whole_models_weights_alone_and_models_inside_models_read_the_same(tmp_path, write_keras):
    state = lively(ResNet(10)).state_dict()
    whole = write_keras(tmp_path / "whole.hdf5", state, layers=["input_1", "activation_1", "add_1"])
    alone = write_keras(tmp_path / "alone.h5", state, top="/")
    with h5py.File(whole, "a") as file:
        # A classifier behind it, the optimiser's own values, and what a second model in one program is called.
        file["model_weights/predictions/predictions/kernel:0"] = np.zeros((512, 10), np.float32)
        file["model_weights/predictions/predictions/bias:0"] = np.zeros(10, np.float32)
        file["optimizer_weights/Adam/m/conv1/kernel:0"] = np.ones((7, 7, 3, 64), np.float32)
        file.move("model_weights/conv1/conv1", "model_weights/conv1/conv1_1")
    with h5py.File(tmp_path / "inside.hdf5", "w") as file, h5py.File(alone) as source:
        for layer in source:
            source.copy(source[layer][layer], file, f"model_weights/resnet10/{layer}")

    files = [read_weights(path) for path in (whole, alone, tmp_path / "inside.hdf5")]

    for weights in files:
        assert (weights.arch, weights.num_layers) == ("resnet", 10)
        assert set(weights.tensors) == {name for name in state if "tracked" not in name}
        assert all(torch.equal(values, state[name]) for name, values in weights.tensors.items())
    assert {"input_1", "activation_1", "predictions"} <= set(files[0].layers)


@pytest.mark.parametrize("make", [lambda: DarkNet(19), MobileNetV2], ids=["darknet", "mobilenet_v2"])
def test_biases_that_the_network_has_no_place_for_move_into_the_batch_norms(tmp_path, write_keras, make):
    source, picture = lively(make()), torch.rand(1, 3, 64, 64)
    biases = {
        f"{name}.bias": torch.rand(layer.out_channels) - 0.5
        for name, layer in source.named_children()
        if isinstance(layer, torch.nn.Conv2d)
    }
    path = write_keras(tmp_path / "biased.hdf5", {**source.state_dict(), **biases})

    network = make().eval()
    report = load_weights(network, read_weights(path))

    for name, bias in biases.items():
        source.get_submodule(name.removesuffix(".bias")).bias = torch.nn.Parameter(bias)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), source.eval()(picture), rtol=1e-4, atol=1e-5)
    assert (report.skipped, report.fresh) == ({}, ())


def test_convolutions_without_a_bias_in_the_file_get_zeros(tmp_path, write_keras):
    state = lively(ResNet(10)).state_dict()
    path = write_keras(tmp_path / "m.hdf5", {name: t for name, t in state.items() if not name.endswith("v1.bias")})

    network = ResNet(10)
    report = load_weights(network, read_weights(path))

    assert "conv1" in report.loaded
    assert not network.conv1.bias.any()
    assert torch.equal(network.block_1a_conv_1.bias, state["block_1a_conv_1.bias"])


def test_what_is_not_loaded_is_said_layer_by_layer(tmp_path, write_keras):
    state = dict(ResNet(10).state_dict())
    state["block_1a_conv_1.weight"] = torch.zeros(40, 64, 3, 3)
    state["block_1a_conv_1.bias"] = torch.zeros(40)
    state["block_9z_conv_1.weight"] = state.pop("block_4a_conv_2.weight")

    network = ResNet(10)
    report = load_weights(network, read_weights(write_keras(tmp_path / "m.hdf5", state)))

    assert report.skipped == {
        "block_1a_conv_1": "its weight is 40x64x3x3 and 64x64x3x3 is needed",
        "block_9z_conv_1": "this network has no such layer",
    }
    assert report.fresh == ("block_1a_conv_1", "block_4a_conv_2")


def test_a_pruned_file_of_which_nothing_fits_is_refused_with_the_way_out(tmp_path, write_keras):
    state = {name: t[: len(t) // 2] for name, t in lively(DarkNet(19)).state_dict().items() if t.ndim}
    path = write_keras(tmp_path / "pruned.hdf5", state)

    with pytest.raises(ModelError) as caught:
        load_weights(DarkNet(19), read_weights(path))

    assert str(caught.value) == (
        f"{path}: none of its layers fits this network (b1_conv1: its weight is 32x32x3x3 and 64x32x3x3 is needed). "
        "A pruned model needs load_graph: true; otherwise choose weights of the same arch and num_layers"
    )


def test_a_cut_or_damaged_file_and_a_missing_h5py_say_so(tmp_path, write_keras, monkeypatch):
    whole = write_keras(tmp_path / "whole.hdf5", ResNet(10).state_dict())
    cut = tmp_path / "cut.hdf5"
    cut.write_bytes(whole.read_bytes()[:30000])
    holed = tmp_path / "holed.hdf5"
    holed.write_bytes(whole.read_bytes()[:96] + bytes(5000) + whole.read_bytes()[5096:])

    for path in (cut, holed):
        with pytest.raises(DamagedError) as caught:
            read_weights(path)
        assert str(caught.value) == f"{path}: this HDF5 file is damaged or cut short; copy or download it again"
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError) as missing:
        read_weights(whole)
    assert str(missing.value) == f"{whole}: reading a Keras HDF5 file needs h5py; run {install_command('train')}"
