"""The engine runtimes taolite knows: one row each, and how to find one.

A row holds what can be said without importing anything: the name in flags, the first bytes of the engine files, what
the runtime runs and builds. Its `adapter` names the object, in a module of this folder, that opens and builds engines
(`taolite.engines.base.Adapter`); the object is imported when it is needed, and its library later still. To add a
runtime, write that module and add a row.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.wording import nearest

if TYPE_CHECKING:
    from taolite.engines.base import Adapter

__all__ = ["RUNTIMES", "Runtime", "builder", "builders", "find", "of_bytes", "onnx_runner", "onnx_runners"]


@dataclass(frozen=True)
class Runtime:
    """One engine runtime.

    Attributes:
        name: in flags, sidecars and messages.
        title: as its maker writes it.
        package: the Python package it needs, by its import name.
        install: says how to get the package, as the end of a sentence; called only for a message.
        adapter: "module:NAME" of its `Adapter`.
        device: what it runs on; "GPU" is one of NVIDIA's.
        magics: first bytes of its engine files.
        precisions: number formats it can be asked to compute in; others take the types of the model.
        runs_onnx: it opens ONNX as well as engines.
        builds: it builds engines.
        builds_elsewhere: it builds for GPUs that are named, and needs none itself.
        has_dla: it builds for the DLA cores of a Jetson.
    """

    name: str
    title: str
    package: str
    install: Callable[[], str]
    adapter: str
    device: Literal["CPU", "GPU"] = "CPU"
    magics: tuple[bytes, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)
    runs_onnx: bool = False
    builds: bool = False
    builds_elsewhere: bool = False
    has_dla: bool = False

    def is_installed(self) -> bool:
        """Whether its package is here; the package is not imported."""
        return importlib.util.find_spec(self.package) is not None

    def is_here(self) -> bool:
        """Whether an engine of it can run on this machine: the package and the device are here."""
        from taolite.engines.buffers import gpu_is_here

        return self.is_installed() and (self.device == "CPU" or gpu_is_here())

    def load(self) -> Adapter:
        """What opens and builds its engines; the package itself is imported when an engine is opened or built."""
        module, _, name = self.adapter.partition(":")
        adapter: Adapter = getattr(importlib.import_module(module), name)
        return adapter


RUNTIMES: list[Runtime] = [  # where several could build an engine, the earlier one does
    Runtime(
        name="onnxruntime",
        title="ONNX Runtime",
        package="onnxruntime",
        install=lambda: "run `pip install onnxruntime`",
        adapter="taolite.engines.onnxruntime:ADAPTER",
        runs_onnx=True,
    ),
    Runtime(
        name="openvino",
        title="OpenVINO",
        package="openvino",
        install=lambda: f"run `{install_command('openvino')}`",
        adapter="taolite.engines.openvino:ADAPTER",
        magics=(b"taolite-openvino ",),  # ours, before the compiled blob: the blob itself bears no mark
        precisions=("fp32", "bf16"),
        runs_onnx=True,
        builds=True,
    ),
    Runtime(
        name="tensorrt",
        title="TensorRT",
        package="tensorrt",
        install=lambda: "it comes with JetPack and NVIDIA's TensorRT containers; on a PC use the backend tensorrt_rtx",
        adapter="taolite.engines.tensorrt:TENSORRT",
        device="GPU",
        magics=(b"ftrt", b"ptrt"),  # from TensorRT 8 on, and before
        builds=True,
        has_dla=True,
    ),
    Runtime(
        name="tensorrt_rtx",
        title="TensorRT-RTX",
        package="tensorrt_rtx",
        install=lambda: f"run `{install_command('tensorrt')}` (Linux, x86-64)",
        adapter="taolite.engines.tensorrt:TENSORRT_RTX",
        device="GPU",
        magics=(b"vtrt",),  # reference/deploy.md 11
        builds=True,
        builds_elsewhere=True,
    ),
]


def find(name: str) -> Runtime:
    """The row of this name. Raises UsageError, with the names there are and the nearest of them."""
    return _chosen(name, RUNTIMES, "runtime")


def of_bytes(data: bytes) -> Runtime | None:
    """The runtime whose engine file begins like `data`; None where there is none."""
    return next((row for row in RUNTIMES if data.startswith(row.magics)), None)


def onnx_runners() -> tuple[str, ...]:
    """Names of the runtimes that run ONNX as it is: the choices of `--runtime`."""
    return tuple(row.name for row in RUNTIMES if row.runs_onnx)


def builders() -> tuple[str, ...]:
    """Names of the runtimes that build engines: the choices of `--backend`."""
    return tuple(row.name for row in RUNTIMES if row.builds)


def onnx_runner(word: str) -> str:
    """`word`, the value of `--runtime`. Raises UsageError, with the nearest name, where no such runtime runs ONNX."""
    return _chosen(word, [row for row in RUNTIMES if row.runs_onnx], "runtime").name


def builder(word: str) -> str:
    """`word`, the value of `--backend`. Raises UsageError, with the nearest name, where no such runtime builds."""
    return _chosen(word, [row for row in RUNTIMES if row.builds], "backend").name


def _chosen(word: str, rows: Sequence[Runtime], kind: str) -> Runtime:
    by_name = {row.name: row for row in rows}
    if word not in by_name:
        raise UsageError(f"{kind} {word!r} is not one of {', '.join(by_name)}{nearest(word, by_name)}")
    return by_name[word]
