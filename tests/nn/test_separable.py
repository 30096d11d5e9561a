"""MobileNet v1, v2 and EfficientNet B0: sizes, names, freezing, and arithmetic against definitions and torchvision."""

from __future__ import annotations

import copy
import csv

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from taolite.errors import ModelError
from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD
from taolite.nn.backbones import backbone_from_config, build_backbone
from taolite.nn.efficientnet import EfficientNetB0
from taolite.nn.mobilenet import MobileNetV1, MobileNetV2
from taolite.nn.separable import pad_as_tensorflow
from taolite.nn.weights import load_weights, preferred_graph, read_weights

torch.set_num_threads(1)

ARCHS = ["mobilenet_v1", "mobilenet_v2", "efficientnet_b0"]


def meta(arch, **options):
    with torch.device("meta"):
        return build_backbone(arch, **options)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def convolutions(network):
    return {name: m for name, m in network.named_children() if isinstance(m, nn.Conv2d)}


def norms(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def names(network, size=64):
    return [name for name, _ in network.eval().walk(torch.empty(1, network.in_channels, size, size, device="meta"))]


def torchvisions(name):
    """torchvision's own features, in evaluation mode, with batch norms that do something."""
    torch.manual_seed(3)
    network = getattr(pytest.importorskip("torchvision").models, name)(weights=None)
    for norm in norms(network):
        nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        nn.init.uniform_(norm.weight, 0.6, 1.2)
        nn.init.uniform_(norm.bias, -0.2, 0.4)
    return network.eval()


def test_whole_networks_have_the_published_number_of_weights():
    with torch.device("meta"):
        whole = MobileNetV1(final_stride=32), MobileNetV2(final_stride=32), EfficientNetB0()

    # Keras's MobileNet: 4 231 976 that train, 1024 * 1000 + 1000 of them in its classifier.
    assert parameters(whole[0]) == 4_231_976 - 1_025_000
    assert parameters(whole[1]) == parameters(torchvisions("mobilenet_v2").features)
    assert parameters(whole[2]) == parameters(torchvisions("efficientnet_b0").features)


def test_detectnets_mobilenets_end_where_stride_16_does():
    def pair(inputs, width):  # 3x3 depthwise, 1x1, and gamma and beta of both
        return 9 * inputs + inputs * width + 2 * (inputs + width)

    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512]
    first = 27 * 32 + 2 * 32

    assert parameters(meta("mobilenet_v1")) == first + sum(map(pair, widths, widths[1:]))
    assert parameters(meta("mobilenet_v2")) == parameters(torchvisions("mobilenet_v2").features[:14])
    assert names(meta("mobilenet_v1"))[-1] == "conv_pw_relu_11"
    assert names(meta("mobilenet_v2"))[-1] == "block_12_add"


@pytest.mark.parametrize(
    ("arch", "options", "stride", "shape"),
    [
        ("mobilenet_v1", {}, 16, (512, 7, 9)),
        ("mobilenet_v1", {"graph": "tensorflow", "in_channels": 1}, 16, (512, 7, 9)),
        ("mobilenet_v2", {"use_batch_norm": False}, 16, (96, 7, 9)),
        ("mobilenet_v2", {"graph": "tensorflow"}, 16, (96, 7, 9)),
        ("efficientnet_b0", {}, 32, (1280, 4, 5)),
        ("efficientnet_b0", {"graph": "torchvision"}, 32, (1280, 4, 5)),
    ],
)
def test_the_grid_is_the_input_over_the_stride_rounded_up(arch, options, stride, shape):
    network = meta(arch, **options)

    features = network.eval()(torch.empty(1, network.in_channels, 101, 131, device="meta"))

    assert features.shape == (1, *shape)
    assert (network.stride, network.out_channels) == (stride, shape[0])


@pytest.mark.parametrize("arch", ARCHS)
def test_a_walk_passes_every_layer_once(arch):
    network = meta(arch)
    passed = names(network)

    assert len(set(passed)) == len(passed)
    assert {name for name, layer in network.named_children() if layer.state_dict()} <= set(passed)


