"""Networks by name: which names there are, where their files are found, and that the network made of them is right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from taolite.engines import onnx_graph
from taolite.errors import DamagedError, ModelError, PathError, UsageError
from taolite.events import Downloading, Exporting
from taolite.media.sources import open_source
from taolite.stages.inference import networks
from taolite.stages.inference.models import open_model
from taolite.stages.inference.networks import ARCHS, arch_of, find_network, is_name
from taolite.stages.inference.ranks import Manner
from taolite.stages.inference.watch import Viewing, watch


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any network: the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TORCH_HOME", networks.FOLDERS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; the addresses that were asked for."""
    asked: list[str] = []

    def refuse(url: str, *rest: object, **options: object) -> None:
        asked.append(url)
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return asked


@pytest.fixture
def given(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, named in the variable."""
    folder = tmp_path / "networks"
    folder.mkdir()
    monkeypatch.setenv(networks.FOLDERS_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="module")
def resnet(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """resnet-18 made of the given weights."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv(networks.FOLDERS_VARIABLE, str(shared_data / "pretrained"))
        return find_network("resnet-18")


def small_weights(path: Path, classes: int = 1000) -> Path:
    """Random weights of the smallest network, quickly exported."""
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None, num_classes=classes).state_dict(), path)
    return path


def test_the_names_are_those_of_torchvision():
    assert sorted(ARCHS) == models.list_models(module=models)


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        *(("googlenet", "googlenet"), ("alexnet", "alexnet"), ("resnet-18", "resnet18"), ("resnet-152", "resnet152")),
        *(("vgg-16", "vgg16"), ("ResNet18", "resnet18"), ("mobilenet-v2", "mobilenet_v2"), ("vit-b-16", "vit_b_16")),
        ("squeezenet-1.1", "squeezenet1_1"),
    ],
)
def test_a_network_has_the_name_of_torchvision_and_that_of_jetson_inference(name: str, arch: str):
    assert is_name(name)
    assert arch_of(name) == arch


@pytest.mark.parametrize("text", ["model.onnx", "resnet", "runs/one", "", "resnet-19"])
def test_other_words_are_no_names(text: str):
    assert not is_name(text)


def test_a_network_that_cannot_be_had_is_explained():
    assert is_name("ssd-mobilenet-v2")
    with pytest.raises(UsageError) as detector:
        find_network("ssd-mobilenet-v2")
    with pytest.raises(UsageError) as classifier:
        find_network("inception-v4")
    with pytest.raises(UsageError) as unknown:
        find_network("resnet-19")

    assert str(detector.value) == (
        "ssd-mobilenet-v2: NVIDIA's weights of this detector are not published in a form that can be read here; give a "
        "detector's file instead (.onnx, .tlt, .etlt or an engine), or train one: taolite jetson train_ssd.py"
    )
    assert str(classifier.value) == (
        "inception-v4: torchvision publishes no weights of this network; inception-v3 is the nearest it has"
    )
    assert str(unknown.value).startswith("'resnet-19' is no network that is known by name; did you mean resnet18 or ")


def test_offline_the_message_says_which_file_to_bring_and_where_to(empty: Path, offline: list[str]):
    heard: list[object] = []
    url, target = "https://download.pytorch.org/models/googlenet-1378be20.pth", empty / "taolite" / "networks"

    with pytest.raises(PathError) as caught:
        find_network("googlenet", listener=heard.append)

    assert str(caught.value) == (
        f"googlenet: {url} cannot be downloaded (<urlopen error Name or service not known>); download it where there "
        f"is a network and copy it to {target}/googlenet-1378be20.pth, or name its folder in TAOLITE_NETWORKS"
    )
    assert offline == [url]
    assert heard == [Downloading(url, target / "googlenet-1378be20.pth")]


def test_without_torch_the_message_asks_for_an_onnx(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "_torch_is_here", lambda: False)
    monkeypatch.setattr(networks, "install_command", lambda extra: f"pip install 'taolite[{extra}]'")
    cache = f"{empty}/taolite/networks"

    with pytest.raises(PathError) as caught:
        find_network("resnet-18")

    assert str(caught.value) == (
        f"resnet-18: resnet18.onnx is in none of {cache}, {empty}/torch/hub/checkpoints, and making it needs torch; "
        f"run pip install 'taolite[train]', or make it on another machine (it is in {cache} there) and copy it to "
        f"{cache}/resnet18.onnx"
    )


