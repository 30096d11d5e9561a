"""Full TensorRT 8.6, 10 and 11, and running engines on a GPU, on stand-ins.

What this cannot reach: no GPU, driver, pycuda or full TensorRT is here, so the libraries are stand-ins that honour
their documented interface: which names each version has (reference/deploy.md 9.1), None and False instead of
exceptions, copies that happen only when the stream is waited for, device memory that is not host memory. They compute
something simple (twice the input; its sum over channels). Whether real kernels answer right is for the test marked
`gpu` in test_build.py.
"""

from __future__ import annotations

import ctypes
import enum
import importlib.machinery
import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from taolite.engines import onnx_graph
from taolite.engines.build import batch_profiles, build_engine
from taolite.engines.opening import open_engine
from taolite.errors import EngineError
from taolite.extras import install_command

VERSIONS = ["8.6.1", "10.13.3", "11.4.0"]
BINDINGS = ["pycuda", "cuda-python"]
SHAPE = (3, 16, 32)


class Device:
    """A GPU's memory, and a stream whose work is done only by `synchronize`."""

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.queue: list[Callable[[], None]] = []
        self.contexts = 0
        self.room = 1 << 20
        self.pointer = 0x9000000

    def allocate(self, size: int) -> int:
        self.pointer += 0x100000
        pointer = self.pointer
        self.memory[pointer] = np.full(size, 0xAA, np.uint8)
        return pointer

    def full(self, size: int) -> bool:
        return sum(block.size for block in self.memory.values()) + size > self.room

    def synchronize(self) -> None:
        for work in self.queue:
            work()
        self.queue.clear()


def fake_pycuda(device: Device) -> dict[str, ModuleType]:
    driver = ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    class Allocation:
        def __init__(self, size: int) -> None:
            if device.full(size):
                raise Error("cuMemAlloc failed: out of memory")
            self.pointer = device.allocate(size)

        def __int__(self) -> int:
            return self.pointer

        def free(self) -> None:
            del device.memory[self.pointer]

    class Context:
        def push(self) -> None:
            device.contexts += 1

        @staticmethod
        def pop() -> None:
            device.contexts -= 1

        def detach(self) -> None:
            device.detached = True

    class Gpu:
        def __init__(self, index: int) -> None:
            if index:
                raise Error("cuDeviceGet failed: invalid device ordinal")

        def name(self) -> str:
            return "Orin"

        def compute_capability(self) -> tuple[int, int]:
            return (8, 7)

        def retain_primary_context(self) -> Context:
            return Context()

    def upload(pointer, source, stream):
        assert device.contexts == 1
        device.queue.append(lambda: device.memory[pointer].__setitem__(slice(source.size), source))

    def download(target, pointer, stream):
        device.queue.append(lambda: target.__setitem__(slice(None), device.memory[pointer][: target.size]))

    driver.init = lambda: None
    driver.Error, driver.Device, driver.Context = Error, Gpu, Context
    driver.Stream = lambda: SimpleNamespace(handle=77, synchronize=device.synchronize)
    driver.mem_alloc = Allocation
    driver.pagelocked_empty = np.empty
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = upload, download
    package = ModuleType("pycuda")
    package.driver = driver
    return {"pycuda": package, "pycuda.driver": driver}


