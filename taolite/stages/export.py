"""export: a trained bundle -> ONNX that proves it is the same network -> `.etlt` sealed with the key, or `.onnx`.

The proof: the same inputs (noise, and a smooth picture) go through the trained network and through what was written,
and no output may differ by more than `LIMITS`. INT8 has no such limit: what rounding costs each output, and which
layers cost most, is reported; after quantisation-aware training it has a proof of its own (`stages.learned_int8`).
What the model has to say of itself (classes, preprocessing, decoding) travels inside it.
"""

from __future__ import annotations

import copy
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from taolite import __version__
from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.container import artifact_hash
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import ModelError, PathError, UsageError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import write_bytes
from taolite.nn.fake_quant import is_quantized, strip
from taolite.preprocessing import Preprocessing
from taolite.quant.sensitivity import LayerCost, layer_costs, output_sqnr
from taolite.stages import deepstream
from taolite.stages.calibrate import CalibrationOptions, find_ranges, float_layers, quantise, write_ranges
from taolite.stages.learned_int8 import learned_calibration, prove_integers, prove_rounding, refuse_existing_cache
from taolite.tasks import base

__all__ = ["LIMITS", "TAOS", "Border", "ExportReport", "Int8Report", "export_model", "parity", "to_onnx"]

INPUT_NAME = "input_1"  # TAO's (reference/detectnet_v2.md 11.2)
OPSET = 17  # the newest that TensorRT 8.6 on a Jetson reads
_EXPORTERS_OPSET = 18  # the oldest that torch's exporter writes itself
LIMITS = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest difference to the trained network that is accepted, in shares of the output's largest value or of 1."""


@dataclass(frozen=True)
class Border:
    """An export in another tool's manner: its names of input and outputs (None: the task's), what makes the exported
    network of the trained one (a copy of it), what that changes in its decoding, and what is put behind the finished
    ONNX once it is proven, whatever its precision."""

    input_name: str = INPUT_NAME
    output_names: tuple[str, ...] | None = None
    prepare: Callable[[torch.nn.Module], torch.nn.Module] | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    finish: Callable[[bytes], bytes] | None = None


TAOS = Border()


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the trained network.

    Attributes:
        output: the file; sealed tells whether it needs the key.
        differences: output name -> largest absolute difference to the trained network, on the proof's inputs; of the
            float model before it is calibrated, but of the INT8 model where training learned its rounding.
        macs: multiply-accumulates of one image; parameters: numbers in the graph, BatchNorm folded.
        onnx_bytes, onnx_sha256: of the ONNX inside.
        companions: the DeepStream config and labels, where they were asked for.
        seconds: the whole stage took.
        int8: what rounding costs; None in other precisions.
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


@dataclass(frozen=True)
class Int8Report:
    """What INT8 costs, against the same network in float, in dB of signal to noise (6 dB are one bit).

    Attributes:
        sqnr: output name -> dB, the whole network in INT8.
        layers: every layer alone in INT8, the costliest first; none where training learned the rounding.
        measured_on: "calibration images", or "test patterns" where a cache or training gave the ranges.
        record: how the ranges were found; cache: where they are kept.
    """

    sqnr: Mapping[str, float]
    layers: tuple[LayerCost, ...]
    measured_on: str
    record: Mapping[str, Any]
    cache: Path


