"""Bundle: a model with all it takes to use it, in a `.tlt`; and the checkpoint, a run's state, sealed the same way.

A `.tlt` holds tensors (safetensors), a JSON record from which the network is rebuilt, class names, preprocessing,
the resolved spec and the lineage. There is no pickle: opening a file runs no code of its writer.
Tensors are NumPy arrays, little-endian, of the dtypes in `DTYPES`; shapes and dtypes come back as they went in.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from taolite import __version__
from taolite.artifacts.container import KdfCost, read_file, seal, unseal
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff_bytes, wrong_kind
from taolite.errors import DamagedError
from taolite.files import open_atomic
from taolite.preprocessing import Preprocessing

__all__ = [
    "DTYPES",
    "Bundle",
    "Checkpoint",
    "Tensors",
    "count_parameters",
    "read_bundle",
    "read_checkpoint",
    "weights_hash",
    "write_bundle",
    "write_checkpoint",
]

Tensors = dict[str, NDArray[Any]]
T = TypeVar("T")

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model.

    task: "detectnet". architecture: JSON, all it takes to rebuild the network (arch, layers, channel counts ...).
    classes: names in the order of the network's outputs. tensors: weights by name. spec: text of the resolved spec.
    lineage: one JSON record for each step that led here, oldest first (stage, parent hash, parameters, versions,
    metrics). decoding: JSON, the settings with which the task's `decode` reads the outputs; empty where the writer
    gave none. extra: JSON, whatever else a task keeps.
    """

    task: str
    architecture: Mapping[str, Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    tensors: Mapping[str, NDArray[Any]]
    spec: str = ""
    lineage: tuple[Mapping[str, Any], ...] = ()
    decoding: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a run: arrays by name, and a JSON value beside them."""

    tensors: Tensors
    state: dict[str, Any]


def write_bundle(path: Path, bundle: Bundle, *, key: Key, cost: KdfCost | None = None) -> None:
    """Seal `bundle` into `path`, atomically. `cost` is for tests; StorageError where it cannot be written."""
    record = {
        "architecture": bundle.architecture,
        "classes": list(bundle.classes),
        "extra": _stored_extra(bundle),
        "lineage": list(bundle.lineage),
        "preprocessing": bundle.preprocessing.to_json(),
        "spec": bundle.spec,
        "task": bundle.task,
    }
    public = {"task": bundle.task, "writer": f"taolite {__version__}"}
    _write(path, record, bundle.tensors, kind="bundle", public=public, key=key, cost=cost)


def count_parameters(tensors: Mapping[str, NDArray[Any]]) -> int:
    """Numbers in all float tensors, BatchNorm's moving statistics included, as TAO counts (reference 9.6)."""
    return sum(int(array.size) for array in tensors.values() if array.dtype.kind == "f")


def read_bundle(path: Path, *, key: Key | None) -> Bundle:
    """Open a `.tlt`.

    Raises:
        PathError, UsageError (no key given), WrongKeyError, TruncatedError, DamagedError, ForeignError (made by
        NVIDIA's codec or another program; the message says which and what to do), ArtifactError.
    """
    return _read(path, Kind.BUNDLE, "a trained model (.tlt)", key, _bundle)


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, NDArray[Any]],
    state: Mapping[str, Any],
    *,
    key: Key,
    cost: KdfCost | None = None,
) -> None:
    """Seal arrays and a JSON value into `path`, atomically; a crash leaves the checkpoint before it."""
    public = {"writer": f"taolite {__version__}"}
    _write(path, dict(state), tensors, kind="checkpoint", public=public, key=key, cost=cost)


def read_checkpoint(path: Path, *, key: Key | None) -> Checkpoint:
    """Open a checkpoint; raises as `read_bundle` does."""
    return _read(path, Kind.CHECKPOINT, "a checkpoint of a run", key, _checkpoint)


def weights_hash(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (64 hex digits) of names, dtypes, shapes and values: equal where two runs gave the same weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = _plain(name, tensors[name])
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write(
    path: Path,
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    *,
    kind: str,
    public: Mapping[str, Any],
    key: Key,
    cost: KdfCost | None,
) -> None:
    from safetensors.numpy import save

    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    blob = save({name: _plain(name, array) for name, array in tensors.items()})
    payload = struct.pack("<I", len(text)) + text + blob
    with open_atomic(path) as stream:
        seal(stream, payload, kind=kind, key=key, public=public, cost=cost)


def _stored_extra(bundle: Bundle) -> dict[str, Any]:
    """`extra` as the file has it: `decoding` is a member of it, where every reader since 0.1.0 looks for it."""
    return {**bundle.extra, **({"decoding": dict(bundle.decoding)} if bundle.decoding else {})}


def _bundle(record: dict[str, Any], tensors: Tensors) -> Bundle:
    extra = dict(record["extra"])
    return Bundle(
        task=str(record["task"]),
        architecture=dict(record["architecture"]),
        classes=tuple(record["classes"]),
        preprocessing=Preprocessing.from_json(record["preprocessing"]),
        tensors=tensors,
        spec=str(record["spec"]),
        lineage=tuple(record["lineage"]),
        decoding=dict(extra.pop("decoding", {})),
        extra=extra,
    )


def _checkpoint(record: dict[str, Any], tensors: Tensors) -> Checkpoint:
    return Checkpoint(tensors=tensors, state=dict(record))


def _read(path: Path, kind: Kind, needed: str, key: Key | None, build: Callable[[dict[str, Any], Tensors], T]) -> T:
    """Open the file and build what it holds. Its writer had the key, and is trusted with nothing more."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_file(path)
    found = sniff_bytes(data, where=str(path))
    if found is not kind:
        raise wrong_kind(str(path), found, needed=needed)
    _, payload = unseal(data, key=key, where=str(path))
    try:
        (length,) = struct.unpack_from("<I", payload)
        record = json.loads(payload[4 : 4 + length])
        return build(record, load(payload[4 + length :]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, SafetensorError) as error:
        raise DamagedError(f"{path}: opens with this key but holds nothing taolite wrote ({error})") from error


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array as C-ordered little-endian memory, of a dtype that every reader knows."""
    plain = np.asarray(array, order="C")
    if plain.dtype.name not in DTYPES:
        raise TypeError(f"tensor {name!r} is {plain.dtype}; an artifact holds {', '.join(DTYPES)}")
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False)
