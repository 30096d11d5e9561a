from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from taolite.artifacts.bundle import Bundle, write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, wrong_kind
from taolite.errors import ForeignError, ModelError, PathError, TaoliteError, WrongKeyError
from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD
from taolite.nn.resnet import ResNet
from taolite.nn.vgg import VGG
from taolite.nn.weights import Weights, load_weights, preferred_graph, read_weights
from taolite.preprocessing import Preprocessing

torch.set_num_threads(1)

torchvision_models = pytest.importorskip("torchvision.models")


def oracle(name, state=None):
    """torchvision's own network, in evaluation mode, with batch norms that do something."""
    torch.manual_seed(3)
    network = getattr(torchvision_models, name)(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.2, 0.5)
    if state is not None:
        network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return network.eval()


def unpatched(network, x, *, stages=4):
    """Features of torchvision's network after so many stages, on RGB / 255."""
    x = (x - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4)[:stages]:
        x = layer(x)
    return x


def patch_stride(network):
    """The dense detector's change: no stride in the last stage (reference/dependencies.md 1)."""
    first = network.layer4[0]
    for conv in (first.conv1, first.conv2, first.downsample[0]):
        conv.stride = (1, 1)
    return network


@pytest.fixture(scope="module")
def photos(shared_data):
    paths = sorted((shared_data / "jetson_images").glob("*.jpg"))[:3]
    assert len(paths) == 3
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((160, 128))) for path in paths]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def test_imagenet_features_on_real_photographs_are_torchvisions(shared_data, photos):
    path = shared_data / "pretrained" / "resnet18.safetensors"
    weights = read_weights(path)
    network = ResNet(weights.num_layers, graph=preferred_graph(weights)).eval()
    upto_stage_3 = []
    network.block_4a_conv_1.register_forward_pre_hook(lambda _, inputs: upto_stage_3.append(inputs[0]))

    report = load_weights(network, weights)

    theirs = oracle("resnet18", load_file(path))
    with torch.no_grad():
        features = network(photos)
        torch.testing.assert_close(upto_stage_3[0], unpatched(theirs, photos, stages=3), atol=1e-5, rtol=0)
        torch.testing.assert_close(features, unpatched(patch_stride(theirs), photos), atol=1e-5, rtol=0)
    assert features.shape == (3, 512, 8, 10)
    assert features.std() > 0.1
    assert report.skipped == {}
    assert set(report.loaded) == {name for name, layer in network.named_children() if layer.state_dict()}


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("final_stride", [16, 32])
def test_every_tensor_of_torchvisions_networks_finds_its_place(tmp_path, photos, name, final_stride):
    theirs = oracle(name)
    torch.save(theirs.state_dict(), tmp_path / f"{name}.pth")

    weights = read_weights(tmp_path / f"{name}.pth")
    network = ResNet(weights.num_layers, graph=preferred_graph(weights), final_stride=final_stride).eval()
    report = load_weights(network, weights)

    with torch.no_grad():
        expected = unpatched(theirs if final_stride == 32 else patch_stride(theirs), photos[:1])
        torch.testing.assert_close(network(photos[:1]), expected, atol=1e-5, rtol=1e-5)
    assert weights.num_layers == int(name.removeprefix("resnet"))
    assert report.skipped == {}


def test_a_grey_stem_sums_the_kernels_of_the_colours():
    kernel = torch.rand(64, 3, 7, 7)
    network = ResNet(10, in_channels=1)

    report = load_weights(network, Weights("w", {"conv1.weight": kernel}, "torchvision", None))

    torch.testing.assert_close(network.conv1.weight[:, 0], kernel[:, 0] + kernel[:, 1] + kernel[:, 2])
    assert report.loaded == ("conv1",)


