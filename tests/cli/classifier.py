"""A classifier whose answer is known by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.preprocessing import Preprocessing


def write_classifier(path: Path) -> None:
    """Two classes, whose scores are 0.4 and 0.6 for every picture."""
    nodes = [
        helper.make_node("ReduceMean", ["input_1"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["column"]),
        helper.make_node("Add", ["column", "score"], ["predictions/Softmax"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["N", 3, 30, 30])],
        [helper.make_tensor_value_info("predictions/Softmax", TensorProto.FLOAT, ["N", 2])],
        [
            numpy_helper.from_array(np.zeros((), np.float32), "zero"),
            numpy_helper.from_array(np.array([-1, 1]), "shape"),
            numpy_helper.from_array(np.array([[0.4, 0.6]], np.float32), "score"),
        ],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    meta = OnnxMeta("classification", ("a", "b"), Preprocessing((30, 30), fit="stretch"), {"top": 1})
    path.write_bytes(onnx_graph.write_meta(made.SerializeToString(), meta))
