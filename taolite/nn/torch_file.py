"""Tensors out of a file that `torch.save` wrote, whatever it is called; no code in it is run (`weights_only=True`).

Such a file holds a state dict, or a checkpoint: a table with a state dict under `state_dict`, `model` or another key
(jetson-inference, torchvision's reference scripts, Lightning, timm), and plain values beside it.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from taolite.errors import DamagedError, ForeignError, TruncatedError
from taolite.nn.foreign import listed, printable, reading

__all__ = ["is_torch_file", "read_torch_file"]

_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Under which checkpoints keep their state dict, the more telling first; any other key counts after them."""
_MOST_UNPACKED = 1 << 30  # bytes; a compressed file of a few kilobytes may unpack to any number
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES = 4  # magic number, protocol, system, the object
_HARMLESS = re.compile(
    r"torch\.\w+|torch\._utils\.\w+|torch\.nn\.parameter\.Parameter|collections\.OrderedDict|argparse\.Namespace|"
    r"(__builtin__|builtins)\.(set|complex|bytearray)"
)
"""Names in a pickle that are not what keeps it from being read."""


def is_torch_file(head: bytes) -> bool:
    """Whether a file with these first bytes (4 or more) is one: a zip archive, or before torch 1.6 a bare pickle."""
    return head.startswith((_ZIP, *_PICKLES))


def read_torch_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the state dict in `path` under their own names, dense and on the CPU, and the plain values
    (words, numbers and lists of them) of a checkpoint that holds more.

    Raises ForeignError (a TorchScript program, another zip archive, objects other than tensors and plain values, no
    state dict), TruncatedError, DamagedError.
    """
    with reading(path, "PyTorch file"):
        if zipfile.is_zipfile(path):
            _check_archive(path)
        else:
            with open(path, "rb") as stream:
                if stream.read(4) == _ZIP:
                    raise TruncatedError(f"{path}: the end of this PyTorch file is missing; copy or download it again")
        return _state_dict(path, _load(path))


class _Bounded(io.BufferedReader):
    """A file of which no more is asked than it has: a pickle may claim a text of gigabytes, and a reader that believes
    it takes that memory before it looks for the bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(os.fstat(self.fileno()).st_size - self.tell(), 0))
        return super().read(size)


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(path.stat().st_size, _MOST_UNPACKED):
        raise ForeignError(
            f"{path}: this file unpacks to {unpacked} bytes, many times its size, and torch.save does not compress; "
            "check where the file comes from"
        )
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends and any("/code/" in name for name in names):
        raise ForeignError(
            f"{path}: this is a TorchScript program (torch.jit.save), and no code of a file is run; save its weights "
            "alone: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if "data.pkl" not in ends:
        raise ForeignError(
            f"{path}: this is a zip archive that torch.save did not write (it holds {listed(names, none='nothing')}); "
            "unpack it and name the file inside that holds weights"
        )


def _load(path: Path) -> object:
    try:
        # torchvision's reference scripts keep their arguments in a Namespace, which is attributes and nothing else
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals([argparse.Namespace]),
            _Bounded(io.FileIO(path)) as stream,
        ):
            warnings.simplefilter("ignore", UserWarning)
            # given the path, torch would go by the file's ending
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        whole, names = _pickled(path)
        if not whole:
            raise
        what = f" ({listed(names, none='')})" if names else ""
        raise ForeignError(
            f"{path}: this file holds more than tensors and plain values{what}; loading it could run code hidden in "
            "it, so it is refused. Where you trust it, save its weights alone in the program that made it: "
            "torch.save(model.state_dict(), 'weights.pth')"
        ) from error


def _pickled(path: Path) -> tuple[bool, list[str]]:
    """Whether the pickle in `path` is whole, and the objects besides tensors that it asks for, by name. Nothing is
    made of it: its instructions are read one by one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
            with archive.open(name) as stream:
                return _instructions(stream)
    with _Bounded(io.FileIO(path)) as stream:
        return _instructions(stream)


def _instructions(stream: IO[bytes]) -> tuple[bool, list[str]]:
    asked: dict[str, None] = {}
    pickles, wanted = 0, 1
    try:
        while pickles < wanted:
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    asked[str(argument).replace(" ", ".")] = None
                if pickles == 0 and argument == _LEGACY_MAGIC:
                    wanted = _LEGACY_PICKLES
            pickles += 1
    except ValueError:  # how pickletools says that this is no pickle, or none that is whole
        return False, []
    return True, [name for name in asked if not _HARMLESS.fullmatch(name)]


def _state_dict(path: Path, loaded: object) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not isinstance(loaded, Mapping):
        what = type(loaded).__name__
        raise ForeignError(f"{path}: this holds a {what}; a state dict (names to tensors) is needed")
    facts: dict[str, Any] = {}
    state = _inner(loaded)
    if state is not loaded:
        facts = {str(name): value for name, value in loaded.items() if _is_plain(value)}
    tensors = {
        name: _dense(path, name, value)
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        holds = listed(loaded, none="nothing")
        raise ForeignError(
            f"{path}: this holds no tensors (it holds {holds}); a state dict (names to tensors) is needed"
        )
    return tensors, facts


def _inner(table: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The state dict in a checkpoint, or `table` itself."""
    for key in sorted(table, key=lambda key: _KEYS.index(key) if key in _KEYS else len(_KEYS)):
        value = table[key]
        if isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values()):
            return value
    return table


def _dense(path: Path, name: str, tensor: Tensor) -> Tensor:
    """`tensor` without gradient; an error where it is anything but numbers side by side."""
    where = f"{path}: tensor {printable(name)}"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        kind = "quantised" if tensor.is_quantized else "without values" if tensor.device.type == "meta" else "sparse"
        raise ForeignError(f"{where} is {kind}; save the network's weights as ordinary float tensors")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise DamagedError(f"{where} is larger than the numbers stored for it; copy or download the file again")
    return tensor.detach()


def _is_plain(value: object) -> bool:
    """Whether `value` is a word or a number, or a list of such."""
    return isinstance(value, (str, int, float)) or (isinstance(value, list) and all(map(_is_plain, value)))