def test_layers_are_copied_whole_where_shapes_match_and_the_others_say_why_not():
    network = ResNet(10)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    bn = {end: torch.full((64,), 2.0) for end in ("weight", "bias", "running_mean", "running_var")}
    tensors = {
        "conv1.weight": torch.ones(64, 3, 7, 7, dtype=torch.float16),
        **{f"bn_conv1.{end}": values for end, values in bn.items()},
        "bn_conv1.num_batches_tracked": torch.tensor(7),
        "block_1a_conv_1.weight": torch.ones(40, 64, 3, 3),
        "block_1a_bn_1.weight": torch.ones(64),
        "block_1b_conv_1.weight": torch.ones(64, 64, 3, 3),
    }

    report = load_weights(network, Weights("w", tensors, "tao", None))

    assert report.loaded == ("conv1", "bn_conv1")
    assert report.skipped == {
        "block_1a_conv_1": "its weight is 40x64x3x3 and 64x64x3x3 is needed",
        "block_1a_bn_1": "it holds weight and bias, running_mean, running_var, weight are needed",
        "block_1b_conv_1": "this network has no such layer",
    }
    after = network.state_dict()
    assert after["conv1.weight"].dtype == torch.float32
    assert after["conv1.weight"].eq(1).all()
    assert after["bn_conv1.running_var"].eq(2).all()
    assert after["bn_conv1.num_batches_tracked"] == 0
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"conv1.weight", *(f"bn_conv1.{end}" for end in bn)}


def test_weights_of_which_nothing_fits_are_refused():
    pruned = Weights("pruned.tlt", {"conv1.weight": torch.ones(24, 3, 7, 7)}, "tao", 18)

    with pytest.raises(ModelError) as caught:
        load_weights(ResNet(10), pruned)

    assert str(caught.value) == (
        "pruned.tlt: none of its layers fits this network (conv1: its weight is 24x3x7x7 and 64x3x7x7 is needed). "
        "A pruned model needs load_graph: true; otherwise choose weights of the same arch and num_layers"
    )


@pytest.mark.parametrize(
    ("network", "theirs"),
    [(ResNet(34), ("resnet", 18, "resnet18")), (VGG(16), ("vgg", 19, "vgg19")), (ResNet(10), ("vgg", 16, "vgg16"))],
)
def test_weights_of_another_arch_or_depth_are_refused_though_some_layers_would_fit(network, theirs):
    arch, depth, name = theirs
    weights = Weights("w.pth", dict(network.state_dict()), "tao", depth, arch)

    with pytest.raises(ModelError) as caught:
        load_weights(network, weights)

    assert str(caught.value) == (
        f"w.pth holds weights of {name} and this network is {network.arch}{network.num_layers}; the spec's arch and "
        "number of layers must be those of its pretrained weights"
    )


@pytest.mark.parametrize(("last", "depth"), [("block_5d", 19), ("block_4a", 19), ("block_3c", None)])
def test_the_depth_of_a_vgg_cut_where_both_depths_agree_is_not_told(tmp_path, last, depth):
    names = [name for name, _ in VGG(19).named_children()]
    kept = names[: names.index(f"{last}_conv_1") + 1]
    state = {f"{name}.weight": torch.zeros(2, 2, 3, 3) for name in kept if "conv" in name}
    save_file(state, tmp_path / "cut.safetensors")

    assert read_weights(tmp_path / "cut.safetensors").num_layers == depth


def test_a_tlt_gives_its_backbone_and_remembers_its_graph(tmp_path):
    source = ResNet(10, graph="torchvision")
    tensors = {f"backbone.{name}": tensor.numpy() for name, tensor in source.state_dict().items()}
    tensors["output_cov.weight"] = np.zeros((1, 512, 1, 1), np.float32)
    architecture = {"network": "resnet", **source.config}
    bundle = Bundle("detectnet", architecture, ("cat",), Preprocessing((64, 64)), tensors)
    write_bundle(tmp_path / "m.tlt", bundle, key=Key("right"), cost=KdfCost(memory_kib=8, iterations=1))

    weights = read_weights(tmp_path / "m.tlt", key=Key("right"))
    network = ResNet(weights.num_layers, graph=preferred_graph(weights))
    report = load_weights(network, weights)

    assert (weights.graph, weights.num_layers) == ("torchvision", 10)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), source.parameters(), strict=True))
    assert report.skipped == {"output_cov": "this network has no such layer"}
    with pytest.raises(WrongKeyError):
        read_weights(tmp_path / "m.tlt", key=Key("wrong"))


