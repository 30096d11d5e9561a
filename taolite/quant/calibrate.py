"""Ranges of activations, measured: run images through the float network and look at every tensor.

`minmax` takes the largest value seen. `entropy` and `percentile` cut outliers off: they look again, at a histogram of
|x| in 2048 bins up to that largest value. Batch by batch, so memory holds one batch of activations whatever the
number of images; `minmax` holds less, because the largest values are taken inside the network.

ONNX Runtime's own calibrators are not used: they keep all batches, write the model to the disk and print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, ModelError
from taolite.onnxfile import check_onnx, parse_onnx
from taolite.quant.qdq import LEVELS

__all__ = ["METHODS", "Method", "calibrate", "entropy_range", "float_tensors", "percentile_range", "session"]

Method: TypeAlias = Literal["minmax", "entropy", "percentile"]
METHODS: tuple[Method, ...] = ("minmax", "entropy", "percentile")
Batches: TypeAlias = Callable[[], Iterable[NDArray[np.float32]]]
BINS = 2048
_PEAK = "/largest"


def calibrate(
    onnx: bytes,
    batches: Batches,
    *,
    method: Method = "minmax",
    percentile: float = 99.99,
    threads: int | None = None,
    tick: Callable[[int], None] = lambda images: None,
) -> dict[str, float]:
    """The range of every float tensor of a model: its input, then what its nodes give, in the graph's order.

    Args:
        onnx: float32, one input.
        batches: gives the same (N, C, H, W) float32 batches, preprocessed, each time it is called; it is called
            twice for `entropy` and `percentile`.
        percentile: how many of the values, in percent, the range holds; for `percentile`.
        threads: CPU threads; None leaves it to ONNX Runtime.
        tick: hears how many images have been looked at, over both passes.

    Raises:
        DataError: no batches. ModelError: a tensor takes a value that is not finite.
    """
    names = float_tensors(onnx)
    done = 0

    def answers(outputs: Sequence[str], data: bytes) -> Iterator[list[NDArray[np.float32]]]:
        nonlocal done
        opened = session(data, threads=threads)
        (source,) = opened.get_inputs()
        for batch in batches():
            yield opened.run(list(outputs), {source.name: batch})
            done += len(batch)
            tick(done)

    largest = np.full(len(names), -np.inf)
    for found in answers([name + _PEAK for name in names], _with_peaks(onnx, names)):
        largest = np.maximum(largest, [float(value) for value in found])
    if not done:
        raise DataError("there are no images to calibrate with; int8 needs some of the training images")
    for name, value in zip(names, largest, strict=True):
        if not np.isfinite(value):
            raise ModelError(f"{name} takes a value that is not finite; this model cannot be quantised")
    peaks = dict(zip(names, largest.tolist(), strict=True))
    if method == "minmax":
        return peaks
    inner = names[1:]
    histograms = {name: np.zeros(BINS, np.int64) for name in names}
    for batch, found in zip(batches(), answers(inner, _with_outputs(onnx, inner)), strict=True):
        for name, values in zip(names, [batch, *found], strict=True):
            histograms[name] += histogram(values, peaks[name])
    if method == "entropy":
        return {name: entropy_range(counts, peaks[name]) for name, counts in histograms.items()}
    return {name: percentile_range(counts, peaks[name], percentile) for name, counts in histograms.items()}


def float_tensors(onnx: bytes) -> tuple[str, ...]:
    """The model's input and the outputs of its nodes, in order."""
    graph = parse_onnx(onnx).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    return (*inputs, *(name for node in graph.node for name in node.output if name))


def histogram(values: NDArray[np.float32], largest: float) -> NDArray[np.int64]:
    """(BINS,) counts of |x| in equal bins from 0 to `largest`, which falls into the last."""
    sizes = np.abs(values).ravel()
    sizes *= np.float32(BINS / largest if largest > 0 else 0)
    return np.bincount(np.minimum(sizes.astype(np.int32), BINS - 1), minlength=BINS)


def percentile_range(counts: NDArray[np.int64], largest: float, percent: float) -> float:
    """The edge of the first bin up to which `percent` of the values lie."""
    bins = len(counts)
    share = np.cumsum(counts) / counts.sum()
    index = min(int(np.searchsorted(share, percent / 100)), bins - 1)
    return largest * (index + 1) / bins


def entropy_range(counts: NDArray[np.int64], largest: float) -> float:
    """The range whose 128 levels keep the distribution best: least Kullback-Leibler divergence, NVIDIA's way.

    For each candidate (the first i bins, i from 128): P is the histogram cut there, with what lies beyond added to
    its last bin; Q is the histogram in 128 levels, each spread over the bins of it that hold something. The bin of
    the zeros counts as its neighbour does, or the ReLU's zeros would outweigh everything.
    """
    weights = counts.astype(np.float64)
    weights[0] = weights[1]
    bins, levels = len(weights), LEVELS + 1
    beyond = weights.sum() - np.cumsum(weights)
    best, best_divergence = bins, np.inf
    for size in range(levels, bins + 1):
        part = weights[:size]
        holds = part > 0
        level = np.arange(size) * levels // size
        filled = np.bincount(level[holds], minlength=levels)
        mean = np.bincount(level, weights=part, minlength=levels) / np.maximum(filled, 1)
        cut = part.copy()
        cut[-1] += beyond[size - 1]
        divergence = _divergence(cut, np.where(holds, mean[level], 0.0))
        if divergence < best_divergence:
            best, best_divergence = size, divergence
    return largest * best / bins


def session(onnx: bytes, *, threads: int | None = None) -> Any:
    """The model in ONNX Runtime, on the processor; nothing touches the disk."""
    import onnxruntime

    check_onnx(onnx)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Sum of P log(P / Q), both made to sum to 1; infinite where Q is 0 and P is not."""
    if not p.any() or not q.any():
        return float("inf")
    there = p > 0
    p, q = p[there] / p.sum(), q[there] / q.sum()
    return float((p * np.log(p / q)).sum()) if q.all() else float("inf")


def _with_peaks(onnx: bytes, names: Sequence[str]) -> bytes:
    """The model with the largest |x| of every tensor as its outputs, so that only numbers leave it."""
    from onnx import helper

    model = parse_onnx(onnx)
    for name in names:
        sizes = f"{name}/sizes"
        model.graph.node.append(helper.make_node("Abs", [name], [sizes]))
        model.graph.node.append(helper.make_node("ReduceMax", [sizes], [name + _PEAK], keepdims=0))
    return _answering(model, [name + _PEAK for name in names])


def _with_outputs(onnx: bytes, names: Sequence[str]) -> bytes:
    return _answering(parse_onnx(onnx), names)


def _answering(model: Any, names: Sequence[str]) -> bytes:
    """The model with these tensors as its outputs, and no others."""
    from onnx import TensorProto, helper

    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return bytes(model.SerializeToString())
