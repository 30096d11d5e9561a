"""What processes send each other, as bytes: JSON with the arrays behind it. No pickle, so a message runs no code.

    pack(value) -> 8 bytes, length of the JSON (little-endian); the JSON, UTF-8; the arrays' bytes, one after another

A value consists of None, bool, int, float, str, list, tuple, dict, set, frozenset, Path, NumPy arrays and numbers,
torch tensors, and what taolite itself defines: dataclasses, enums and spec models. Anything else is refused, on either
side. `unpack` gives an equal value; a mapping that is read-only comes back as a dict, a tensor on the processor.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from taolite import spec as specs
from taolite.errors import TaoliteError

__all__ = ["WireError", "pack", "unpack"]

_SEVERAL: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "f"}
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ImportError, struct.error, RecursionError, TaoliteError)
_KINDS = "biufc"  # of arrays: bool, integers, floating, complex; never objects


class WireError(TypeError):
    """A value that is not sent, or a message that was not made by `pack`. Our bug, or somebody else's message."""


def pack(value: Any) -> bytes:
    """The message for `value`. Raises WireError where a part of it is of a type that is not sent."""
    arrays: list[bytes] = []
    text = json.dumps(_coded(value, arrays), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"".join((struct.pack("<Q", len(text)), text, *arrays))


def unpack(message: bytes) -> Any:
    """The value of a message. Raises WireError where `pack` did not make it."""
    try:
        (length,) = struct.unpack_from("<Q", message)
        if length > len(message) - 8:
            raise WireError("its end is missing")
        text = message[8 : 8 + length].decode("utf-8", "surrogatepass")
        reader = _Reader(memoryview(message)[8 + length :])
        value = reader.value(json.loads(text))
    except _DAMAGE as error:
        raise WireError(f"this message is not one of taolite's: {error}") from error
    if reader.place != len(reader.arrays):
        raise WireError(f"this message has {len(reader.arrays) - reader.place} bytes too many")
    return value


def _coded(value: Any, arrays: list[bytes]) -> Any:
    """`value` as JSON: a plain scalar is itself, everything else a list that begins with a letter for its kind."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in _SEVERAL:
        return [_SEVERAL[kind], [_coded(one, arrays) for one in value]]
    if isinstance(value, Enum):
        return ["e", _name(kind), value.name]
    if isinstance(value, specs.SpecModel):
        return ["m", _name(kind), specs.dumps(value)]
    if dataclasses.is_dataclass(value):
        fields = {one.name: _coded(getattr(value, one.name), arrays) for one in dataclasses.fields(value)}
        return ["o", _name(kind), fields]
    if isinstance(value, torch.Tensor):
        return ["T", *_array(value.detach().cpu().numpy(), arrays)]
    if isinstance(value, np.generic):
        return ["n", *_array(np.asarray(value), arrays)]
    if kind is np.ndarray:
        return ["a", *_array(value, arrays)]
    if isinstance(value, Mapping):
        return ["d", [[_coded(key, arrays), _coded(one, arrays)] for key, one in value.items()]]
    if isinstance(value, PurePath):
        return ["p", str(value)]
    raise WireError(f"{kind.__module__}.{kind.__qualname__} is not sent between processes")


def _array(array: np.ndarray[Any, Any], arrays: list[bytes]) -> list[Any]:
    """Type and shape of an array, whose bytes go to `arrays`."""
    if array.dtype.kind not in _KINDS:
        raise WireError(f"an array of {array.dtype} is not sent between processes")
    arrays.append(np.ascontiguousarray(array).tobytes())
    return [array.dtype.str, list(array.shape)]


def _name(kind: type) -> str:
    """ "taolite.scorecard:Metric"; WireError for a class that is not ours."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not _is_ours(name):
        raise WireError(f"{kind.__module__}.{kind.__qualname__} is not sent between processes")
    return name


def _is_ours(name: str) -> bool:
    module, _, qualified = name.partition(":")
    return module.split(".")[0] == "taolite" and all(part.isidentifier() for part in (*module.split("."), qualified))


class _Reader:
    """Reads the JSON of a message; `place` is how far the arrays have been read."""

    def __init__(self, arrays: memoryview) -> None:
        self.arrays, self.place = arrays, 0

    def value(self, coded: Any) -> Any:
        if not isinstance(coded, list):
            if isinstance(coded, dict):
                raise WireError("an object stands where none is sent")
            return coded
        letter, *rest = coded
        for several, own in _SEVERAL.items():
            if letter == own:
                made: Callable[[Any], Any] = several
                return made(self.value(one) for one in rest[0])
        if letter == "d":
            return {self.value(key): self.value(one) for key, one in rest[0]}
        if letter == "p":
            return Path(rest[0])
        if letter in ("a", "n", "T"):
            array = self._array(*rest)
            return torch.from_numpy(array) if letter == "T" else array[()] if letter == "n" else array
        return self._ours(letter, *rest)

    def _array(self, dtype: str, shape: list[int]) -> np.ndarray[Any, Any]:
        if not re.fullmatch(rf"[<>|][{_KINDS}]\d+", dtype):  # as `dtype.str` writes it; NumPy knows older spellings
            raise WireError(f"an array of {dtype} is not sent between processes")
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or self.place + size > len(self.arrays):
            raise WireError(f"an array of {dtype}, {shape} is not in this message")
        part = self.arrays[self.place : self.place + size]
        self.place += size
        return np.frombuffer(part, kind).reshape(shape).copy()

    def _ours(self, letter: str, name: str, body: Any) -> Any:
        """A value of a class of taolite's own."""
        if not _is_ours(name):
            raise WireError(f"{name} is not sent between processes")
        module, _, qualified = name.partition(":")
        kind: Any = getattr(importlib.import_module(module), qualified)
        if letter == "e" and issubclass(kind, Enum):
            return kind[body]
        if letter == "m" and issubclass(kind, specs.SpecModel):
            return specs.loads(body, kind)
        if letter == "o" and isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return kind(**{field: self.value(one) for field, one in body.items()})
        raise WireError(f"{name} is not sent between processes")
