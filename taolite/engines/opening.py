"""From a file, or its bytes, to an open engine: told by content, handed to the runtime that can run it.

    with open_engine(onnx_bytes, runtime="openvino", threads=2) as engine:
        outputs = engine.infer({"input_1": photos_nchw})          # {"output_cov/Sigmoid": ..., ...}

Every runtime is imported when it is asked for, so an edge box carries only its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from taolite.engines.base import OPENVINO_MAGIC, Engine, Precision, RuntimeName
from taolite.errors import EngineError, PathError, UsageError

__all__ = ["Kind", "open_engine", "read_model", "sniff"]

Kind: TypeAlias = Literal["onnx", "openvino", "tensorrt", "tensorrt_rtx"]

_RTX_MAGIC = b"vtrt"  # reference/deploy.md 11
_ONNX_IR_VERSION = 0x08  # the first field of a ModelProto, as a varint


def open_engine(
    source: Path | bytes,
    *,
    runtime: RuntimeName | None = None,
    threads: int | None = None,
    precision: Precision = "fp32",
    device: int = 0,
) -> Engine:
    """Open an ONNX file, ONNX bytes or an engine that `taolite convert` built.

    Args:
        source: path of an `.onnx` or engine file, or the bytes of one. A sealed `.etlt` is opened with its key first
            (`taolite.artifacts.etlt.read_etlt`), and its `.onnx` handed in here.
        runtime: None chooses by content: an engine goes to the runtime that built it, ONNX to ONNX Runtime.
        threads: CPU threads; None leaves it to the runtime. Without meaning on a GPU.
        precision: what OpenVINO computes in; "bf16" needs a processor that has it. OpenVINO alone would choose bf16
            silently wherever it can (reference/dependencies.md 4.3), so fp32 is pinned unless asked otherwise. The
            other runtimes compute in the types the ONNX or the engine carries, and take only "fp32" here.
        device: index of the GPU, for TensorRT.

    Raises:
        PathError: the file is missing. EngineError: not a model, the wrong runtime for it, a runtime that is not
        installed, or one that refuses. UsageError: a runtime or precision that does not exist.
    """
    if runtime is not None and runtime not in get_args(RuntimeName):
        raise UsageError(f"runtime {runtime!r} is not one of {', '.join(get_args(RuntimeName))}")
    if precision not in get_args(Precision):
        raise UsageError(f"precision {precision!r} is not one of {', '.join(get_args(Precision))}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; it needs to be 1 or more")
    data, where = (source, "this model") if isinstance(source, bytes) else (read_model(source), str(source))
    kind = sniff(data, where=where)
    chosen = runtime or ("onnxruntime" if kind == "onnx" else kind)
    if kind == "onnx" and chosen in ("tensorrt", "tensorrt_rtx"):
        raise EngineError(f"{where} is ONNX, and {chosen} runs engines: build one with `taolite convert`")
    if kind != "onnx" and chosen != kind:
        raise EngineError(f"{where} is an engine of {kind} and cannot run on {chosen}; leave the runtime open")
    if precision != "fp32" and chosen != "openvino":
        raise EngineError(f"{chosen} computes in the types the model carries; {precision} is for openvino")

    if chosen == "onnxruntime":
        from taolite.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(data, threads=threads, where=where)
    if chosen == "openvino":
        from taolite.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(data, threads=threads, precision=precision, where=where)
    from taolite.engines.tensorrt import TensorRTEngine

    return TensorRTEngine(data, backend=chosen, device=device, where=where)


def sniff(data: bytes, *, where: str = "this model") -> Kind:
    """What these bytes are, by their first ones: "onnx", or the runtime whose engine it is. EngineError for others."""
    if data.startswith(OPENVINO_MAGIC):
        return "openvino"
    if data.startswith(_RTX_MAGIC):
        return "tensorrt_rtx"
    if data[1:4] == b"trt":  # "ftrt" from 8 on, "ptrt" before
        return "tensorrt"
    if data[:1] == bytes([_ONNX_IR_VERSION]):
        return "onnx"
    if not data:
        raise EngineError(f"{where} is empty; export the model again")
    raise EngineError(
        f"{where} is neither ONNX nor an engine; "
        "a sealed .etlt needs its key (`taolite convert FILE.etlt -k KEY`), anything else needs an export"
    )


def read_model(path: Path) -> bytes:
    """The bytes of a model or engine file. Raises PathError where there is none, or it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PathError(f"{path}: no such model or engine; check the path") from error
    except OSError as error:
        raise PathError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