def test_our_own_state_dict_is_read_under_its_own_names(tmp_path):
    for graph in ("tao", "torchvision"):
        source = ResNet(10, graph=graph)
        save_file({f"backbone.{n}": t for n, t in source.state_dict().items()}, tmp_path / f"{graph}.safetensors")

        weights = read_weights(tmp_path / f"{graph}.safetensors")

        assert (weights.graph, weights.num_layers) == (graph, 10)
        assert load_weights(ResNet(10, graph=graph), weights).skipped == {}


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


def test_a_pickle_that_needs_more_than_tensors_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": Harmful()}, protocol=2))

    with pytest.raises(ForeignError) as caught:
        read_weights(path)

    assert str(caught.value) == (
        f"{path}: this file holds more than tensors and plain values (posix.mkdir); loading it could run code hidden "
        "in it, so it is refused. Where you trust it, save its weights alone in the program that made it: "
        "torch.save(model.state_dict(), 'weights.pth')"
    )
    assert not (tmp_path / "harm-was-done").exists()


def test_what_cannot_be_read_says_what_it_is_and_what_to_do(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"conv1.weight": torch.zeros(9000)}, whole)
    (tmp_path / "short.pth").write_bytes(whole.read_bytes()[:20000])
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    save_file({"conv1.weight": torch.zeros(9)}, tmp_path / "bad.safetensors")
    (tmp_path / "bad.safetensors").write_bytes((tmp_path / "bad.safetensors").read_bytes()[:-8])
    noise = np.random.default_rng(0).bytes(20000)
    (tmp_path / "nvidia.tlt").write_bytes(noise)
    (tmp_path / "model.onnx").write_bytes(b"\x00\x01nothing of any kind\n")

    def message(name):
        with pytest.raises(TaoliteError) as caught:
            read_weights(name if "://" in name else tmp_path / name)
        return type(caught.value).__name__, str(caught.value).replace(f"{tmp_path}/", "")

    assert message("none.pth") == (
        "PathError",
        "Pretrained model file not found: none.pth; it may be PyTorch weights (.pth, .safetensors), a Keras .hdf5, a "
        "taolite .tlt, or torchvision://NAME, such as torchvision://resnet18",
    )
    assert message("short.pth") == (
        "TruncatedError",
        "short.pth: the end of this PyTorch file is missing; copy or download it again",
    )
    assert message("vgg.pth") == (
        "ForeignError",
        "vgg.pth: these are not the weights of a network that taolite knows (it holds features.0.weight); layers need "
        "the names of torchvision's ResNet, MobileNet v2 or EfficientNet B0, such as conv1.weight and "
        "layer1.0.conv1.weight",
    )
    assert message("list.pth") == (
        "ForeignError",
        "list.pth: this holds a list; a state dict (names to tensors) is needed",
    )
    assert message("bad.safetensors") == (
        "DamagedError",
        "bad.safetensors: this safetensors file is damaged or cut short; copy or download it again",
    )
    needed = "a file of pretrained weights (.tlt, .hdf5, .pth or .safetensors)"
    assert message("nvidia.tlt") == ("ForeignError", str(wrong_kind("nvidia.tlt", Kind.NVIDIA_TLT, needed=needed)))
    assert message("model.onnx") == ("ForeignError", str(wrong_kind("model.onnx", Kind.UNKNOWN, needed=needed)))
    assert message("torchvision://vgg16") == (
        "UsageError",
        "torchvision://vgg16: this network is not known here; it needs to be one of resnet18, resnet34, resnet50, "
        "resnet101, resnet152, mobilenet_v2, efficientnet_b0",
    )


