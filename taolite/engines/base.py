"""One way to run a network, whatever runs it: named arrays in, named arrays out (`engines.opening` opens one).

Shapes carry -1 where an axis is free (the batch, nearly always). Arrays go in as float32 and come out as float32,
or as the integer type the network says; they are new arrays and the caller's own. Preprocessing and decoding are not
in here. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.errors import EngineError

__all__ = [
    "Arrays",
    "BuildOrder",
    "BuildPrecision",
    "Built",
    "Engine",
    "OpenOptions",
    "Precision",
    "Profile",
    "RuntimeName",
    "Shape",
    "Adapter",
    "checked_feeds",
]

Shape: TypeAlias = tuple[int, ...]
Arrays: TypeAlias = dict[str, NDArray[Any]]
RuntimeName: TypeAlias = str  # a name of `taolite.engines.runtimes.RUNTIMES`
Precision: TypeAlias = Literal["fp32", "bf16"]
BuildPrecision: TypeAlias = Literal["fp32", "fp16", "int8"]


class Engine(Protocol):
    """An opened network. It holds memory (and a GPU, where it has one) until `close` or the end of a `with` block.

    Attributes:
        name: which runtime this is.
        version: the runtime's own version, e.g. "1.31.1".
        device: where it runs, e.g. "CPU" or "GPU 0".
        precision: what it computes in, e.g. "fp32", "bf16", or "as in the ONNX".
        calls: how many calls of `infer` run side by side; more of them wait for each other.
        inputs: name -> shape, -1 where an axis is free, in the network's order.
        outputs: name -> shape, -1 where an axis is free, in the network's order.
    """

    name: RuntimeName
    version: str
    device: str
    precision: str
    calls: int
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


@dataclass(frozen=True)
class OpenOptions:
    """How an engine is opened: CPU threads (None: the runtime decides), the number format a runtime can be asked to
    compute in, the index of the GPU, what messages call the model, and whether many frames come (`open_engine`)."""

    threads: int | None = None
    precision: Precision = "fp32"
    device: int = 0
    where: str = "this model"
    many: bool = False


@dataclass(frozen=True)
class Profile:
    """The shapes one input may have: smallest, the one to be fastest at, largest."""

    smallest: Shape
    best: Shape
    largest: Shape


@dataclass(frozen=True)
class BuildOrder:
    """What an engine is built for: shapes of the inputs with a free axis, GPU scratch memory in bytes (None: as the
    runtime has it), compute capabilities of GPUs elsewhere, and a DLA core."""

    profiles: Mapping[str, Profile]
    workspace_bytes: int | None = None
    capabilities: tuple[str, ...] = ()
    dla_core: int | None = None


@dataclass(frozen=True)
class Built:
    """An engine file's bytes, the compute capabilities it runs on (none for a CPU), and the library's warnings."""

    data: bytes = field(repr=False)
    gpus: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Adapter(Protocol):
    """What a runtime's module gives its row in `taolite.engines.runtimes`. The library is imported by these calls."""

    def version(self) -> str:
        """The installed library's version. Raises EngineError where there is none."""
        ...

    def open(self, data: bytes, options: OpenOptions) -> Engine:
        """Open an engine file's bytes, or ONNX where the row says so. Raises EngineError."""
        ...

    def build(self, onnx: bytes, order: BuildOrder) -> Built:
        """Build an engine. Called where the row says that the runtime builds. Raises EngineError."""
        ...


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
