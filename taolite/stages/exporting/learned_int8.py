"""INT8 after quantisation-aware training: write the learned rounding as ONNX, and prove that it is the same.

The proof goes tensor by tensor and is exact. Kernels are the trained integers (`prove_integers`). The ONNX rounds the
same activations as training did, each with its learned range (`learned_ranges`). The float graph with those integers as
weights equals the network to 1e-3 (`proof.parity`).

The outputs cannot be proven so exactly. Two float programs that add in another order differ by 1e-7 of a value. Near
the middle of a rounding step this decides a whole step, and the next layer rounds the result again. Through 20 layers,
torch in two memory layouts differs from itself by a tenth of the whole rounding error. `prove_rounding` makes the
weaker check that is still possible on the outputs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.engines.opening import open_engine
from taolite.errors import ModelError, PathError
from taolite.nn.fake_quant import QuantConv2d, kernel_integers, ranges
from taolite.onnxfile import parse_onnx
from taolite.quant.learned import learned_ranges
from taolite.quant.qdq import LEVELS
from taolite.stages.exporting.ranges import Calibration

__all__ = ["learned_calibration", "prove_integers", "prove_rounding", "refuse_existing_cache"]


def refuse_existing_cache(cache: Path) -> None:
    """Raises PathError, as TAO does (reference 11.6), before anything is computed."""
    if cache.exists():
        raise PathError(
            f"{cache}: A pre-existing cache file exists. Please delete this file and re-run export. It would hold the "
            "ranges that training learned; --force replaces it, --force_ptq uses its ranges instead"
        )


def learned_calibration(network: torch.nn.Module, onnx: bytes, *, heads: Collection[str]) -> Calibration:
    """The ranges that the quantised `network` learned, for its float `onnx`. Raises ModelError as `learned_ranges`."""
    by_layer = {path.rpartition(".")[2]: largest for path, largest in ranges(network).items()}
    return Calibration(learned_ranges(onnx, by_layer, heads=heads), {"method": "quantisation-aware training"})


def prove_integers(network: torch.nn.Module, quantised: bytes) -> None:
    """Check that the kernels `quantised` stores are the integers that the quantised `network` computes with.

    Batch norm is folded into the kernels and multiplies whole output channels. It may flip all signs of a channel, or
    make it 0, but changes no integer otherwise. Channels whose weights are all below 1.5e-5 are not compared
    (`kernel_integers`). Raises ModelError where a layer is not stored as int8, or holds another integer.
    """
    from onnx import numpy_helper

    initializers = {tensor.name: tensor for tensor in parse_onnx(quantised).graph.initializer}
    for path, layer in network.named_modules():
        if not isinstance(layer, QuantConv2d):
            continue
        tensor = initializers.get(f"{path}.weight_quantized")
        if tensor is None:
            raise ModelError(
                f"layer {path} was trained with 8-bit weights, and the export has none for it; please report this"
            )
        found, wanted = numpy_helper.to_array(tensor), kernel_integers(layer.weight).numpy()
        inner = (1, 2, 3)
        same_o = (found == wanted).all(inner) | (found == -wanted).all(inner) | ~found.any(inner)
        if not same_o[np.abs(wanted).max(inner) == LEVELS].all():
            raise ModelError(
                f"{path}: the exported kernel holds other integers than training computed with; nothing was written. "
                "Export with --force_ptq, and report it"
            )


def prove_rounding(
    network: torch.nn.Module, plain: torch.nn.Module, quantised: bytes, inputs_nchw: NDArray[np.float32]
) -> dict[str, float]:
    """The largest absolute difference of every output of `quantised` to the quantised `network`.

    This finds an output whose root-mean-square error over `inputs_nchw` is larger than without any rounding: ranges
    that are wrong by far, a runtime that reads Q/DQ nodes differently, a graph put together wrongly.
    It cannot find one range that is off by some percent, or one tensor rounded too much or too little: these change the
    outputs by less than the whole rounding does. The checks tensor by tensor (see the module) find those.

    Args:
        network: as it was trained, in evaluation mode, on the CPU; `plain`: the same without its quantisation.
        inputs_nchw: as many as `quantised` takes.

    Raises ModelError where an output's root mean square error is above that of `plain`, and above 1e-3 of the output.
    """
    with open_engine(quantised) as engine:
        (name,) = engine.inputs
        answers = engine.infer({name: inputs_nchw})
    with torch.no_grad():
        pixels = torch.from_numpy(inputs_nchw)
        trained = [output.numpy() for output in network(pixels)]
        floats = [output.numpy() for output in plain(pixels)]
    differences: dict[str, float] = {}
    for (output, found), wanted, unrounded in zip(answers.items(), trained, floats, strict=True):
        allowed = max(_rms(unrounded - wanted), 1e-3 * max(1.0, float(np.abs(wanted).max())))
        if not _rms(found - wanted) <= allowed:  # `not <=` also catches NaN
            raise ModelError(
                f"the exported model does not round as the network was trained to: {output} differs by "
                f"{_rms(found - wanted):.3g} (root mean square), and {allowed:.3g} is allowed; nothing was written. "
                "Export with --force_ptq, and report it"
            )
        differences[output] = float(np.abs(found - wanted).max())
    return differences


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))