def export_model(
    model: Path,
    output: Path | None = None,
    *,
    key: Key,
    spec: Path | None = None,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    calibration: CalibrationOptions | None = None,
    resolve: base.Resolve = Path,
    opset: int = OPSET,
    static_batch: int | None = None,
    gen_ds_config: bool = False,
    border: Border = TAOS,
    overwrite: bool = False,
    listener: Listener = silent,
) -> ExportReport:
    """Export the `.tlt` at `model`.

    Args:
        output: sealed with the key, or plain where its name ends in `.onnx`; None is `model` with `.etlt`.
        spec: a train / evaluate spec whose post-processing replaces what the model was trained with; its classes must
            be the model's.
        precision: of the weights. Inputs and outputs are float32 in all.
        calibration: for int8, where its images come from; their paths in a spec go through `resolve`.
        opset: see `to_onnx`.
        static_batch: a batch fixed in the model; None leaves it free.
        gen_ds_config: write `nvinfer_config.txt` and `labels.txt` beside it.
        border: names at the graph's ends, and what is there.
        overwrite: replace an earlier output; TAO refuses, and so does this by default.

    Raises:
        PathError: the output exists. ArtifactError, SpecError: see the readers. UsageError: the spec's classes are
        others. ModelError: the network cannot be written as ONNX, or what was written is not the same network.
    """
    started = time.monotonic()
    target = output or model.with_suffix(".etlt")
    if target.exists() and not overwrite:
        raise PathError(f"Default output file {target} already exists; remove it, choose another, or add --force")
    options = calibration or CalibrationOptions()
    bundle = read_bundle(model, key=key)
    task = base.find(bundle.task)
    trained = task.network(bundle)
    if border.prepare is not None:
        trained = border.prepare(trained)
    outputs = border.output_names or task.onnx_outputs
    learned = precision == "int8" and is_quantized(trained) and not options.force_ptq
    if learned and not overwrite:
        refuse_existing_cache(options.cache)
    partly = strip(trained, only=options.excluded) if learned else trained
    network = strip(partly, round_kernels=learned)
    meta = OnnxMeta(
        task=bundle.task,
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        decoding={**_decoding(task, bundle.classes, bundle.extra, spec, resolve), **border.decoding},
    )

    def written(module: torch.nn.Module) -> bytes:
        plain = to_onnx(
            module,
            channels=bundle.preprocessing.channels,
            input_hw=bundle.preprocessing.input_hw,
            output_names=outputs,
            input_name=border.input_name,
            opset=opset,
            static_batch=static_batch,
        )
        return onnx_graph.write_meta(plain, meta)

    onnx = written(network)
    if precision == "fp16":
        onnx = onnx_graph.to_fp16(onnx)
    differences = parity(network, onnx, bundle.preprocessing, precision="fp16" if precision == "fp16" else "fp32")
    cost = onnx_graph.macs_and_parameters(onnx, (static_batch or 1, *_chw(bundle.preprocessing)))
    int8 = None
    if learned:
        onnx, int8, differences = _trained_int8(
            trained,
            partly,
            unrounded=written(strip(trained)),
            rounded=onnx,
            heads=tuple(task.heads()),
            preprocessing=bundle.preprocessing,
            options=options,
        )
    elif precision == "int8":
        onnx, int8 = _to_int8(onnx, task, meta.preprocessing, options, resolve, listener)
    if border.finish is not None:
        onnx = border.finish(onnx)
        outputs = tuple(onnx_graph.signature(onnx).outputs)

    listener(Notice(f"Saving exported model to {target}"))
    sealed = target.suffix != ".onnx"
    if sealed:
        step: dict[str, Any] = {
            "stage": "export",
            "parent": artifact_hash(model),
            "taolite": __version__,
            "precision": precision,
        }
        if int8 is not None:
            step["calibration"] = onnx_graph.describe(onnx)["calibration"]
        record = {**onnx_graph.describe(onnx), "opset": opset, "lineage": [*bundle.lineage, step]}
        write_etlt(target, Etlt(onnx=onnx, input_name=border.input_name, meta=record), key=key)
    else:
        write_bytes(target, onnx)
    companions: tuple[Path, ...] = ()
    if gen_ds_config:
        cache = Path(os.path.relpath(int8.cache, target.parent)) if int8 is not None else None
        companions = deepstream.write_config(
            target,
            meta,
            outputs=outputs,
            network_type=task.network_type,
            precision=precision,
            calibration_cache=cache,
        )
        for remark in deepstream.remarks(target, meta):
            listener(Notice(remark, level="warning"))
    return ExportReport(
        output=target,
        sealed=sealed,
        precision=precision,
        opset=opset,
        differences=differences,
        macs=cost.macs // (static_batch or 1),
        parameters=cost.parameters,
        onnx_bytes=len(onnx),
        onnx_sha256=onnx_graph.sha256(onnx),
        companions=companions,
        seconds=time.monotonic() - started,
        int8=int8,
    )


