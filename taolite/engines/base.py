"""One way to run a network, whatever runs it: named arrays in, named arrays out.

    with open_engine(onnx_bytes, runtime="openvino", threads=2) as engine:
        outputs = engine.infer({"input_1": photos_nchw})          # {"output_cov/Sigmoid": ..., ...}

Shapes carry -1 where an axis is free (the batch, nearly always). Arrays go in as float32 and come out as float32,
or as the integer type the network says; they are new arrays and the caller's own. Preprocessing and decoding are not
in here. No torch, and every runtime is imported when it is asked for, so an edge box carries only its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from taolite.errors import EngineError, PathError, UsageError

__all__ = [
    "Arrays",
    "Engine",
    "Kind",
    "Precision",
    "RuntimeName",
    "Shape",
    "checked_feeds",
    "open_engine",
    "read_model",
    "sniff",
]

Shape: TypeAlias = tuple[int, ...]
Arrays: TypeAlias = dict[str, NDArray[Any]]
RuntimeName: TypeAlias = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"]
Precision: TypeAlias = Literal["fp32", "bf16"]
Kind: TypeAlias = Literal["onnx", "openvino", "tensorrt", "tensorrt_rtx"]

OPENVINO_MAGIC = b"taolite-openvino "  # ours, before a compiled OpenVINO blob: the blob itself bears no mark
_RTX_MAGIC = b"vtrt"  # reference/deploy.md 11
_ONNX_IR_VERSION = 0x08  # the first field of a ModelProto, as a varint


class Engine(Protocol):
    """An opened network. It holds memory (and a GPU, where it has one) until `close` or the end of a `with` block.

    Attributes:
        name: which runtime this is.
        version: the runtime's own version, e.g. "1.31.1".
        device: where it runs, e.g. "CPU" or "GPU 0".
        precision: what it computes in, e.g. "fp32", "bf16", or "as in the ONNX".
        inputs: name -> shape, -1 where an axis is free, in the network's order.
        outputs: name -> shape, -1 where an axis is free, in the network's order.
    """

    name: RuntimeName
    version: str
    device: str
    precision: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once. `feeds` has one array for every input, of its shape; gives one new array for every output.

        Raises EngineError for a missing or unknown name, a shape that does not fit, and a runtime that fails.
        """
        ...

    def close(self) -> None:
        """Give memory and device back; a second call does nothing."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


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


def checked_feeds(inputs: Mapping[str, Shape], feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """`feeds` in the order of `inputs`, every array contiguous and, where it is floating, float32.

    Raises EngineError where a name is missing or unknown, or a shape does not fit.
    """
    if set(feeds) != set(inputs):
        raise EngineError(f"this network's inputs are {', '.join(inputs)}; it was given {', '.join(feeds) or 'none'}")
    checked: Arrays = {}
    for name, shape in inputs.items():
        array = np.asarray(feeds[name])
        fits = len(array.shape) == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits or 0 in array.shape:
            raise EngineError(f"input {name} takes {show_shape(shape)} and was given {show_shape(array.shape)}")
        wide = array.astype(np.float32) if array.dtype.kind == "f" else array
        checked[name] = np.ascontiguousarray(wide)
    return checked


def show_shape(shape: Shape) -> str:
    """A shape as people write it: (-1, 3, 544, 960) -> "Nx3x544x960"."""
    return "x".join("N" if size == -1 else str(size) for size in shape) or "a scalar"
