"""Describe a file as one JSON object: all of it with the key, its readable header without.

These fields are always there: path, kind, bytes, sealed. The others depend on the kind. `sha256` is left out for files
of an unknown kind, so that a large one is described at once. No runtime is needed, so this works on an edge device.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taolite.artifacts.bundle import count_parameters, read_bundle, read_checkpoint, weights_hash
from taolite.artifacts.container import FRONT_SIZE, artifact_hash, read_header
from taolite.artifacts.etlt import read_etlt
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar, sidecar_path
from taolite.artifacts.signing import check_signed, read_signature, signature_path
from taolite.artifacts.sniff import Kind, advice, sniff_stream, split_etlt
from taolite.errors import PathError, SignatureError
from taolite.files import open_file

__all__ = ["describe", "describe_signature"]

_SEALED = (Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT)
_PUBLIC = ("task", "writer", "input_name")  # members of the public header
_HEAD = FRONT_SIZE + 4 + 255  # an .etlt's name stands before its front


def describe(path: Path, *, key: Key | None) -> dict[str, Any]:
    """Describe the file at `path`.

    Args:
        path: any file; artifacts, models of other programs, engines.
        key: of a sealed file; None: only its header is read.

    Returns:
        A JSON object. `advice` says what to do with a file that taolite cannot use.

    Raises:
        PathError, TruncatedError, DamagedError, WrongKeyError (a key was given, and it is not the file's).
    """
    with open_file(path) as stream:
        kind = sniff_stream(stream, where=str(path))
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        head = stream.read(_HEAD)
    facts: dict[str, Any] = {
        "path": str(path),
        "kind": kind.name.lower(),
        "what": kind.value,
        "bytes": size,
        **({} if kind is Kind.UNKNOWN else {"sha256": artifact_hash(path)}),
        "sealed": kind in _SEALED,
    }
    if kind in _SEALED:
        facts |= _claims(head, size, str(path))
        facts["opened"] = key is not None
        if key is not None:
            facts |= _contents(path, kind, key)
    elif kind in (Kind.TENSORRT, Kind.TENSORRT_RTX) and sidecar_path(path).is_file():
        facts |= _engine(path)
    elif kind is not Kind.ONNX:
        facts["advice"] = advice(kind)
    if "advice" not in facts or signature_path(path).exists():
        facts["signature"] = describe_signature(path)
    return facts


def describe_signature(path: Path) -> dict[str, Any] | None:
    """The signature beside `path`: signer, time, and whether the file is unchanged; or, where it is no signature, the
    problem. None if there is none. Whether the signer is trusted is not known here."""
    try:
        found = read_signature(path)
    except (SignatureError, PathError) as error:
        return {"problem": str(error)}
    if found is None:
        return None
    facts: dict[str, Any] = {"signer": found.signer, "signed_at": found.signed_at, "fits": True}
    try:
        check_signed(path, found)
    except SignatureError as error:
        facts |= {"fits": False, "problem": str(error)}
    return facts


def _claims(head: bytes, size: int, where: str) -> dict[str, Any]:
    """The public part of the header. It is not authenticated until a key has opened the file."""
    parts = split_etlt(head, where=where) if not head.startswith(b"\x89") else None
    begin = 0 if parts is None else parts[1]
    public = read_header(head[begin:], where=where, size=size - begin).public
    return {name: public[name] for name in _PUBLIC if isinstance(public.get(name), str)}


def _contents(path: Path, kind: Kind, key: Key) -> dict[str, Any]:
    if kind is Kind.CHECKPOINT:
        checkpoint = read_checkpoint(path, key=key)
        simple = {name: value for name, value in checkpoint.state.items() if isinstance(value, (int, float, str))}
        numbers = sum(int(array.size) for array in checkpoint.tensors.values() if array.dtype.kind == "f")
        return {"state": simple, "tensors": len(checkpoint.tensors), "numbers": numbers}
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
        "decoding": dict(bundle.decoding),
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
        "own_engine": sidecar.engine_sha256 == artifact_hash(path),
    }


def _known(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an exported model's record that are shown."""
    names = (
        *("task", "classes", "preprocessing", "precision", "opset", "parent", "lineage", "decoding"),
        *("calibration", "gate"),
    )
    return {name: meta[name] for name in names if name in meta}
