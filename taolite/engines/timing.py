"""How long an ONNX takes for one image in ONNX Runtime, on this machine."""

from __future__ import annotations

import statistics
import time

import numpy as np

from taolite.engines.opening import open_engine

__all__ = ["latency_ms"]

_WARMING = 3  # runs
_RUNS = (10, 60)  # least and most
_ENOUGH_S = 1.0


def latency_ms(onnx: bytes, *, threads: int | None = None) -> float:
    """Median time of a run of one image, in milliseconds, after some runs to warm up: 10 runs at least, then as many as
    a second has room for.

    Args:
        onnx: a model with one input, in which only the batch is free.
        threads: of the processor; None leaves it to ONNX Runtime, which takes every core.
    """
    with open_engine(onnx, runtime="onnxruntime", threads=threads) as engine:
        ((name, shape),) = engine.inputs.items()
        pixels = np.random.default_rng(0).random((max(shape[0], 1), *shape[1:]), np.float32)
        for _ in range(_WARMING):
            engine.infer({name: pixels})
        times: list[float] = []
        while len(times) < _RUNS[0] or (len(times) < _RUNS[1] and sum(times) < _ENOUGH_S):
            began = time.perf_counter()
            engine.infer({name: pixels})
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times) / len(pixels)
