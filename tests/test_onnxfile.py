"""Reading ONNX: one file, whole, and nothing of it elsewhere; the same words whichever way it came in."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from taolite.artifacts.etlt import read_model
from taolite.engines import onnx_graph
from taolite.engines.build import build_engine
from taolite.engines.onnxruntime import OnnxRuntimeEngine
from taolite.engines.opening import open_engine
from taolite.engines.openvino import OpenVinoEngine, compile_openvino
from taolite.errors import EngineError
from taolite.onnxfile import parse_onnx
from taolite.quant.calibrate import float_tensors, session
from taolite.quant.qdq import layers

PACKAGE = Path(__file__).parents[1] / "taolite"
WHOLE = "save it as one file: onnx.save_model(onnx.load(MODEL), ONE_FILE)"


def model(*, nodes: list[onnx.NodeProto] | None = None, weights: bool = True) -> onnx.ModelProto:
    """y = relu(x * w) over 3 numbers."""
    made = nodes or [helper.make_node("Mul", ["x", "w"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ones((1, 3), np.float32), "w")] if weights else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def moved(tensor: TensorProto, file: str) -> None:
    """Let the values of `tensor` lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)


def outside(file: str = "/etc/passwd") -> bytes:
    made = model()
    moved(made.graph.initializer[0], file)
    return made.SerializeToString()


INTAKES: dict[str, Callable[[bytes, Path], object]] = {
    "a file": lambda data, path: read_model(path),
    "its words of itself": lambda data, path: onnx_graph.read_meta(data),
    "its inputs": lambda data, path: onnx_graph.signature(data),
    "onnxruntime": lambda data, path: open_engine(path, runtime="onnxruntime"),
    "onnxruntime itself": lambda data, path: OnnxRuntimeEngine(data),
    "openvino": lambda data, path: open_engine(path, runtime="openvino"),
    "openvino itself": lambda data, path: OpenVinoEngine(data),
    "openvino's compiler": lambda data, path: compile_openvino(data),
    "an openvino engine": lambda data, path: build_engine(data, backend="openvino"),
    "a TensorRT-RTX engine": lambda data, path: build_engine(data, backend="tensorrt_rtx"),
    "calibration": lambda data, path: session(data),
    "ranges": lambda data, path: float_tensors(data),
    "quantisation": lambda data, path: layers(data),
}


@pytest.mark.parametrize("intake", INTAKES)
def test_weights_in_another_file_are_refused_at_every_intake(intake, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(outside())

    with pytest.raises(EngineError) as caught:
        INTAKES[intake](path.read_bytes(), path)

    where = path if intake in ("a file", "onnxruntime", "openvino") else "this model"
    assert str(caught.value) == (
        f"{where} keeps weights in another file (tensor 'w': '/etc/passwd'), which is not read; {WHOLE}"
    )


@pytest.mark.parametrize("intake", INTAKES)
def test_a_model_cut_short_is_said_to_be_cut_short_at_every_intake(intake, tmp_path):
    path, whole = tmp_path / "model.onnx", model().SerializeToString()
    path.write_bytes(whole[:60])

    with pytest.raises(EngineError) as caught:
        INTAKES[intake](path.read_bytes(), path)

    where = path if intake in ("a file", "onnxruntime", "openvino") else "this model"
    graph_ends = whole.index(b"\x42\x04\x0a\x00\x10\x11")  # where the field of the operator set begins
    assert str(caught.value) == (
        f"{where} is cut short: {graph_ends - 60} bytes or more of the ONNX are missing; copy or export it again"
    )


def test_every_length_of_a_model_but_its_own_is_refused():
    whole = model().SerializeToString()

    for length in range(len(whole)):
        with pytest.raises(EngineError):
            parse_onnx(whole[:length])
    assert len(parse_onnx(whole).graph.node) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.onnx is an empty ONNX model: it has no nodes or no outputs; export it again"),
        (b"<!DOCTYPE html><html>", "x.onnx is not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "x.onnx is not an ONNX model"),
        (
            model().SerializeToString()[:-6],
            "x.onnx is cut short: the operator set of the ONNX is missing; copy or export it again",
        ),
    ],
)
def test_what_is_no_whole_model_is_told_apart(data, message):
    with pytest.raises(EngineError) as caught:
        parse_onnx(data, where="x.onnx")

    assert str(caught.value) == message


def constant(file: str) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(np.ones((1, 3), np.float32), "kept"))
    moved(node.attribute[0].t, file)
    return node


def in_a_constant() -> onnx.ModelProto:
    return model(nodes=[constant("c.bin"), helper.make_node("Mul", ["x", "w"], ["y"])], weights=False)


def in_a_branch() -> onnx.ModelProto:
    result = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3])
    branch = helper.make_graph([constant("branch.bin")], "b", [], [result])
    made = model(nodes=[helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)])
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    return made


def in_a_function() -> onnx.ModelProto:
    made = model(nodes=[helper.make_node("Own", ["x"], ["y"], domain="own")], weights=False)
    inner = [constant("function.bin"), helper.make_node("Mul", ["x", "w"], ["y"])]
    made.functions.append(helper.make_function("own", "Own", ["x"], ["y"], inner, [helper.make_opsetid("", 17)]))
    return made


def sparse() -> onnx.ModelProto:
    made = model(weights=False)
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    moved(values, "sparse.bin")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "at")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1, 3]))
    return made


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (in_a_constant, "'kept': 'c.bin'"),
        (in_a_branch, "'kept' and 1 more: 'branch.bin'"),
        (in_a_function, "'kept': 'function.bin'"),
        (sparse, "'w': 'sparse.bin'"),
    ],
)
def test_weights_elsewhere_are_found_wherever_the_model_names_them(make, named):
    with pytest.raises(EngineError) as caught:
        parse_onnx(make().SerializeToString())

    assert f"(tensor {named})" in str(caught.value)


def test_onnx_is_parsed_in_one_module():
    parsers = ("load_model_from_string", "load_from_string", "load_model", "ParseFromString", "FromString")
    found = {
        f"{path.relative_to(PACKAGE)}: {node.attr}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in parsers
    }

    assert found == {
        "onnxfile.py: load_model_from_string",
        "formats/tfrecord.py: ParseFromString",  # TFRecords
        "formats/record_rows.py: ParseFromString",
    }
