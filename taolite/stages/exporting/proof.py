"""The proof of an export: the same inputs, noise and a smooth picture, go through the trained network and through what
was written, and no output may differ by more than `LIMITS`."""

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
"""Largest difference to the trained network that is accepted, in shares of the output's largest value or of 1."""


def parity(
    network: torch.nn.Module, onnx: bytes, preprocessing: Preprocessing, *, precision: Literal["fp32", "fp16"] = "fp32"
) -> dict[str, float]:
    """Run network and ONNX on the same two inputs; the largest absolute difference of every output.

    The inputs are uniform noise and a smooth picture, as photographs are, both preprocessed. `network` is in
    evaluation mode, on the CPU, and returns its outputs in the ONNX's order.
    Raises ModelError where one differs by more than LIMITS: what was written is another network then.
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
        if not differences[output] <= allowed:  # also where it is not a number
            raise ModelError(
                f"the exported model is not the trained network: {output} differs by {differences[output]:.3g}, and "
                f"{allowed:.3g} is allowed in {precision}; nothing was written. "
                + ("Export fp32 instead" if precision == "fp16" else "Try another --target_opset, and report it")
            )
    return differences


def proof_batch(onnx: bytes, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(N, C, H, W): the proof's inputs, as many as the model takes at once."""
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
