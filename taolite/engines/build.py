"""ONNX -> engine bytes: TensorRT, TensorRT-RTX (also on a machine with no GPU) or OpenVINO.

Precision lives in the ONNX (reference/deploy.md 9.4): fp16 converts the model, int8 needs Q/DQ nodes in it, and the
builder takes what it reads. A free batch gets an optimisation profile on its first axis. Nothing touches the disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

from taolite.engines import onnx_graph, runtimes
from taolite.engines.base import BuildOrder, BuildPrecision, Profile, RuntimeName, Shape, show_shape
from taolite.engines.buffers import gpu_is_here
from taolite.errors import EngineError
from taolite.extras import install_command

__all__ = [
    "BuildBackend",
    "BuildPrecision",
    "BuiltEngine",
    "Profile",
    "batch_profiles",
    "build_engine",
    "choose_backend",
]

BuildBackend: TypeAlias = RuntimeName  # of a runtime that builds engines


@dataclass(frozen=True)
class BuiltEngine:
    """An engine, and what has to be remembered of its making.

    Attributes:
        data: the engine file's bytes.
        backend: what built it and will run it.
        version: of that library.
        precision: "fp32", "fp16" or "int8".
        profiles: of every input whose shape is free.
        gpus: compute capabilities it runs on, e.g. ("7.5", "8.6"); none for OpenVINO, which runs on CPUs.
        warnings: what the library had to say.
        seconds: the build took.
    """

    data: bytes = field(repr=False)
    backend: BuildBackend
    version: str
    precision: BuildPrecision
    profiles: Mapping[str, Profile]
    gpus: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float


def build_engine(
    onnx: bytes,
    *,
    backend: BuildBackend | None = None,
    precision: BuildPrecision | None = None,
    profiles: Mapping[str, Profile] | None = None,
    workspace_bytes: int | None = None,
    compute_capabilities: Sequence[str] = (),
    dla_core: int | None = None,
) -> BuiltEngine:
    """Build an engine.

    Args:
        onnx: the model's bytes, as `taolite.artifacts.etlt.read_model` gives them.
        backend: None takes `choose_backend`.
        precision: None takes the model as it is. "fp16" converts it (inputs and outputs stay float32), "int8" needs
            one with calibrated Q/DQ nodes.
        profiles: for every input with a free axis; None is batch 1 only (`batch_profiles`).
        workspace_bytes: scratch memory the GPU may spend; None is 1 GiB with TensorRT (tao-converter's -w,
            reference/deploy.md 7), and no limit with TensorRT-RTX.
        compute_capabilities: GPUs to build for, e.g. ("7.5", "8.6"); TensorRT-RTX only, which then needs no GPU here
            (none named: all that it knows and that can run this model).
        dla_core: build for this DLA core of a Jetson, with the GPU for what it cannot do; full TensorRT only.

    Raises:
        EngineError: a backend that is missing or has no GPU, a model it cannot read or build, a precision or target
        that does not exist there. The message carries the library's own reason. UsageError: an unknown backend.
    """
    row = runtimes.find(runtimes.builder(backend or choose_backend(compute_capabilities)))
    if compute_capabilities and not row.builds_elsewhere:
        elsewhere = ", ".join(one.name for one in runtimes.RUNTIMES if one.builds_elsewhere)
        raise EngineError(f"{row.name} builds for this machine only; name GPUs with the backend {elsewhere}")
    if dla_core is not None and not row.has_dla:
        raise EngineError(f"{row.name} has no DLA; leave out the DLA core")
    typed, label = _with_precision(onnx, precision)
    inputs = onnx_graph.signature(typed).inputs
    given = batch_profiles(typed) if profiles is None else dict(profiles)
    _check_profiles(inputs, given)
    free = {name: profile for name, profile in given.items() if -1 in inputs[name]}
    started, adapter = time.monotonic(), row.load()
    built = adapter.build(typed, BuildOrder(free, workspace_bytes, tuple(compute_capabilities), dla_core))
    return BuiltEngine(
        data=built.data,
        backend=row.name,
        version=adapter.version(),
        precision=label,
        profiles=free if row.device == "GPU" else {},  # a processor's engine takes every batch
        gpus=built.gpus,
        warnings=built.warnings,
        seconds=time.monotonic() - started,
    )


def choose_backend(compute_capabilities: Sequence[str] = (), *, runs_here: bool = False) -> BuildBackend:
    """What builds an engine where no backend is named.

    Args:
        compute_capabilities: the GPUs to build for, where they are named.
        runs_here: the engine will be run on this machine.

    With a GPU here: TensorRT, then TensorRT-RTX. Without one, or where GPUs are named: TensorRT-RTX, which builds for
    GPUs elsewhere, then OpenVINO, which comes first where the engine `runs_here`.
    Raises EngineError where none of them is installed.
    """
    cpu = [row for row in runtimes.RUNTIMES if row.builds and row.device == "CPU"]
    here = [row for row in runtimes.RUNTIMES if row.builds and row.device == "GPU" and not row.builds_elsewhere]
    elsewhere = [row for row in runtimes.RUNTIMES if row.builds and row.device == "GPU" and row.builds_elsewhere]
    if compute_capabilities:
        order = [*elsewhere, *here]
    elif gpu_is_here():
        order = [*here, *elsewhere]
    else:
        order = [*cpu, *elsewhere, *here] if runs_here else [*elsewhere, *cpu, *here]
    for row in order:
        if row.is_installed():
            return row.name
    raise EngineError(
        f"nothing that builds engines is installed here: run `{install_command('openvino')}` for this processor, or "
        f"`{install_command('tensorrt')}` (Linux, x86-64; it needs no GPU to build) for NVIDIA cards"
    )


def batch_profiles(onnx: bytes, *, smallest: int = 1, best: int = 1, largest: int = 1) -> dict[str, Profile]:
    """Profiles that let the first axis of every input run from `smallest` to `largest`.

    Raises EngineError where the numbers are no such range, or an axis other than the first is free.
    """
    if not 1 <= smallest <= best <= largest:
        raise EngineError(f"batch sizes {smallest}, {best}, {largest} need to be 1 or more, in rising order")
    made = {}
    for name, shape in onnx_graph.signature(onnx).inputs.items():
        if -1 in shape[1:]:
            raise EngineError(
                f"input {name} is {show_shape(shape)}: axes other than the batch are free; give -p NAME,MIN,OPT,MAX"
            )
        if shape[:1] == (-1,):
            made[name] = Profile(*((batch, *shape[1:]) for batch in (smallest, best, largest)))
        elif largest > 1 and shape and shape[0] != largest:
            raise EngineError(
                f"input {name} is {show_shape(shape)}: its batch is fixed at {shape[0]} and cannot be {largest}; "
                "export the model without --static_batch_size"
            )
    return made


def _with_precision(onnx: bytes, precision: BuildPrecision | None) -> tuple[bytes, BuildPrecision]:
    """The model in the types that will be built, and what to call them."""
    if precision is not None and precision not in get_args(BuildPrecision):
        raise EngineError(f"precision {precision!r} is not one of {', '.join(get_args(BuildPrecision))}")
    types = onnx_graph.element_types(onnx)
    has: BuildPrecision = "int8" if "int8" in types else "fp16" if "float16" in types else "fp32"
    if precision is None or precision == has:
        return onnx, has
    if precision == "int8":
        raise EngineError(
            "int8 needs a model with calibrated Q/DQ nodes, and this one has none; export it with --data_type int8, "
            "give a calibration cache, or build fp32 or fp16"
        )
    if has == "int8":
        raise EngineError(f"this model is quantised (Q/DQ nodes) and cannot be built as {precision}; ask for int8")
    if precision == "fp32":
        raise EngineError("this model's weights are float16 already and cannot be built as fp32; ask for fp16")
    return onnx_graph.to_fp16(onnx), "fp16"


def _check_profiles(inputs: Mapping[str, Shape], profiles: Mapping[str, Profile]) -> None:
    """EngineError where a profile is of an unknown input, of another shape than its input, or falls."""
    for name, profile in profiles.items():
        if name not in inputs:
            raise EngineError(f"there is no input {name}; this model's inputs are {', '.join(inputs)}")
        wanted, shapes = inputs[name], (profile.smallest, profile.best, profile.largest)
        for shape in shapes:
            fits = len(shape) == len(wanted) and all(w in (-1, h) for w, h in zip(wanted, shape, strict=True))
            if not fits:
                raise EngineError(f"input {name} is {show_shape(wanted)} and cannot be {show_shape(shape)}")
        if any(not 1 <= low <= mid <= high for low, mid, high in zip(*shapes, strict=True)):
            rising = ", ".join(show_shape(shape) for shape in shapes)
            raise EngineError(f"input {name}: {rising} must be in rising order: smallest, usual, largest")
    missing = [name for name, shape in inputs.items() if -1 in shape and name not in profiles]
    if missing:
        raise EngineError(
            f"input {missing[0]} is {show_shape(inputs[missing[0]])} and needs its shapes: -p NAME,MIN,OPT,MAX"
        )