def fake_cuda_python(device: Device) -> dict[str, ModuleType]:
    runtime = ModuleType("cuda.bindings.runtime")
    hosts: dict[int, object] = {}

    class Status(enum.IntEnum):
        SUCCESS = 0
        OUT_OF_MEMORY = 2

    def malloc(size):
        return (Status.OUT_OF_MEMORY, None) if device.full(size) else (Status.SUCCESS, device.allocate(size))

    def malloc_host(size):
        memory = (ctypes.c_uint8 * size)()
        hosts[ctypes.addressof(memory)] = memory
        return Status.SUCCESS, ctypes.addressof(memory)

    def copy(target, source, size, kind, stream):
        if kind == "up":
            work = lambda: ctypes.memmove(device.memory[target].ctypes.data, source, size)  # noqa: E731
        else:
            work = lambda: ctypes.memmove(target, device.memory[source].ctypes.data, size)  # noqa: E731
        device.queue.append(work)
        return (Status.SUCCESS,)

    def done(work: Callable[..., object]) -> Callable[..., tuple[Status]]:
        def call(*arguments: object) -> tuple[Status]:
            work(*arguments)
            return (Status.SUCCESS,)

        return call

    properties = SimpleNamespace(name=b"Orin\0\0", major=8, minor=7)
    runtime.cudaGetDeviceCount = lambda: (Status.SUCCESS, 1)
    runtime.cudaSetDevice = done(lambda index: None)
    runtime.cudaGetDeviceProperties = lambda index: (Status.SUCCESS, properties)
    runtime.cudaStreamCreate = lambda: (Status.SUCCESS, 77)
    runtime.cudaStreamDestroy = done(lambda stream: setattr(device, "detached", True))
    runtime.cudaStreamSynchronize = done(lambda stream: device.synchronize())
    runtime.cudaMalloc, runtime.cudaMallocHost, runtime.cudaMemcpyAsync = malloc, malloc_host, copy
    runtime.cudaFree, runtime.cudaFreeHost = done(device.memory.pop), done(hosts.pop)
    runtime.cudaGetErrorString = lambda status: (Status.SUCCESS, b"out of memory")
    runtime.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down")
    bindings, package = ModuleType("cuda.bindings"), ModuleType("cuda")
    bindings.runtime, package.bindings = runtime, bindings
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": runtime}


class Plan:
    """What a stand-in engine file holds: what the builder was told."""

    @staticmethod
    def write(facts: dict[str, object]) -> bytes:
        return b"ftrt" + json.dumps(facts).encode()

    @staticmethod
    def read(data: bytes) -> dict[str, object]:
        assert data[:4] == b"ftrt"
        return json.loads(data[4:])


