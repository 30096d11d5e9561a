"""The ONNX between training and engines, on a network small enough to count by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import EngineError
from taolite.preprocessing import Preprocessing

COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"
META = OnnxMeta(
    task="detectnet",
    classes=("cat", "犬"),
    preprocessing=Preprocessing(input_hw=(16, 32), fit="stretch"),
    decoding={"stride": 2, "scale": 35.0, "offset": 0.5},
)


def test_tidying_names_inputs_and_outputs_and_keeps_the_answers(make_two_heads, two_heads, photos):
    strangers = make_two_heads(names=("x", "sigmoid_1", "conv_3"))

    tidied = onnx_graph.tidy(strangers.onnx, input_names=["input_1"], output_names=[COV, BBOX])

    assert onnx_graph.signature(tidied).inputs == {"input_1": (-1, 3, 16, 32)}
    assert onnx_graph.signature(tidied).outputs == {COV: (-1, 2, 8, 16), BBOX: (-1, 8, 8, 16)}
    with open_engine(tidied, threads=1) as engine:
        np.testing.assert_allclose(
            engine.infer({"input_1": photos(2)})[BBOX], two_heads.expect(photos(2))[BBOX], atol=1e-5
        )


def test_tidying_may_swap_names_and_moves_a_tensor_that_is_in_the_way(make_two_heads, photos):
    network = make_two_heads(names=("features_in", "a", "b"))

    tidied = onnx_graph.tidy(network.onnx, output_names=["features", "a"])  # `features` is the inner tensor's name

    with open_engine(tidied, threads=1) as engine:
        answer = engine.infer({"features_in": photos(1)})
    expected = network.expect(photos(1))
    np.testing.assert_allclose(answer["features"], expected["a"], atol=2e-6)
    np.testing.assert_allclose(answer["a"], expected["b"], atol=1e-5)


def test_tidying_folds_constants_and_drops_what_no_output_needs(two_heads):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.graph.node.insert(0, helper.make_node("Add", ["half", "half"], ["one"]))
    model.graph.node.insert(1, helper.make_node("Relu", ["input_1"], ["nobody_asked"], doc_string="/home/me/net.py"))
    model.graph.node.append(helper.make_node("Mul", [COV, "one"], ["scaled"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0.5]), "half"))
    model.graph.output[0].name = "scaled"
    model.graph.node[2].metadata_props.add(key="stack", value="/home/me/net.py")

    tidied = onnx_graph.tidy(model.SerializeToString())

    kinds = [node.op_type for node in onnx.load_model_from_string(tidied).graph.node]
    assert sorted(kinds) == ["Conv", "Conv", "Conv", "Mul", "Relu", "Sigmoid"]
    assert b"/home/me" not in tidied


def test_the_wrong_number_of_names_is_refused(two_heads):
    with pytest.raises(EngineError) as caught:
        onnx_graph.tidy(two_heads.onnx, output_names=["only_one"])

    assert str(caught.value) == f"this model has 2 outputs ({COV}, {BBOX}) and 1 names were given"


def test_a_model_that_the_checker_refuses_is_refused(two_heads):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.graph.node[0].op_type = "Convolution"

    with pytest.raises(EngineError) as caught:
        onnx_graph.tidy(model.SerializeToString())

    assert str(caught.value) == (
        "this ONNX model is not valid: No Op registered for Convolution with domain_version of 17; export it again"
    )


def test_fp16_keeps_float32_at_the_border_and_stays_close(two_heads, photos):
    half = onnx_graph.to_fp16(two_heads.onnx)

    assert (onnx_graph.element_types(two_heads.onnx), onnx_graph.element_types(half)) == ({"float32"}, {"float16"})
    assert onnx_graph.signature(half) == onnx_graph.signature(two_heads.onnx)
    with open_engine(half, threads=1) as engine:
        answer = engine.infer({"input_1": photos(2)})
    assert answer[BBOX].dtype == np.float32
    gap = np.abs(answer[BBOX] - two_heads.expect(photos(2))[BBOX]).max()
    assert 1e-6 < gap < 0.05  # half has 11 bits: some difference, and a small one


def test_fp16_of_a_model_in_fp16_is_itself_and_says_so_in_its_own_words(two_heads):
    described = onnx_graph.write_meta(two_heads.onnx, META)

    half = onnx_graph.to_fp16(described)

    assert onnx_graph.to_fp16(half) == half
    assert onnx_graph.read_meta(half).precision == "fp16"
    assert onnx_graph.read_meta(described).precision == "fp32"


def test_a_model_with_qdq_nodes_is_not_halved(two_heads):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["input_1", "s", "z"], ["q"]))
    model.graph.node.insert(1, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]))
    model.graph.node[2].input[0] = "dq"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "s"))
    model.graph.initializer.append(numpy_helper.from_array(np.int8(0), "z"))

    assert onnx_graph.element_types(model.SerializeToString()) == {"float32", "int8"}
    with pytest.raises(EngineError) as caught:
        onnx_graph.to_fp16(model.SerializeToString())

    assert str(caught.value) == ("this ONNX carries Q/DQ nodes (int8); build it with -t int8, which takes it as it is")


def test_what_a_model_says_of_itself_comes_back_equal(two_heads):
    assert onnx_graph.read_meta(two_heads.onnx) is None

    described = onnx_graph.write_meta(two_heads.onnx, META)

    assert onnx_graph.read_meta(described) == META
    assert onnx_graph.read_meta(onnx_graph.tidy(described)) == META


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the metadata of this model is not JSON ("),
        ('{"version": 9}', "the metadata of this model has version 9, and this taolite reads version 1; "),
        ('{"version": 1, "task": "x"}', "the metadata of this model is incomplete ('classes')"),
    ],
)
def test_a_description_that_cannot_be_read_says_why(two_heads, text, message):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.metadata_props.add(key="taolite", value=text)

    with pytest.raises(EngineError) as caught:
        onnx_graph.read_meta(model.SerializeToString())

    assert str(caught.value).startswith(message)


def test_the_hash_is_sha256(two_heads):
    assert onnx_graph.sha256(two_heads.onnx) == hashlib.sha256(two_heads.onnx).hexdigest()


@pytest.mark.parametrize("opset", [11, 12, 13, 16])
def test_a_detector_is_the_same_for_older_readers(two_heads, photos, opset):
    older = onnx_graph.tidy(onnx_graph.lower_opset(two_heads.onnx, opset))  # the checker knows each version's rules

    assert [entry.version for entry in onnx.load_model_from_string(older).opset_import] == [opset]
    with open_engine(older, threads=1) as engine:
        np.testing.assert_allclose(
            engine.infer({"input_1": photos(2)})[BBOX], two_heads.expect(photos(2))[BBOX], atol=1e-5
        )


def test_an_operator_that_changed_is_converted_or_refused(two_heads):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.graph.node[1].op_type = "HardSwish"  # since opset 14

    with pytest.raises(EngineError) as caught:
        onnx_graph.lower_opset(model.SerializeToString(), 13)
    with pytest.raises(EngineError) as ancient:
        onnx_graph.lower_opset(two_heads.onnx, 9)

    assert str(caught.value) == (
        "this model cannot be written at opset 13: No Previous Version of HardSwish exists; ask for a later one"
    )
    assert str(ancient.value) == "opset 9 is older than taolite writes; ask for 11 to 17, or later"


def test_mish_and_equal_splits_are_put_into_older_words():
    nodes = [
        helper.make_node("Mish", ["x"], ["bent"], name="m"),
        helper.make_node("Split", ["bent"], ["one", "two"], axis=1, num_outputs=2),
        helper.make_node("Mul", ["one", "two"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 6), ("y", 3)))
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=opsets, ir_version=8)
    values = np.float32([[-30, -2, -0.5, 0.5, 2, 30]])

    older = onnx_graph.lower_opset(model.SerializeToString(), 17)

    lowered = onnx.load_model_from_string(older)
    onnx.checker.check_model(lowered, full_check=True)
    assert [(entry.domain, entry.version) for entry in lowered.opset_import] == [("", 17)]
    mish = values * np.tanh(np.log1p(np.exp(values.astype(np.float64))))
    with open_engine(older) as engine:
        np.testing.assert_allclose(engine.infer({"x": values})["y"], mish[:, :3] * mish[:, 3:], rtol=1e-5)
