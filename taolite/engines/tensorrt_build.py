"""ONNX -> a TensorRT or TensorRT-RTX engine; RTX also builds on a machine with no GPU, for GPUs that are named.

The network is strongly typed where the library can: what is built is what the ONNX says (reference/deploy.md 9.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from taolite.engines import onnx_graph
from taolite.engines.base import BuildOrder, Built, Profile
from taolite.engines.buffers import open_gpu
from taolite.engines.tensorrt import TITLES, Backend, Log, create, import_backend, log_of
from taolite.errors import EngineError

__all__ = ["build_tensorrt"]

_TURING = "7.5"
_SHORT = ("OutOfMemory", "workspace limit")  # in its log, where the limit is too low for a layer
_WORKSPACE = 1 << 30  # bytes; tao-converter's -w (reference/deploy.md 7)


def build_tensorrt(backend: Backend, onnx: bytes, order: BuildOrder) -> Built:
    """Build an engine, see `taolite.engines.base.Adapter.build`."""
    trt = import_backend(backend)
    title, log = f"{TITLES[backend]} {trt.__version__}", log_of(trt)
    log.clear()
    if backend == "tensorrt":
        trt.init_libnvinfer_plugins(log.sink, "")
    builder = create(trt.Builder, log, title=title)
    network, strong = _network(trt, builder, onnx, log, title)
    config = _needed(builder.create_builder_config(), log, f"{title} cannot create a configuration")
    workspace = order.workspace_bytes or (_WORKSPACE if backend == "tensorrt" else None)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if not strong:  # TensorRT 8 keeps the model's types only where they are also allowed
        types = onnx_graph.element_types(onnx)
        for flag, needed in (("FP16", "float16" in types), ("INT8", "int8" in types)):
            if needed:
                config.set_flag(getattr(trt.BuilderFlag, flag))
    if order.dla_core is not None:
        _set_dla(trt, builder, config, order.dla_core)
    gpus = _set_targets(trt, config, onnx, order.capabilities) if backend == "tensorrt_rtx" else _this_gpu()
    _set_profiles(builder, config, order.profiles, log, title)
    plan = builder.build_serialized_network(network, config)
    if plan is None and workspace is not None and any(sign in log.errors() for sign in _SHORT):
        raise EngineError(
            f"{title} cannot build this model with {workspace:,} bytes of GPU memory for the build; allow more (-w, "
            "--max_workspace_size), or a smaller largest batch (-m, --max_batch_size)"
        )
    return Built(bytes(_needed(plan, log, f"{title} cannot build this model")), gpus, log.warnings())


def _network(trt: Any, builder: Any, onnx: bytes, log: Log, title: str) -> tuple[Any, bool]:
    """The parsed network, and whether it keeps the types of the ONNX by itself."""
    flags, strong = _creation_flags(trt)
    network = _needed(builder.create_network(flags), log, f"{title} cannot create a network")
    parser = trt.OnnxParser(network, log.sink)
    if not parser.parse(onnx) or parser.num_errors:
        raise EngineError(f"{title} cannot read this model: {_parser_errors(parser)}")
    if not network.num_outputs:
        raise EngineError(f"{title} found no outputs in this model; export it again")
    return network, strong


def _set_profiles(builder: Any, config: Any, profiles: Mapping[str, Profile], log: Log, title: str) -> None:
    if not profiles:
        return
    profile = builder.create_optimization_profile()
    for name, shapes in profiles.items():
        profile.set_shape(name, shapes.smallest, shapes.best, shapes.largest)
    if not profile or config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{title} refuses the shapes of the inputs: {log.errors()}")


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
        raise EngineError(f"DLA core {core} does not exist: this machine has {cores}; leave out -u")
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
