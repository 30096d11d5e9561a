"""Open a model from a file of any format: a `.tlt` runs in torch, an `.etlt` or `.onnx` in ONNX Runtime or OpenVINO, an
engine in the runtime that built it. The opened model predicts and knows its classes and preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar, sidecar_path
from taolite.artifacts.sniff import Kind, sniff
from taolite.engines import foreign, onnx_graph, runtimes
from taolite.engines.base import Engine, Precision, RuntimeName
from taolite.engines.buffers import gpu_is_here, open_gpu
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import ArtifactError, EngineError, PathError, UsageError
from taolite.events import EngineBuilt, EngineReplaced, ExportOlder, Listener, silent
from taolite.preprocessing import Preprocessing
from taolite.stages.agree import expect
from taolite.stages.inference.built import open_built
from taolite.stages.inference.engine_cache import KeptEngines, open_export
from taolite.stages.signed import require_signed
from taolite.stages.trained import Trained, open_trained
from taolite.tasks.base import EnginePlan, Experiment, Predict, Resolve, Use
from taolite.tasks.registry import find, find_use
from taolite.workspace.run import RunFolder

__all__ = ["Computer", "Model", "meta_of", "open_engine_plan", "open_model", "open_onnx"]


@dataclass(frozen=True)
class Computer:
    """How a model runs.

    Attributes:
        gpus, gpu_index: `--gpus` and `--gpu_index`; without effect on a processor.
        precision: what OpenVINO computes in; another runtime refuses "bf16".
        many: many frames come; see `taolite.engines.opening.open_engine`.
    """

    gpus: int = 1
    gpu_index: Sequence[int] | None = None
    precision: Precision = "fp32"
    many: bool = False

    @property
    def first(self) -> int:
        """The GPU that an engine runs on."""
        return self.gpu_index[0] if self.gpu_index else 0


HERE = Computer()


def meta_of(experiment: Experiment) -> OnnxMeta:
    """The metadata of an ONNX that the experiment describes."""
    task = experiment.task.name
    return OnnxMeta(task, experiment.classes, experiment.preprocessing, dict(experiment.decoding))


@dataclass(frozen=True)
class Model:
    """An opened model.

    Attributes:
        source: the file.
        use: the model's task.
        decoding: how to read its outputs; None where the file does not say, and a spec must.
        predict: network inputs to raw outputs.
        runs_on: the runtime and its version.
        batch: the largest batch it takes; None for any.
        outputs: names of what `predict` gives, in its order.
        calls: how many calls of `predict` run side by side.
    """

    source: Path
    use: Use
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: Mapping[str, Any] | None
    predict: Predict
    runs_on: str
    close: Callable[[], None]
    batch: int | None = None
    outputs: tuple[str, ...] = ()
    calls: int = 1

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_model(
    path: Path,
    *,
    key: Key | None,
    of: str | None = None,
    computer: Computer = HERE,
    runtime: RuntimeName | None = None,
    assumed: Callable[[], OnnxMeta] | None = None,
    engines: KeptEngines | None = None,
    built_here: bool = False,
    listener: Listener = silent,
) -> Model:
    """Open a trained model, an export or an engine, told apart by content; for a run folder, its finished model.

    Args:
        of: the task that the model must be of; None accepts any.
        runtime: the runtime for an export.
        assumed: gives the metadata of an ONNX that has none, e.g. one of NVIDIA's TAO 5.
        engines: where `runtime` builds engines, one of the export is built and kept
            (`taolite.stages.inference.engine_cache`); None keeps none.
        built_here: this process has just built the engine, of a model that was checked: it needs no signature.
        listener: is told of a trained model that is newer than the export beside it, of an export that runs instead
            of a GPU engine, where there is no GPU, and of kept engines.

    Raises:
        PathError, ArtifactError: the file is missing, sealed with another key, damaged or foreign.
        EngineError: no runtime for it, no GPU for a TensorRT engine, or an engine without the sidecar that describes
        it.
        ModelError: the model is of another task.
        SignatureError: a signer is required (`taolite.stages.signed`) and did not sign the model as it is.
    """
    if path.is_dir():
        path = RunFolder.model_in(path)
    if not path.is_file():
        raise PathError(f"{path}: no such model; give the path of a .tlt, .etlt, .onnx or engine")
    if not built_here:
        require_signed(path)
    kind = sniff(path)
    if kind in (Kind.ETLT, Kind.ONNX):
        onnx = read_model(path, key=key).onnx
        meta = onnx_graph.read_meta(onnx)
        if meta is None and assumed is not None:
            onnx, meta = foreign.described(onnx, assumed())
        if meta is None:
            raise EngineError(
                f"{path}: this ONNX does not say which classes and preprocessing it was made for; "
                "export it with taolite from its .tlt, or give a spec (-e) that describes it"
            )
        expect(of, meta.task, path)
        if (newer := _newer_beside(path)) is not None:
            listener(ExportOlder(path, newer))
        engine, largest = open_export(
            onnx,
            beside=path,
            runtime=runtime,
            keep=engines,
            is_sealed=kind is Kind.ETLT,
            device=computer.first,
            precision=computer.precision,
            many=computer.many,
            listener=listener,
        )
        return _engine_model(path, engine, meta.task, meta.classes, meta.preprocessing, meta.decoding, largest)
    if computer.precision != "fp32":
        raise UsageError(
            f"{path}: {computer.precision} is for an .etlt or .onnx in OpenVINO; an engine computes as it was built, "
            "and a .tlt in fp32"
        )
    on_gpu = kind in (Kind.TENSORRT, Kind.TENSORRT_RTX)
    if on_gpu or (kind is Kind.UNKNOWN and sidecar_path(path).is_file()):
        if on_gpu and not gpu_is_here() and (source := _built_from(path, key)) is not None:
            listener(EngineReplaced(source, path, None))
            return open_model(source, key=key, of=of, computer=computer, runtime=runtime, listener=listener)
        if on_gpu:
            _need_gpu(path, computer.first)
        expect(of, read_sidecar(path).task, path)
        engine, sidecar = open_built(path, device=computer.first)
        decoding, largest = sidecar.meta.get("decoding", {}), sidecar.batch[2]
        return _engine_model(path, engine, sidecar.task, sidecar.classes, sidecar.preprocessing, decoding, largest)
    return _torch_model(open_trained(path, key=key, of=of), computer)  # the error names the kind of file


def _newer_beside(export: Path) -> Path | None:
    """The newest trained model in the folder of an export, if it was written after the export."""
    models = {path.stat().st_mtime: path for path in export.parent.glob("*.tlt")}
    return models[max(models)] if models and max(models) > export.stat().st_mtime else None


def _torch_model(trained: Trained, computer: Computer) -> Model:
    """A `.tlt` in torch; torch is imported here."""
    from taolite.stages.device import choose
    from taolite.stages.predict import torch_predict

    bundle = trained.bundle
    task = find(bundle.task)
    device = choose(gpus=computer.gpus, gpu_index=computer.gpu_index).exact
    predict = torch_predict(task.network(bundle), device)
    decoding = bundle.decoding or None
    return Model(
        trained.source,
        task,
        bundle.classes,
        bundle.preprocessing,
        decoding,
        predict,
        "torch",
        lambda: None,
        outputs=task.onnx_outputs,
    )


def open_onnx(onnx: bytes, *, source: Path) -> Model:
    """Open the bytes of an export of ours in ONNX Runtime, before they are a file; `source` names them in messages."""
    meta = onnx_graph.read_meta(onnx)
    assert meta is not None, "our exports say what they are"
    return _engine_model(source, open_engine(onnx), meta.task, meta.classes, meta.preprocessing, meta.decoding)


def open_engine_plan(
    plan: EnginePlan,
    *,
    resolve: Resolve,
    key: Key | None,
    of: str | None = None,
    computer: Computer = HERE,
    runtime: RuntimeName | None = None,
    batch_size: int = 1,
    listener: Listener = silent,
) -> Model:
    """The engine an inference spec asks for: its file where it exists, else one built from the exported model.

    Where neither runs on this machine, or `runtime` is given, the exported model itself runs, with a warning.
    Raises what `open_model` and `build` raise; UsageError, EngineError: there is nothing to run or to build from.
    """
    file = resolve(plan.file) if plan.file else None
    source = resolve(plan.source) if plan.source and plan.parser == "ETLT" else None
    built = file is not None and file.is_file()
    assert file is not None or not built
    if source is not None and source.is_file() and (runtime is not None or not _runs_here(file if built else None)):
        listener(EngineReplaced(source, file if built else None, runtime))
        return open_model(source, key=key, of=of, computer=computer, runtime=runtime, listener=listener)
    if file is not None and built:
        return open_model(file, key=key, of=of, computer=computer, runtime=runtime)
    if plan.parser != "ETLT":
        raise EngineError(
            f"tensorrt_config.parser is {plan.parser}, and no engine is built from {plan.source or 'that'} here "
            "(TensorRT 10 reads neither UFF nor Caffe); export the model with taolite and name it as etlt_model"
        )
    if source is None:
        missing = f"{file} (trt_engine) does not exist" if file else "it names no trt_engine"
        raise UsageError(f"tensorrt_config: {missing}, and there is no etlt_model to build an engine from; name one")
    from taolite.stages.exporting.engine import build

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
        listener(EngineBuilt(target if target == file else None))
        return open_model(target, key=key, of=of, computer=computer, built_here=True)


def _runs_here(engine: Path | None) -> bool:
    """Whether the engine in this file, or one built now, can run on this machine."""
    if gpu_is_here():
        return True
    if engine is None:
        return any(row.builds and row.is_here() for row in runtimes.RUNTIMES)
    return sniff(engine) not in (Kind.TENSORRT, Kind.TENSORRT_RTX)


def _built_from(engine: Path, key: Key | None) -> Path | None:
    """The exported model in the engine's folder from which, by its sidecar, the engine was built."""
    try:
        wanted = read_sidecar(engine).onnx_sha256
    except EngineError:
        return None  # reported when the engine is opened
    for path in sorted(path for path in engine.parent.iterdir() if path.suffix in (".etlt", ".onnx")):
        try:
            if onnx_graph.sha256(read_model(path, key=key).onnx) == wanted:
                return path
        except (ArtifactError, UsageError):
            continue  # sealed with another key, or no key was given
    return None


