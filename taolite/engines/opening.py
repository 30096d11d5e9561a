"""From a file, or its bytes, to an open engine: told by content, handed to the runtime that can run it.

    with open_engine(onnx_bytes, runtime="openvino", threads=2) as engine:
        outputs = engine.infer({"input_1": photos_nchw})          # {"output_cov/Sigmoid": ..., ...}

Every runtime is imported when it is asked for, so an edge box carries only its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias, get_args

from taolite.engines import runtimes
from taolite.engines.base import Engine, OpenOptions, Precision, RuntimeName
from taolite.errors import EngineError, PathError, UsageError

__all__ = ["Kind", "open_engine", "read_model", "sniff"]

Kind: TypeAlias = str  # "onnx", or the name of a runtime whose engine it is

_ONNX_IR_VERSION = 0x08  # the first field of a ModelProto, as a varint


def open_engine(
    source: Path | bytes,
    *,
    runtime: RuntimeName | None = None,
    threads: int | None = None,
    precision: Precision = "fp32",
    device: int = 0,
    many: bool = False,
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
        many: many frames come, as of a folder. On a processor each core then works at a frame of its own
            (`Engine.calls`), which takes longer for one frame and less time for all of them; the numbers are the same.

    Raises:
        PathError: the file is missing. EngineError: not a model, the wrong runtime for it, a runtime that is not
        installed, or one that refuses. UsageError: a runtime or precision that does not exist.
    """
    asked = None if runtime is None else runtimes.find(runtime)
    if precision not in get_args(Precision):
        raise UsageError(f"precision {precision!r} is not one of {', '.join(get_args(Precision))}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; it needs to be 1 or more")
    data, where = (source, "this model") if isinstance(source, bytes) else (read_model(source), str(source))
    kind = sniff(data, where=where)
    row = asked or runtimes.find("onnxruntime" if kind == "onnx" else kind)
    if kind == "onnx" and not row.runs_onnx:
        raise EngineError(f"{where} is ONNX, and {row.name} runs engines: build one with `taolite convert`")
    if kind not in ("onnx", row.name):
        raise EngineError(f"{where} is an engine of {kind} and cannot run on {row.name}; leave the runtime open")
    if precision not in row.precisions:
        able = ", ".join(one.name for one in runtimes.RUNTIMES if precision in one.precisions)
        raise EngineError(f"{row.name} computes in the model's own types; precision {precision} needs {able}")
    return row.load().open(data, OpenOptions(threads, precision, device, where, many))


def sniff(data: bytes, *, where: str = "this model") -> Kind:
    """What these bytes are, by their first ones: "onnx", or the runtime whose engine it is. EngineError for others."""
    row = runtimes.of_bytes(data)
    if row is not None:
        return row.name
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
    if path.exists() and not path.is_file():
        raise PathError(f"{path}: this is not a file; give the path of a model or engine")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PathError(f"{path}: no such model or engine; check the path") from error
    except OSError as error:
        raise PathError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
