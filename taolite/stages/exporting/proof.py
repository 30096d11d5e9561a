"""The proof of an export: the trained network and the exported model get the same inputs, noise and a smooth picture.
No output may differ by more than `LIMITS`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from taolite.engines import onnx_graph
from taolite.engines.opening import open_engine
from taolite.errors import ModelError
from taolite.preprocessing import Preprocessing

__all__ = ["LIMITS", "parity", "proof_batch"]

LIMITS = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest accepted difference to the trained network, as a fraction of the output's largest value or of 1."""


def parity(
    network: torch.nn.Module, onnx: bytes, preprocessing: Preprocessing, *, precision: Literal["fp32", "fp16"] = "fp32"
) -> dict[str, float]:
    """Run network and ONNX on the same two inputs; returns the largest absolute difference of every output.

    The inputs are uniform noise and a smooth picture, similar to a photograph, both preprocessed. `network` is in
    evaluation mode, on the CPU, and returns its outputs in the ONNX's order.
    Raises ModelError where an output differs by more than LIMITS: then the ONNX is another network.
    """
    inputs = proof_batch(onnx, preprocessing)
    with open_engine(onnx) as engine:
        (name,) = engine.inputs
        answers = engine.infer({name: inputs})
    with torch.no_grad():
        returned = network(torch.from_numpy(inputs))
    tensors = returned if isinstance(returned, (tuple, list)) else (returned,)
    differences = {}
    for (output, found), wanted in zip(answers.items(), tensors, strict=True):
        expected = wanted.float().numpy()
        differences[output] = float(np.abs(found - expected).max())
        allowed = LIMITS[precision] * max(1.0, float(np.abs(expected).max()))
        if not differences[output] <= allowed:  # `not <=` also catches NaN
            raise ModelError(
                f"the exported model is not the trained network: {output} differs by {differences[output]:.3g}, and "
                f"{allowed:.3g} is allowed in {precision}; nothing was written. "
                + ("Export fp32 instead" if precision == "fp16" else "Try another --target_opset, and report it")
            )
    return differences


def proof_batch(onnx: bytes, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(N, C, H, W): the proof's inputs; N is the batch the model takes."""
    (shape,) = onnx_graph.signature(onnx).inputs.values()
    proofs = _proof_inputs(preprocessing)
    return np.resize(proofs, (shape[0] if shape[0] > 0 else len(proofs), *proofs.shape[1:]))


def _proof_inputs(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(2, C, H, W): noise, and a picture of slow waves in every colour; the same at every call."""
    height, width = preprocessing.input_hw
    noise = np.random.default_rng(0).integers(0, 256, (height, width, preprocessing.channels), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        128 + 60 * np.sin(x / (23 + 9 * c) + c) + 60 * np.cos(y / (31 - 5 * c)) for c in range(preprocessing.channels)
    ]
    picture = np.clip(np.stack(waves, axis=2), 0, 255).astype(np.uint8)
    return np.stack([preprocessing.apply(noise), preprocessing.apply(picture)])
