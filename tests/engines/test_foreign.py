"""ONNX that other programs wrote: told by its outputs, and run like an export of ours."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from taolite.artifacts.sidecar import read_sidecar
from taolite.cli.main import main
from taolite.engines import onnx_graph
from taolite.engines.foreign import Foreign, adopted, described, recognise
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import EngineError, ModelError
from taolite.onnxfile import parse_onnx
from taolite.preprocessing import Preprocessing

COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"
NVIDIA = ("input_1:0", f"{COV}:0", f"{BBOX}:0")
CASE = Path(__file__).parents[3] / "shared" / "cases" / "nvidia_plain_onnx" / "tao5_like.onnx"


def swapped(data: bytes) -> bytes:
    """The same model with its outputs in the other order."""
    model = onnx.load_model_from_string(data)
    first, second = model.graph.output
    order = [copy.deepcopy(value) for value in (second, first)]
    del model.graph.output[:]
    model.graph.output.extend(order)
    return model.SerializeToString()


def classifier(*, output: str = "output_0", classes: int = 3, source: str = "input_0") -> bytes:
    """The mean of each of three channels."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", [source], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w"], [output]),
        ],
        "g",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", 3, 4, 6])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.eye(3, classes, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("names", [NVIDIA, ("input_1", COV, BBOX)])
@pytest.mark.parametrize("order", [lambda data: data, swapped])
def test_a_detectnet_is_told_by_its_outputs_with_and_without_a_number_in_any_order(make_two_heads, names, order):
    found = recognise(order(make_two_heads(names=names).onnx))

    assert found == Foreign(
        "detectnet", "NVIDIA's TAO", {COV: names[1], BBOX: names[2]}, input_hw=(16, 32), channels=3, classes=2
    )


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("order", [lambda data: data, swapped])
def test_an_adopted_detectnet_answers_by_our_names_and_says_what_it_was_given(make_two_heads, photos, runtime, order):
    pytest.importorskip(runtime)
    model = make_two_heads(names=NVIDIA)
    meta = OnnxMeta("detectnet", ("cat", "dog"), Preprocessing((16, 32), fit="stretch"), {"scale": 35.0})
    data = order(model.onnx)

    made = adopted(data, recognise(data), meta)

    assert onnx_graph.read_meta(made) == meta
    with open_engine(made, runtime=runtime, threads=1) as engine:
        answer = engine.infer({"input_1": photos(2)})
    assert list(answer) == [COV, BBOX]
    expected = model.expect(photos(2))
    np.testing.assert_allclose(answer[COV], expected[f"{COV}:0"], atol=2e-6)
    np.testing.assert_allclose(answer[BBOX], expected[f"{BBOX}:0"], atol=1e-5)


def test_a_tensor_inside_that_has_our_name_already_makes_room(make_two_heads, photos):
    model = make_two_heads(names=NVIDIA)
    inside = onnx.load_model_from_string(model.onnx)
    for node in inside.graph.node:
        for side in (node.input, node.output):
            side[:] = ["input_1" if name == "features" else name for name in side]
    data = inside.SerializeToString()

    made = adopted(data, recognise(data), OnnxMeta("detectnet", ("a", "b"), Preprocessing((16, 32))))

    with open_engine(made, threads=1) as engine:
        answer = engine.infer({"input_1": photos(1)})
    np.testing.assert_allclose(answer[BBOX], model.expect(photos(1))[f"{BBOX}:0"], atol=1e-5)


def test_names_are_changed_in_branches_too():
    branch = helper.make_graph(
        [helper.make_node("Identity", ["input_0"], ["chosen"])],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, ["n", 3, 4, 6])],
    )
    model = onnx.load_model_from_string(classifier())
    model.graph.node[0].input[0] = "picked"
    model.graph.node.insert(0, helper.make_node("If", ["yes"], ["picked"], then_branch=branch, else_branch=branch))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    data = model.SerializeToString()

    made = adopted(data, recognise(data), OnnxMeta("classification", ("r", "g", "b"), Preprocessing((4, 6))))

    with open_engine(made, threads=1) as engine:
        (scores,) = engine.infer({"input_1": np.full((1, 3, 4, 6), 0.25, np.float32)}).values()
    np.testing.assert_allclose(scores, [[0.25] * 3])


def test_an_ssd_of_pytorch_ssd_is_told_with_its_priors(raw_ssd):
    model = onnx.load_model_from_string(raw_ssd(7, 2))
    assert recognise(model.SerializeToString()) is None  # its input is no picture

    picture = helper.make_tensor_value_info("input_0", TensorProto.FLOAT, [1, 3, 30, 40])
    model.graph.input[0].CopyFrom(picture)

    assert recognise(model.SerializeToString()) == Foreign(
        "ssd", "pytorch-ssd", {"scores": "scores", "boxes": "boxes"}, (30, 40), 3, classes=2, priors=7
    )


