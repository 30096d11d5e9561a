"""ONNX -> engine bytes: TensorRT, TensorRT-RTX (also on a machine with no GPU) or OpenVINO.

Precision lives in the ONNX (reference/deploy.md 9.4): fp16 converts the model, int8 needs Q/DQ nodes in it, and the
builder takes what it reads. A free batch gets an optimisation profile on its first axis. Nothing touches the disk.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from taolite.engines import onnx_graph
from taolite.engines.base import Shape, show_shape
from taolite.engines.buffers import gpu_is_here, open_gpu
from taolite.engines.tensorrt import TITLES, Backend, Log, create, import_backend, log_of
from taolite.errors import EngineError

__all__ = [
    "DEFAULT_WORKSPACE",
    "BuildBackend",
    "BuildPrecision",
    "BuiltEngine",
    "Profile",
    "batch_profiles",
    "build_engine",
    "choose_backend",
]

BuildBackend: TypeAlias = Literal["tensorrt", "tensorrt_rtx", "openvino"]
BuildPrecision: TypeAlias = Literal["fp32", "fp16", "int8"]
DEFAULT_WORKSPACE = 1 << 30  # bytes; tao-converter's -w (reference/deploy.md 7)
_TURING = "7.5"


@dataclass(frozen=True)
class Profile:
    """The shapes one input may have: smallest, the one to be fastest at, largest."""

    smallest: Shape
    best: Shape
    largest: Shape


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
    workspace_bytes: int = DEFAULT_WORKSPACE,
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
        workspace_bytes: scratch memory the GPU may spend.
        compute_capabilities: GPUs to build for, e.g. ("7.5", "8.6"); TensorRT-RTX only, which then needs no GPU here
            (none named: all that it knows and that can run this model).
        dla_core: build for this DLA core of a Jetson, with the GPU for what it cannot do; full TensorRT only.

    Raises:
        EngineError: a backend that is missing or has no GPU, a model it cannot read or build, a precision or target
        that does not exist there. The message carries the library's own reason.
    """
    chosen = backend or choose_backend(compute_capabilities)
    if chosen not in get_args(BuildBackend):
        raise EngineError(f"backend {chosen!r} is not one of {', '.join(get_args(BuildBackend))}")
    if compute_capabilities and chosen != "tensorrt_rtx":
        raise EngineError(f"{chosen} builds for this machine only; name GPUs with the backend tensorrt_rtx")
    if dla_core is not None and chosen != "tensorrt":
        raise EngineError(f"{chosen} has no DLA; leave out the DLA core")
    typed, label = _with_precision(onnx, precision, chosen)
    inputs = onnx_graph.signature(typed).inputs
    given = batch_profiles(typed) if profiles is None else dict(profiles)
    _check_profiles(inputs, given)
    started = time.monotonic()
    if chosen == "openvino":
        from taolite.engines.openvino import compile_openvino, openvino_version

        return BuiltEngine(
            data=compile_openvino(typed),
            backend=chosen,
            version=openvino_version(),
            precision=label,
            profiles={},  # it takes every batch size
            gpus=(),
            warnings=(),
            seconds=time.monotonic() - started,
        )
    trt = import_backend(chosen)
    log = log_of(trt)
    log.clear()
    free = {name: profile for name, profile in given.items() if -1 in inputs[name]}
    data, gpus = _build_tensorrt(
        trt,
        typed,
        backend=chosen,
        profiles=free,
        workspace_bytes=workspace_bytes,
        capabilities=tuple(compute_capabilities),
        dla_core=dla_core,
    )
    return BuiltEngine(
        data=data,
        backend=chosen,
        version=str(trt.__version__),
        precision=label,
        profiles=free,
        gpus=gpus,
        warnings=log.warnings(),
        seconds=time.monotonic() - started,
    )


def choose_backend(compute_capabilities: Sequence[str] = ()) -> BuildBackend:
    """What builds an engine for this machine: TensorRT, then TensorRT-RTX, where there is a GPU; OpenVINO where there
    is none. Where GPUs are named, or nothing for this machine is installed, TensorRT-RTX, which builds for others.

    Raises EngineError where none of them is installed.
    """
    order: tuple[BuildBackend, ...] = ("tensorrt_rtx", "tensorrt")
    if not compute_capabilities:
        order = ("tensorrt", "tensorrt_rtx") if gpu_is_here() else ("openvino", "tensorrt_rtx", "tensorrt")
    for backend in order:
        if importlib.util.find_spec(backend) is not None:
            return backend
    raise EngineError(
        'nothing that builds engines is installed here: run `pip install "taolite[openvino]"` for this processor, or '
        '`pip install "taolite[tensorrt]"` (Linux, x86-64; it needs no GPU to build) for NVIDIA cards'
    )


def batch_profiles(onnx: bytes, *, smallest: int = 1, best: int = 1, largest: int = 1) -> dict[str, Profile]:
    """Profiles that let the first axis of every input run from `smallest` to `largest`.

    Raises EngineError where the numbers are no such range, or an axis other than the first is free.
    """
    if not 1 <= smallest <= best <= largest:
        raise EngineError(f"batch sizes {smallest}, {best}, {largest} need to be 1 or more, and in rising order")
    made = {}
    for name, shape in onnx_graph.signature(onnx).inputs.items():
        if -1 in shape[1:]:
            raise EngineError(f"input {name} is {show_shape(shape)}: more than its batch is free; give -p NAME,...")
        if shape[:1] == (-1,):
            made[name] = Profile(*((batch, *shape[1:]) for batch in (smallest, best, largest)))
        elif largest > 1 and shape and shape[0] != largest:
            raise EngineError(
                f"input {name} is {show_shape(shape)}: its batch is fixed at {shape[0]} and cannot be {largest}; "
                "export the model without --static_batch_size"
            )
    return made