def fake_tensorrt(version: str, device: Device, *, half_io: bool = False, mute: bool = False) -> ModuleType:
    """The names that this version has, and no others; `mute` leaves out what makes it work, to see it fail."""
    trt = ModuleType("tensorrt")
    trt.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    trt.__version__ = version
    major = int(version.split(".")[0])

    class ILogger:
        Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"])

    trt.ILogger = ILogger
    trt.init_libnvinfer_plugins = lambda logger, namespace: True
    flags = {8: ["EXPLICIT_BATCH"], 10: ["EXPLICIT_BATCH", "STRONGLY_TYPED"], 11: ["STRONGLY_TYPED"]}[major]
    trt.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", flags, start=0)
    builder_flags = ["TF32", "GPU_FALLBACK"] + ([] if major == 11 else ["FP16", "INT8"])
    trt.BuilderFlag = enum.IntEnum("BuilderFlag", builder_flags)
    trt.MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
    trt.DeviceType = enum.Enum("DeviceType", ["GPU", "DLA"])
    trt.TensorIOMode = enum.Enum("TensorIOMode", ["INPUT", "OUTPUT"])
    trt.DataType = enum.Enum("DataType", ["FLOAT", "HALF"])

    class Config:
        def __init__(self) -> None:
            self.facts: dict[str, object] = {"flags": [], "profile": {}}

        def set_flag(self, flag):
            self.facts["flags"].append(flag.name)

        def set_memory_pool_limit(self, pool, size):
            self.facts[pool.name] = size

        def add_optimization_profile(self, profile):
            self.facts["profile"] = profile.shapes
            return 0

    class OptimizationProfile:
        def __init__(self) -> None:
            self.shapes: dict[str, object] = {}

        def set_shape(self, name, low, best, high):
            self.shapes[name] = [low, best, high]

        def __bool__(self) -> bool:
            return bool(self.shapes)

    class Builder:
        num_DLA_cores = 2  # noqa: N815

        def __init__(self, logger) -> None:
            self.logger = logger

        def create_network(self, bits):
            return SimpleNamespace(bits=bits, num_outputs=2)

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return OptimizationProfile()

        def build_serialized_network(self, network, config):
            if mute:
                self.logger.log(ILogger.Severity.ERROR, "Could not find any implementation for node Conv_0.")
                return None
            self.logger.log(ILogger.Severity.WARNING, "TF32 is on")
            device_type = getattr(config, "default_device_type", trt.DeviceType.GPU).name
            facts = {"bits": network.bits, "device": device_type, "core": getattr(config, "DLA_core", None)}
            return memoryview(Plan.write({**config.facts, **facts}))

    class Parser:
        num_errors = 0

        def __init__(self, network, logger) -> None:
            pass

        def parse(self, data) -> bool:
            return True

    class Context:
        def __init__(self, engine) -> None:
            self.engine, self.address, self.batch = engine, {}, None

        def set_input_shape(self, name, shape):
            self.batch = shape[0]
            return True

        def get_tensor_shape(self, name):
            return (self.batch, *self.engine.shapes[name][1:])

        def set_tensor_address(self, name, pointer):
            assert pointer in device.memory
            self.address[name] = pointer
            return True

        def execute_async_v3(self, stream):
            if mute:
                trt.logger.log(ILogger.Severity.ERROR, "an illegal memory access was encountered")
                return False
            assert stream == 77
            dtype = np.float16 if half_io else np.float32

            def view(name):
                shape = self.get_tensor_shape(name)
                kind = dtype if name != "sum" else np.float32
                size = int(np.prod(shape)) * np.dtype(kind).itemsize
                return device.memory[self.address[name]][:size].view(kind).reshape(shape)

            def work():
                view("twice")[:] = view("input_1") * 2
                view("sum")[:] = view("input_1").astype(np.float32).sum(axis=1)

            device.queue.append(work)
            return True

    class Engine:
        num_io_tensors = 3

        def __init__(self, facts) -> None:
            self.facts = facts
            self.shapes = {"input_1": (-1, *SHAPE), "twice": (-1, *SHAPE), "sum": (-1, *SHAPE[1:])}

        def create_execution_context(self):
            return Context(self)

        def get_tensor_name(self, index):
            return list(self.shapes)[index]

        def get_tensor_shape(self, name):
            return self.shapes[name]

        def get_tensor_mode(self, name):
            return trt.TensorIOMode.INPUT if name == "input_1" else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name):
            return trt.DataType.HALF if half_io and name != "sum" else trt.DataType.FLOAT

        def get_tensor_profile_shape(self, name, index):
            return [(1, *SHAPE), (2, *SHAPE), (4, *SHAPE)]

    class Runtime:
        def __init__(self, logger) -> None:
            trt.logger = logger

        def deserialize_cuda_engine(self, data):
            if data[4:] == b"stale":
                trt.logger.log(ILogger.Severity.ERROR, "The engine plan file is not compatible with this version")
                return None
            return Engine(Plan.read(data))

    trt.Builder, trt.OnnxParser, trt.Runtime = Builder, Parser, Runtime
    return trt


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def install(monkeypatch, device):
    """Put stand-ins in the place of libraries that are not here."""

    def put(version: str, binding: str = "pycuda", **options: object) -> ModuleType:
        trt = fake_tensorrt(version, device, **options)
        modules = {"tensorrt": trt, "pycuda": None}
        modules |= fake_pycuda(device) if binding == "pycuda" else fake_cuda_python(device)
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr("taolite.engines.build.gpu_is_here", lambda: True)
        return trt

    return put


