"""Memory on an NVIDIA GPU: pinned host arrays, device memory and one stream, through pycuda or cuda-python.

pycuda is used where it is installed (a Jetson), cuda-python otherwise; both are imported when a GPU is asked for.
Either gives the same three steps to an engine: `upload`, `download`, `synchronize`. The device's primary context is
used, so PyTorch and others may live on the same GPU.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import EngineError
from taolite.extras import install_command

__all__ = ["Block", "Gpu", "gpu_is_here", "open_gpu"]


@dataclass
class Block:
    """`size` bytes on the device (`pointer`), and as many page-locked bytes on the host (`host`, uint8)."""

    size: int
    pointer: int
    host: NDArray[np.uint8]
    owned: tuple[Any, ...] = ()


class Gpu(Protocol):
    """One GPU, one stream. Copies are queued on the stream; what they bring is there after `synchronize`.

    Attributes:
        name: the GPU's, e.g. "NVIDIA Jetson Orin".
        compute_capability: e.g. "8.7".
        stream: the CUDA stream's handle.
    """

    name: str
    compute_capability: str
    stream: int

    def allocate(self, size: int) -> Block:
        """`size` bytes of device memory and pinned host memory. EngineError where there is no more."""
        ...

    def free(self, block: Block) -> None:
        """Give a block back."""
        ...

    def upload(self, block: Block, values: NDArray[Any]) -> None:
        """Queue a copy of `values` to the device."""
        ...

    def download(self, block: Block, size: int) -> None:
        """Queue a copy of the first `size` bytes into `block.host`."""
        ...

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        ...

    @contextmanager
    def current(self) -> Iterator[None]:
        """The block inside runs with this GPU's context on the calling thread."""
        ...

    def close(self) -> None:
        """Give stream and context back."""
        ...


def gpu_is_here() -> bool:
    """Whether the NVIDIA driver of this machine counts one GPU or more; no CUDA binding is needed to ask."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def open_gpu(index: int = 0) -> Gpu:
    """The GPU of this index. Raises EngineError where there is no binding, no driver or no such GPU."""
    reasons = []
    for binding, opener in (("pycuda", PyCuda), ("cuda-python", CudaPython)):
        try:
            return opener(index)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("pycuda", "cuda"):
                raise
            reasons.append(f"{binding} is not installed")
        except (ImportError, EngineError) as error:
            reasons.append(f"{binding}: {_first_line(error)}")
    raise EngineError(
        f"a TensorRT engine runs on an NVIDIA GPU, and GPU {index} cannot be reached ({'; '.join(reasons)}). "
        f"Install the driver and run `{install_command('cuda')}` (on a Jetson the extra is `jetson`), "
        "or run the model it was built from on the processor: -m MODEL.etlt --runtime openvino (or onnxruntime)"
    )


class PyCuda:
    """`Gpu` through pycuda's driver API."""

    def __init__(self, index: int) -> None:
        driver: Any = importlib.import_module("pycuda.driver")
        self._driver = driver
        try:
            driver.init()
            device = driver.Device(index)
            self.name = str(device.name())
            self.compute_capability = ".".join(str(part) for part in device.compute_capability())
            self._context: Any = device.retain_primary_context()
        except driver.Error as error:
            raise EngineError(str(error)) from error
        with self.current():
            self._stream: Any = driver.Stream()
        self.stream = int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def allocate(self, size: int) -> Block:
        try:
            device = self._driver.mem_alloc(size)
            host = self._driver.pagelocked_empty(size, np.uint8)
        except self._driver.Error as error:
            raise _no_memory(size, self.name, error) from error
        return Block(size, int(device), host, owned=(device,))

    def free(self, block: Block) -> None:
        for device in block.owned:
            device.free()

    def upload(self, block: Block, values: NDArray[Any]) -> None:
        flat = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        block.host[: flat.size] = flat
        self._driver.memcpy_htod_async(block.pointer, block.host[: flat.size], self._stream)

    def download(self, block: Block, size: int) -> None:
        self._driver.memcpy_dtoh_async(block.host[:size], block.pointer, self._stream)

    def synchronize(self) -> None:
        try:
            self._stream.synchronize()
        except self._driver.Error as error:
            raise EngineError(f"the GPU stopped with an error: {error}") from error

    def close(self) -> None:
        with self.current():
            del self._stream
        self._context.detach()


class CudaPython:
    """`Gpu` through cuda-python's runtime API, whose calls answer (error, results...)."""

    def __init__(self, index: int) -> None:
        try:
            self._cuda: Any = importlib.import_module("cuda.bindings.runtime")
        except ModuleNotFoundError:
            self._cuda = importlib.import_module("cuda.cudart")  # before cuda-python 12.6
        self._index = index
        count = self._call("cudaGetDeviceCount")
        if index >= count:
            raise EngineError(f"GPU {index} does not exist: this machine has {count}, counted from 0")
        self._call("cudaSetDevice", index)
        properties = self._call("cudaGetDeviceProperties", index)
        name = properties.name
        self.name = name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)
        self.compute_capability = f"{properties.major}.{properties.minor}"
        self._stream = self._call("cudaStreamCreate")
        self.stream = int(self._stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("cudaSetDevice", self._index)
        yield

    def allocate(self, size: int) -> Block:
        try:
            pointer = int(self._call("cudaMalloc", size))
            address = int(self._call("cudaMallocHost", size))
        except EngineError as error:
            raise _no_memory(size, self.name, error) from error
        memory = (ctypes.c_uint8 * size).from_address(address)
        return Block(size, pointer, np.ctypeslib.as_array(memory), owned=(address,))

    def free(self, block: Block) -> None:
        self._call("cudaFree", block.pointer)
        for address in block.owned:
            self._call("cudaFreeHost", address)

    def upload(self, block: Block, values: NDArray[Any]) -> None:
        flat = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        block.host[: flat.size] = flat
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", block.pointer, block.host.ctypes.data, flat.size, kind, self._stream)

    def download(self, block: Block, size: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", block.host.ctypes.data, block.pointer, size, kind, self._stream)

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        self._call("cudaStreamDestroy", self._stream)

    def _call(self, function: str, *arguments: Any) -> Any:
        """The result of a runtime call; EngineError with CUDA's own sentence where it fails."""
        try:
            error, *results = getattr(self._cuda, function)(*arguments)
        except (RuntimeError, OSError) as problem:  # the driver's library is not there at all
            raise EngineError(_first_line(problem)) from problem
        if int(error) != 0:
            _, text = self._cuda.cudaGetErrorString(error)
            raise EngineError(f"{function}: {text.decode() if isinstance(text, bytes) else text}")
        return results[0] if results else None


def _no_memory(size: int, gpu: str, error: Exception) -> EngineError:
    return EngineError(
        f"{gpu} has no {size / 2**20:.0f} MiB left ({_first_line(error)}); "
        "stop what else uses it, or run a smaller batch"
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