def _need_gpu(path: Path, index: int) -> None:
    """Raises EngineError with a remedy, before an installed version or a sidecar is checked."""
    try:
        open_gpu(index).close()
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error


def _engine_model(
    source: Path,
    engine: Engine,
    task_name: str,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    decoding: Mapping[str, Any],
    largest_batch: int | None = None,
) -> Model:
    """`largest_batch`: the engine's largest batch, None for any; a larger batch is run in parts."""
    use = find_use(task_name)
    ((input_name, shape),) = engine.inputs.items()
    fixed = shape[0] if shape[0] > 0 else None
    names = use.onnx_outputs if set(use.onnx_outputs) <= set(engine.outputs) else tuple(engine.outputs)

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        count = len(pixels_nchw)
        part = fixed or min(largest_batch or count, count)
        if fixed and count % fixed:  # a fixed batch is padded, and the results of the padding removed
            pixels_nchw = np.concatenate([pixels_nchw, np.repeat(pixels_nchw[-1:], -count % fixed, axis=0)])
        answers = [
            engine.infer({input_name: pixels_nchw[start : start + part]}) for start in range(0, len(pixels_nchw), part)
        ]
        return tuple(np.concatenate([answer[name] for answer in answers])[:count] for name in names)

    return Model(
        source,
        use,
        classes,
        preprocessing,
        decoding or None,
        predict,
        f"{engine.name} {engine.version}" + (", bf16" if engine.precision == "bf16" else ""),
        engine.close,
        fixed or largest_batch,
        names,
        engine.calls,
    )
