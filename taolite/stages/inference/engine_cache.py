"""Engines that are kept beside the models they are built from: a model is compiled once, not at every start.

`model.onnx` has its engine in `model.onnx.openvino.engine`, described by the sidecar `model.onnx.openvino.engine.json`.
Where that folder cannot be written to, both are in `taolite/engines` of the user's cache folder. One engine is kept for
each runtime, precision and batch that was asked for.

An engine is used again only where the content of the model (SHA-256, not its name or date), the version of the runtime
and the device are those it was built with, and its own bytes are those that were written. Otherwise it is built again,
and an event says why. Each file appears by rename, and an engine is opened from the bytes that were checked: processes
that build at once can at worst cost each other a build.

The engine of a sealed model is not kept unless that is asked for: an engine holds the weights unencrypted. Where a
signer is required (`taolite.stages.signed`) no engine is kept or used again, as none is signed.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taolite.artifacts.container import read_file
from taolite.artifacts.sidecar import Sidecar, read_sidecar, sidecar_path, write_engine
from taolite.engines import onnx_graph, runtimes
from taolite.engines.base import BuildPrecision, Engine, Precision, RuntimeName
from taolite.engines.buffers import open_gpu
from taolite.engines.opening import open_engine
from taolite.engines.runtimes import Runtime
from taolite.errors import EngineError, PathError, StorageError
from taolite.events import EngineBuilt, EngineNeeded, EngineReason, EngineReused, EngineUnkept, Listener, silent
from taolite.stages.signed import required_signers

__all__ = ["KeptEngines", "open_cached", "open_export"]

_UNSIGNED = "a signer is required, and a kept engine has no signature; build one with `taolite convert` and sign it"
_DEVICE = "device"  # in `Sidecar.meta`


@dataclass(frozen=True)
class KeptEngines:
    """How engines are built and kept.

    Attributes:
        precision: see `taolite.engines.build.build_engine`; None takes the model as it is.
        batch: smallest, usual and largest batch; None: see `taolite.stages.exporting.engine.build`.
        rebuild: build again, also where the kept engine fits.
        sealed: keep the engines of sealed models too. They hold the weights unencrypted.
    """

    precision: BuildPrecision | None = None
    batch: tuple[int, int, int] | None = None
    rebuild: bool = False
    sealed: bool = False


DEFAULT = KeptEngines()


def open_export(
    onnx: bytes,
    *,
    beside: Path,
    runtime: RuntimeName | None,
    keep: KeptEngines | None,
    is_sealed: bool = False,
    device: int = 0,
    precision: Precision = "fp32",
    many: bool = False,
    listener: Listener = silent,
) -> tuple[Engine, int | None]:
    """An exported model, opened, and the largest batch it takes (None: any).

    With `keep` and a runtime that builds engines this is `open_cached`. Otherwise the ONNX itself is opened and no file
    is written; also where the runtime needs no engine and that of a sealed model is not to be kept. precision, many: of
    the ONNX itself (`taolite.engines.opening.open_engine`).
    """
    row = None if keep is None or runtime is None else runtimes.find(runtime)
    if keep is None or row is None or not row.builds or (is_sealed and not keep.sealed and row.runs_onnx):
        return open_engine(onnx, runtime=runtime, device=device, precision=precision, many=many), None
    engine, sidecar = open_cached(
        onnx, beside=beside, runtime=row.name, keep=keep, is_sealed=is_sealed, device=device, listener=listener
    )
    return engine, sidecar.batch[2]


def open_cached(
    onnx: bytes,
    *,
    beside: Path,
    runtime: RuntimeName,
    keep: KeptEngines = DEFAULT,
    is_sealed: bool = False,
    device: int = 0,
    listener: Listener = silent,
) -> tuple[Engine, Sidecar]:
    """The engine of a model, opened, and what describes it: the kept one where it fits, else one that is built now.

    Args:
        onnx: the model's bytes, with taolite's metadata.
        beside: the model's file; the engine is kept in its folder.
        runtime: one that builds engines (`taolite.engines.runtimes.builders`).
        is_sealed: the bytes came from an encrypted file.
        device: index of the GPU.
        listener: is told whether a kept engine is used, or why one is built and where it is kept.

    The caller closes the engine. An engine that cannot be written runs all the same.
    Raises EngineError where the runtime or its device is missing, or the model cannot be built; UsageError for an
    unknown runtime.
    """
    row = runtimes.find(runtimes.builder(runtime))
    name, capability = _device(row, device)
    origin = _Origin(onnx_graph.sha256(onnx), f"{row.name} {row.load().version()}", name)
    hidden, trusts = is_sealed and not keep.sealed, not required_signers()
    places = _places(beside, row, keep) if trusts and not hidden else []
    needed = EngineNeeded(beside, row.name, "asked" if keep.rebuild else "new")
    for path in [] if keep.rebuild else places:
        try:
            data, sidecar = _read(path, origin)
            engine = open_engine(data, device=device)
        except _Unfit as unfit:
            needed = needed if needed.why != "new" else replace(needed, why=unfit.why, was=unfit.was, now=unfit.now)
        except EngineError:  # the runtime refuses it
            needed = replace(needed, why="damaged")
        else:
            listener(EngineReused(beside, path))
            return engine, sidecar
    listener(needed)
    from taolite.stages.exporting.engine import build_described

    built, sidecar = build_described(
        onnx,
        where=beside,
        backend=row.name,
        precision=keep.precision,
        batch=keep.batch,
        compute_capabilities=(capability,) if capability and row.builds_elsewhere else (),
        listener=listener,
    )
    engine = open_engine(built.data, device=device)
    described = replace(sidecar, meta={**sidecar.meta, _DEVICE: name})
    reason = None if trusts or hidden else _UNSIGNED
    listener(_written(beside, places, built.data, described, reason))
    return engine, sidecar


@dataclass(frozen=True)
class _Origin:
    """What an engine depends on: the model's content, the runtime with its version, and the device."""

    onnx_sha256: str
    runtime: str
    device: str


