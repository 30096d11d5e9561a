"""A residual network whose scales are powers of two, so that integer and float arithmetic agree to the last bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,2,6,8] input_1) => (float[N,1,6,8] cov, float[N,4,6,8] bbox)
{
   a = Conv <pads = [1, 1, 1, 1]> (input_1, backbone__stem__weight, stem__bias)
   ra = Relu(a)
   b = Conv <pads = [1, 1, 1, 1]> (ra, backbone__block__weight, block__bias)
   sum = Add(ra, b)
   rs = Relu(sum)
   logits = Conv(rs, output_cov__weight)
   cov = Sigmoid(logits)
   bbox = Conv(rs, output_bbox__weight, output_bbox__bias)
}
"""
SHAPES = {
    "backbone.stem.weight": (3, 2, 3, 3),
    "backbone.block.weight": (3, 3, 3, 3),
    "output_cov.weight": (1, 3, 1, 1),
    "output_bbox.weight": (4, 3, 1, 1),
}


@dataclass(frozen=True)
class Residual:
    """The network as ONNX, its weights by name, and ranges that make every scale a power of two."""

    onnx: bytes
    weights: dict[str, NDArray[np.float32]]
    ranges: dict[str, float]


@pytest.fixture(scope="session")
def residual() -> Residual:
    rng = np.random.default_rng(3)
    weights = {}
    for name, shape in SHAPES.items():
        levels = rng.integers(-127, 128, shape)
        levels[:, 0, 0, 0] = 127  # the largest of every channel: its scale is exact
        fine = levels + rng.uniform(-0.4, 0.4, shape) * (np.abs(levels) < 126)  # what rounding has to take away
        weights[name] = (fine * 2.0 ** -(7 + np.arange(shape[0])).reshape(-1, 1, 1, 1)).astype(np.float32)
    for name in ("stem.bias", "block.bias", "output_bbox.bias"):
        weights[name] = (rng.integers(-64, 64, 4 if "bbox" in name else 3) / 64).astype(np.float32)
    model = onnx.parser.parse_model(TEXT)
    for node in model.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]  # the parser takes no dots
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Residual(model.SerializeToString(), weights, {"input_1": 127 / 128, "ra": 127 / 16, "rs": 127 / 8})
