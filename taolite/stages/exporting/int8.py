"""INT8 after training: a float ONNX and the ranges of its activations, quantised with more or fewer layers in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.engines import onnx_graph
from taolite.events import Listener, Progress, silent
from taolite.preprocessing import Preprocessing
from taolite.quant import quantised_tensors
from taolite.quant.calibrate import calibrate
from taolite.quant.qdq import LEVELS
from taolite.quant.sensitivity import LayerCost, layer_costs, output_sqnr
from taolite.stages.exporting.calibrate import CalibrationOptions, find_ranges
from taolite.stages.exporting.proof import proof_batch
from taolite.stages.exporting.ranges import Calibration, float_layers, narrowed, quantise

__all__ = ["Int8", "Int8Report", "calibrated"]

_MISFIT = 4.0  # pictures of one kind differ by less than 2, and the calibrators entropy and percentile cut little more


@dataclass(frozen=True)
class Int8Report:
    """The error of INT8 against the same network in float, as a signal-to-noise ratio in dB (6 dB are one bit).

    Attributes:
        sqnr: output name -> dB, the whole network in INT8.
        layers: every layer alone in INT8, the one with the largest error first; none where training learned the
            rounding.
        measured_on: "calibration images", or "test patterns" where a cache or training gave the ranges.
        record: how the ranges were found; cache: the file that holds them.
    """

    sqnr: Mapping[str, float]
    layers: tuple[LayerCost, ...]
    measured_on: str
    record: Mapping[str, Any]
    cache: Path


@dataclass(frozen=True)
class Int8:
    """A float model that can be quantised. floating: the layers that stay float, as asked. samples: inputs that errors
    are measured on, (N, C, H, W)."""

    onnx: bytes
    calibration: Calibration
    floating: tuple[str, ...]
    samples: NDArray[np.float32]
    measured_on: str
    cache: Path

    def quantised(self, more: tuple[str, ...] = ()) -> bytes:
        """The model in INT8, with the layers `more` in float too. Raises ModelError where no layer is left."""
        excluded = (*self.floating, *more)
        return quantise(self.onnx, narrowed(self.calibration, self.onnx, excluded=excluded), excluded=excluded)

    def costs(self, inputs_nchw: NDArray[np.float32] | None = None, *, listener: Listener = silent) -> list[LayerCost]:
        """The error of every layer alone in INT8, the largest first, on `inputs_nchw` or on `samples`."""
        inputs = self.samples if inputs_nchw is None else inputs_nchw
        (shape,) = onnx_graph.signature(self.onnx).inputs.values()
        if shape[0] > 0:
            inputs = np.resize(inputs, (shape[0], *inputs.shape[1:]))
        return layer_costs(
            self.onnx,
            self.calibration.ranges,
            inputs,
            excluded=self.floating,
            tick=lambda done, total: listener(Progress("cost of each layer in int8", done, total, unit="layer")),
        )

    def misfit(self, inputs_nchw: NDArray[np.float32]) -> float | None:
        """By what factor the values on `inputs_nchw` are larger (above 1) or smaller than the ranges, at the network's
        input or at the median of all tensors; None where neither is off by more than `_MISFIT`."""
        (shape,) = onnx_graph.signature(self.onnx).inputs.values()
        if shape[0] > 0:
            inputs_nchw = np.resize(inputs_nchw, (shape[0], *inputs_nchw.shape[1:]))
        seen, ranges = calibrate(self.onnx, lambda: iter([inputs_nchw])), self.calibration.ranges
        tensors = [name for name in quantised_tensors(self.onnx) if name in ranges and seen.get(name, 0) > 0]
        factors = {name: seen[name] / (ranges[name] or LEVELS) for name in tensors}  # as `insert_qdq` reads a 0
        if not factors:
            return None
        (first,) = onnx_graph.signature(self.onnx).inputs
        told = [factors.get(first, 1.0), float(np.median(list(factors.values())))]
        worst = max(told, key=lambda factor: max(factor, 1 / factor))
        return worst if max(worst, 1 / worst) > _MISFIT else None

    def report(self, quantised: bytes, *, listener: Listener = silent) -> Int8Report:
        """The error that rounding adds to `quantised`, and the layers that add most."""
        return Int8Report(
            sqnr=output_sqnr(self.onnx, quantised, self.samples),
            layers=tuple(self.costs(listener=listener)),
            measured_on=self.measured_on,
            record=self.calibration.record,
            cache=self.cache,
        )


def calibrated(
    onnx: bytes, *, preprocessing: Preprocessing, options: CalibrationOptions, listener: Listener = silent
) -> Int8:
    """The float model `onnx` with its ranges. Raises what `find_ranges` raises."""
    calibration = find_ranges(onnx, preprocessing=preprocessing, options=options, listener=listener)
    samples, measured_on = calibration.samples, "calibration images"
    if samples is None:
        samples, measured_on = proof_batch(onnx, preprocessing), "test patterns"
    floating = float_layers(onnx, excluded=options.excluded, heads=options.float_heads)
    return Int8(onnx, calibration, floating, samples, measured_on, options.cache)