@pytest.mark.parametrize(
    ("output", "origin"),
    [("predictions/Softmax:0", "NVIDIA's TAO"), ("output_0", "another program")],
)
def test_a_classifier_is_told_by_its_one_row_of_scores(output, origin):
    data = classifier(output=output, source="input_1:0")
    found = recognise(data)

    assert found == Foreign("classification", origin, {"predictions/Softmax": output}, (4, 6), 3, classes=3)
    made = adopted(data, found, OnnxMeta("classification", ("r", "g", "b"), Preprocessing((4, 6))))
    assert onnx_graph.signature(made).outputs == {"predictions/Softmax": (-1, 3)}


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.graph.output.pop(),  # boxes are missing: one output, of four axes
        lambda model: setattr(model.graph.output[1].type.tensor_type.shape.dim[1], "dim_value", 5),
        lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 7),
        lambda model: model.graph.input.add(name="second"),
        lambda model: setattr(model.graph.output[1], "name", "stem"),
    ],
)
def test_a_model_of_no_known_kind_is_not_guessed_at(make_two_heads, change):
    model = onnx.load_model_from_string(make_two_heads(names=NVIDIA).onnx)
    change(model)

    assert recognise(model.SerializeToString()) is None


@pytest.mark.parametrize(
    ("meta", "asked"),
    [
        (OnnxMeta("detectnet", ("cat",), Preprocessing((16, 32))), "detectnet, 1 class, 3 x 16 x 32"),
        (OnnxMeta("detectnet", ("cat", "dog"), Preprocessing((32, 16))), "detectnet, 2 classes, 3 x 32 x 16"),
        (OnnxMeta("detectnet", ("cat", "dog"), Preprocessing((16, 32), 1)), "detectnet, 2 classes, 1 x 16 x 32"),
        (OnnxMeta("ssd", ("cat", "dog"), Preprocessing((16, 32))), "ssd, 2 classes, 3 x 16 x 32"),
    ],
)
def test_a_spec_of_another_model_is_refused_with_both_named(make_two_heads, meta, asked):
    data = make_two_heads(names=NVIDIA).onnx

    with pytest.raises(ModelError) as caught:
        adopted(data, recognise(data), meta)

    assert str(caught.value) == (
        "the ONNX of NVIDIA's TAO is detectnet, 2 classes, 3 x 16 x 32 (channels, height, width); it is asked for as "
        f"{asked} (channels, height, width); give the spec the model was trained with"
    )


def test_a_models_own_metadata_comes_first_and_a_spec_stands_in_for_it(make_two_heads):
    data = make_two_heads(names=NVIDIA).onnx
    own, spec = (OnnxMeta("detectnet", names, Preprocessing((16, 32))) for names in (("a", "b"), ("cat", "dog")))
    ours = adopted(data, recognise(data), own)

    assert described(ours, spec) == (ours, own)
    assert described(data, None) == (data, None)
    assert described(data, spec) == (adopted(data, recognise(data), spec), spec)
    unknown = onnx.load_model_from_string(data)
    unknown.graph.output[0].name = "stem"
    assert described(unknown.SerializeToString(), spec) == (unknown.SerializeToString(), spec)


def test_what_is_no_onnx_is_no_foreign_model():
    with pytest.raises(EngineError):
        recognise(b"\x08\x08")


def test_the_shared_case_is_told_and_runs():
    if not CASE.is_file():
        pytest.skip(f"the case is not at {CASE}")
    data = CASE.read_bytes()
    found = recognise(data)

    assert (found.task, found.classes, found.input_hw) == ("detectnet", 1, (112, 160))
    made = adopted(data, found, OnnxMeta("detectnet", ("cat",), Preprocessing((112, 160))))
    with open_engine(made, threads=1) as engine:
        answer = engine.infer({"input_1": np.zeros((1, 3, 112, 160), np.float32)})
    assert {name: array.shape for name, array in answer.items()} == {COV: (1, 1, 7, 10), BBOX: (1, 4, 7, 10)}
    assert [node.op_type for node in parse_onnx(made).graph.node][-1] == "Conv"


def test_tao_converter_builds_an_engine_of_it_that_a_spec_has_to_name(make_two_heads, tmp_path, capsys):
    pytest.importorskip("openvino")
    model = make_two_heads(names=NVIDIA)
    (tmp_path / "tao.onnx").write_bytes(model.onnx)
    words = ["-e", str(tmp_path / "tao.engine"), "-o", "output_cov/Sigmoid,output_bbox/BiasAdd", "-d", "3,16,32"]

    assert main(["convert", str(tmp_path / "tao.onnx"), *words, "--backend", "openvino"]) == 0

    assert (
        f"{tmp_path}/tao.onnx: an ONNX of NVIDIA's TAO names no classes; run the engine with a spec (-e) that does"
        in capsys.readouterr().err
    )
    sidecar = read_sidecar(tmp_path / "tao.engine")
    assert (sidecar.task, sidecar.classes) == ("detectnet", ("class_0", "class_1"))
