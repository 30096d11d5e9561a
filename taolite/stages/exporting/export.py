"""export: a trained bundle -> ONNX, proven to be the same network -> `.etlt` sealed with the key, or `.onnx`.

The proof is in `stages.exporting.proof`. INT8 has no error limit of its own: the report gives the error that rounding
adds to each output, and the layers that add most. After quantisation-aware training INT8 has its own proof
(`stages.exporting.learned_int8`). A gate scores the finished ONNX beside the trained model (`stages.exporting.gate`).
The model's description (classes, preprocessing, decoding) is stored inside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from taolite import __version__
from taolite.artifacts.bundle import Bundle, weights_hash
from taolite.artifacts.container import artifact_hash
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.engines import onnx_graph
from taolite.engines.onnx_cost import macs_and_parameters
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import PathError, UsageError
from taolite.events import Exporting, Listener, Notice, silent
from taolite.files import refuse_replacing, write_bytes
from taolite.nn.fake_quant import is_quantized, strip
from taolite.preprocessing import Preprocessing
from taolite.quant.sensitivity import output_sqnr
from taolite.stages.device import choose
from taolite.stages.exporting import deepstream
from taolite.stages.exporting.calibrate import CalibrationOptions
from taolite.stages.exporting.gate import Exported, GateReport, GateSettings, judged, open_gate
from taolite.stages.exporting.gate_record import failure, record_gate, rejected_name
from taolite.stages.exporting.int8 import Int8, Int8Report, calibrated
from taolite.stages.exporting.learned_int8 import (
    learned_calibration,
    prove_integers,
    prove_rounding,
    refuse_existing_cache,
)
from taolite.stages.exporting.proof import parity, proof_batch
from taolite.stages.exporting.ranges import float_layers, quantise, write_ranges
from taolite.stages.exporting.to_onnx import INPUT_NAME, OPSET, to_onnx
from taolite.stages.inference.models import Model
from taolite.stages.predict import torch_predict
from taolite.stages.trained import Trained
from taolite.tasks.base import BEST_THRESHOLD, Experiment, Task
from taolite.tasks.registry import find
from taolite.workspace.notes import note_made

__all__ = ["TAOS", "Border", "ExportReport", "Int8Report", "export_model"]


ExportPrecision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Border:
    """How an export is adapted to another tool.

    Attributes:
        input_name: name of the graph's input.
        output_names: names of the graph's outputs; None: the task's names.
        prepare: makes the model to export from the trained one.
        decoding: the decoding settings that this changes.
        finish: adds nodes behind the finished ONNX once it is proven, whatever its precision.
    """

    input_name: str = INPUT_NAME
    output_names: tuple[str, ...] | None = None
    prepare: Callable[[Bundle], Bundle] | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    finish: Callable[[bytes], bytes] | None = None


TAOS = Border()


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how much it differs from the trained network.

    Attributes:
        output: the file; sealed tells whether it needs the key.
        differences: output name -> largest absolute difference to the trained network, on the proof's inputs. For INT8
            it is measured on the float model before calibration, or on the INT8 model where training learned the
            rounding.
        macs: multiply-accumulates of one image; parameters: numbers in the graph, BatchNorm folded.
        onnx_bytes, onnx_sha256: of the ONNX inside.
        companions: the DeepStream config and labels, where they were asked for.
        seconds: duration of the whole stage.
        int8: the error that rounding adds; None in other precisions.
        gate: the score beside that of the trained model; None where it was not measured. gate_record: its file.
    """

    output: Path
    sealed: bool
    precision: str
    opset: int
    differences: Mapping[str, float]
    macs: int
    parameters: int
    onnx_bytes: int
    onnx_sha256: str
    companions: tuple[Path, ...]
    seconds: float
    int8: Int8Report | None = None
    gate: GateReport | None = None
    gate_record: Path | None = None


