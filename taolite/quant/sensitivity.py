"""What rounding costs: the signal to noise ratio of every output, and of each layer quantised alone.

SQNR = 10 log10(sum of x^2 / sum of (x - rounded)^2), in decibel; 6 dB are one bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.quant.calibrate import session
from taolite.quant.qdq import insert_qdq, layers

__all__ = ["LayerCost", "layer_costs", "output_sqnr"]


@dataclass(frozen=True)
class LayerCost:
    """Output name -> SQNR in dB, with only this layer in int8."""

    layer: str
    sqnr: Mapping[str, float]

    @property
    def worst(self) -> float:
        """The SQNR of the output that suffers most."""
        return min(self.sqnr.values())


def output_sqnr(onnx: bytes, quantised: bytes, photos_nchw: NDArray[np.float32]) -> dict[str, float]:
    """SQNR in dB of every output of `quantised`, against the float model on the same inputs; inf where equal."""
    return _compare(_answers(onnx, photos_nchw), _answers(quantised, photos_nchw))


def layer_costs(
    onnx: bytes,
    ranges: Mapping[str, float],
    photos_nchw: NDArray[np.float32],
    *,
    excluded: Collection[str] = (),
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerCost]:
    """Quantise every layer alone: its weights, its input, and its output where an addition reads it; the costliest
    first. Layers without a range stay float anyway and are left out.

    Takes a pass of the network for each layer. `tick` hears how many of them are done.
    """
    plain = _answers(onnx, photos_nchw)
    tensors = layers(onnx)
    wanted = [name for name, (read, _) in tensors.items() if name not in excluded and read in ranges]
    costs = []
    for done, layer in enumerate(wanted, start=1):
        own = {name: ranges[name] for name in tensors[layer] if name in ranges}
        alone = insert_qdq(onnx, own, excluded=[name for name in tensors if name != layer])
        costs.append(LayerCost(layer, _compare(plain, _answers(alone, photos_nchw))))
        tick(done, len(wanted))
    return sorted(costs, key=lambda cost: cost.worst)


def _answers(onnx: bytes, photos_nchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    opened = session(onnx)
    (source,) = opened.get_inputs()
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, {source.name: photos_nchw}), strict=True))


def _compare(wanted: Mapping[str, NDArray[np.float32]], found: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    return {name: _sqnr(values.astype(np.float64), found[name]) for name, values in wanted.items()}


def _sqnr(signal: NDArray[np.float64], found: NDArray[np.float32]) -> float:
    noise = float(((signal - found) ** 2).sum())
    if not noise:
        return float("inf")
    return float(10 * np.log10(max(float((signal**2).sum()), np.finfo(np.float64).tiny) / noise))