def to_onnx(
    module: torch.nn.Module,
    *,
    channels: int,
    input_hw: tuple[int, int],
    output_names: Sequence[str],
    input_name: str = INPUT_NAME,
    opset: int = OPSET,
    static_batch: int | None = None,
) -> bytes:
    """Write a network down as ONNX, in float32, tidied and checked; the module is left as it was.

    Args:
        module: takes (N, channels, height, width) float32 and returns one tensor or a tuple of them.
        channels: 1 or 3.
        input_hw: (height, width), pixels; fixed in the model, as TensorRT profiles need it.
        output_names: of what `forward` returns, in its order.
        input_name: TAO's is `input_1`.
        opset: 11 or later; 17 is the newest that TensorRT 8.6 on a Jetson reads, 12 is TAO's own default.
        static_batch: a batch fixed in the model; None leaves it free.

    Raises:
        ModelError: the network has an operation without a counterpart in ONNX. EngineError: it has one without a
        counterpart at this opset, or returns another number of tensors than there are names.
    """
    still = copy.deepcopy(module).to("cpu", torch.float32).to(memory_format=torch.contiguous_format).eval()
    batch = static_batch or 2  # with 1 the exporter would take the batch for a constant
    example = torch.zeros(batch, channels, *input_hw)
    free = ({0: torch.export.Dim("batch", min=1)},) if static_batch is None else None
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                still,
                (example,),
                dynamo=True,
                input_names=[input_name],
                opset_version=max(opset, _EXPORTERS_OPSET),
                dynamic_shapes=free,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = _innermost(error)
        raise ModelError(f"this network cannot be written as ONNX at opset {opset}: {reason}") from error
    written = program.model_proto.SerializeToString()
    if opset < _EXPORTERS_OPSET:
        written = onnx_graph.lower_opset(written, opset)
    return onnx_graph.tidy(written, input_names=[input_name], output_names=list(output_names))


def parity(
    network: torch.nn.Module, onnx: bytes, preprocessing: Preprocessing, *, precision: Literal["fp32", "fp16"] = "fp32"
) -> dict[str, float]:
    """Run network and ONNX on the same two inputs; the largest absolute difference of every output.

    The inputs are uniform noise and a smooth picture, as photographs are, both preprocessed. `network` is in
    evaluation mode, on the CPU, and returns its outputs in the ONNX's order.
    Raises ModelError where one differs by more than LIMITS: what was written is another network then.
    """
    inputs = _proof_batch(onnx, preprocessing)
    with open_engine(onnx) as engine:
        (name,) = engine.inputs
        answers = engine.infer({name: inputs})
    with torch.no_grad():
        returned = network(torch.from_numpy(inputs))
    tensors = returned if isinstance(returned, (tuple, list)) else (returned,)
    differences = {}
    for (output, found), wanted in zip(answers.items(), tensors, strict=True):
        expected = wanted.float().numpy()
        differences[output] = float(np.abs(found - expected).max())
        allowed = LIMITS[precision] * max(1.0, float(np.abs(expected).max()))
        if not differences[output] <= allowed:  # also where it is not a number
            raise ModelError(
                f"the exported model is not the trained network: {output} differs by {differences[output]:.3g}, and "
                f"{allowed:.3g} is allowed in {precision}; nothing was written. "
                + ("Export fp32 instead" if precision == "fp16" else "Try another --target_opset, and report it")
            )
    return differences


