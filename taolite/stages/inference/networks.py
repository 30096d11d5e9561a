"""Networks by name: torchvision's ImageNet classifiers under their own names or jetson-inference's (`resnet-18`).

A network is an ONNX with our metadata (the 1000 names of ImageNet, the preprocessing). It is made once from the weights
that torchvision publishes, and kept in the cache folder under a hash of these weights. `find_network` looks for a file
in these folders, in this order, and downloads the weights where none has it:

    $TAOLITE_NETWORKS                   folders of the user's, separated as in PATH
    $XDG_CACHE_HOME/taolite/networks    our cache (default: ~/.cache/taolite/networks)
    $TORCH_HOME/hub/checkpoints         torch's cache (default: ~/.cache/torch/hub/checkpoints)

A file for resnet-18 is `resnet18.onnx` or `resnet-18.onnx` with our metadata, `resnet18-f37072fd.pth` (torchvision's
own name, which holds the beginning of the file's SHA-256), or `resnet18` with .pth, .pt or .safetensors. An ONNX needs
no torch; weights need the extra `train`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from taolite.artifacts.etlt import read_model
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import DamagedError, ModelError, PathError, UsageError
from taolite.events import Downloading, Exporting, Listener, silent
from taolite.extras import install_command
from taolite.files import write_bytes
from taolite.preprocessing import Preprocessing
from taolite.tasks.registry import find_use

if TYPE_CHECKING:
    from taolite.tasks.classification.model import TorchvisionClassifier

__all__ = ["ARCHS", "FOLDERS_VARIABLE", "arch_of", "find_network", "folders", "is_name"]

FOLDERS_VARIABLE = "TAOLITE_NETWORKS"

_NAMES = """
    alexnet convnext_tiny convnext_small convnext_base convnext_large densenet121 densenet161 densenet169 densenet201
    efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
    efficientnet_b7 efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l googlenet inception_v3 maxvit_t mnasnet0_5
    mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large regnet_x_400mf regnet_x_800mf
    regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf regnet_y_400mf regnet_y_800mf regnet_y_1_6gf
    regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf regnet_y_128gf resnet18 resnet34 resnet50 resnet101
    resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
    shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_t swin_s swin_b swin_v2_t swin_v2_s
    swin_v2_b vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14
    wide_resnet50_2 wide_resnet101_2
