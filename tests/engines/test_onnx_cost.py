"""Counting a model's work and numbers, on networks small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from taolite.engines.onnx_cost import Cost, macs_and_parameters
from taolite.errors import EngineError


def test_macs_and_parameters_are_those_of_a_hand_count(two_heads):
    stem = 8 * 16 * 4 * (3 * 3 * 3)
    heads = 8 * 16 * (2 + 8) * 4

    cost = macs_and_parameters(two_heads.onnx, (5, 3, 16, 32))

    assert cost == Cost(macs=5 * (stem + heads), parameters=(4 * 27 + 4) + (2 * 4 + 2) + (8 * 4 + 8))


def test_macs_of_grouped_and_dense_layers_are_those_of_a_hand_count():
    weights = {"depthwise": (6, 1, 3, 3), "dense": (10, 6), "times": (10, 4)}
    nodes = [
        helper.make_node("Conv", ["x", "depthwise"], ["a"], group=6),  # 1x6x5x5 -> 1x6x3x3
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "dense"], ["d"], transB=1),  # 1x6 -> 1x10
        helper.make_node("MatMul", ["d", "times"], ["y"]),  # 1x10 -> 1x4
    ]
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    cost = macs_and_parameters(model.SerializeToString(), (1, 6, 5, 5))

    assert cost == Cost(macs=(6 * 3 * 3 * 9) + (10 * 6) + (4 * 10), parameters=54 + 60 + 40)


def test_an_input_that_does_not_fit_is_refused_when_counting(two_heads):
    with pytest.raises(EngineError) as caught:
        macs_and_parameters(two_heads.onnx, (3, 16, 32))

    assert str(caught.value) == "input input_1 has 4 axes; the shape has 3"
