"""Running TensorRT engines, with one code base over `tensorrt` 8.6, 10, 11 and `tensorrt_rtx`.

Only calls that all of them have are used: tensor names instead of bindings, `execute_async_v3`, and every return
value is looked at, because these libraries hand out None and False where others raise (reference/deploy.md 9.5).
The reason then stands in their log; `Log` keeps its last lines for the message. Arrays travel through
`taolite.engines.buffers`.
"""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.engines import runtimes
from taolite.engines.base import (
    Arrays,
    BuildOrder,
    Built,
    OpenOptions,
    RuntimeName,
    Shape,
    checked_feeds,
    show_shape,
)
from taolite.engines.buffers import Block, Gpu, open_gpu
from taolite.errors import EngineError

__all__ = [
    "TENSORRT",
    "TENSORRT_RTX",
    "TITLES",
    "Backend",
    "Log",
    "TensorRTEngine",
    "create",
    "import_backend",
    "log_of",
]

Backend: TypeAlias = Literal["tensorrt", "tensorrt_rtx"]
TITLES: dict[str, str] = {name: runtimes.find(name).title for name in ("tensorrt", "tensorrt_rtx")}

_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


class _TensorRT:
    """See `taolite.engines.base.Adapter`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def version(self) -> str:
        return str(import_backend(self._backend).__version__)

    def open(self, data: bytes, options: OpenOptions) -> TensorRTEngine:
        return TensorRTEngine(data, backend=self._backend, device=options.device, where=options.where)

    def build(self, onnx: bytes, order: BuildOrder) -> Built:
        from taolite.engines.tensorrt_build import build_tensorrt

        return build_tensorrt(self._backend, onnx, order)


TENSORRT, TENSORRT_RTX = _TensorRT("tensorrt"), _TensorRT("tensorrt_rtx")


def import_backend(backend: Backend) -> Any:
    """The library's module. Raises EngineError, saying how to get it, where it is not installed or does not load."""
    try:
        return importlib.import_module(backend)
    except ModuleNotFoundError as error:
        raise EngineError(f"{TITLES[backend]} is not installed; {runtimes.find(backend).install()}") from error
    except (ImportError, OSError) as error:
        way = runtimes.find(backend).install()
        raise EngineError(f"{TITLES[backend]} is installed and does not load ({error}); {way}") from error


