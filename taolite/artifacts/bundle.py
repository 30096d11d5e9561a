"""Bundle: a trained model with everything needed to use it, in a `.tlt`. Checkpoint: the state of a run, sealed alike.

A `.tlt` holds the tensors (safetensors) and a JSON record: the architecture, class names, preprocessing, the resolved
spec and the lineage. It contains no pickle, so opening a file runs no code from it.
Tensors are little-endian NumPy arrays of the dtypes in `DTYPES`; shapes and dtypes are kept exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from taolite import __version__
from taolite.artifacts.container import KdfCost, seal, unseal
from taolite.artifacts.keys import Key
from taolite.artifacts.record import join, opened, split
from taolite.artifacts.sniff import Kind, sniff_stream, wrong_kind
from taolite.files import open_atomic, open_file
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

_STATISTICS = (".running_mean", ".running_var")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model.

    task: its name, as "detectnet". architecture: JSON from which the network is rebuilt (arch, layers, channel counts
    ...). classes: names in the order of the network's outputs. tensors: weights by name. spec: text of the resolved
    spec. lineage: one JSON object for each stage that led to this model, oldest first (stage, parent hash, parameters,
    versions, metrics). decoding: JSON, the settings that the task's `decode` uses; empty if the writer gave none.
    extra: JSON, other data of the task.
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
    """The state of a run. tensors: arrays by name. state: a JSON object."""

    tensors: Tensors
    state: dict[str, Any]


def write_bundle(path: Path, bundle: Bundle, *, key: Key, cost: KdfCost | None = None) -> None:
    """Write `bundle` to `path`, encrypted, atomically. `cost` is for tests. Raises StorageError."""
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
    """Number of values that training learns: all float tensors but the moving statistics of batch norms."""
    return sum(
        int(array.size) for name, array in tensors.items() if array.dtype.kind == "f" and not name.endswith(_STATISTICS)
    )


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
    """Write arrays and a JSON object to `path`, encrypted, atomically: after a crash the older checkpoint is there."""
    public = {"writer": f"taolite {__version__}"}
    _write(path, dict(state), tensors, kind="checkpoint", public=public, key=key, cost=cost)


def read_checkpoint(path: Path, *, key: Key | None) -> Checkpoint:
    """Open a checkpoint. Raises the same errors as `read_bundle`."""
    return _read(path, Kind.CHECKPOINT, "a checkpoint of a run", key, _checkpoint)


def weights_hash(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (64 hex digits) of names, dtypes, shapes and values. Equal weights have equal hashes."""
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

    payload = join(record, save({name: _plain(name, array) for name, array in tensors.items()}))
    with open_atomic(path) as stream:
        seal(stream, payload, kind=kind, key=key, public=public, cost=cost)


def _stored_extra(bundle: Bundle) -> dict[str, Any]:
    """`extra` as it is stored. `decoding` is stored inside it, where every reader since 0.1.0 looks for it."""
    return {**bundle.extra, **({"decoding": dict(bundle.decoding)} if bundle.decoding else {})}


def _bundle(record: dict[str, Any], tensors: Tensors) -> Bundle:
    classes, texts = record["classes"], [record["task"], record["spec"]]
    if not isinstance(classes, list) or not all(isinstance(text, str) for text in texts + classes):
        raise ValueError("task and spec need to be texts, classes a list of texts")
    extra = dict(record["extra"])
    return Bundle(
        task=record["task"],
        architecture=dict(record["architecture"]),
        classes=tuple(classes),
        preprocessing=Preprocessing.from_json(record["preprocessing"]),
        tensors=tensors,
        spec=record["spec"],
        lineage=tuple(dict(step) for step in record["lineage"]),
        decoding=dict(extra.pop("decoding", {})),
        extra=extra,
    )


def _checkpoint(record: dict[str, Any], tensors: Tensors) -> Checkpoint:
    return Checkpoint(tensors=tensors, state=dict(record))


def _read(path: Path, kind: Kind, needed: str, key: Key | None, build: Callable[[dict[str, Any], Tensors], T]) -> T:
    """Open the file and build a Bundle or Checkpoint from its contents."""
    from safetensors.numpy import load

    with open_file(path) as stream:
        found = sniff_stream(stream, where=str(path))
        if found is not kind:
            raise wrong_kind(str(path), found, needed=needed)
        stream.seek(0)
        _, payload = unseal(stream, key=key, where=str(path))
    with opened(str(path)):
        record, blob = split(payload)
        del payload
        return build(record, load(blob))


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in C order, little-endian. TypeError for a dtype that is not in `DTYPES`."""
    plain = np.asarray(array, order="C")
    if plain.dtype.name not in DTYPES:
        raise TypeError(f"tensor {name!r} is {plain.dtype}; an artifact holds {', '.join(DTYPES)}")
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False)