def _to_int8(
    onnx: bytes,
    task: base.Task,
    preprocessing: Preprocessing,
    options: CalibrationOptions,
    resolve: base.Resolve,
    listener: Listener,
) -> tuple[bytes, Int8Report]:
    """The model in INT8, and what that costs it."""
    calibration = find_ranges(
        onnx, preprocessing=preprocessing, task=task, options=options, resolve=resolve, listener=listener
    )
    floating = float_layers(onnx, options)
    quantised = quantise(onnx, calibration, excluded=floating)
    photos, measured_on = calibration.samples, "calibration images"
    if photos is None:
        photos, measured_on = _proof_batch(onnx, preprocessing), "test patterns"
    costs = layer_costs(
        onnx,
        calibration.ranges,
        photos,
        excluded=floating,
        tick=lambda done, total: listener(Progress("cost of each layer in int8", done, total, unit="layer")),
    )
    return quantised, Int8Report(
        sqnr=output_sqnr(onnx, quantised, photos),
        layers=tuple(costs),
        measured_on=measured_on,
        record=calibration.record,
        cache=options.cache,
    )


def _trained_int8(
    trained: torch.nn.Module,
    partly: torch.nn.Module,
    *,
    unrounded: bytes,
    rounded: bytes,
    heads: tuple[str, ...],
    preprocessing: Preprocessing,
    options: CalibrationOptions,
) -> tuple[bytes, Int8Report, dict[str, float]]:
    """The model in INT8 as quantisation-aware training left it, what that costs, and how far it is from `partly`.

    `partly` is `trained` but for the layers that are to stay float, `rounded` its ONNX with rounded kernels, and
    `unrounded` that of `trained` without quantisation, which is what an fp32 export writes.
    """
    calibration = learned_calibration(trained, rounded, heads=heads)
    quantised = quantise(rounded, calibration, excluded=float_layers(rounded, options))
    prove_integers(partly, quantised)
    inputs = _proof_batch(rounded, preprocessing)
    differences = prove_rounding(partly, strip(trained), quantised, inputs)
    write_ranges(options.cache, calibration, unrounded, tensorrt=options.tensorrt, json_file=options.json_file)
    report = Int8Report(
        sqnr=output_sqnr(unrounded, quantised, inputs),
        layers=(),
        measured_on="test patterns",
        record=calibration.record,
        cache=options.cache,
    )
    return quantised, report, differences


def _proof_batch(onnx: bytes, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """`_proof_inputs`, as many as the model takes at once."""
    (shape,) = onnx_graph.signature(onnx).inputs.values()
    proofs = _proof_inputs(preprocessing)
    return np.resize(proofs, (shape[0] if shape[0] > 0 else len(proofs), *proofs.shape[1:]))


def _proof_inputs(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(2, C, H, W): noise, and a picture of slow waves in every colour; the same at every call."""
    height, width = preprocessing.input_hw
    noise = np.random.default_rng(0).integers(0, 256, (height, width, preprocessing.channels), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        128 + 60 * np.sin(x / (23 + 9 * c) + c) + 60 * np.cos(y / (31 - 5 * c)) for c in range(preprocessing.channels)
    ]
    picture = np.clip(np.stack(waves, axis=2), 0, 255).astype(np.uint8)
    return np.stack([preprocessing.apply(noise), preprocessing.apply(picture)])


def _decoding(
    task: base.Task, classes: tuple[str, ...], extra: Mapping[str, Any], spec: Path | None, resolve: base.Resolve
) -> Mapping[str, Any]:
    """How to decode: as the spec says, where one is given, else as the model was trained with."""
    if spec is None:
        return dict(extra.get("decoding", {}))
    read = task.read_spec(spec, resolve=resolve, classes=classes).model
    if task.classes(read) != classes:
        raise UsageError(
            f"{spec}: its target classes are {', '.join(task.classes(read))}, and the model finds "
            f"{', '.join(classes)}; give the spec it was trained with"
        )
    return task.decoding(read)


def _chw(preprocessing: Preprocessing) -> tuple[int, int, int]:
    return (preprocessing.channels, *preprocessing.input_hw)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own remarks on versions and conversions: what they lead to is checked above."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _innermost(error: BaseException) -> str:
    """The first line of what went wrong first; the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
