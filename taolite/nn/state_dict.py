"""State dicts under their own names: out of a PyTorch file, a safetensors file, or torchvision's published weights.

A file is what its first bytes say, whatever it is called. `torchvision://NAME` is the only source that may use the
network; it is kept in torch's own cache.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from taolite.artifacts.sniff import sniff, wrong_kind
from taolite.errors import PathError, UsageError
from taolite.nn.foreign import check_no_impostor, reading
from taolite.nn.torch_file import is_torch_file, read_torch_file

__all__ = ["TORCHVISION", "StateDict", "download", "existing", "holds_state_dict", "read_state_dict", "without_prefix"]

TORCHVISION = "torchvision://"

_MAX_HEADER = 100_000_000  # bytes, safetensors' own bound
_WRAPPERS = ("module.", "_orig_mod.")  # of torch.nn.DataParallel and torch.compile


@dataclass(frozen=True)
class StateDict:
    """Tensors under a file's own names, less a leading `module.` or `_orig_mod.`.

    tensors: dense, on the CPU, without gradient. facts: the plain values beside them: a checkpoint's `arch`, `classes`,
    `epoch`, ..., or a `.safetensors` file's metadata.
    """

    source: str
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def existing(path: Path | str) -> Path:
    """`path`, where there is a file that can hold weights.

    Raises PathError where there is none, and what `check_no_impostor` raises.
    """
    path = Path(path)
    with reading(path, "file"):
        if path.is_dir():
            raise PathError(f"{path}: this is a folder; name the file of weights in it")
        if not path.is_file():
            raise PathError(
                f"Pretrained model file not found: {path}; it may be PyTorch weights (.pth, .safetensors), a Keras "
                ".hdf5, a taolite .tlt, or torchvision://NAME, such as torchvision://resnet18"
            )
    check_no_impostor(path)
    return path


def holds_state_dict(path: Path | str) -> bool:
    """Whether `read_state_dict` is the one to read it: its first bytes are those of a PyTorch or a safetensors file.

    Raises what `existing` raises.
    """
    return str(path).startswith(TORCHVISION) or _format(existing(path)) is not None


def read_state_dict(path: Path | str) -> StateDict:
    """Read a state dict under its own names.

    Args:
        path: a PyTorch file (a state dict or a checkpoint, jetson-inference's and Lightning's among them), a
            safetensors file, or `torchvision://` and the name of any classification network of torchvision's.

    Raises PathError (missing, or a download that failed), UsageError (an unknown name), ForeignError (another kind of
    file, or a pickle of more than tensors and plain values), TruncatedError, DamagedError.
    """
    text = str(path)
    if text.startswith(TORCHVISION):
        from torchvision import models

        return StateDict(text, download(text, models.list_models(module=models)), {})
    path = existing(path)
    kind = _format(path)
    if kind is None:
        raise wrong_kind(text, sniff(path), needed="a state dict (.pth or .safetensors)")
    tensors, facts = (read_torch_file if kind == "torch" else _read_safetensors)(path)
    return StateDict(text, {_unwrapped(name): _numbers(tensor) for name, tensor in tensors.items()}, facts)


def without_prefix(tensors: Mapping[str, Tensor], fits: Callable[[Mapping[str, Tensor]], bool]) -> Mapping[str, Tensor]:
    """The tensors of a network that a larger one holds under a name of its own: `model.`, `net.backbone.`, ...

    Args:
        tensors: a state dict; Lightning's, for one, names `model.conv1.weight`.
        fits: whether these are the tensors of a network that is known.

    Returns:
        Those under the first prefix that at least a third of the names share and behind which `fits` is true, without
        the prefix; `tensors` as they are where they fit already, or none does.
    """
    if fits(tensors):
        return tensors
    shared = Counter(prefix for name in tensors for prefix in _prefixes(name))
    for prefix, count in shared.items():
        if 3 * count < len(tensors):
            continue
        inner = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if fits(inner):
            return inner
    return tensors


def download(source: str, known: Collection[str]) -> Mapping[str, Tensor]:
    """torchvision's first ImageNet weights of the network that `source` names, kept in torch's cache after the first
    time.

    Raises UsageError for a name that is not among `known`, PathError where the download fails.
    """
    name = source.removeprefix(TORCHVISION)
    if name not in known:
        raise UsageError(f"{source}: this network is not known here; it needs to be one of {', '.join(known)}")
    from torchvision.models import get_model_weights

    url = next(iter(get_model_weights(name))).url
    try:
        state = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except OSError as error:
        raise PathError(
            f"{source}: {url} could not be downloaded ({error}). Download it where there is a network, and name the "
            ".pth file instead (in a spec as pretrained_model_file or pretrained_model_path, else behind --pretrained)"
        ) from error
    return dict(state)


def _format(path: Path) -> str | None:
    """`torch`, `safetensors`, or None for any other file; from its first bytes."""
    with reading(path, "file"), open(path, "rb") as stream:
        head = stream.read(9)
    if is_torch_file(head):
        return "torch"
    if len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER:
        return "safetensors"
    return None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, and the metadata."""
    from safetensors import safe_open

    with reading(path, "safetensors file"), safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}, dict(file.metadata() or {})


def _numbers(tensor: Tensor) -> Tensor:
    """`tensor`; as float32 where its floating-point type is one that NumPy does not have (bfloat16, float8)."""
    known = (torch.float16, torch.float32, torch.float64)
    return tensor.float() if tensor.is_floating_point() and tensor.dtype not in known else tensor


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _prefixes(name: str) -> list[str]:
    """`a.`, `a.b.`, `a.b.c.` of `a.b.c.d.weight`."""
    parts = name.split(".", 3)[:3]
    return [".".join(parts[:end]) + "." for end in range(1, len(parts) + 1) if name.count(".") >= end]
