"""What a machine with an NVIDIA GPU does: training, loading, memory, engines, determinism and NCCL, in one table.

    python benchmarks/gpu.py [--device cuda|cpu] [--quick] [--seconds 8]

Nothing is fetched: networks start from random weights, pictures are drawn. What is absent is left out by name, with the
reason. `--device cpu --quick` does what can be done on a processor, at tiny sizes: a check of this program, no
measurement. NVIDIA's own log of a V100 (a stored figure, not measured here) has 144 images a second for a training of
DetectNet_v2 with a ResNet-18.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from timing import machine, table
from trainers import Bench, detectnet

from taolite.data.loading import batches
from taolite.engines.base import BuildPrecision, Engine
from taolite.engines.build import batch_profiles, build_engine
from taolite.engines.opening import open_engine
from taolite.nn.batchnorm import BatchNorm
from taolite.stages.device import Device, set_deterministic
from taolite.stages.exporting.to_onnx import to_onnx

Row = tuple[str, str, str]
"""What, how fast or how much, and a remark."""

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_BINDINGS = {"pycuda": "pycuda", "cuda-python": "cuda"}

_COMPILED: dict[str, dict[str, dict[str, str]]] = {
    "cuda": {"torch.compile": {}, "torch.compile with CUDA graphs": {"mode": "reduce-overhead"}},
    "cpu": {"traced, not compiled": {"backend": "aot_eager"}},  # Inductor takes minutes: docs/speed/training.md
}
"""Device -> what a row says -> arguments of `Module.compile`."""


def device_of(name: str, precision: str) -> Device:
    """The device of this name, computing in this number format."""
    gpu = torch.cuda.get_device_name(0) if name == "cuda" else ""
    return Device(torch.device(name, 0), _TYPES[precision], gpu)


def rate(work: Callable[[], object], wait: Callable[[], object], images: int, seconds: float) -> float:
    """Images a second of `work`, which does `images` of them; twice to warm up, then for so many seconds."""
    for _ in range(2):
        work()
    wait()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or count < 2:
        work()
        wait()
        count += 1
    return count * images / (time.perf_counter() - began)


def training(device: str, sizes: list[tuple[int, int]], batch_size: int, seconds: float) -> Iterator[Row]:
    """Steps of DetectNet_v2 with a ResNet-18, and the most memory that one took."""
    wait = torch.cuda.synchronize if device == "cuda" else time.perf_counter
    for height, width in sizes:
        for precision in ("fp32", "bf16", "fp16") if device == "cuda" else ("fp32", "bf16"):
            what = f"training {width}x{height}, batch {batch_size}, {precision}"
            with TemporaryDirectory() as folder:
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                made = detectnet(
                    Path(folder), device_of(device, precision), size_hw=(height, width), batch_size=batch_size
                )
                speed = rate(made.step, wait, batch_size, seconds)
                memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else ""
                yield what, f"{speed:.1f} images/s", memory
                if precision == "bf16":
                    yield from compiled(made, what, device, seconds)


def compiled(bench: Bench, what: str, device: str, seconds: float) -> Iterator[Row]:
    """The same steps with the network compiled: whether it would pay. taolite does not compile."""
    for module in bench.trainer.network.modules():
        if isinstance(module, BatchNorm):  # as after so many steps: from then on no step differs from the one before
            module.num_batches_tracked.fill_(module.settled)
            module.count_again()
    bench.step()
    wait = torch.cuda.synchronize if device == "cuda" else time.perf_counter
    for how, options in _COMPILED[device].items():
        torch.compiler.reset()
        bench.trainer.network.compile(**options)
        began = time.perf_counter()
        bench.step()
        wait()
        remark = f"first step {time.perf_counter() - began:.0f} s"
        yield f"{what}, {how}", f"{rate(bench.step, wait, bench.batch_size, seconds):.1f} images/s", remark


def loading(bench: Bench, workers: int, seconds: float) -> Row:
    """Batches that the loader makes, without a network."""
    trainer, size = bench.trainer, bench.batch_size
    began, count, epoch = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        order = trainer.examples.order(epoch, batch_size=size)
        count += sum(
            len(batch.examples)
            for batch in batches(trainer.examples, order, batch_size=size, epoch=epoch, workers=workers)
        )
        epoch += 1
    return f"loader, {workers} threads", f"{count / (time.perf_counter() - began):.1f} images/s", "pictures are kept"


def same_twice(device: str, steps: int = 4) -> Row:
    """Whether two trainings of some steps end with the same weights."""
    set_deterministic(True)
    ended = []
    for _ in range(2):
        with TemporaryDirectory() as folder:
            torch.manual_seed(1)
            made = detectnet(Path(folder), device_of(device, "fp32"), size_hw=(96, 128))
            for _ in range(steps):
                made.step()
            ended.append({name: value.cpu() for name, value in made.trainer.network.state_dict().items()})
    set_deterministic(False)
    same = all(torch.equal(value, ended[1][name]) for name, value in ended[0].items())
    return f"two trainings of {steps} steps", "the same weights" if same else "DIFFERENT WEIGHTS", "deterministic"


def nccl() -> Row:
    """A sum over one process by NCCL: that the library is there and works."""
    what = "NCCL, one process"
    if not torch.distributed.is_nccl_available():
        return what, "skipped", "this torch has no NCCL"
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": os.environ.get("MASTER_PORT", "29511")}
    torch.distributed.init_process_group("nccl", rank=0, world_size=1, timeout=timedelta(seconds=60))
    try:
        values = torch.ones(1 << 20, device="cuda")
        torch.distributed.all_reduce(values)
        right = bool((values == 1).all())
    finally:
        torch.distributed.destroy_process_group()
    return what, "works" if right else "WRONG SUM", ""


def through(engine: Engine, shape: tuple[int, ...], seconds: float) -> str:
    """Milliseconds a picture, with the copies to the device and back."""
    ((name, _),) = engine.inputs.items()
    picture = np.random.default_rng(0).random(shape, dtype=np.float32)
    return f"{1e3 / rate(lambda: engine.infer({name: picture}), lambda: None, 1, seconds):.2f} ms a picture"


def cuda_onnxruntime(onnx: bytes, shape: tuple[int, ...], seconds: float) -> Row:
    """ONNX Runtime with its provider for CUDA."""
    what = "ONNX Runtime, CUDA"
    if importlib.util.find_spec("onnxruntime") is None:
        return what, "skipped", "onnxruntime is not installed"
    runtime: Any = importlib.import_module("onnxruntime")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        return what, "skipped", "this onnxruntime has no provider for CUDA (onnxruntime-gpu has)"
    session = runtime.InferenceSession(onnx, providers=["CUDAExecutionProvider"])
    name, picture = session.get_inputs()[0].name, np.zeros(shape, np.float32)
    speed = rate(lambda: session.run(None, {name: picture}), lambda: None, 1, seconds)
    return what, f"{1e3 / speed:.2f} ms a picture", ", ".join(session.get_providers())


@contextmanager
def only(package: str) -> Iterator[None]:
    """Engines reach the GPU through this binding: the other one cannot be imported meanwhile."""
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in _BINDINGS.values()}
    hidden = next(name for name in _BINDINGS.values() if name != package)
    sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[hidden]
        sys.modules.update(kept)


def engines(onnx: bytes, shape: tuple[int, ...], seconds: float) -> Iterator[Row]:
    """TensorRT and TensorRT-RTX, through each binding that is installed."""
    for backend in ("tensorrt", "tensorrt_rtx"):
        if importlib.util.find_spec(backend) is None:
            yield backend, "skipped", f"{backend} is not installed"
            continue
        precisions: tuple[BuildPrecision, ...] = ("fp32", "fp16")
        for precision in precisions:
            began = time.perf_counter()
            built = build_engine(onnx, backend=backend, precision=precision, profiles=batch_profiles(onnx, largest=4))
            remark = f"built in {time.perf_counter() - began:.0f} s"
            for binding, package in _BINDINGS.items():
                what = f"{backend} {precision}, {binding}"
                if importlib.util.find_spec(package) is None:
                    yield what, "skipped", f"{binding} is not installed"
                    continue
                with only(package), open_engine(built.data) as engine:
                    yield what, through(engine, shape, seconds), remark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a check of this program, no measurement")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each rate")
    options = parser.parse_args()
    seconds = 0.2 if options.quick else options.seconds
    sizes = [(96, 128)] if options.quick else [(544, 960), (384, 1248)]
    batch_size = 4 if options.quick else 16
    gpu = options.device == "cuda" and torch.cuda.is_available()
    print(f"{machine('torch', 'onnxruntime', 'onnxruntime-gpu', 'tensorrt', 'tensorrt-rtx-cu13', 'pycuda')}")
    print(f"GPU: {torch.cuda.get_device_name(0) if gpu else 'none'}\n")
    rows: list[Row] = []
    if options.device == "cuda" and not gpu:
        rows.append(("everything that trains", "skipped", "torch finds no GPU here"))
    else:
        rows += training(options.device, sizes, batch_size, seconds)
        rows.append(same_twice(options.device))
        rows.append(nccl() if gpu else ("NCCL, one process", "skipped", "no GPU"))
    height, width = sizes[0]
    with TemporaryDirectory() as folder:
        made = detectnet(Path(folder), device_of("cpu", "fp32"), size_hw=(height, width), batch_size=4)
        rows.append(loading(made, min(len(os.sched_getaffinity(0)), 8), seconds))
        names = ["output_cov/Sigmoid", "output_bbox/BiasAdd"]
        onnx = to_onnx(made.trainer.network.as_stored(), channels=3, input_hw=(height, width), output_names=names)
    shape = (1, 3, height, width)
    if gpu:
        rows.append(cuda_onnxruntime(onnx, shape, seconds))
        rows += engines(onnx, shape, seconds)
    else:
        rows.append(("ONNX Runtime in CUDA, TensorRT, TensorRT-RTX", "skipped", "no GPU"))
    with open_engine(onnx, runtime="onnxruntime") as engine:
        rows.append(("ONNX Runtime, processor", through(engine, shape, seconds), "to compare"))
    print(table(("what", "figure", "remark"), rows))


if __name__ == "__main__":
    main()