@contextmanager
def opened(data: bytes = Plan.write({})):
    with open_engine(data) as engine:
        yield engine


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_travel_to_the_gpu_and_back_at_every_batch(install, device, version, binding):
    install(version, binding)
    rng = np.random.default_rng(0)

    with opened() as engine:
        assert engine.inputs == {"input_1": (-1, 3, 16, 32)}
        assert engine.outputs == {"twice": (-1, 3, 16, 32), "sum": (-1, 16, 32)}
        assert (engine.name, engine.device) == ("tensorrt", "GPU 0, Orin (compute capability 8.7)")
        for batch in (2, 4, 1):  # grows, then shrinks: no stale rows
            photos = rng.random((batch, *SHAPE), dtype=np.float32)
            answer = engine.infer({"input_1": photos})
            np.testing.assert_array_equal(answer["twice"], photos * 2)
            np.testing.assert_array_equal(answer["sum"], photos.sum(axis=1))
        kept = answer["twice"].copy()
        engine.infer({"input_1": np.zeros((1, *SHAPE))})
        np.testing.assert_array_equal(answer["twice"], kept)

    assert device.memory == {}
    assert device.contexts == 0
    assert device.detached


@pytest.mark.parametrize("binding", BINDINGS)
def test_float16_inputs_and_outputs_are_float32_to_the_caller(install, binding):
    install("11.4.0", binding, half_io=True)
    photos = np.full((2, *SHAPE), 0.1, np.float32)

    with opened() as engine:
        answer = engine.infer({"input_1": photos})

    assert answer["twice"].dtype == np.float32
    np.testing.assert_array_equal(answer["twice"], (photos.astype(np.float16) * np.float16(2)).astype(np.float32))


def test_a_batch_beyond_the_profile_is_refused_with_both_sizes(install):
    install("10.13.3")

    with opened() as engine, pytest.raises(EngineError) as caught:
        engine.infer({"input_1": np.zeros((5, *SHAPE))})

    assert str(caught.value) == (
        "input input_1 was given 5x3x16x32, and this engine was built for 1x3x16x32 to 4x3x16x32; "
        "run smaller batches, or build it with a larger -m"
    )


def test_an_engine_the_library_refuses_gives_the_librarys_reason_and_the_gpu_back(install, device):
    install("10.13.3")

    with pytest.raises(EngineError) as caught, opened(b"ftrtstale"):
        pass

    assert str(caught.value) == (
        "this model cannot be opened by TensorRT 10.13.3 on Orin: The engine plan file is not compatible with this "
        "version; an engine fits the version and GPU it was built for: build it again with `taolite convert`"
    )
    assert (device.contexts, device.detached) == (0, True)


def test_a_run_that_fails_gives_the_librarys_reason(install):
    install("11.4.0", mute=True)

    with opened() as engine, pytest.raises(EngineError) as caught:
        engine.infer({"input_1": np.zeros((1, *SHAPE))})

    assert str(caught.value) == "TensorRT 11.4.0 failed while running: an illegal memory access was encountered"


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_full_gpu_says_so(install, device, binding):
    install("11.4.0", binding)
    device.room = 7000  # one picture is 6144 bytes

    with opened() as engine, pytest.raises(EngineError) as caught:
        engine.infer({"input_1": np.zeros((2, *SHAPE))})

    assert str(caught.value).startswith("Orin has no 0 MiB left (")
    assert str(caught.value).endswith("out of memory); stop what else uses it, or run a smaller batch")


def test_no_such_gpu_gives_the_reason_of_each_binding(install):
    install("11.4.0")
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

    with pytest.raises(EngineError) as caught:
        open_engine(Plan.write({}), device=3)

    assert str(caught.value).startswith(
        "a TensorRT engine runs on an NVIDIA GPU, and GPU 3 cannot be reached "
        "(pycuda: cuDeviceGet failed: invalid device ordinal; cuda-python: "
    )


def test_a_machine_without_bindings_is_told_what_to_install(install, monkeypatch):
    install("11.4.0")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pycuda", "cuda")]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(EngineError) as caught:
        open_engine(Plan.write({}))

    assert str(caught.value) == (
        "a TensorRT engine runs on an NVIDIA GPU, and GPU 0 cannot be reached (pycuda is not installed; cuda-python "
        f"is not installed). Install the driver and run `{install_command('cuda')}` (on a Jetson the extra is "
        "`jetson`), "
        "or run the model it was built from on the processor: -m MODEL.etlt --runtime openvino (or onnxruntime)"
    )