"""
ARCHS: tuple[str, ...] = tuple(_NAMES.split())
"""The classification networks of torchvision 0.24, which all have published ImageNet weights."""

_DETECTORS = (
    *("ssd-mobilenet-v1", "ssd-mobilenet-v2", "ssd-inception-v2", "peoplenet", "peoplenet-pruned", "dashcamnet"),
    *("trafficcamnet", "facedetect", "facenet", "pednet", "multiped"),
    *("coco-dog", "coco-bottle", "coco-chair", "coco-airplane"),
)
_OTHERS = {  # jetson-inference's classifiers that torchvision does not publish -> the nearest one that it does
    "inception-v4": "inception-v3",
    "googlenet-12": "googlenet",
    "resnet18-tagging-voc": "resnet-18",
}
_WEIGHTS = (".pth", ".pt", ".safetensors")
_RECIPE = 1  # counted up when the same weights are exported differently
_NEWEST = ("swin", "maxvit")  # need an operation of opset 18
_DIGITS = 16  # of the weights' SHA-256 in the name of an ONNX
_CLASSES = 1000


def is_name(text: str) -> bool:
    """Whether `text` names a network of torchvision's or jetson-inference's, which `find_network` finds or explains."""
    plain = _plain(text)
    return plain in _ARCH_OF or plain in map(_plain, (*_DETECTORS, *_OTHERS))


def arch_of(name: str) -> str:
    """torchvision's name of a network: `resnet-18` and `ResNet18` are resnet18.

    Raises UsageError for another name, with what to do instead for those of jetson-inference's that cannot be had.
    """
    plain = _plain(name)
    if plain in _ARCH_OF:
        return _ARCH_OF[plain]
    if plain in map(_plain, _DETECTORS):
        raise UsageError(
            f"{name}: NVIDIA's weights of this detector are not published in a form that can be read here; give a "
            "detector's file instead (.onnx, .tlt, .etlt or an engine), or train one: taolite jetson train_ssd.py"
        )
    nearest = next((other for known, other in _OTHERS.items() if _plain(known) == plain), None)
    if nearest is not None:
        raise UsageError(f"{name}: torchvision publishes no weights of this network; {nearest} is the nearest it has")
    import difflib

    near = [_ARCH_OF[one] for one in difflib.get_close_matches(plain, _ARCH_OF, n=3)]
    raise UsageError(
        f"{name!r} is no network that is known by name; "
        + (f"did you mean {' or '.join(near)}?" if near else "known are googlenet, resnet-18, mobilenet-v2 and others")
    )


def folders() -> tuple[Path, ...]:
    """The folders where networks are looked for. Raises PathError where TAOLITE_NETWORKS names none."""
    given = [Path(one).expanduser() for one in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if one]
    for folder in given:
        if not folder.is_dir():
            raise PathError(f"{FOLDERS_VARIABLE}: {folder}: no such folder")
    torch_home = os.environ.get("TORCH_HOME")
    hub = Path(torch_home).expanduser() if torch_home else _cache() / "torch"
    return (*given, _made_folder(), hub / "hub" / "checkpoints")


def find_network(name: str, *, listener: Listener = silent) -> Path:
    """The ONNX of a network, made and cached where it is not there yet.

    Raises:
        UsageError: no network of this name can be had.
        PathError: no file of it is here and it cannot be downloaded; the message says which file to bring, where to.
        DamagedError: a file of torchvision's name with other content.
        ModelError: a file with another network's weights.
        ArtifactError, EngineError: a file of another kind.
    """
    arch = arch_of(name)
    own = [f"{stem}.onnx" for stem in dict.fromkeys((arch, name))]
    for folder in folders():
        for file in own:
            if (folder / file).is_file():
                return _checked(folder / file)
    if weights := next(_weights_of(arch, name), None):
        return _made(arch, weights, listener)
    if made := sorted(_made_folder().glob(f"{arch}-{'?' * _DIGITS}-{_RECIPE}.onnx")):
        return made[-1]  # its weights are gone, or torchvision gives them an odd name
    _need_torch(name, arch)
    file = _published(arch).url.rpartition("/")[2]
    here = next((folder / file for folder in folders() if (folder / file).is_file()), None)
    return _made(arch, here or _downloaded(arch, name, listener), listener)


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()


_ARCH_OF = {_plain(arch): arch for arch in ARCHS}


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _made_folder() -> Path:
    return _cache() / "taolite" / "networks"


def _torch_is_here() -> bool:
    from importlib.util import find_spec

    return find_spec("torchvision") is not None


def _need_torch(name: str, arch: str) -> None:
    if not _torch_is_here():
        raise PathError(
            f"{name}: {arch}.onnx is in none of {', '.join(map(str, folders()))}, and making it needs torch; run "
            f"{install_command('train')}, or make it on another machine (it is in {_made_folder()} there) and copy it "
            f"to {folders()[0] / arch}.onnx"
        )


def _weights_of(arch: str, name: str) -> Iterator[Path]:
    """The files with weights of this network, but for the few whose names only torchvision knows (alexnet-owt-...);
    torch, which takes seconds to load, is not asked."""
    for folder in folders():
        yield from (
            file for file in sorted(folder.glob(f"{arch}-*.pth")) if file.name == f"{arch}-{_checksum(file.name)}.pth"
        )
        files = [folder / f"{stem}{suffix}" for stem in dict.fromkeys((arch, name)) for suffix in _WEIGHTS]
        yield from (file for file in files if file.is_file())


def _published(arch: str) -> Any:
    """torchvision's first ImageNet weights of the network: a member of one of its `WeightsEnum`s."""
    from torchvision.models import get_model_weights

    return next(iter(get_model_weights(arch)))