class Log:
    """The last log lines of the library, with their severity, for error messages and the report."""

    def __init__(self, trt: Any) -> None:
        severity = trt.ILogger.Severity
        self._lines: deque[tuple[str, str]] = deque(maxlen=100)
        lines = self._lines

        class Sink(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                lines.append((severity.name, message.strip()))

        self.sink: Any = Sink()
        self._errors = (severity.ERROR.name, severity.INTERNAL_ERROR.name)
        self._warning = severity.WARNING.name

    def clear(self) -> None:
        """Forget the lines so far."""
        self._lines.clear()

    def errors(self) -> str:
        """The last three errors on one line; a sentence where there were none."""
        found = [message for severity, message in self._lines if severity in self._errors]
        return "; ".join(found[-3:]) or "it gave no reason"

    def warnings(self) -> tuple[str, ...]:
        """Warnings since `clear`, each once."""
        return tuple(dict.fromkeys(message for severity, message in self._lines if severity == self._warning))


@functools.cache
def log_of(trt: Any) -> Log:
    """The one log of a library: a second logger object would be ignored (reference/deploy.md 11.3)."""
    return Log(trt)


def create(factory: Any, log: Log, *, title: str) -> Any:
    """A Builder or Runtime. Full TensorRT needs a driver for either, and raises or answers None without one."""
    try:
        made = factory(log.sink)
    except (TypeError, RuntimeError):  # pybind11's word for a factory that answered nullptr
        made = None
    if made is None:
        raise EngineError(
            f"{title} cannot start here: {log.errors()}; it needs an NVIDIA driver and a GPU "
            "(the backend tensorrt_rtx builds without either)"
        )
    return made


class TensorRTEngine:
    """An engine file's bytes, opened on a GPU; see `taolite.engines.base.Engine`.

    A batch may have any size between the engine's smallest and largest; buffers grow to the largest one seen.
    """

    precision = "as built"
    calls = 1

    def __init__(self, data: bytes, *, backend: Backend, device: int = 0, where: str = "this engine") -> None:
        trt = import_backend(backend)
        self.name: RuntimeName = backend
        self.version = str(trt.__version__)
        self._title = f"{TITLES[backend]} {self.version}"
        self._trt, self._log = trt, log_of(trt)
        self._gpu: Gpu = open_gpu(device)
        self.device = f"GPU {device}, {self._gpu.name} (compute capability {self._gpu.compute_capability})"
        self._blocks: dict[str, Block] = {}
        self._runtime: Any
        self._engine: Any
        self._context: Any
        try:
            self._runtime, self._engine, self._context = self._open(data, where)
        except EngineError:
            self._gpu.close()
            raise
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        shapes = {name: _tuple(self._engine.get_tensor_shape(name)) for name in names}
        ours = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs: Mapping[str, Shape] = {name: shapes[name] for name in names if ours[name]}
        self.outputs: Mapping[str, Shape] = {name: shapes[name] for name in names if not ours[name]}
        self._dtypes = {name: _dtype(self._engine.get_tensor_dtype(name)) for name in names}
        self._bounds = {
            name: tuple(_tuple(shape) for shape in self._engine.get_tensor_profile_shape(name, 0))
            for name in self.inputs
            if -1 in shapes[name]
        }

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run once; see `Engine.infer`. One call at a time: an engine holds one context."""
        if self._context is None:
            raise EngineError("this engine is closed; open it again")
        checked = checked_feeds(self.inputs, feeds)
        for name, array in checked.items():
            self._check_bounds(name, array.shape)
        self._log.clear()
        with self._gpu.current():
            for name, array in checked.items():
                if not self._context.set_input_shape(name, array.shape):
                    raise EngineError(f"input {name}: {self._title} refuses {array.shape}: {self._log.errors()}")
            shapes = {name: _tuple(self._context.get_tensor_shape(name)) for name in self.outputs}
            for name, array in checked.items():
                self._gpu.upload(self._bind(name, array.shape), array.astype(self._dtypes[name], copy=False))
            blocks = {name: self._bind(name, shape) for name, shape in shapes.items()}
            if not self._context.execute_async_v3(self._gpu.stream):
                raise EngineError(f"{self._title} failed while running: {self._log.errors()}")
            for name, block in blocks.items():
                self._gpu.download(block, self._size(name, shapes[name]))
            self._gpu.synchronize()
            return {name: self._read(name, blocks[name], shape) for name, shape in shapes.items()}

    def close(self) -> None:
        """Give memory, context and GPU back."""
        if self._context is None:
            return
        with self._gpu.current():
            for block in self._blocks.values():
                self._gpu.free(block)
            self._blocks = {}
            self._context = self._engine = self._runtime = None
        self._gpu.close()

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, data: bytes, where: str) -> tuple[Any, Any, Any]:
        """Runtime, engine and context; the later ones live only as long as the first."""
        self._log.clear()
        with self._gpu.current():
            if self.name == "tensorrt":
                self._trt.init_libnvinfer_plugins(self._log.sink, "")
            runtime = create(self._trt.Runtime, self._log, title=self._title)
            engine = runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise EngineError(
                    f"{where} cannot be opened by {self._title} on {self._gpu.name}: {self._log.errors()}; "
                    "an engine fits the version and GPU it was built for: build it again with `taolite convert`"
                )
            context = engine.create_execution_context()
            if context is None:
                raise EngineError(f"{where} cannot be started by {self._title}: {self._log.errors()}")
        return runtime, engine, context

    def _check_bounds(self, name: str, shape: Shape) -> None:
        if name not in self._bounds:
            return
        low, _, high = self._bounds[name]
        if not all(least <= size <= most for least, size, most in zip(low, shape, high, strict=True)):
            raise EngineError(
                f"input {name} was given {show_shape(shape)}, and this engine was built for {show_shape(low)} to "
                f"{show_shape(high)}; run smaller batches, or build it with a larger -m"
            )

    def _bind(self, name: str, shape: Shape) -> Block:
        """The tensor's buffer, large enough for `shape` and known to the context."""
        size = self._size(name, shape)
        block = self._blocks.get(name)
        if block is None or block.size < size:
            if block is not None:
                self._gpu.free(self._blocks.pop(name))
            block = self._blocks[name] = self._gpu.allocate(size)
        if not self._context.set_tensor_address(name, block.pointer):
            raise EngineError(f"{self._title} refuses a buffer for {name}: {self._log.errors()}")
        return block

    def _size(self, name: str, shape: Shape) -> int:
        return int(np.prod(shape, dtype=np.int64)) * np.dtype(self._dtypes[name]).itemsize

    def _read(self, name: str, block: Block, shape: Shape) -> NDArray[Any]:
        values = block.host[: self._size(name, shape)].view(self._dtypes[name]).reshape(shape)
        return values.astype(np.float32) if values.dtype == np.float16 else values.copy()


def _tuple(dims: Any) -> Shape:
    return tuple(int(size) for size in dims)


def _dtype(trt_type: Any) -> type[np.generic]:
    if trt_type.name not in _DTYPES:
        raise EngineError(f"this engine has {trt_type.name} inputs or outputs; export with float32 ones")
    return _DTYPES[trt_type.name]