def test_the_download_is_checked_and_kept(empty: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, str]] = []

    def download(url: str, path: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        small_weights(Path(path))

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)

    with pytest.raises(DamagedError) as caught:  # torch would have said so: these are not torchvision's weights
        find_network("squeezenet-1.1")

    assert asked == [("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "b8a52dc0")]
    file = empty / "taolite" / "networks" / "squeezenet1_1-b8a52dc0.pth"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(caught.value) == (
        f"{file}: its SHA-256 begins with {digest[:8]}, and its name says b8a52dc0; remove it and download it again"
    )


@pytest.mark.parametrize("file", ["squeezenet1_1.pth", "squeezenet-1.1.pt"])
def test_weights_are_exported_once_and_again_where_they_change(
    file: str, given: Path, offline: list[str], monkeypatch: pytest.MonkeyPatch
):
    small_weights(given / file)
    heard: list[object] = []

    first = find_network("squeezenet-1.1", listener=heard.append)
    again = find_network("squeezenet-1.1", listener=heard.append)
    monkeypatch.setattr(networks, "_torch_is_here", lambda: False)
    without_torch = find_network("squeezenet-1.1", listener=heard.append)
    (given / file).unlink()
    without_weights = find_network("squeezenet-1.1", listener=heard.append)

    assert first == again == without_torch == without_weights
    assert heard == [Exporting(first)]
    assert offline == []
    with open_model(first, key=None, of="classification") as model:
        assert model.classes[:2] == ("tench", "goldfish")
        assert len(model.classes) == 1000
        assert model.preprocessing.input_hw == (224, 224)
        assert model.preprocessing.least_side == 256


def test_a_ready_onnx_needs_no_torch(given: Path, resnet: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "_torch_is_here", lambda: False)
    ready = given / "resnet-18.onnx"
    ready.write_bytes(resnet.read_bytes())

    assert find_network("resnet-18") == ready


def test_an_onnx_without_our_metadata_is_refused(given: Path, raw_ssd: Callable[..., bytes]):
    foreign = given / "resnet18.onnx"
    foreign.write_bytes(raw_ssd(priors=4, classes=2))
    assert onnx_graph.read_meta(foreign.read_bytes()) is None

    with pytest.raises(ModelError) as caught:
        find_network("resnet-18")

    assert str(caught.value) == (
        f"{foreign}: this ONNX does not say that it is a classifier of ours; remove it, or name it as a model instead"
    )


def test_weights_of_other_classes_are_refused(given: Path):
    file = small_weights(given / "squeezenet1_1.pth", classes=3)

    with pytest.raises(ModelError) as caught:
        find_network("squeezenet1_1")

    assert str(caught.value) == (
        f"{file}: these are not weights for ImageNet's 1000 classes (layer classifier.1: its bias is 3 and 1000 is "
        "needed); remove the file, or train a classifier that starts from it"
    )


def test_a_variable_that_names_no_folder_is_told(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(networks.FOLDERS_VARIABLE, str(empty / "nowhere"))

    with pytest.raises(PathError) as caught:
        find_network("resnet-18")

    assert str(caught.value) == f"TAOLITE_NETWORKS: {empty / 'nowhere'}: no such folder"


def test_resnet_18_says_of_every_picture_what_torch_said(resnet: Path, shared_data: Path):
    """verification_top5.tsv was computed in torch from the same weights, with another resize."""
    table = (shared_data / "pretrained" / "verification_top5.tsv").read_text().splitlines()[1:]
    rows = [row.split("\t") for row in table]
    wanted = {
        name: [int(one.split()[0]) for one in best.split("; ")] for name, network, best in rows if network == "resnet18"
    }

    with open_model(resnet, key=None) as model:
        viewing = Viewing(manner=Manner(threshold=0.0, top=5))
        found = {
            seen.frame.name: [model.classes.index(one.name) for one in seen.found]
            for seen in watch(model, open_source(shared_data / "jetson_images"), viewing)
        }

    assert len(wanted) == 23
    assert {name: best[0] for name, best in found.items()} == {name: best[0] for name, best in wanted.items()}
    shared = sum(len(set(wanted[name]) & set(found[name])) for name in wanted)
    assert shared >= 110  # of 115
