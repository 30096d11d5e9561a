"""engine: an exported model -> an engine file and the sidecar that describes it.

A sealed model is decrypted in memory only. The engine itself holds the weights unencrypted, as every runtime needs
them; keep it on the device it was made for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import Sidecar, write_engine
from taolite.engines import foreign, onnx_graph, runtimes
from taolite.engines.base import Shape
from taolite.engines.buffers import gpu_is_here
from taolite.engines.build import (
    BuildBackend,
    BuildPrecision,
    BuiltEngine,
    Profile,
    batch_profiles,
    build_engine,
    choose_backend,
)
from taolite.errors import EngineError, UsageError
from taolite.events import BuilderWarned, BuildsWithoutGpu, CacheUnused, ClassesUnnamed, Listener, silent
from taolite.files import refuse_replacing
from taolite.stages.agree import expect
from taolite.stages.exporting.ranges import float_layers, narrowed, quantise, read_ranges
from taolite.stages.signed import require_signed

__all__ = ["DEFAULT_BATCH", "EngineReport", "build", "build_described"]

DEFAULT_BATCH = (1, 1, 16)
"""Smallest, usual and largest batch: up to 16, as tao-converter's -m, and fastest at one picture, for a camera."""


@dataclass(frozen=True)
class EngineReport:
    """What was built: file, size, backend, GPUs it runs on (none: a CPU), batch sizes, and build time."""

    engine: Path
    sidecar: Path
    megabytes: float
    backend: BuildBackend
    version: str
    precision: BuildPrecision
    batch: tuple[int, int, int]
    gpus: tuple[str, ...]
    seconds: float


def build(
    model: Path,
    *,
    key: Key | None,
    engine: Path,
    backend: BuildBackend | None = None,
    precision: BuildPrecision | None = None,
    batch: tuple[int, int, int] | None = None,
    profiles: Mapping[str, Profile] | None = None,
    input_chw: tuple[int, int, int] | None = None,
    output_names: Sequence[str] = (),
    workspace_bytes: int | None = None,
    compute_capabilities: Sequence[str] = (),
    dla_core: int | None = None,
    calibration: Path | None = None,
    excluded: tuple[str, ...] = (),
    of: str | None = None,
    runs_here: bool = True,
    listener: Listener = silent,
) -> EngineReport:
    """Build an engine from the `.etlt` or `.onnx` at `model`; an older engine of this name is replaced.

    Args:
        key: opens a sealed model; None for a plain one.
        engine: the file to write; its sidecar is beside it, `NAME.json`.
        batch: smallest, usual and largest batch; None is DEFAULT_BATCH, or the model's fixed batch.
        profiles: shapes of each input, instead of `batch`.
        input_chw, output_names: what the caller expects of the model; checked, where given.
        backend, precision, workspace_bytes, compute_capabilities, dla_core: see `taolite.engines.build.build_engine`.
        calibration: a calibration cache. Where `precision` asks for INT8, a float32 model is quantised with it, except
            for the layers `excluded`.
        of: the task that the model must be of; None accepts any.
        runs_here: where no `backend` is named, choose one that runs on this machine; else prefer NVIDIA cards
            (`choose_backend`).

    Raises:
        PathError, ArtifactError: the model cannot be opened. EngineError: it cannot be built, with the reason.
        UsageError: `input_chw` or `output_names` are not the model's. StorageError: the engine cannot be written.
        ModelError: the model is of another task. ModelError, DataError: the calibration cache is of another model, or
        is not a calibration cache. SignatureError: a signer is required (`taolite.stages.signed`) and did not sign the
        model as it is.
    """
    refuse_replacing(model, engine)
    require_signed(model)
    started = time.monotonic()
    built, sidecar = build_described(
        read_model(model, key=key).onnx,
        where=model,
        backend=backend,
        precision=precision,
        batch=batch,
        profiles=profiles,
        input_chw=input_chw,
        output_names=output_names,
        workspace_bytes=workspace_bytes,
        compute_capabilities=compute_capabilities,
        dla_core=dla_core,
        calibration=calibration,
        excluded=excluded,
        of=of,
        runs_here=runs_here,
        listener=listener,
    )
    return EngineReport(
        engine=engine,
        sidecar=write_engine(engine, built.data, sidecar),
        megabytes=len(built.data) / 1e6,
        backend=built.backend,
        version=built.version,
        precision=built.precision,
        batch=sidecar.batch,
        gpus=built.gpus,
        seconds=time.monotonic() - started,
    )


