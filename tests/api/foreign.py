"""An SSD's ONNX as pytorch-ssd's onnx_export.py writes it, without a word on its classes, whose answer is constant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def write_ssd(path: Path) -> Path:
    """Two priors: class 2 with 0.8 at (0.1, 0.1, 0.5, 0.5) and class 1 with 0.3 at (0.6, 0.6, 0.9, 0.9)."""
    scores = np.float32([[[0.1, 0.1, 0.8], [0.7, 0.3, 0.0]]])
    boxes = np.float32([[[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]]])
    nodes = [
        helper.make_node("ReduceMean", ["input_0"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["column"]),
        helper.make_node("Add", ["column", "score"], ["scores"]),
        helper.make_node("Add", ["column", "box"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, [1, 3, 30, 30])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 3]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 4]),
        ],
        [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.int64([1, 1, 1]), "shape"),
            numpy_helper.from_array(scores, "score"),
            numpy_helper.from_array(boxes, "box"),
        ],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(made.SerializeToString())
    return path