def export_model(
    model: Trained,
    output: Path | None = None,
    *,
    key: Key,
    experiment: Experiment | None = None,
    precision: ExportPrecision = "fp32",
    calibration: CalibrationOptions | None = None,
    opset: int = OPSET,
    static_batch: int | None = None,
    gen_ds_config: bool = False,
    border: Border = TAOS,
    gate: GateSettings | None = None,
    overwrite: bool = False,
    listener: Listener = silent,
) -> ExportReport:
    """Export a trained model.

    Args:
        output: plain where its name ends in `.onnx`, else sealed with the key; None is the model's name with `.etlt`.
        experiment: its decoding replaces the model's own; its classes must be the model's.
        precision: of the weights. Inputs and outputs are float32 in every precision.
        calibration: for int8, the source of the calibration images.
        opset: see `to_onnx`.
        static_batch: a batch size fixed in the model; None leaves it free.
        gen_ds_config: write `nvinfer_config.txt` and `labels.txt` beside it.
        border: names and extra nodes at the graph's ends.
        gate: score the export beside the trained model, on the validation pictures of `experiment`; None: do not.
        overwrite: replace an earlier output; the default is to refuse, as TAO does.

    Raises:
        PathError: the output exists. UsageError: the experiment has other classes, or a gate with a limit has nothing
        to score on. ModelError: the network cannot be written as ONNX, the written ONNX is not the same network, or it
        did not pass the gate; then it is written under `rejected_name(output)`, and an earlier output stays.
    """
    started = time.monotonic()
    target = output or model.source.with_suffix(".etlt")
    if target.exists() and not overwrite:
        raise PathError(f"Default output file {target} already exists; remove it, choose another, or add --force")
    refuse_replacing(model.source, target)
    options = calibration or CalibrationOptions()
    bundle = border.prepare(model.bundle) if border.prepare is not None else model.bundle
    task = find(bundle.task)
    trained: torch.nn.Module = task.network(bundle)
    learned = precision == "int8" and is_quantized(trained) and not options.force_ptq
    if learned and not overwrite:
        refuse_existing_cache(options.cache)
    meta = OnnxMeta(
        task=bundle.task,
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        decoding={**_decoding(bundle, experiment), **border.decoding},
    )

    if gen_ds_config:
        task.deepstream(meta.classes, meta.decoding)  # raises before anything is computed
    described = Exported(model.source, meta.classes, meta.preprocessing)
    opened = open_gate(gate, experiment, described, listener=listener) if gate is not None else None

    def write(network: torch.nn.Module) -> bytes:
        plain = to_onnx(
            network,
            channels=meta.preprocessing.channels,
            input_hw=meta.preprocessing.input_hw,
            output_names=border.output_names or task.onnx_outputs,
            input_name=border.input_name,
            opset=opset,
            static_batch=static_batch,
        )
        return onnx_graph.write_meta(plain, meta)

    if learned:
        made = _learned(trained, write, meta.preprocessing, options, heads=task.heads)
    else:
        made = _float(strip(trained), write, meta.preprocessing, "fp16" if precision == "fp16" else "fp32")
    if precision == "int8" and not learned:
        int8 = calibrated(made.onnx, preprocessing=meta.preprocessing, options=options, listener=listener)
        quantised = int8.quantised()
        made = replace(made, onnx=quantised, int8=int8.report(quantised, listener=listener), quantiser=int8)
    finish = border.finish or (lambda onnx: onnx)
    onnx, verdict = finish(made.onnx), None
    if opened is not None:
        as_trained = _as_trained(model.source, task, trained, meta, border)
        onnx, verdict = judged(opened, onnx, as_trained, int8=made.quantiser, finish=finish, listener=listener)
        made = _with_floats(made, verdict.floats)
    made = replace(made, onnx=onnx)
    passed = verdict is None or verdict.passed
    file = target if passed else rejected_name(target)

    listener(Exporting(file))
    sealed = target.suffix != ".onnx"
    companions = _deepstream(target, made, meta, precision, listener) if gen_ds_config and passed else ()
    gate_record = None
    if verdict is not None:
        sha256 = onnx_graph.sha256(onnx)
        gate_record = record_gate(file, verdict, model=model.source, precision=precision, onnx_sha256=sha256)
    if sealed:  # the model comes last: where it is, all files are
        lineage = (*bundle.lineage, _step(model.source, precision, onnx))
        record = {**onnx_graph.describe(onnx), "opset": opset, "lineage": list(lineage)}
        write_etlt(file, Etlt(onnx=onnx, input_name=border.input_name, meta=record), key=key)
    else:
        write_bytes(file, onnx)
    _note(model, file, precision, onnx)
    if verdict is not None and not passed:
        raise failure(verdict, file, precision=precision, advice=_advice(precision, options, learned=learned))
    cost = macs_and_parameters(made.floating, (static_batch or 1, *_chw(meta.preprocessing)))
    return ExportReport(
        output=target,
        sealed=sealed,
        precision=precision,
        opset=opset,
        differences=made.differences,
        macs=cost.macs // (static_batch or 1),
        parameters=cost.parameters,
        onnx_bytes=len(onnx),
        onnx_sha256=onnx_graph.sha256(onnx),
        companions=companions,
        seconds=time.monotonic() - started,
        int8=made.int8,
        gate=verdict,
        gate_record=gate_record,
    )


@dataclass(frozen=True)
class _Made:
    """A proven ONNX, the unquantised ONNX that it was made from, and the proof's differences. quantiser: makes the INT8
    model again with more layers in float; None where that cannot be."""

    onnx: bytes
    floating: bytes
    differences: Mapping[str, float]
    int8: Int8Report | None = None
    quantiser: Int8 | None = None


def _float(
    network: torch.nn.Module,
    write: Callable[[torch.nn.Module], bytes],
    preprocessing: Preprocessing,
    precision: Literal["fp32", "fp16"],
) -> _Made:
    onnx = write(network)
    if precision == "fp16":
        onnx = onnx_graph.to_fp16(onnx)
    return _Made(onnx, onnx, parity(network, onnx, preprocessing, precision=precision))