class _Unfit(Exception):  # noqa: N818  (no fault: another engine is built)
    """Why a kept engine cannot be used; `was` and `now` are versions or devices."""

    def __init__(self, why: EngineReason, was: str = "", now: str = "") -> None:
        super().__init__(why)
        self.why, self.was, self.now = why, was, now


def _read(path: Path, origin: _Origin) -> tuple[bytes, Sidecar]:
    """The engine file and its sidecar, which fit. The bytes are read once, so that no process can replace them between
    the check and their use. Raises _Unfit."""
    if not any(map(os.path.exists, (path, sidecar_path(path)))):  # where a name is too long, nothing is there
        raise _Unfit("new")
    try:
        data, sidecar = read_file(path), read_sidecar(path)
    except (PathError, EngineError) as error:
        raise _Unfit("damaged") from error
    if sidecar.engine_sha256 != hashlib.sha256(data).hexdigest():
        raise _Unfit("damaged")
    if sidecar.onnx_sha256 != origin.onnx_sha256:
        raise _Unfit("model")
    runtime, device = f"{sidecar.backend} {sidecar.backend_version}", str(sidecar.meta.get(_DEVICE, ""))
    if runtime != origin.runtime:
        raise _Unfit("version", runtime, origin.runtime)
    if device != origin.device:
        raise _Unfit("device", device, origin.device)
    return data, sidecar


def _written(
    model: Path, places: Sequence[Path], data: bytes, sidecar: Sidecar, reason: str | None
) -> EngineBuilt | EngineUnkept:
    """Write the engine to the first place that can be written to; what is said of it. reason: why there is no place."""
    for path in places:
        try:
            write_engine(path, data, sidecar)
        except (StorageError, PathError) as error:
            reason = str(error)
        else:
            return EngineBuilt(path)
    return EngineUnkept(model, reason)


def _places(beside: Path, row: Runtime, keep: KeptEngines) -> list[Path]:
    """Where the engine may be kept: beside the model, else in the user's cache folder. The name there begins with a
    hash of the model's path, so that models of one name do not replace each other's engines."""
    asked: list[str] = [keep.precision] if keep.precision else []
    if keep.batch is not None:
        asked.append("x".join(str(size) for size in keep.batch))
    name = ".".join([beside.name, row.name, *asked, "engine"])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "taolite" / "engines"
    return [beside.with_name(name), cache / f"{_short(os.fsencode(beside.resolve()))}-{name}"]


def _device(row: Runtime, index: int) -> tuple[str, str | None]:
    """What an engine is built for: the name of the GPU or the processor with what it can do, and for a GPU its compute
    capability."""
    if row.device == "GPU":
        gpu = open_gpu(index)
        try:
            return f"{gpu.name} ({gpu.compute_capability})", gpu.compute_capability
        finally:
            gpu.close()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), None
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    able = facts.get("flags") or facts.get("Features") or ""
    return f"{facts.get('model name') or platform.machine()} ({_short(able.encode())})", None


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