def _checked(onnx: Path) -> Path:
    """`onnx`, where it is a classifier with our metadata."""
    meta = onnx_graph.read_meta(read_model(onnx, key=None).onnx)
    if meta is None or meta.task != "classification":
        raise ModelError(
            f"{onnx}: this ONNX does not say that it is a classifier of ours; remove it, or name it as a model instead"
        )
    return onnx


def _downloaded(arch: str, name: str, listener: Listener) -> Path:
    """torchvision's weights, brought to our cache; the file's name says how its SHA-256 begins."""
    import torch

    url: str = _published(arch).url
    file = url.rpartition("/")[2]
    target = _made_folder() / file
    listener(Downloading(url, target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(target), hash_prefix=_checksum(file), progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: the content is not that of the checksum
        raise PathError(
            f"{name}: {url} cannot be downloaded ({error}); download it where there is a network and copy it to "
            f"{target}, or name its folder in {FOLDERS_VARIABLE}"
        ) from error
    return target


def _checksum(file: str) -> str:
    """The hexadecimal digits at the end of torchvision's name of a file; "" for another name."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", file)
    return found[1] if found else ""


def _made(arch: str, weights: Path, listener: Listener) -> Path:
    """The network with these weights as ONNX; from the cache where it has been made before."""
    with open(weights, "rb") as stream:
        digest = _sha256(stream)
    if not digest.startswith(_checksum(weights.name)):
        raise DamagedError(
            f"{weights}: its SHA-256 begins with {digest[:8]}, and its name says {_checksum(weights.name)}; "
            "remove it and download it again"
        )
    target = _made_folder() / f"{arch}-{digest[:_DIGITS]}-{_RECIPE}.onnx"
    if not target.is_file():
        _need_torch(weights.name, arch)
        listener(Exporting(target))
        write_bytes(target, _onnx(arch, weights))
    return target


def _sha256(stream: IO[bytes]) -> str:
    sha = hashlib.sha256()
    while block := stream.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()


def _onnx(arch: str, weights: Path) -> bytes:
    from taolite.stages.exporting.proof import parity
    from taolite.stages.exporting.to_onnx import OPSET, to_onnx

    published = _published(arch)
    transforms = published.transforms()
    (side,) = transforms.crop_size
    network = _network(arch, weights, side)
    cubic = transforms.interpolation.value == "bicubic"
    preprocessing = Preprocessing((side, side), fit="cover", least_side=transforms.resize_size[0], cubic=cubic)
    use = find_use("classification")
    plain = to_onnx(
        network,
        channels=3,
        input_hw=preprocessing.input_hw,
        output_names=use.onnx_outputs,
        opset=18 if arch.startswith(_NEWEST) else OPSET,
    )
    parity(network, plain, preprocessing)
    classes = tuple(published.meta["categories"])
    return onnx_graph.write_meta(plain, OnnxMeta(use.name, classes, preprocessing, {"top": 1}))


def _network(arch: str, weights: Path, side: int) -> TorchvisionClassifier:
    """The network in torch, in evaluation mode, with all its layers from the file."""
    from taolite.nn.state_dict import read_state_dict
    from taolite.nn.torchvision_network import load_state_dict
    from taolite.tasks.classification.model import TorchvisionClassifier

    network = TorchvisionClassifier(arch, _CLASSES, input_size=side).eval()
    report = load_state_dict(network.body, read_state_dict(weights))
    if report.skipped:
        layer, why = next(iter(report.skipped.items()))
        raise ModelError(
            f"{weights}: these are not weights for ImageNet's {_CLASSES} classes (layer {layer}: {why}); "
            "remove the file, or train a classifier that starts from it"
        )
    return network
