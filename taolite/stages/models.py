"""A model from a file, whatever it was written as: a `.tlt` runs in torch, an `.etlt` or `.onnx` in ONNX Runtime or
OpenVINO, an engine in the runtime that built it. What comes out predicts and knows its classes and preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
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
from taolite.engines.opening import open_engine
from taolite.errors import EngineError, PathError
from taolite.preprocessing import Preprocessing
from taolite.stages.device import Device
from taolite.stages.engine import open_built
from taolite.stages.predict import Predict, torch_predict
from taolite.tasks import base

__all__ = ["Model", "open_model"]


@dataclass(frozen=True)
class Model:
    """An opened model. `decoding` is None where the file does not say; then the spec has to."""

    task: base.Task
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: Mapping[str, Any] | None
    predict: Predict
    runs_on: str
    close: Callable[[], None]


def open_model(path: Path, *, key: Key | None, device: Device, runtime: RuntimeName | None = None) -> Model:
    """Open a trained model, an export or an engine, told apart by content.

    Raises:
        PathError, ArtifactError: the file is missing, sealed with another key, damaged or foreign.
        EngineError: no runtime for it, or an engine without the sidecar that says what it is.
    """
    if not path.is_file():
        raise PathError(f"{path}: there is no such model; give the path of a .tlt, .etlt, .onnx or engine with -m")
    kind = sniff(path)
    if kind in (Kind.ETLT, Kind.ONNX):
        onnx = read_model(path, key=key).onnx
        meta = onnx_graph.read_meta(onnx)
        if meta is None:
            raise EngineError(
                f"{path}: this ONNX does not say which classes and preprocessing it was made for; "
                "export it with taolite, from its .tlt"
            )
        engine = open_engine(onnx, runtime=runtime)
        return _engine_model(engine, meta.task, meta.classes, meta.preprocessing, meta.decoding)
    if kind in (Kind.TENSORRT, Kind.TENSORRT_RTX, Kind.UNKNOWN) and sidecar_path(path).is_file():
        engine, sidecar = open_built(path)
        decoding, largest = sidecar.meta["decoding"], sidecar.batch[2]
        return _engine_model(engine, sidecar.task, sidecar.classes, sidecar.preprocessing, decoding, largest)
    bundle = read_bundle(path, key=key)  # says what it is where it is none
    task = base.find(bundle.task)
    predict = torch_predict(task.network(bundle), device)
    return Model(
        task, bundle.classes, bundle.preprocessing, bundle.extra.get("decoding"), predict, "torch", lambda: None
    )


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

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        count = len(pixels_nchw)
        part = fixed or min(largest_batch or count, count)
        if fixed and count % fixed:  # a batch that the model fixes is filled up, and the surplus cut off again
            pixels_nchw = np.concatenate([pixels_nchw, np.repeat(pixels_nchw[-1:], -count % fixed, axis=0)])
        answers = [
            engine.infer({input_name: pixels_nchw[start : start + part]}) for start in range(0, len(pixels_nchw), part)
        ]
        return tuple(np.concatenate([answer[name] for answer in answers])[:count] for name in task.onnx_outputs)

    return Model(
        task, classes, preprocessing, decoding or None, predict, f"{engine.name} {engine.version}", engine.close
    )