def test_layers_are_called_what_tao_calls_them():
    assert names(meta("mobilenet_v1"))[:9] == [
        *("conv1", "conv1_bn", "conv_block_relu"),
        *("conv_dw_1", "conv_dw_1_bn", "conv_dw_1_relu", "conv_pw_1", "conv_pw_1_bn", "conv_pw_relu_1"),
    ]
    assert names(meta("mobilenet_v1", graph="tensorflow"))[5:9:3] == ["conv_dw_1_relu6", "conv_pw_relu6_1"]
    assert names(meta("mobilenet_v2"))[:25] == [
        *("conv1", "bn_conv1", "re_lu_0"),
        *(f"expanded_conv_{end}" for end in ("depthwise", "depthwise_bn", "relu", "project", "project_bn")),
        *("block_1_expand", "block_1_expand_bn", "re_lu_2"),
        *(f"block_1_{end}" for end in ("depthwise", "depthwise_bn", "relu", "project", "project_bn")),
        *("block_2_expand", "block_2_expand_bn", "re_lu_3"),
        *(f"block_2_{end}" for end in ("depthwise", "depthwise_bn", "relu", "project", "project_bn", "add")),
    ]
    passed = names(meta("efficientnet_b0"))
    ends = ["dwconv", "bn", "activation", "se_squeeze", "se_reduce", "se_expand", "se_excite", "project_conv"]
    ends.append("project_bn")
    assert passed[:12] == ["stem_conv", "stem_bn", "stem_activation", *(f"block1a_{end}" for end in ends)]
    assert passed[24:37] == [
        *("block2b_expand_conv", "block2b_expand_bn", "block2b_expand_activation"),
        *(f"block2b_{end}" for end in ends),
        "block2b_add",
    ]
    assert passed[-3:] == ["top_conv", "top_bn", "top_activation"]
    assert [name for name in passed if name.endswith("_add")] == [
        f"block{unit}_add" for unit in ("2b", "3b", "4b", "4c", "5b", "5c", "6b", "6c", "6d")
    ]


def test_only_the_gates_have_biases_and_norms_have_each_graphs_constants():
    def constants(network):
        return {(norm.eps, norm.momentum) for norm in norms(network)}

    biased = {name for arch in ARCHS for name, conv in convolutions(meta(arch)).items() if conv.bias is not None}

    assert {name.partition("_")[2] for name in biased} == {"se_reduce", "se_expand"}
    assert constants(meta("mobilenet_v1")) == constants(meta("efficientnet_b0")) == {(1e-3, 0.01)}
    assert constants(meta("mobilenet_v2")) == {(1e-3, 0.001)}
    assert constants(meta("mobilenet_v2", graph="torchvision")) == {(1e-5, 0.1)}
    assert norms(meta("mobilenet_v2", use_batch_norm=False)) == []


def test_efficientnets_kernels_have_variance_two_over_fan_out_and_end_at_two_deviations():
    torch.manual_seed(0)
    network = EfficientNetB0()

    for name, fan_out in (("top_conv", 1280), ("block6d_dwconv", 25), ("block6d_se_expand", 1152)):
        kernel = network.get_parameter(f"{name}.weight")
        std = (2 / fan_out) ** 0.5
        assert kernel.std().item() == pytest.approx(std, rel=0.02)
        assert 1.9 * std / 0.8796 < kernel.abs().max().item() <= 2 * std / 0.8796


def frozen(arch, *blocks):
    network = meta(arch, freeze_blocks=blocks)
    return [name for name, conv in convolutions(network).items() if not conv.weight.requires_grad]


def test_frozen_blocks_are_taos():
    assert frozen("mobilenet_v1", 0, 11) == ["conv1", "conv_dw_11", "conv_pw_11"]
    assert frozen("mobilenet_v2", 0, 1) == ["conv1", "expanded_conv_depthwise", "expanded_conv_project"]
    assert frozen("mobilenet_v2", 13) == ["block_12_expand", "block_12_depthwise", "block_12_project"]
    assert frozen("efficientnet_b0", 0, 8) == ["stem_conv", "top_conv"]
    ends = ("dwconv", "se_reduce", "se_expand", "project_conv")
    assert frozen("efficientnet_b0", 1) == [f"block1a_{end}" for end in ends]
    assert len(frozen("efficientnet_b0", 4)) == 3 * 5


@pytest.mark.parametrize("arch", ARCHS)
def test_every_convolution_is_in_one_block_and_norms_train_in_frozen_ones(arch):
    network = meta(arch, freeze_blocks=range(9 if arch == "efficientnet_b0" else 14))

    training = {name.rpartition(".")[0] for name, p in network.named_parameters() if p.requires_grad}

    assert training == {name for name, m in network.named_children() if isinstance(m, nn.BatchNorm2d)}


