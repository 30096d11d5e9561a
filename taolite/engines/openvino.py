"""OpenVINO on the CPU: the fastest way to run a detector where there is no GPU (reference/dependencies.md 4.2).

The precision is always set: by default OpenVINO silently computes in bfloat16 wherever the processor supports it.
An engine file is a line of ours (the first bytes of the runtime's row, and the precision, which OpenVINO's blob
forgets) and the compiled blob; it fits this OpenVINO version and this kind of processor only.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.engines import runtimes
from taolite.engines.base import (
    Arrays,
    BuildOrder,
    Built,
    OpenOptions,
    Precision,
    RuntimeName,
    Shape,
    checked_feeds,
)
from taolite.errors import EngineError
from taolite.onnxfile import check_onnx

__all__ = ["ADAPTER", "OpenVinoEngine", "compile_openvino", "openvino_version"]

_HINTS = {"fp32": "f32", "bf16": "bf16"}
(_MAGIC,) = runtimes.find("openvino").magics


class _OpenVino:
    """See `taolite.engines.base.Adapter`. An engine takes every batch the model takes, whatever the profiles."""

    def version(self) -> str:
        return openvino_version()

    def open(self, data: bytes, options: OpenOptions) -> OpenVinoEngine:
        return OpenVinoEngine(
            data, threads=options.threads, precision=options.precision, where=options.where, many=options.many
        )

    def build(self, onnx: bytes, order: BuildOrder) -> Built:
        return Built(compile_openvino(onnx))


ADAPTER = _OpenVino()


class OpenVinoEngine:
    """An ONNX model, or a blob that `compile_openvino` made, opened in OpenVINO; see `taolite.engines.base.Engine`.

    A blob keeps the precision it was compiled for, whatever `precision` says; the attribute gives the actual one.
    """

    name: RuntimeName = "openvino"
    device = "CPU"

    def __init__(
        self,
        data: bytes,
        *,
        threads: int | None = None,
        precision: Precision = "fp32",
        where: str = "this model",
        many: bool = False,
    ) -> None:
        self.version = openvino_version()
        self._compiled: Any = _compile(data, threads=threads, precision=precision, where=where, many=many)
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = next((ours for ours, theirs in _HINTS.items() if theirs == hint), hint)
        self.inputs: Mapping[str, Shape] = {port.get_any_name(): _shape(port) for port in self._compiled.inputs}
        self.outputs: Mapping[str, Shape] = {_output_name(port): _shape(port) for port in self._compiled.outputs}
        self.calls = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) if many else 1
        self._free: SimpleQueue[Any] = SimpleQueue()  # requests that no call is using
        for _ in range(self.calls):
            self._free.put(self._compiled.create_infer_request())

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once; see `Engine.infer`."""
        if self._compiled is None:
            raise EngineError("this engine is closed; open it again")
        checked = checked_feeds(self.inputs, feeds)
        request = self._free.get()
        try:
            request.infer(checked, share_inputs=True)
            return {name: np.array(request.get_tensor(name).data) for name in self.outputs}
        except RuntimeError as error:
            raise EngineError(f"openvino {self.version} failed while running: {_reason(error)}") from error
        finally:
            self._free.put(request)

    def close(self) -> None:
        """Give the memory back."""
        self._compiled, self._free = None, SimpleQueue()

    def __enter__(self) -> OpenVinoEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def openvino_version() -> str:
    """The installed OpenVINO, e.g. "2026.4.1". Raises EngineError where there is none."""
    return str(_openvino().__version__).split("-")[0]


def compile_openvino(onnx: bytes, *, precision: Precision = "fp32", where: str = "this model") -> bytes:
    """Compile ONNX for this processor; the bytes of an engine file that `open_engine` takes.

    It saves the compilation at every start and is bound to this OpenVINO version and kind of processor.
    """
    compiled = _compile(onnx, threads=None, precision=precision, where=where)
    blob = io.BytesIO()
    compiled.export_model(blob)
    return _MAGIC + precision.encode() + b"\n" + blob.getvalue()


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"openvino is not installed; {runtimes.find('openvino').install()}") from error
    return openvino


def _compile(data: bytes, *, threads: int | None, precision: Precision, where: str, many: bool = False) -> Any:
    core = _openvino().Core()
    blob = None
    if data.startswith(_MAGIC):
        begin = data.find(b"\n") + 1
        precision = "bf16" if data[len(_MAGIC) : begin - 1] == b"bf16" else "fp32"
        blob = np.frombuffer(data, np.uint8, offset=begin)
    else:
        check_onnx(data, where=where)
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError("this processor has no bfloat16; open the model with precision fp32")
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "PERFORMANCE_HINT": "THROUGHPUT" if many else "LATENCY",
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        if blob is not None:
            return _imported(core, blob, settings)
        return core.compile_model(core.read_model(data), "CPU", settings)
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter: it cannot even say what is wrong with the blob
        version = openvino_version()
        raise EngineError(f"{where} cannot be opened by openvino {version}: {_reason(error)}") from error


def _imported(core: Any, blob: NDArray[np.uint8], settings: Mapping[str, Any]) -> Any:
    """A compiled blob, opened. From a tensor it opens in a fifth of the time of a stream (ResNet-18: 0.04 s, 0.2 s)."""
    try:
        return core.import_model(_openvino().Tensor(blob), "CPU", settings)
    except TypeError:  # 2025.3 and earlier take streams only
        return core.import_model(io.BytesIO(blob.tobytes()), "CPU", settings)


def _output_name(port: Any) -> str:
    """Its name in the model; behind a cast (fp16) it goes by the cast's name too, and either may come first."""
    own = str(port.get_node().get_friendly_name()).removesuffix("/sink_port_0")
    return own if own in port.get_names() else str(port.get_any_name())


def _shape(port: Any) -> Shape:
    return tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape())


def _reason(error: Exception) -> str:
    """The last line of an OpenVINO error; the lines before are places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
