"""What a file is and holds, as one JSON value: with its key all of it, without the key what may be told.

Fields that are always there: path, kind, bytes, sha256, sealed. The others are there where they are known; nothing
here needs a runtime, so an edge device can ask too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taolite.artifacts.bundle import count_parameters, read_bundle, read_checkpoint, weights_hash
from taolite.artifacts.container import read_file, read_header
from taolite.artifacts.etlt import read_etlt
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar, sidecar_path
from taolite.artifacts.sniff import Kind, advice, sniff_bytes, split_etlt

__all__ = ["describe"]

_SEALED = (Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT)


def describe(path: Path, *, key: Key | None) -> dict[str, Any]:
    """Describe the file at `path`.

    Args:
        path: any file; artifacts, models of other programs, engines.
        key: opens sealed files; None leaves them shut.

    Returns:
        A JSON value. `advice` says what can be done with a file that taolite itself cannot use.

    Raises:
        PathError, TruncatedError, DamagedError, WrongKeyError (a key was given, and it is another's).
    """
    data = read_file(path)
    kind = sniff_bytes(data, where=str(path))
    facts: dict[str, Any] = {
        "path": str(path),
        "kind": kind.name.lower(),
        "what": kind.value,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "sealed": kind in _SEALED,
    }
    if kind in _SEALED:
        facts |= _claims(data, str(path))
        facts["opened"] = key is not None
        if key is not None:
            facts |= _contents(path, kind, key)
    elif kind in (Kind.TENSORRT, Kind.TENSORRT_RTX) and sidecar_path(path).is_file():
        facts |= _engine(path)
    elif kind is not Kind.ONNX:
        facts["advice"] = advice(kind)
    return facts


def _claims(data: bytes, where: str) -> dict[str, Any]:
    """What the readable front says; authentic only once a key has opened the file."""
    parts = split_etlt(data, where=where) if not data.startswith(b"\x89") else None
    header = read_header(data if parts is None else parts[1], where=where)
    return dict(header.public)


def _contents(path: Path, kind: Kind, key: Key) -> dict[str, Any]:
    if kind is Kind.CHECKPOINT:
        checkpoint = read_checkpoint(path, key=key)
        simple = {name: value for name, value in checkpoint.state.items() if isinstance(value, (int, float, str))}
        return {"state": simple, "tensors": len(checkpoint.tensors), "numbers": count_parameters(checkpoint.tensors)}
    if kind is Kind.ETLT:
        etlt = read_etlt(path, key=key)
        return {
            "input_name": etlt.input_name,
            "onnx_bytes": len(etlt.onnx),
            "onnx_sha256": hashlib.sha256(etlt.onnx).hexdigest(),
            **_known(etlt.meta),
        }
    bundle = read_bundle(path, key=key)
    return {
        "task": bundle.task,
        "architecture": dict(bundle.architecture),
        "classes": list(bundle.classes),
        "preprocessing": bundle.preprocessing.to_json(),
        "parameters": count_parameters(bundle.tensors),
        "tensors": len(bundle.tensors),
        "weights_sha256": weights_hash(bundle.tensors),
        "lineage": [dict(step) for step in bundle.lineage],
        "spec": bundle.spec,
    }


def _engine(path: Path) -> dict[str, Any]:
    sidecar = read_sidecar(path)
    return {
        "task": sidecar.task,
        "classes": list(sidecar.classes),
        "preprocessing": sidecar.preprocessing.to_json(),
        "backend": f"{sidecar.backend} {sidecar.backend_version}",
        "precision": sidecar.precision,
        "calibration": sidecar.meta.get("calibration", {}),
        "batch": list(sidecar.batch),
        "gpus": list(sidecar.gpus),
        "onnx_sha256": sidecar.onnx_sha256,
        "own_engine": sidecar.engine_sha256 == hashlib.sha256(read_file(path)).hexdigest(),
    }


def _known(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an exported model's record that are for people."""
    names = ("task", "classes", "preprocessing", "precision", "opset", "parent", "lineage", "decoding", "calibration")
    return {name: meta[name] for name in names if name in meta}