def _with_precision(
    onnx: bytes, precision: BuildPrecision | None, backend: BuildBackend
) -> tuple[bytes, BuildPrecision]:
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
            raise EngineError(f"input {name}: {rising} need to rise from the smallest to the largest shape")
    missing = [name for name, shape in inputs.items() if -1 in shape and name not in profiles]
    if missing:
        raise EngineError(f"input {missing[0]} is {show_shape(inputs[missing[0]])} and needs its shapes: -p NAME,...")


def _build_tensorrt(
    trt: Any,
    onnx: bytes,
    *,
    backend: Backend,
    profiles: Mapping[str, Profile],
    workspace_bytes: int,
    capabilities: tuple[str, ...],
    dla_core: int | None,
) -> tuple[bytes, tuple[str, ...]]:
    """Engine bytes and what they run on; the rules of reference/deploy.md 9.5."""
    title, log = f"{TITLES[backend]} {trt.__version__}", log_of(trt)
    if backend == "tensorrt":
        trt.init_libnvinfer_plugins(log.sink, "")
    builder = create(trt.Builder, log, title=title)
    flags, strong = _creation_flags(trt)
    network = _needed(builder.create_network(flags), log, f"{title} cannot create a network")
    parser = trt.OnnxParser(network, log.sink)
    if not parser.parse(onnx) or parser.num_errors:
        raise EngineError(f"{title} cannot read this model: {_parser_errors(parser)}")
    if not network.num_outputs:
        raise EngineError(f"{title} found no outputs in this model; export it again")
    config = _needed(builder.create_builder_config(), log, f"{title} cannot create a configuration")
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    if not strong:  # TensorRT 8 keeps the model's types only where they are also allowed
        types = onnx_graph.element_types(onnx)
        for flag, needed in (("FP16", "float16" in types), ("INT8", "int8" in types)):
            if needed:
                config.set_flag(getattr(trt.BuilderFlag, flag))
    if dla_core is not None:
        _set_dla(trt, builder, config, dla_core)
    gpus = _set_targets(trt, config, onnx, capabilities) if backend == "tensorrt_rtx" else _this_gpu()
    if profiles:
        profile = builder.create_optimization_profile()
        for name, shapes in profiles.items():
            profile.set_shape(name, shapes.smallest, shapes.best, shapes.largest)
        if not profile or config.add_optimization_profile(profile) < 0:
            raise EngineError(f"{title} refuses the shapes of the inputs: {log.errors()}")
    plan = builder.build_serialized_network(network, config)
    return bytes(_needed(plan, log, f"{title} cannot build this model")), gpus


def _creation_flags(trt: Any) -> tuple[int, bool]:
    """Flags of `create_network`, and whether the network keeps the types of the ONNX by itself."""
    flag = trt.NetworkDefinitionCreationFlag
    if not hasattr(flag, "EXPLICIT_BATCH"):  # 11 and RTX: always explicit, always strongly typed
        return 0, True
    strong = hasattr(flag, "STRONGLY_TYPED")
    bits = 1 << int(flag.EXPLICIT_BATCH)
    return bits | (1 << int(flag.STRONGLY_TYPED) if strong else 0), strong


def _set_targets(trt: Any, config: Any, onnx: bytes, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Name the GPUs to build for; Turing is not a default where it has no fp32 Gemm (reference/deploy.md 11.1)."""
    members = trt.ComputeCapability.__members__
    known = {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items() if re.fullmatch(r"SM\d+", name)}
    unknown = [capability for capability in wanted if capability not in known]
    if unknown:
        raise EngineError(
            f"{TITLES['tensorrt_rtx']} {trt.__version__} cannot build for compute capability {', '.join(unknown)}; "
            f"it can for {', '.join(known)}"
        )
    dense = "float16" not in onnx_graph.element_types(onnx) and onnx_graph.operators(onnx) & {"Gemm", "MatMul"}
    chosen = wanted or tuple(capability for capability in known if not (dense and capability == _TURING))
    config.num_compute_capabilities = len(chosen)
    for index, capability in enumerate(chosen):
        if not config.set_compute_capability(known[capability], index):
            raise EngineError(f"{TITLES['tensorrt_rtx']} {trt.__version__} refuses compute capability {capability}")
    return chosen


def _this_gpu() -> tuple[str, ...]:
    """The compute capability that full TensorRT builds for."""
    gpu = open_gpu()
    try:
        return (gpu.compute_capability,)
    finally:
        gpu.close()


def _set_dla(trt: Any, builder: Any, config: Any, core: int) -> None:
    cores = int(getattr(builder, "num_DLA_cores", 0))
    if core >= cores:
        raise EngineError(f"DLA core {core} is not here: this machine has {cores}; leave out -u")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _parser_errors(parser: Any) -> str:
    found = []
    for index in range(min(int(parser.num_errors), 3)):
        error = parser.get_error(index)
        node = f"node {error.node_name()}: " if hasattr(error, "node_name") and error.node_name() else ""
        found.append(f"{node}{error.desc().strip()} ({getattr(error.code(), 'name', error.code())})")
    return "; ".join(found) or "it gave no reason"


def _needed(made: Any, log: Log, what: str) -> Any:
    if made is None:
        raise EngineError(f"{what}: {log.errors()}")
    return made
