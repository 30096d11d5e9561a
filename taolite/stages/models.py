"""A model from a file, whatever it was written as: a `.tlt` runs in torch, an `.etlt` or `.onnx` in ONNX Runtime or
OpenVINO, an engine in the runtime that built it. What comes out predicts and knows its classes and preprocessing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import sidecar_path
from taolite.artifacts.sniff import Kind, sniff
from taolite.engines import onnx_graph
from taolite.engines.base import Engine, RuntimeName
from taolite.engines.buffers import gpu_is_here, open_gpu
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import EngineError, PathError, UsageError
from taolite.events import Listener, Notice, silent
from taolite.preprocessing import Preprocessing
from taolite.stages.device import Device
from taolite.stages.engine import build, open_built
from taolite.stages.predict import Predict, torch_predict
from taolite.tasks import base
from taolite.tasks.base import EnginePlan

__all__ = ["Model", "open_engine_plan", "open_model"]


@dataclass(frozen=True)
class Model:
    """An opened model. `decoding` is None where the file does not say; then the spec has to. `batch` is the most it
    takes at once, or None where it takes any number."""

    task: base.Task
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: Mapping[str, Any] | None
    predict: Predict
    runs_on: str
    close: Callable[[], None]
    batch: int | None = None


def open_model(
    path: Path,
    *,
    key: Key | None,
    device: Device,
    runtime: RuntimeName | None = None,
    assumed: OnnxMeta | None = None,
) -> Model:
    """Open a trained model, an export or an engine, told apart by content. `runtime` is what runs an export, `assumed`
    what an ONNX is that does not say it.

    Raises:
        PathError, ArtifactError: the file is missing, sealed with another key, damaged or foreign.
        EngineError: no runtime for it, no GPU for a TensorRT engine, or an engine without the sidecar that says what
        it is.
    """
    if not path.is_file():
        raise PathError(f"{path}: there is no such model; give the path of a .tlt, .etlt, .onnx or engine with -m")
    kind = sniff(path)
    if kind in (Kind.ETLT, Kind.ONNX):
        onnx = read_model(path, key=key).onnx
        meta = onnx_graph.read_meta(onnx) or assumed
        if meta is None:
            raise EngineError(
                f"{path}: this ONNX does not say which classes and preprocessing it was made for; "
                "export it with taolite, from its .tlt"
            )
        engine = open_engine(onnx, runtime=runtime)
        return _engine_model(engine, meta.task, meta.classes, meta.preprocessing, meta.decoding)
    on_gpu = kind in (Kind.TENSORRT, Kind.TENSORRT_RTX)
    if on_gpu or (kind is Kind.UNKNOWN and sidecar_path(path).is_file()):
        index = device.place.index or 0
        if on_gpu:
            _need_gpu(path, index)
        engine, sidecar = open_built(path, device=index)
        decoding, largest = sidecar.meta["decoding"], sidecar.batch[2]
        return _engine_model(engine, sidecar.task, sidecar.classes, sidecar.preprocessing, decoding, largest)
    bundle = read_bundle(path, key=key)  # says what it is where it is none
    task = base.find(bundle.task)
    predict = torch_predict(task.network(bundle), device)
    return Model(task, bundle.classes, bundle.preprocessing, bundle.decoding or None, predict, "torch", lambda: None)


def open_engine_plan(
    plan: EnginePlan,
    *,
    resolve: base.Resolve,
    key: Key | None,
    device: Device,
    runtime: RuntimeName | None = None,
    batch_size: int = 1,
    listener: Listener = silent,
) -> Model:
    """The engine an inference spec asks for: its file where it exists, else one built from the exported model.

    Where neither runs on this machine, or `runtime` is given, the exported model itself runs, and a warning says so.
    Raises what `open_model` and `build` raise; UsageError, EngineError: nothing here that could be run or built from.
    """
    file = resolve(plan.file) if plan.file else None
    source = resolve(plan.source) if plan.source and plan.parser == "ETLT" else None
    built = file is not None and file.is_file()
    assert file is not None or not built
    if source is not None and source.is_file() and (runtime is not None or not _runs_here(file if built else None)):
        reason = f"--runtime {runtime}" if runtime else "no NVIDIA GPU is here"
        instead = f"{file} is not used" if built else "no TensorRT engine is built"
        listener(Notice(f"{reason}: {instead}, {source} itself runs on the processor", "warning"))
        return open_model(source, key=key, device=device, runtime=runtime)
    if file is not None and built:
        return open_model(file, key=key, device=device, runtime=runtime)
    if plan.parser != "ETLT":
        raise EngineError(
            f"tensorrt_config.parser is {plan.parser}, and no engine is built from {plan.source or 'that'} here "
            "(TensorRT 10 reads neither UFF nor Caffe); export the model with taolite and name it as etlt_model"
        )
    if source is None:
        missing = f"{file} (trt_engine) does not exist" if file else "it names no trt_engine"
        raise UsageError(f"tensorrt_config: {missing}, and there is no etlt_model to build an engine from; name one")
    with TemporaryDirectory() as folder:
        target = file if file is not None and plan.save else Path(folder) / "engine"
        build(
            source,
            key=key,
            engine=target,
            precision=plan.precision,
            batch=(1, batch_size, batch_size),
            calibration=resolve(plan.calibration_cache) if plan.calibration_cache else None,
            listener=listener,
        )
        listener(Notice(f"built {target}" if target == file else "built an engine for this run alone"))
        return open_model(target, key=key, device=device)


def _runs_here(engine: Path | None) -> bool:
    """Whether the engine of this file, or one that is built now, can run on this machine."""
    if gpu_is_here():
        return True
    if engine is None:
        return importlib.util.find_spec("openvino") is not None  # what `build` then chooses
    return sniff(engine) not in (Kind.TENSORRT, Kind.TENSORRT_RTX)


def _need_gpu(path: Path, index: int) -> None:
    """Raises EngineError with the way out, before an installed version or a sidecar is complained about."""
    try:
        open_gpu(index).close()
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error


def _engine_model(
    engine: Engine,
    task_name: str,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    decoding: Mapping[str, Any],
    largest_batch: int | None = None,
) -> Model:
    """`largest_batch` is what the engine takes at once, None for any; batches beyond it are run in parts."""
    task = base.find(task_name)
    ((input_name, shape),) = engine.inputs.items()
    fixed = shape[0] if shape[0] > 0 else None
    names = task.onnx_outputs if set(task.onnx_outputs) <= set(engine.outputs) else tuple(engine.outputs)

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        count = len(pixels_nchw)
        part = fixed or min(largest_batch or count, count)
        if fixed and count % fixed:  # a batch that the model fixes is filled up, and the surplus cut off again
            pixels_nchw = np.concatenate([pixels_nchw, np.repeat(pixels_nchw[-1:], -count % fixed, axis=0)])
        answers = [
            engine.infer({input_name: pixels_nchw[start : start + part]}) for start in range(0, len(pixels_nchw), part)
        ]
        return tuple(np.concatenate([answer[name] for answer in answers])[:count] for name in names)

    return Model(
        task,
        classes,
        preprocessing,
        decoding or None,
        predict,
        f"{engine.name} {engine.version}",
        engine.close,
        fixed or largest_batch,
    )