@pytest.mark.parametrize(
    ("version", "precision", "bits", "flags"),
    [
        ("8.6.1", "fp32", 1, []),
        ("8.6.1", "fp16", 1, ["FP16"]),
        ("10.13.3", "fp32", 3, []),
        ("10.13.3", "fp16", 3, []),
        ("11.4.0", "fp32", 0, []),
        ("11.4.0", "fp16", 0, []),
    ],
)
def test_each_version_is_told_types_in_its_own_way(install, two_heads, version, precision, bits, flags):
    install(version)

    built = build_engine(
        two_heads.onnx,
        backend="tensorrt",
        precision=precision,
        profiles=batch_profiles(two_heads.onnx, best=2, largest=8),
        workspace_bytes=123456,
    )

    facts = Plan.read(built.data)
    assert (facts["bits"], facts["flags"], facts["WORKSPACE"]) == (bits, flags, 123456)
    assert facts["profile"] == {"input_1": [[batch, 3, 16, 32] for batch in (1, 2, 8)]}
    assert (built.backend, built.version, built.precision, built.gpus) == ("tensorrt", version, precision, ("8.7",))
    assert built.warnings == ("TF32 is on",)


def test_full_tensorrt_comes_first_and_named_gpus_are_for_rtx(install, two_heads):
    install("10.13.3")

    assert build_engine(two_heads.onnx).backend == "tensorrt"
    with pytest.raises(EngineError) as caught:
        build_engine(two_heads.onnx, backend="tensorrt", compute_capabilities=("8.7",))

    assert str(caught.value) == "tensorrt builds for this machine only; name GPUs with the backend tensorrt_rtx"


def test_a_dla_core_is_used_with_the_gpu_behind_it(install, two_heads):
    install("10.13.3")

    facts = Plan.read(build_engine(two_heads.onnx, precision="fp16", dla_core=1).data)

    assert (facts["device"], facts["core"], facts["flags"]) == ("DLA", 1, ["GPU_FALLBACK"])
    with pytest.raises(EngineError) as caught:
        build_engine(two_heads.onnx, precision="fp16", dla_core=2)
    assert str(caught.value) == "DLA core 2 does not exist: this machine has 2; leave out -u"


def test_a_build_that_answers_none_gives_the_librarys_reason(install, two_heads):
    install("10.13.3", mute=True)

    with pytest.raises(EngineError) as caught:
        build_engine(two_heads.onnx)

    assert str(caught.value) == (
        "TensorRT 10.13.3 cannot build this model: Could not find any implementation for node Conv_0."
    )


def test_a_machine_whose_tensorrt_has_no_gpu_is_told_what_builds_without(install, two_heads):
    trt = install("10.13.3")

    def no_driver(logger):
        logger.log(trt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Builder = no_driver
    with pytest.raises(EngineError) as caught:
        build_engine(two_heads.onnx)

    assert str(caught.value) == (
        "TensorRT 10.13.3 cannot start here: CUDA initialization failure with error: 35; it needs an NVIDIA driver and "
        "a GPU (the backend tensorrt_rtx builds without either)"
    )


def test_an_engine_of_another_library_is_not_tried(install):
    install("10.13.3")

    with pytest.raises(EngineError) as caught:
        open_engine(Plan.write({}), runtime="tensorrt_rtx")

    assert str(caught.value) == (
        "this model is an engine of tensorrt and cannot run on tensorrt_rtx; leave the runtime open"
    )


def test_quantised_models_get_the_int8_flag_where_types_are_weak(install, two_heads, monkeypatch):
    install("8.6.1")
    monkeypatch.setattr(onnx_graph, "element_types", lambda data: frozenset({"float32", "int8"}))

    facts = Plan.read(build_engine(two_heads.onnx, precision="int8").data)

    assert facts["flags"] == ["INT8"]