def test_a_named_network_is_fetched_from_torchvisions_address(monkeypatch):
    asked = []
    theirs = oracle("resnet18").state_dict()

    def fetch(url, **options):
        asked.append((url, options["weights_only"]))
        return theirs

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)

    weights = read_weights("torchvision://resnet18")

    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", True)]
    assert (weights.graph, weights.num_layers, weights.source) == ("torchvision", 18, "torchvision://resnet18")
    assert torch.equal(weights.tensors["block_4b_conv_2.weight"], theirs["layer4.1.conv2.weight"])


def test_without_a_network_the_address_and_the_other_way_are_named(monkeypatch):
    def fetch(url, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)

    with pytest.raises(PathError) as caught:
        read_weights("torchvision://resnet18")

    assert str(caught.value) == (
        "torchvision://resnet18: https://download.pytorch.org/models/resnet18-f37072fd.pth could not be downloaded "
        "(no route to host). Download it where there is a network, and name the .pth file "
        "instead (in a spec as pretrained_model_file or pretrained_model_path, else behind --pretrained)"
    )


def test_a_keras_file_gives_its_layers_with_our_axes(tmp_path):
    h5py = pytest.importorskip("h5py")
    source = ResNet(10)
    keras = (
        {"weight": "kernel", "bias": "bias"},
        {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    )
    with h5py.File(tmp_path / "resnet10.hdf5", "w") as file:
        for name, tensor in source.state_dict().items():
            layer, _, end = name.rpartition(".")
            if end == "num_batches_tracked":
                continue
            values = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor
            file[f"model_weights/{layer}/{layer}/{keras['bn' in layer][end]}:0"] = values.numpy()
        file["model_weights/predictions/predictions/kernel:0"] = np.zeros((512, 10), np.float32)
        file["model_weights/predictions/predictions/bias:0"] = np.zeros(10, np.float32)

    weights = read_weights(tmp_path / "resnet10.hdf5")
    network = ResNet(10)
    report = load_weights(network, weights)

    assert (weights.graph, weights.num_layers, report.skipped) == ("tao", 10, {})
    for name, tensor in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_a_keras_file_of_another_network_says_so(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "vgg.hdf5", "w") as file:
        file["model_weights/block_1a/block_1a/kernel:0"] = np.zeros((3, 3, 3, 8), np.float32)

    with pytest.raises(ForeignError) as caught:
        read_weights(tmp_path / "vgg.hdf5")

    assert str(caught.value) == (
        f"{tmp_path}/vgg.hdf5: this Keras file holds no backbone of TAO's (it holds block_1a.weight); layers need "
        "TAO's names, such as conv1 and block_1a_conv_1"
    )


@pytest.mark.slow
def test_a_linear_probe_on_the_classification_graph_tells_cats_from_dogs(shared_data, capsys):
    """680 photographs, 224 x 224: minutes on one core."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    weights = read_weights(shared_data / "pretrained" / "resnet18.safetensors")
    network = ResNet(18, graph="torchvision", final_stride=32).eval()
    load_weights(network, weights)

    def features(part):
        rows, labels = [], []
        for label, name in enumerate(("cat", "dog")):
            for path in sorted((shared_data / "cat_dog" / part / name).iterdir()):
                photo = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
                with torch.no_grad():
                    x = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
                    rows.append(network(x).mean(dim=(2, 3))[0].numpy())
                labels.append(label)
        return np.stack(rows), np.array(labels)

    train, test = features("train"), features("test")
    probe = linear_model.LogisticRegression(max_iter=5000, C=1.0).fit(*train)
    accuracy = probe.score(*test)

    with capsys.disabled():
        print(f"\nlinear probe, cat_dog test: {accuracy:.4f}")
    assert accuracy >= 0.99