def _learned(
    trained: torch.nn.Module,
    write: Callable[[torch.nn.Module], bytes],
    preprocessing: Preprocessing,
    options: CalibrationOptions,
    *,
    heads: tuple[str, ...],
) -> _Made:
    """The model in INT8 as quantisation-aware training learned it, its rounding error, and its difference to `trained`
    with the layers that stay float unquantised."""
    partly = strip(trained, only=options.excluded)
    network = strip(partly, round_kernels=True)
    rounded, unrounded = write(network), write(strip(trained))
    parity(network, rounded, preprocessing)
    calibration = learned_calibration(trained, rounded, heads=heads)
    quantised = quantise(
        rounded, calibration, excluded=float_layers(rounded, excluded=options.excluded, heads=options.float_heads)
    )
    prove_integers(partly, quantised)
    inputs = proof_batch(rounded, preprocessing)
    differences = prove_rounding(partly, strip(trained), quantised, inputs)
    write_ranges(options.cache, calibration, unrounded, tensorrt=options.tensorrt, json_file=options.json_file)
    report = Int8Report(
        sqnr=output_sqnr(unrounded, quantised, inputs),
        layers=(),
        measured_on="test patterns",
        record=calibration.record,
        cache=options.cache,
    )
    return _Made(quantised, rounded, differences, report)


def _as_trained(source: Path, task: Task, network: torch.nn.Module, meta: OnnxMeta, border: Border) -> Model:
    """The trained network in float32, with the decoding and the output names of its export."""
    predict = torch_predict(network, choose().exact)
    return Model(
        source,
        task,
        meta.classes,
        meta.preprocessing,
        meta.decoding,
        predict,
        "torch",
        lambda: None,
        outputs=border.output_names or task.onnx_outputs,
    )


def _with_floats(made: _Made, floats: tuple[str, ...]) -> _Made:
    """The same with the error of the INT8 model whose layers `floats` are in float."""
    if not floats or made.int8 is None or made.quantiser is None:
        return made
    sqnr = output_sqnr(made.quantiser.onnx, made.quantiser.quantised(floats), made.quantiser.samples)
    return replace(made, int8=replace(made.int8, sqnr=sqnr))


def _advice(precision: ExportPrecision, options: CalibrationOptions, *, learned: bool) -> str:
    """What to do about an export that did not pass."""
    if precision == "fp32":
        return "Export again with another --target_opset, and report it"
    if precision == "fp16":
        return "Export fp32"
    if learned:
        return "Train longer with enable_qat, or export with --force_ptq"
    return (
        f"Calibrate on other images (remove {options.cache} first), try --int8-calibrator entropy, or train with "
        "enable_qat"
    )


def _note(model: Trained, file: Path, precision: str, onnx: bytes) -> None:
    """Note the export in the manifest of the run that `model` comes from."""
    facts = {
        "precision": precision,
        "onnx_sha256": onnx_graph.sha256(onnx),
        "sha256": artifact_hash(file),
        "parent_weights": weights_hash(model.bundle.tensors),
    }
    note_made(model.source, "exports", file, facts, lineage=model.bundle.lineage)


def _step(model: Path, precision: str, onnx: bytes) -> dict[str, Any]:
    """This stage's entry in the lineage."""
    step: dict[str, Any] = {
        "stage": "export",
        "parent": artifact_hash(model),
        "taolite": __version__,
        "precision": precision,
    }
    described = onnx_graph.describe(onnx)
    return step | {name: described[name] for name in ("calibration", "gate") if name in described}


def _deepstream(
    target: Path,
    made: _Made,
    meta: OnnxMeta,
    precision: ExportPrecision,
    listener: Listener,
) -> tuple[Path, ...]:
    """Write the files for DeepStream beside `target`; what they cannot express is sent to the listener."""
    companions = deepstream.write_config(
        target,
        meta,
        outputs=tuple(onnx_graph.signature(made.onnx).outputs),
        precision=precision,
        calibration_cache=Path(os.path.relpath(made.int8.cache, target.parent)) if made.int8 else None,
    )
    for remark in deepstream.remarks(target, meta):
        listener(Notice(remark, level="warning"))
    return companions


def _decoding(bundle: Bundle, experiment: Experiment | None) -> Mapping[str, Any]:
    """The decoding settings: the experiment's where one is given, else those the model was trained with; the best
    thresholds are the model's."""
    if experiment is None:
        return bundle.decoding
    if experiment.classes != bundle.classes:
        raise UsageError(
            f"{experiment.source}: its target classes are {', '.join(experiment.classes)}, and the model finds "
            f"{', '.join(bundle.classes)}; give the spec it was trained with"
        )
    own = {BEST_THRESHOLD: bundle.decoding[BEST_THRESHOLD]} if BEST_THRESHOLD in bundle.decoding else {}
    return {**experiment.decoding, **own}


def _chw(preprocessing: Preprocessing) -> tuple[int, int, int]:
    return (preprocessing.channels, *preprocessing.input_hw)
