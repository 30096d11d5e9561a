"""Real TensorRT-RTX engines, built on this machine without a GPU, and what a build says when it cannot be.

Out of reach here: the engines are not executed (that needs a GPU, see the test marked `gpu`), and full TensorRT is
not installed; its rules are tested on a stand-in in test_tensorrt.py.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from taolite.engines import onnx_graph
from taolite.engines.build import Profile, batch_profiles, build_engine
from taolite.engines.opening import open_engine, sniff
from taolite.errors import EngineError

RTX_TARGETS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"


@pytest.fixture(autouse=True)
def _rtx():
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")


def with_qdq(data: bytes) -> bytes:
    """The stem quantised symmetrically, activations and weights, for TensorRT-RTX (reference/deploy.md 11.4)."""
    model = onnx.load_model_from_string(data)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale = np.abs(weights["stem.w"]).max() / 127
    levels = np.round(weights["stem.w"] / scale).astype(np.int8)
    for name, value in (
        ("in.s", np.float32(1 / 127)),
        ("in.z", np.int8(0)),
        ("w.s", np.float32(scale)),
        ("w.z", np.int8(0)),
        ("w.q", levels),
    ):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    model.graph.node[0].input[:2] = ["in.dq", "w.dq"]
    for position, (kind, inputs, output) in enumerate(
        (
            ("QuantizeLinear", ["input_1", "in.s", "in.z"], "in.q"),
            ("DequantizeLinear", ["in.q", "in.s", "in.z"], "in.dq"),
            ("DequantizeLinear", ["w.q", "w.s", "w.z"], "w.dq"),
        )
    ):
        model.graph.node.insert(position, helper.make_node(kind, inputs, [output]))
    return model.SerializeToString()


def dense(half: bool = False) -> bytes:
    """x (N, 6) times a constant matrix: the one thing Turing lacks in fp32."""
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"])],
        "dense",
        [helper.make_tensor_value_info("x", kind, ["n", 6])],
        [helper.make_tensor_value_info("y", kind, ["n", 4])],
        [numpy_helper.from_array(np.ones((6, 4), dtype), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_is_built_for_every_gpu_the_library_knows(two_heads, precision):
    built = build_engine(two_heads.onnx, backend="tensorrt_rtx", precision=precision)

    assert sniff(built.data) == "tensorrt_rtx"
    assert (built.backend, built.precision, built.gpus) == ("tensorrt_rtx", precision, RTX_TARGETS)
    assert built.profiles == {"input_1": Profile((1, 3, 16, 32), (1, 3, 16, 32), (1, 3, 16, 32))}
    assert re.fullmatch(r"1\.\d+\.\d+\.\d+", built.version)


def test_the_same_model_gives_the_same_bytes(two_heads):
    first, second = (build_engine(two_heads.onnx, backend="tensorrt_rtx").data for _ in range(2))

    assert first == second


def test_a_free_batch_is_built_from_smallest_to_largest(two_heads):
    profiles = batch_profiles(two_heads.onnx, smallest=1, best=4, largest=8)

    built = build_engine(two_heads.onnx, backend="tensorrt_rtx", profiles=profiles)

    assert built.profiles["input_1"] == Profile((1, 3, 16, 32), (4, 3, 16, 32), (8, 3, 16, 32))


def test_a_static_batch_needs_no_profile(make_two_heads):
    built = build_engine(make_two_heads(batch=2).onnx, backend="tensorrt_rtx")

    assert (built.profiles, sniff(built.data)) == ({}, "tensorrt_rtx")


def test_targets_are_those_that_were_named(two_heads):
    one = build_engine(two_heads.onnx, compute_capabilities=("8.6",))
    two = build_engine(two_heads.onnx, compute_capabilities=("7.5", "12.0"))

    assert (one.gpus, two.gpus) == (("8.6",), ("7.5", "12.0"))
    assert one.data != two.data


def test_turing_is_left_out_where_it_cannot_and_named_in_the_error_where_it_is_asked_for():
    built = build_engine(dense(), backend="tensorrt_rtx")
    half = build_engine(dense(half=True), backend="tensorrt_rtx")

    assert (built.gpus, half.gpus) == (RTX_TARGETS[1:], RTX_TARGETS)
    with pytest.raises(EngineError, match=r"^TensorRT-RTX [\d.]+ cannot build this model: .*Turing"):
        build_engine(dense(), compute_capabilities=("7.5",))


def test_a_quantised_model_is_built_as_it_is(two_heads):
    quantised = with_qdq(two_heads.onnx)

    built = build_engine(quantised, backend="tensorrt_rtx", precision="int8")

    assert (built.precision, sniff(built.data)) == ("int8", "tensorrt_rtx")
    assert build_engine(quantised, backend="tensorrt_rtx").data == built.data


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            None,
            {"precision": "int8"},
            "int8 needs a model with calibrated Q/DQ nodes, and this one has none; "
            "export it with --data_type int8, give a calibration cache, or build fp32 or fp16",
        ),
        (
            with_qdq,
            {"precision": "fp16"},
            "this model is quantised (Q/DQ nodes) and cannot be built as fp16; ask for int8",
        ),
        (
            onnx_graph.to_fp16,
            {"precision": "fp32"},
            "this model's weights are float16 already and cannot be built as fp32; ask for fp16",
        ),
        (None, {"precision": "fp8"}, "precision 'fp8' is not one of fp32, fp16, int8"),
        (
            None,
            {"backend": "openvino", "compute_capabilities": ("8.6",)},
            "openvino builds for this machine only; name GPUs with the backend tensorrt_rtx",
        ),
        (None, {"dla_core": 0}, "tensorrt_rtx has no DLA; leave out the DLA core"),
        (
            None,
            {"profiles": {"input_1": Profile((1, 3, 16, 32), (4, 3, 16, 32), (2, 3, 16, 32))}},
            "input input_1: 1x3x16x32, 4x3x16x32, 2x3x16x32 must be in rising order: smallest, usual, largest",
        ),
        (
            None,
            {"profiles": {"input_1": Profile((1, 3, 16, 16), (1, 3, 16, 16), (1, 3, 16, 16))}},
            "input input_1 is Nx3x16x32 and cannot be 1x3x16x16",
        ),
        (
            None,
            {"profiles": {"Input": Profile((1, 3, 16, 32), (1, 3, 16, 32), (1, 3, 16, 32))}},
            "there is no input Input; this model's inputs are input_1",
        ),
        (None, {"profiles": {}}, "input input_1 is Nx3x16x32 and needs its shapes: -p NAME,MIN,OPT,MAX"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_way_out(two_heads, change, options, message):
    data = change(two_heads.onnx) if change else two_heads.onnx

    with pytest.raises(EngineError) as caught:
        build_engine(data, **{"backend": "tensorrt_rtx", **options})

    assert str(caught.value) == message


def test_gpus_that_do_not_exist_there_are_named_with_those_that_do(two_heads):
    with pytest.raises(EngineError) as caught:
        build_engine(two_heads.onnx, compute_capabilities=("9.0", "8.6", "8.7", "CURRENT"))

    assert re.sub(r"RTX [\d.]+", "RTX", str(caught.value)) == (
        "TensorRT-RTX cannot build for compute capability 9.0, 8.7, CURRENT; it can for 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"
    )


def test_the_parsers_reason_is_in_the_message(two_heads):
    model = onnx.load_model_from_string(two_heads.onnx)
    model.graph.node[3].op_type, model.graph.node[3].name = "NMSDynamic_TRT", "NMS"

    with pytest.raises(EngineError) as caught:
        build_engine(model.SerializeToString(), backend="tensorrt_rtx")

    assert str(caught.value).startswith("TensorRT-RTX ")
    assert "cannot read this model: node NMS: " in str(caught.value)
    assert "Plugin not found" in str(caught.value)


def test_the_builders_reason_is_in_the_message():
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "k"], ["kept"])]
    graph = helper.make_graph(
        nodes,
        "nms",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 8, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 8]),
        ],
        [helper.make_tensor_value_info("kept", TensorProto.INT64, ["n", 3])],
        [numpy_helper.from_array(np.array([4]), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    with pytest.raises(EngineError) as caught:
        build_engine(model.SerializeToString(), backend="tensorrt_rtx")

    assert re.match(r"TensorRT-RTX [\d.]+ cannot build this model: \S", str(caught.value))
    assert "it gave no reason" not in str(caught.value)


def test_batches_that_fall_and_batches_a_model_does_not_take_are_refused(two_heads, make_two_heads):
    with pytest.raises(EngineError) as falling:
        batch_profiles(two_heads.onnx, smallest=1, best=8, largest=4)
    with pytest.raises(EngineError) as fixed:
        batch_profiles(make_two_heads(batch=2).onnx, largest=8)

    assert str(falling.value) == "batch sizes 1, 8, 4 need to be 1 or more, in rising order"
    assert str(fixed.value) == (
        "input input_1 is 2x3x16x32: its batch is fixed at 2 and cannot be 8; "
        "export the model without --static_batch_size"
    )


def test_an_openvino_engine_runs_and_answers_what_the_loops_answer(two_heads, photos):
    pytest.importorskip("openvino")

    built = build_engine(two_heads.onnx, backend="openvino")

    assert (built.gpus, built.precision, sniff(built.data)) == ((), "fp32", "openvino")
    with open_engine(built.data, threads=1) as engine:
        answer = engine.infer({"input_1": photos(3)})
    np.testing.assert_allclose(answer[BBOX], two_heads.expect(photos(3))[BBOX], atol=1e-5)


def test_an_engine_opened_without_a_gpu_says_what_is_missing(two_heads):
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("there is a GPU here")

    with pytest.raises(EngineError) as caught:
        open_engine(build_engine(two_heads.onnx, backend="tensorrt_rtx").data)

    assert str(caught.value).startswith(
        "a TensorRT engine runs on an NVIDIA GPU, and GPU 0 cannot be reached (pycuda is not installed; cuda-python: "
    )
    assert str(caught.value).endswith(
        "or run the model it was built from on the processor: -m MODEL.etlt --runtime openvino (or onnxruntime)"
    )


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_answers_on_a_gpu_what_the_loops_answer(two_heads, photos, precision):
    built = build_engine(two_heads.onnx, precision=precision, profiles=batch_profiles(two_heads.onnx, largest=4))

    with open_engine(built.data) as engine:
        for batch in (4, 1, 3):
            answer = engine.infer({"input_1": photos(batch)})
            expected = two_heads.expect(photos(batch))
            np.testing.assert_allclose(answer[COV], expected[COV], atol=1e-3 if precision == "fp32" else 1e-2)
            np.testing.assert_allclose(answer[BBOX], expected[BBOX], atol=1e-2 if precision == "fp32" else 5e-2)


def test_too_little_memory_for_the_build_is_answered_with_the_flags_that_allow_more(two_heads):
    with pytest.raises(EngineError, match=r"with 16 bytes of GPU memory for the build; allow more \(-w, --max_work"):
        build_engine(with_qdq(two_heads.onnx), backend="tensorrt_rtx", workspace_bytes=16)
