"""torchvision's networks by name: its own arithmetic, its own state dicts, any head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from taolite.artifacts.sniff import Kind, wrong_kind
from taolite.errors import ForeignError, ModelError
from taolite.nn.backbone import IMAGENET_MEAN, IMAGENET_STD
from taolite.nn.torchvision_network import TorchvisionNetwork, arch_of, load_state_dict
from taolite.nn.weights import StateDict, read_state_dict

torch.set_num_threads(1)

SAMPLE = {
    "resnet18": "fc",
    "alexnet": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "densenet121": "classifier",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "shufflenet_v2_x1_0": "fc",
    "mnasnet1_0": "classifier.1",
    "regnet_y_400mf": "fc",
    "resnext50_32x4d": "fc",
    "convnext_tiny": "classifier.2",
    "swin_t": "head",
}
"""The layer that jetson-inference, or torchvision's documentation, replaces."""


def normalised(x):
    return (x - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)


def stirred(network):
    """Batch norms that do something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("arch", SAMPLE)
def test_logits_of_rgb_over_255_are_torchvisions_of_the_normalised_picture(arch):
    torch.manual_seed(0)
    theirs = stirred(get_model(arch, weights=None, num_classes=7))
    ours = TorchvisionNetwork(arch, 7).eval()
    x = torch.rand(2, 3, 64, 64)

    report = load_state_dict(ours, StateDict("theirs", theirs.state_dict(), {}))

    with torch.no_grad():
        (logits,) = ours(x)
        torch.testing.assert_close(logits, theirs(normalised(x)))
    assert ours.head == f"network.{SAMPLE[arch]}"
    assert report.skipped == {}


def test_a_vision_transformer_is_built_for_its_input_size():
    network = TorchvisionNetwork("vit_b_32", 3, input_size=64).eval()

    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64))[0].shape == (1, 3)
    with pytest.raises(ModelError) as caught:
        TorchvisionNetwork("vit_b_32", 3, input_size=65)
    assert str(caught.value).startswith("vit_b_32 cannot be built for inputs of 65 x 65 pixels: ")


@pytest.mark.parametrize(("arch", "size", "heads"), [("googlenet", 64, 3), ("inception_v3", 299, 2)])
def test_auxiliary_classifiers_give_logits_in_training_only_and_can_be_dropped(arch, size, heads):
    torch.manual_seed(0)
    network = TorchvisionNetwork(arch, 4, auxiliaries=True)
    x = torch.rand(2, 3, size, size)

    assert [logits.shape for logits in network(x)] == [(2, 4)] * heads
    network.eval()
    with torch.no_grad():
        (before,) = network(x)
        network.drop_auxiliaries()
        (after,) = network(x)
        assert torch.equal(before, after)
        assert len(network.train()(x)) == 1
    assert set(network.state_dict()) == set(TorchvisionNetwork(arch, 4).state_dict())


def test_published_inceptions_are_fed_as_they_were_trained():
    """torchvision builds them with `transform_input` where it gives them their ImageNet weights."""
    torch.manual_seed(0)
    theirs = stirred(get_model("inception_v3", weights=None, num_classes=4, transform_input=True, init_weights=False))
    ours = TorchvisionNetwork("inception_v3", 4).eval()
    x = torch.rand(1, 3, 96, 96)

    load_state_dict(ours, StateDict("theirs", theirs.state_dict(), {}))

    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0], theirs(normalised(x)))


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1", "alexnet"])
def test_a_head_of_other_classes_starts_afresh_and_the_rest_is_taken(arch):
    torch.manual_seed(0)
    theirs = get_model(arch, weights=None)
    ours = TorchvisionNetwork(arch, 2)
    kept = ours.get_submodule(ours.head).weight.clone()

    report = load_state_dict(ours, StateDict("theirs", theirs.state_dict(), {}))

    layer = SAMPLE[arch]
    assert list(report.skipped) == [layer]
    assert layer not in report.loaded
    assert torch.equal(ours.get_submodule(ours.head).weight, kept)
    expected = {name: value for name, value in theirs.state_dict().items() if not name.startswith(f"{layer}.")}
    found = ours.network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1"])
def test_a_renewed_head_has_the_new_classes_and_the_old_features(arch):
    network = TorchvisionNetwork(arch, 5)
    before = {name: value for name, value in network.state_dict().items() if not name.startswith(network.head)}

    network.renew_head(3)

    assert network(torch.rand(2, 3, 64, 64))[0].shape == (2, 3)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items() if value.ndim > 1)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-18", "resnet18, resnet152, resnet101"), ("fasterrcnn_resnet50_fpn", "resnet18, mobilenet_v2")],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name, near):
    with pytest.raises(ModelError) as caught:
        TorchvisionNetwork(name, 2)
    assert str(caught.value) == (
        f"arch is '{name}'; it needs to be a classification network of torchvision, such as {near}"
    )


def test_another_networks_weights_are_refused():
    other = StateDict("a.pth", get_model("resnet34", weights=None).state_dict(), {})
    with pytest.raises(ModelError) as caught:
        load_state_dict(TorchvisionNetwork("resnet50", 2), other)
    assert str(caught.value) == (
        "a.pth holds no resnet50: layer1.0.conv1.weight is 64x64x3x3 and 64x64x1x1 is needed; "
        "use the arch of these weights"
    )


def test_the_published_densenets_older_names_are_read():
    theirs = get_model("densenet121", weights=None, num_classes=2)
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.").replace(".conv1.", ".conv.1.")
        if "denselayer" in name
        else name: value
        for name, value in theirs.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old

    report = load_state_dict(TorchvisionNetwork("densenet121", 2), StateDict("old", old, {}))

    assert report.skipped == {}


def test_jetson_inferences_checkpoint_is_read_with_what_it_says_of_itself(tmp_path):
    network = get_model("resnet18", weights=None, num_classes=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    checkpoint = {
        "epoch": 34,
        "arch": "resnet18",
        "resolution": 224,
        "num_classes": 2,
        "classes": ["cat", "dog"],
        "multi_label": False,
        "state_dict": {f"module.{name}": value for name, value in network.state_dict().items()},
        "accuracy": {"train": 90.0, "val": 82.5},
        "optimizer": optimizer.state_dict(),
    }
    path = tmp_path / "model_best.pth.tar"
    torch.save(checkpoint, path)

    state = read_state_dict(path)

    facts = {"epoch": 34, "arch": "resnet18", "resolution": 224, "num_classes": 2, "multi_label": False}
    assert state.facts == {**facts, "classes": ["cat", "dog"]}
    ours = TorchvisionNetwork(state.facts["arch"], state.facts["num_classes"])
    assert load_state_dict(ours, state).skipped == {}
    assert torch.equal(ours.network.fc.weight, network.fc.weight)


def test_what_is_no_state_dict_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x00\x01\x02\x03")

    with pytest.raises(ForeignError) as caught:
        read_state_dict(path)

    assert str(caught.value) == str(wrong_kind(str(path), Kind.UNKNOWN, needed="a state dict (.pth or .safetensors)"))


@pytest.mark.parametrize("prefix", ["model.", "net.backbone.", "_orig_mod.", "module."])
def test_a_network_inside_another_programs_is_found_by_its_layers(tmp_path, prefix):
    network = get_model("resnet18", weights=None, num_classes=2)
    inner = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": {"criterion.weight": torch.ones(2), **inner}, "epoch": 3}, tmp_path / "last.ckpt")
    ours = TorchvisionNetwork("resnet18", 2)

    report = load_state_dict(ours, read_state_dict(tmp_path / "last.ckpt"))

    assert report.skipped == {}
    assert torch.equal(ours.network.fc.weight, network.fc.weight)


def test_the_safetensors_metadata_is_among_the_facts(tmp_path):
    path = tmp_path / "some.safetensors"
    save_file({"conv.weight": torch.zeros(2)}, path, {"padding": "TensorFlow SAME"})

    assert read_state_dict(path).facts == {"padding": "TensorFlow SAME"}


def test_the_pretrained_resnet18_sees_in_photos_what_was_recorded_with_its_weights(shared_data):
    folder = shared_data / "pretrained"
    rows = [row.split("\t") for row in (folder / "verification_top5.tsv").read_text().splitlines()]
    recorded = {row[0]: [int(part.split()[0]) for part in row[2].split(";")] for row in rows if row[1] == "resnet18"}
    photos = list(recorded)[:4]
    network = TorchvisionNetwork("resnet18", 1000).eval()
    load_state_dict(network, read_state_dict(folder / "resnet18.safetensors"))

    pixels = np.stack([centre(Image.open(shared_data / "jetson_images" / name).convert("RGB")) for name in photos])
    with torch.no_grad():
        (logits,) = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)

    best = logits.topk(5).indices.tolist()
    agreeing = [len(set(row) & set(recorded[name])) for row, name in zip(best, photos, strict=True)]
    assert agreeing == [5, 5, 5, 5]


def centre(photo):
    """Resized to 256 on the short side, its centre of 224."""
    scale = 256 / min(photo.size)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
    left, top = (photo.width - 224) // 2, (photo.height - 224) // 2
    return np.asarray(photo.crop((left, top, left + 224, top + 224)))


def test_a_misspelled_arch_is_answered_with_the_nearest_one():
    with pytest.raises(ModelError, match=r"^arch is 'resnet81'; .*, such as resnet18, "):
        TorchvisionNetwork("resnet81", 2)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50", "mobilenet_v2"])
def test_weights_are_recognised_by_their_tensors_whatever_the_head(arch):
    theirs = get_model(arch, weights=None, num_classes=7).state_dict()
    without_head = {name: value for name, value in theirs.items() if not name.startswith(SAMPLE.get(arch, "fc"))}

    assert arch_of(StateDict("theirs", theirs, {})) == arch
    assert arch_of(StateDict("theirs", without_head, {})) == arch


def test_weights_with_the_names_of_one_network_and_other_sizes_are_not_its_own():
    wide = get_model("wide_resnet50_2", weights=None).state_dict()
    first_layers = {name: value for name, value in wide.items() if not name.startswith("layer4")}

    assert arch_of(StateDict("wide", wide, {})) == ""
    assert arch_of(StateDict("cut", first_layers, {})) == ""