@pytest.mark.parametrize("arch", ARCHS)
def test_a_network_comes_back_from_its_config(arch):
    network = meta(arch, in_channels=1, use_batch_norm=False, freeze_blocks=[1], freeze_bn=True)

    with torch.device("meta"):
        twin = backbone_from_config({"network": arch, **network.config})

    assert twin.config == network.config
    assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in network.named_parameters()}
    assert not any(norm.training for norm in norms(twin))


def test_what_cannot_be_built_is_said_with_the_choices():
    def message(make):
        with pytest.raises(ModelError) as caught:
            make()
        return str(caught.value)

    assert message(lambda: MobileNetV1(graph="torchvision")) == (
        "MobileNetV1: graph is torchvision; it needs to be one of tao, tensorflow, pytorch-ssd"
    )
    assert message(lambda: MobileNetV2(final_stride=8)) == (
        "MobileNetV2: final_stride is 8; it needs to be one of 16, 32"
    )
    assert message(lambda: EfficientNetB0(freeze_blocks=[9])) == (
        "EfficientNetB0: freeze_blocks is 9; it needs to be one of 0, 1, 2, 3, 4, 5, 6, 7, 8"
    )


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 12), (7, 5)])
def test_the_zeros_are_where_tensorflows_same_puts_them(kernel, size):
    def same(n):  # TensorFlow's documentation of SAME, at stride 2
        total = max((-(-n // 2) - 1) * 2 + kernel - n, 0)
        return total // 2, total - total // 2

    x = torch.rand(1, 2, *size)
    (top, bottom), (left, right) = map(same, size)

    assert torch.equal(pad_as_tensorflow(x, kernel), nn.functional.pad(x, (left, right, top, bottom)))


def test_drop_connect_leaves_out_blocks_of_a_picture_and_keeps_the_mean():
    torch.manual_seed(0)
    network = EfficientNetB0()
    unit = network.units[-2]
    assert (unit.name, unit.drop) == ("block6d", 0.2 * 14 / 16)
    x = torch.rand(1, 192, 2, 2).expand(400, -1, -1, -1)

    network.train()
    for norm in norms(network):
        norm.eval()  # so that pictures do not depend on each other
    out = list(network._block(x, unit))[-1][1]
    network.eval()
    whole = list(network._block(x[:1], unit))[-1][1]

    left_out = (out == x).flatten(1).all(dim=1)
    assert left_out.float().mean().item() == pytest.approx(unit.drop, abs=0.05)
    torch.testing.assert_close(
        (out - x)[~left_out], ((whole - x[:1]) / (1 - unit.drop)).expand(int((~left_out).sum()), -1, -1, -1)
    )


@pytest.mark.parametrize("size", [(64, 96), (75, 51)])
@pytest.mark.parametrize(
    ("name", "final_stride"), [("mobilenet_v2", 16), ("mobilenet_v2", 32), ("efficientnet_b0", 32)]
)
def test_every_tensor_of_torchvisions_networks_finds_its_place_and_the_features_are_theirs(
    tmp_path, name, final_stride, size
):
    theirs = torchvisions(name)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    features = theirs.features[:14] if final_stride == 16 else theirs.features
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    x = torch.rand(2, 3, *size)

    weights = read_weights(tmp_path / "theirs.pth")
    options = {} if name == "efficientnet_b0" else {"final_stride": final_stride}
    network = type(meta(name))(graph=preferred_graph(weights), **options).eval()
    report = load_weights(network, weights)

    assert (weights.arch, weights.graph) == (name, "torchvision")
    assert set(report.loaded) == {name for name, layer in network.named_children() if layer.state_dict()}
    if final_stride == 32:
        assert report.skipped == {}
    with torch.no_grad():
        torch.testing.assert_close(network(x), features((x - mean) / std), atol=1e-4, rtol=1e-4)


def test_a_keras_files_depthwise_kernels_get_our_axes(tmp_path):
    h5py = pytest.importorskip("h5py")
    source = MobileNetV1()
    with h5py.File(tmp_path / "mobilenet_v1.hdf5", "w") as file:
        for name, layer in convolutions(source).items():
            depthwise = layer.groups > 1
            kernel = layer.weight.detach().permute((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)).numpy()
            kind = "depthwise_kernel" if depthwise else "kernel"
            file[f"model_weights/{name}/{name}/{kind}:0"] = kernel
        assert file["model_weights/conv_dw_2/conv_dw_2/depthwise_kernel:0"].shape == (3, 3, 64, 1)

    weights = read_weights(tmp_path / "mobilenet_v1.hdf5")
    network = MobileNetV1()
    report = load_weights(network, weights)

    assert (weights.arch, weights.graph, report.skipped) == ("mobilenet_v1", "tao", {})
    for name, layer in convolutions(source).items():
        assert torch.equal(network.get_submodule(name).weight, layer.weight)


# The ImageNet weights that were trained in TensorFlow.


def photo(path):
    """RGB / 255, (1, 3, 224, 224): the middle of the picture with its shorter side at 256."""
    picture = Image.open(path).convert("RGB")
    width, height = (round(side * 256 / min(picture.size)) for side in picture.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    picture = picture.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def with_tensorflows_padding(features):
    """torchvision's features, their strided convolutions padded at the right and bottom only."""
    features = copy.deepcopy(features)
    for module in features.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, inputs: nn.functional.pad(inputs[0], (0, 1, 0, 1)))
    return features


@pytest.mark.parametrize("final_stride", [16, 32])
def test_mobilenet_v2s_imagenet_features_are_torchvisions_with_tensorflows_padding(shared_data, final_stride):
    path = shared_data / "pretrained" / "mobilenet_v2.safetensors"
    theirs = torchvisions("mobilenet_v2")
    theirs.load_state_dict({name: value.float() for name, value in load_file(path).items()}, strict=False)
    features = with_tensorflows_padding(theirs.features[: 14 if final_stride == 16 else 19])
    x = photo(shared_data / "jetson_images" / "cat_1.jpg")

    weights = read_weights(path)
    network = MobileNetV2(graph=preferred_graph(weights), final_stride=final_stride).eval()
    report = load_weights(network, weights)

    assert (weights.arch, weights.graph) == ("mobilenet_v2", "tensorflow")
    assert set(report.loaded) == {name for name, layer in network.named_children() if layer.state_dict()}
    with torch.no_grad():
        torch.testing.assert_close(network(x), features(x * 255 / 127.5 - 1), atol=1e-4, rtol=1e-4)
        assert network(x).std() > 0.1


@pytest.mark.parametrize("name", ["airplane_0.jpg", "dog_2.jpg", "dog_3.jpg", "stingray.jpg"])
@pytest.mark.parametrize("arch", ["mobilenet_v1", "mobilenet_v2"])
def test_published_weights_find_in_photographs_what_is_recorded_of_them(shared_data, arch, name):
    """With the file's own classifier behind the features: the best class and its probability."""
    folder = shared_data / "pretrained"
    weights, tensors = read_weights(folder / f"{arch}.safetensors"), load_file(folder / f"{arch}.safetensors")
    network = type(meta(arch))(graph=preferred_graph(weights), final_stride=32).eval()
    report = load_weights(network, weights)
    with open(folder / "verification_top5.tsv") as file:
        best = next(row for row in csv.reader(file, delimiter="\t") if row[:2] == [name, arch])[2]
    recorded = best.split(";")[0].split()

    end = "fc" if arch == "mobilenet_v1" else "classifier.1"
    with torch.no_grad():
        features = network(photo(shared_data / "jetson_images" / name)).mean(dim=(2, 3))
        logits = features @ tensors[f"{end}.weight"].float().T + tensors[f"{end}.bias"].float()
    probability, index = logits.softmax(dim=1)[0].max(dim=0)

    assert report.skipped == {}
    assert (str(int(index)), float(probability)) == (recorded[0], pytest.approx(float(recorded[-1]), abs=0.001))


# Slow, obvious NumPy layers on (C, H, W), from the definition.


def conv(layer, x, *, same):
    """Every window of `x` padded as TensorFlow's SAME (`same`) or by kernel // 2 on both sides."""
    weight = layer.weight.detach().numpy().astype(np.float64)
    kernel, stride = weight.shape[-1], layer.stride[0]
    pads = [(0, 0)]
    for n in x.shape[1:]:
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        pads.append((total // 2, total - total // 2) if same else (kernel // 2, kernel // 2))
    x = np.pad(x, pads)
    rows, columns = (range(0, n - kernel + 1, stride) for n in x.shape[1:])
    out = np.zeros((len(weight), len(rows), len(columns)))
    for h, i in enumerate(rows):
        for w, j in enumerate(columns):
            window = x[:, i : i + kernel, j : j + kernel]
            depthwise = layer.groups > 1
            out[:, h, w] = (window * weight[:, 0]).sum((1, 2)) if depthwise else np.tensordot(weight, window, 3)
    return out if layer.bias is None else out + layer.bias.detach().numpy()[:, None, None]


def norm(layer, x, *, eps):
    mean, var, gamma, beta = (
        t.detach().double().numpy()[:, None, None]
        for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lively(network):
    generator = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return network.eval()


@pytest.mark.parametrize(("graph", "size"), [("tao", (18, 23)), ("tensorflow", (18, 23)), ("tensorflow", (19, 24))])
def test_mobilenet_v1_computes_what_its_definition_says(graph, size):
    network = lively(MobileNetV1(graph=graph))
    with torch.no_grad():
        network.conv_pw_2_bn.weight.mul_(40)
    same, eps, top = (True, 1e-5, 6.0) if graph == "tensorflow" else (False, 1e-3, np.inf)
    picture = torch.rand(1, 3, *size)
    with torch.no_grad():
        seen = [activation[0].numpy() for name, activation in network.walk(picture) if "relu" in name]

    x = picture[0].double().numpy()
    if graph == "tensorflow":
        x = x * 255 / 127.5 - 1
    for i, name in enumerate(("conv1", "conv_dw_1", "conv_pw_1", "conv_dw_2", "conv_pw_2")):
        layer, bn = network.get_submodule(name), network.get_submodule(f"{name}_bn")
        x = np.clip(norm(bn, conv(layer, x, same=same), eps=eps), 0, top)
        np.testing.assert_allclose(seen[i], x, rtol=1e-4, atol=1e-4)
    assert (x.max() > 6) == (graph == "tao")


def test_the_tao_graph_of_mobilenet_v2_computes_what_its_definition_says():
    network = lively(MobileNetV2())
    picture = torch.rand(1, 3, 18, 23)
    with torch.no_grad():
        seen = {name: activation[0].numpy() for name, activation in network.walk(picture)}

    def layer(name, x, bn=None):
        found = conv(network.get_submodule(name), x, same=False)
        return norm(network.get_submodule(bn or f"{name}_bn"), found, eps=1e-3)

    x = np.maximum(layer("conv1", picture[0].double().numpy(), "bn_conv1"), 0)
    x = np.maximum(layer("expanded_conv_depthwise", x), 0)
    x = layer("expanded_conv_project", x)
    np.testing.assert_allclose(seen["expanded_conv_project_bn"], x, rtol=1e-4, atol=1e-4)
    for block in ("block_1", "block_2"):
        inputs = x
        x = np.maximum(layer(f"{block}_expand", x), 0)
        x = np.maximum(layer(f"{block}_depthwise", x), 0)
        x = layer(f"{block}_project", x)
    np.testing.assert_allclose(seen["block_2_add"], inputs + x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(18, 20), (21, 27)])
def test_the_tao_graph_of_efficientnet_computes_what_its_definition_says(size):
    network = lively(EfficientNetB0())
    picture = torch.rand(1, 3, *size)
    with torch.no_grad():
        seen = {name: activation[0].numpy() for name, activation in network.walk(picture)}

    def layer(name, bn, x):
        return norm(network.get_submodule(bn), conv(network.get_submodule(name), x, same=True), eps=1e-3)

    def swish(x):
        return x * sigmoid(x)

    def gate(block, x):
        squeezed = x.mean(axis=(1, 2), keepdims=True)
        reduced = swish(conv(network.get_submodule(f"{block}_se_reduce"), squeezed, same=True))
        return sigmoid(conv(network.get_submodule(f"{block}_se_expand"), reduced, same=True))

    x = swish(layer("stem_conv", "stem_bn", picture[0].double().numpy()))
    x = swish(layer("block1a_dwconv", "block1a_bn", x))
    x = layer("block1a_project_conv", "block1a_project_bn", x * gate("block1a", x))
    np.testing.assert_allclose(seen["block1a_project_bn"], x, rtol=1e-4, atol=1e-4)
    x = swish(layer("block2a_expand_conv", "block2a_expand_bn", x))
    x = swish(layer("block2a_dwconv", "block2a_bn", x))
    np.testing.assert_allclose(seen["block2a_activation"], x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen["block2a_se_excite"], x * gate("block2a", x), rtol=1e-4, atol=1e-4)
