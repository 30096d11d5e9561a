"""Sidecar: a JSON file beside an engine that records its source model, the runtime that built it, and its GPUs.

An engine does not say what it was built from, and an outdated one gives wrong results without an error. `check_engine`
compares it with the model before it is used. The sidecar of `model.engine` is `model.engine.json`. It contains no
secrets: it has hashes, not keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from taolite.artifacts.container import artifact_hash, read_file
from taolite.errors import EngineError, reading
from taolite.files import write_bytes, write_text
from taolite.preprocessing import Preprocessing

__all__ = ["Sidecar", "check_engine", "read_sidecar", "sidecar_path", "write_engine", "write_sidecar"]

_VERSION = 1
_LARGEST = 1 << 24  # bytes that are read of a sidecar


@dataclass(frozen=True)
class Sidecar:
    """What is recorded of an engine.

    onnx_sha256: of the ONNX it was built from, 64 hex digits. backend: "tensorrt", "tensorrt_rtx", "openvino" or
    "onnxruntime". batch: (smallest, usual, largest). gpus: compute capabilities it runs on, such as "8.6"; empty for
    an engine that needs no GPU. meta: JSON, decoding and calibration. engine_sha256: set when it is written.
    """

    onnx_sha256: str
    backend: str
    backend_version: str
    precision: Literal["fp32", "fp16", "int8"]
    batch: tuple[int, int, int]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    task: str = "detectnet"
    gpus: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    engine_sha256: str = ""


def sidecar_path(engine: Path) -> Path:
    """`model.engine` -> `model.engine.json`."""
    return engine.with_name(engine.name + ".json")


def write_engine(engine: Path, data: bytes, sidecar: Sidecar) -> Path:
    """Write an engine and the sidecar that describes these very bytes; returns the sidecar's path. Raises StorageError.

    Where two processes write the same engine at once, one's sidecar never describes the other's bytes.
    """
    write_bytes(engine, data)
    return _write(engine, replace(sidecar, engine_sha256=sha256(data).hexdigest()))


def write_sidecar(engine: Path, sidecar: Sidecar) -> Path:
    """Write `sidecar` beside `engine`, with the hash of the engine file, which must exist. Returns the path written."""
    return _write(engine, replace(sidecar, engine_sha256=artifact_hash(engine)))


def _write(engine: Path, sidecar: Sidecar) -> Path:
    record = {**asdict(sidecar), "preprocessing": sidecar.preprocessing.to_json(), "version": _VERSION}
    path = sidecar_path(engine)
    write_text(path, json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return path


def read_sidecar(engine: Path) -> Sidecar:
    """The sidecar of `engine`. Raises EngineError if it is missing or damaged."""
    path = sidecar_path(engine)
    if not path.is_file():
        raise EngineError(
            f"{engine}: there is no {path.name} beside it, so it is not known what this engine was built from; "
            "build it again with `taolite convert`"
        )
    with reading(path, EngineError, found="not a sidecar that this taolite reads", way_out="build the engine again"):
        record = json.loads(read_file(path, most=_LARGEST))
        version = record.pop("version")
        if version != _VERSION:
            raise ValueError(f"version {version}")
        record["preprocessing"] = Preprocessing.from_json(record["preprocessing"])
        _check(record)
        return Sidecar(**{**record, **{name: tuple(record[name]) for name in ("batch", "classes", "gpus")}})


def _check(record: Mapping[str, Any]) -> None:
    """Raise ValueError for a value of another type than `write_sidecar` writes."""
    lists = {"batch": int, "classes": str, "gpus": str}
    for name, value in record.items():
        if name in lists:
            fits = isinstance(value, list) and all(type(item) is lists[name] for item in value)
        else:
            fits = isinstance(value, {"meta": dict, "preprocessing": Preprocessing}.get(name, str))
        if not fits:
            raise ValueError(f"{name} is {value!r}")
    if len(record["batch"]) != 3:
        raise ValueError("batch needs three numbers")


def check_engine(
    engine: Path,
    *,
    onnx_sha256: str | None = None,
    backend_version: str | None = None,
    gpu: str | None = None,
) -> Sidecar:
    """Check that an engine can be used, and return its sidecar.

    Args:
        engine: the engine file.
        onnx_sha256: of the model it should be built from; None: not checked.
        backend_version: of the runtime that will run it (engines are not portable between versions); None: not checked.
        gpu: compute capability of the GPU that will run it, such as "8.6"; None: not checked.

    Raises:
        EngineError: the engine is stale (built from another model, or by another version), is not the file that the
            sidecar describes, or is built for other GPUs. PathError: it is missing.
    """
    actual = artifact_hash(engine)
    sidecar = read_sidecar(engine)
    if sidecar.engine_sha256 != actual:
        raise EngineError(
            f"{engine}: not the file that {sidecar_path(engine).name} describes "
            f"(hash {actual[:12]}, recorded {sidecar.engine_sha256[:12]}); build it again"
        )
    if onnx_sha256 is not None and sidecar.onnx_sha256 != onnx_sha256:
        raise EngineError(
            f"{engine}: stale, it was built from another model "
            f"(ONNX {sidecar.onnx_sha256[:12]}, at hand {onnx_sha256[:12]}); build it again"
        )
    if backend_version is not None and sidecar.backend_version != backend_version:
        raise EngineError(
            f"{engine}: built by {sidecar.backend} {sidecar.backend_version}, and {backend_version} is installed; "
            "engines run only with the version that built them, so build it again"
        )
    if gpu is not None and sidecar.gpus and gpu not in sidecar.gpus:
        raise EngineError(
            f"{engine}: built for compute capability {', '.join(sidecar.gpus)}, and this GPU is {gpu}; "
            f"build it again with --compute-capability {gpu}"
        )
    return sidecar
