"""ONNX Runtime on the CPU: the reference that every other runtime is measured against, and what runs everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from taolite.cores import usable
from taolite.engines import runtimes
from taolite.engines.base import Arrays, BuildOrder, Built, OpenOptions, RuntimeName, Shape, checked_feeds
from taolite.errors import EngineError
from taolite.onnxfile import check_onnx

__all__ = ["ADAPTER", "OnnxRuntimeEngine"]

_MOST_CALLS = 8  # each needs memory of its own


class _OnnxRuntime:
    """See `taolite.engines.base.Adapter`."""

    def version(self) -> str:
        return str(_library().__version__)

    def open(self, data: bytes, options: OpenOptions) -> OnnxRuntimeEngine:
        return OnnxRuntimeEngine(data, threads=options.threads, where=options.where, many=options.many)

    def build(self, onnx: bytes, order: BuildOrder) -> Built:
        raise EngineError("onnxruntime builds no engines: it runs the ONNX itself")


ADAPTER = _OnnxRuntime()


class OnnxRuntimeEngine:
    """An ONNX model opened in ONNX Runtime; see `taolite.engines.base.Engine`."""

    name: RuntimeName = "onnxruntime"
    device = "CPU"
    precision = "as in the ONNX"

    def __init__(
        self, onnx: bytes, *, threads: int | None = None, where: str = "this model", many: bool = False
    ) -> None:
        onnxruntime = _library()
        self.version: str = onnxruntime.__version__
        check_onnx(onnx, where=where)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only; they also arrive as exceptions
        # threads that spin between two runs take the processor from those that prepare the next frames
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.calls = 1
        if many:
            cores = threads or usable()
            self.calls = min(cores, _MOST_CALLS)
            threads = cores // self.calls
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no base of their own
            raise EngineError(f"{where} cannot be opened by onnxruntime {self.version}: {_reason(error)}") from error
        self._session: Any = session
        self.inputs: Mapping[str, Shape] = {value.name: _shape(value) for value in session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {value.name: _shape(value) for value in session.get_outputs()}

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once; see `Engine.infer`."""
        if self._session is None:
            raise EngineError("this engine is closed; open it again")
        names = list(self.outputs)
        checked = checked_feeds(self.inputs, feeds)
        try:
            values = self._session.run(names, checked)
        except Exception as error:  # its errors share no base of their own
            raise EngineError(f"onnxruntime {self.version} failed while running: {_reason(error)}") from error
        return dict(zip(names, values, strict=True))

    def close(self) -> None:
        """Give the memory back."""
        self._session = None

    def __enter__(self) -> OnnxRuntimeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"onnxruntime is not installed; {runtimes.find('onnxruntime').install()}") from error
    return onnxruntime


def _shape(value: Any) -> Shape:
    return tuple(size if isinstance(size, int) else -1 for size in value.shape)


def _reason(error: Exception) -> str:
    """ONNX Runtime's sentence without its `[ONNXRuntimeError] : 7 : NAME : ` in front."""
    return str(error).rsplit(" : ", 1)[-1].strip()
