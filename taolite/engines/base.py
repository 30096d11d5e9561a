"""One way to run a network, whatever runs it: named arrays in, named arrays out (`engines.opening` opens one).

Shapes carry -1 where an axis is free (the batch, nearly always). Arrays go in as float32 and come out as float32,
or as the integer type the network says; they are new arrays and the caller's own. Preprocessing and decoding are not
in here. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.errors import EngineError

__all__ = [
    "Arrays",
    "Engine",
    "Precision",
    "RuntimeName",
    "Shape",
    "checked_feeds",
]

Shape: TypeAlias = tuple[int, ...]
Arrays: TypeAlias = dict[str, NDArray[Any]]
RuntimeName: TypeAlias = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt_rtx"]
Precision: TypeAlias = Literal["fp32", "bf16"]

OPENVINO_MAGIC = b"taolite-openvino "  # ours, before a compiled OpenVINO blob: the blob itself bears no mark


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