def build_described(
    source: bytes,
    *,
    where: Path,
    backend: BuildBackend | None = None,
    precision: BuildPrecision | None = None,
    batch: tuple[int, int, int] | None = None,
    profiles: Mapping[str, Profile] | None = None,
    input_chw: tuple[int, int, int] | None = None,
    output_names: Sequence[str] = (),
    workspace_bytes: int | None = None,
    compute_capabilities: Sequence[str] = (),
    dla_core: int | None = None,
    calibration: Path | None = None,
    excluded: tuple[str, ...] = (),
    of: str | None = None,
    runs_here: bool = True,
    listener: Listener = silent,
) -> tuple[BuiltEngine, Sidecar]:
    """An engine of ONNX bytes, and the sidecar that describes it; no file is written.

    Args:
        where: the model's file, as messages name it.

    For the other arguments and the errors see `build`.
    """
    onnx = source if calibration is None else _calibrated(source, calibration, precision, excluded, listener)
    meta = onnx_graph.read_meta(onnx)
    if meta is None and (found := foreign.recognise(onnx)) is not None:
        meta = found.unnamed()
        onnx = foreign.adopted(onnx, found, meta)
        listener(ClassesUnnamed(where, found.origin))
    signature = onnx_graph.signature(onnx)
    (shape,) = signature.inputs.values()
    _check_input(shape, input_chw, where)
    _check_outputs(tuple(signature.outputs), output_names, where)
    if meta is None:
        raise EngineError(
            f"{where}: this ONNX does not say which classes and preprocessing it was made for, and an engine of it "
            "could not be used; export it with taolite, from its .tlt"
        )
    expect(of, meta.task, where)
    asked = batch or (DEFAULT_BATCH if shape[0] < 0 else (shape[0],) * 3)
    if profiles is None:
        profiles = batch_profiles(onnx, smallest=asked[0], best=asked[1], largest=asked[2])
    chosen = backend or choose_backend(compute_capabilities, runs_here=runs_here)
    if backend is None and not compute_capabilities and not gpu_is_here():
        listener(BuildsWithoutGpu(chosen, for_processor=runtimes.find(chosen).device == "CPU"))
    built = build_engine(
        onnx,
        backend=chosen,
        precision=precision,
        profiles=profiles,
        workspace_bytes=workspace_bytes,
        compute_capabilities=compute_capabilities,
        dla_core=dla_core,
    )
    for warning in built.warnings:
        listener(BuilderWarned(built.backend, built.version, warning))
    sidecar = Sidecar(
        onnx_sha256=onnx_graph.sha256(source),
        backend=built.backend,
        backend_version=built.version,
        precision=built.precision,
        batch=_batch(built.profiles) or asked,
        classes=meta.classes,
        preprocessing=meta.preprocessing,
        task=meta.task,
        gpus=built.gpus,
        meta={"decoding": dict(meta.decoding)} | ({"calibration": dict(meta.calibration)} if meta.calibration else {}),
    )
    return built, sidecar


def _calibrated(
    onnx: bytes, cache: Path, precision: BuildPrecision | None, excluded: tuple[str, ...], listener: Listener
) -> bytes:
    """The model in INT8 with the ranges of `cache`; unchanged where it is quantised already, or not to be INT8."""
    types = onnx_graph.element_types(onnx)
    if precision != "int8" or "int8" in types:
        listener(CacheUnused(cache, quantised="int8" in types))
        return onnx
    if "float16" in types:
        raise EngineError("this model's weights are float16; int8 is built from a model exported in fp32")
    floating = float_layers(onnx, excluded=excluded)
    ranges = read_ranges(cache, onnx, listener=listener)
    return quantise(onnx, narrowed(ranges, onnx, excluded=floating), excluded=floating)


def _check_input(shape: Shape, wanted: tuple[int, int, int] | None, model: Path) -> None:
    if wanted is not None and shape[1:] != wanted:
        found = ",".join(str(size) for size in shape[1:])
        given = ",".join(str(size) for size in wanted)
        raise UsageError(
            f"{model}: its input is {found} (C,H,W), and -d says {given}; write -d {found}, or leave it out"
        )


def _check_outputs(found: Sequence[str], wanted: Sequence[str], model: Path) -> None:
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UsageError(f"{model}: {unknown[0]} is no output of this model; it has {', '.join(found)}")


def _batch(profiles: Mapping[str, Profile]) -> tuple[int, int, int] | None:
    """Smallest, usual and largest batch of the profile that was built; None where the model fixes all shapes."""
    for profile in profiles.values():
        return profile.smallest[0], profile.best[0], profile.largest[0]
    return None
