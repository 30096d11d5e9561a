"""A network small enough to work out by hand: one strided convolution and DetectNet's two heads, straight in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"


class TwoHeads:
    """The network as ONNX bytes (`onnx`), and what it must answer, by loops (`expect`)."""

    def __init__(self, *, batch: int | str = "batch", names: tuple[str, str, str] = ("input_1", COV, BBOX)) -> None:
        from onnx import TensorProto, helper, numpy_helper

        rng = np.random.default_rng(7)
        self.names = names
        self.weights = {
            "stem.w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
            "stem.b": rng.normal(size=4).astype(np.float32),
            "cov.w": rng.normal(size=(2, 4, 1, 1)).astype(np.float32),
            "cov.b": rng.normal(size=2).astype(np.float32),
            "bbox.w": rng.normal(size=(8, 4, 1, 1)).astype(np.float32),
            "bbox.b": rng.normal(size=8).astype(np.float32),
        }
        source, cov, bbox = names
        nodes = [
            helper.make_node("Conv", [source, "stem.w", "stem.b"], ["stem"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["stem"], ["features"]),
            helper.make_node("Conv", ["features", "cov.w", "cov.b"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], [cov]),
            helper.make_node("Conv", ["features", "bbox.w", "bbox.b"], [bbox]),
        ]
        graph = helper.make_graph(
            nodes,
            "two_heads",
            [helper.make_tensor_value_info(source, TensorProto.FLOAT, [batch, 3, 16, 32])],
            [
                helper.make_tensor_value_info(cov, TensorProto.FLOAT, [batch, 2, 8, 16]),
                helper.make_tensor_value_info(bbox, TensorProto.FLOAT, [batch, 8, 8, 16]),
            ],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        self.onnx: bytes = model.SerializeToString()

    def expect(self, photos_nchw: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """The slow, obvious answer: every output cell is a sum over its window."""
        padded = np.pad(photos_nchw.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        features = np.zeros((len(photos_nchw), 4, 8, 16))
        for y in range(8):
            for x in range(16):
                window = padded[:, None, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
                features[:, :, y, x] = (window * self.weights["stem.w"]).sum(axis=(2, 3, 4)) + self.weights["stem.b"]
        features = np.maximum(features, 0)
        logits = np.einsum("nchw,kc->nkhw", features, self.weights["cov.w"][:, :, 0, 0])
        bbox = np.einsum("nchw,kc->nkhw", features, self.weights["bbox.w"][:, :, 0, 0])
        return {
            self.names[1]: 1 / (1 + np.exp(-(logits + self.weights["cov.b"][:, None, None]))),
            self.names[2]: bbox + self.weights["bbox.b"][:, None, None],
        }


@pytest.fixture(scope="session")
def two_heads() -> TwoHeads:
    """The network with a free batch and TAO's names."""
    return TwoHeads()


@pytest.fixture(scope="session")
def make_two_heads() -> Callable[..., TwoHeads]:
    """The network with another batch or other names."""
    return TwoHeads


@pytest.fixture
def photos() -> Callable[[int], NDArray[Any]]:
    """n inputs of values 0..1, the same at every call."""
    return lambda count: np.random.default_rng(3).random((count, 3, 16, 32), dtype=np.float32)
