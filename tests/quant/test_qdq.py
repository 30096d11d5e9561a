"""Q/DQ nodes: where they stand, what they hold, and that the network computes what integers would."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from taolite.engines.build import build_engine
from taolite.errors import ModelError, UsageError
from taolite.quant import insert_qdq, layers, quantised_tensors


def nodes(data: bytes) -> list[tuple[str, list[str], list[str]]]:
    graph = onnx.load_model_from_string(data).graph
    return [(node.op_type, list(node.input), list(node.output)) for node in graph.node]


def constants(data: bytes) -> dict[str, NDArray[np.generic]]:
    graph = onnx.load_model_from_string(data).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def run(data: bytes, photos: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """As written: no rewriting by the runtime, which would round in other places."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options).run(None, {"input_1": photos})


def photos(count: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, 2, 6, 8), dtype=np.float32)


def levels(values: NDArray[np.float64], scale: float) -> NDArray[np.int64]:
    return np.clip(np.rint(values / scale), -128, 127).astype(np.int64)


def int_conv(x_nchw: NDArray[np.int64], w_oihw: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers only, window by window; padded with zeros to the same size."""
    size = w_oihw.shape[2]
    padded = np.pad(x_nchw, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    out = np.zeros((len(x_nchw), len(w_oihw), *x_nchw.shape[2:]), np.int64)
    for y in range(out.shape[2]):
        for x in range(out.shape[3]):
            window = padded[:, None, :, y : y + size, x : x + size]
            out[:, :, y, x] = (window * w_oihw).sum(axis=(2, 3, 4))
    return out


def integer_network(residual, photos_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The residual network in int8 with integer sums, by hand."""

    def layer(x: NDArray[np.float64], scale: float, weight: str, bias: str | None) -> NDArray[np.float64]:
        w = residual.weights[weight].astype(np.float64)
        w_scales = np.abs(w).max(axis=(1, 2, 3)) / 127
        sums = int_conv(levels(x, scale), np.rint(w / w_scales.reshape(-1, 1, 1, 1)).astype(np.int64))
        offset = residual.weights[bias].reshape(-1, 1, 1) if bias else 0.0
        return sums * (scale * w_scales).reshape(-1, 1, 1) + offset

    ra = np.maximum(layer(photos_nchw, 1 / 128, "backbone.stem.weight", "stem.bias"), 0)
    b = layer(ra, 1 / 16, "backbone.block.weight", "block.bias")
    rs = np.maximum(levels(ra, 1 / 16) / 16 + b, 0)
    logits = layer(rs, 1 / 8, "output_cov.weight", None)
    return 1 / (1 + np.exp(-logits)), layer(rs, 1 / 8, "output_bbox.weight", "output_bbox.bias")


def test_the_quantised_network_computes_what_integers_compute(residual):
    cov, bbox = run(insert_qdq(residual.onnx, residual.ranges), photos())

    wanted_cov, wanted_bbox = integer_network(residual, photos())
    np.testing.assert_array_equal(bbox, wanted_bbox.astype(np.float32))
    np.testing.assert_allclose(cov, wanted_cov, atol=1e-6)
    plain_cov, plain_bbox = run(residual.onnx, photos())
    assert 0 < np.abs(cov - plain_cov).max() < 0.05
    assert 0 < np.abs(bbox - plain_bbox).max() < 0.2


def test_pairs_stand_before_convolutions_and_on_the_shorter_branch_of_an_addition(residual):
    def dq(name: str) -> str:
        return f"{name}_dequantized"

    def pair(name: str) -> list[tuple[str, list[str], list[str]]]:
        constant = [f"{name}_scale", f"{name}_zero_point"]
        return [
            ("QuantizeLinear", [name, *constant], [f"{name}_quantized"]),
            ("DequantizeLinear", [f"{name}_quantized", *constant], [dq(name)]),
        ]

    data = insert_qdq(residual.onnx, residual.ranges)

    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    of_weights = [
        ("DequantizeLinear", [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"], [dq(name)])
        for name in residual.weights
        if name.endswith(".weight")
    ]
    stem, block, cov, bbox = (made[2][0] for made in of_weights)
    assert nodes(data) == [
        *of_weights,
        *pair("input_1"),
        ("Conv", [dq("input_1"), stem, "stem.bias"], ["a"]),
        ("Relu", ["a"], ["ra"]),
        *pair("ra"),
        ("Conv", [dq("ra"), block, "block.bias"], ["b"]),
        ("Add", [dq("ra"), "b"], ["sum"]),
        ("Relu", ["sum"], ["rs"]),
        *pair("rs"),
        ("Conv", [dq("rs"), cov], ["logits"]),
        ("Sigmoid", ["logits"], ["cov"]),
        ("Conv", [dq("rs"), bbox, "output_bbox.bias"], ["bbox"]),
    ]


def test_scales_are_the_range_over_127_and_weights_have_one_a_channel(residual):
    found = constants(insert_qdq(residual.onnx, {**residual.ranges, "input_1": 1.0}))

    assert found["input_1_scale"] == np.float32(1 / 127)
    assert found["input_1_scale"].shape == ()
    assert found["ra_scale"] == np.float32(1 / 16)
    np.testing.assert_array_equal(found["backbone.stem.weight_scale"], np.float32([2**-7, 2**-8, 2**-9]))
    weight = residual.weights["backbone.stem.weight"]
    assert found["backbone.stem.weight_quantized"].dtype == np.int8
    assert found["backbone.stem.weight_quantized"][1, 1, 2, 0] == round(float(weight[1, 1, 2, 0]) * 2**8)
    assert all(not found[name].any() and found[name].dtype == np.int8 for name in found if name.endswith("zero_point"))
    assert "backbone.stem.weight" not in found
    assert found["stem.bias"].dtype == np.float32


def test_one_scale_for_a_whole_layer_is_its_largest_weights(residual):
    found = constants(insert_qdq(residual.onnx, residual.ranges, per_channel=False))

    assert found["output_bbox.weight_scale"] == np.float32(2**-7)
    assert np.abs(found["output_bbox.weight_quantized"][3]).max() == 16  # 127 * 2^-10 in steps of 2^-7


def test_an_excluded_layer_and_one_without_a_range_stay_float(residual):
    data = insert_qdq(residual.onnx, {"input_1": 1.0, "rs": 1.0}, excluded=("output_bbox",))

    convolutions = [inputs[:2] for kind, inputs, _ in nodes(data) if kind == "Conv"]
    assert convolutions == [
        ["input_1_dequantized", "backbone.stem.weight_dequantized"],
        ["ra", "backbone.block.weight"],
        ["rs_dequantized", "output_cov.weight_dequantized"],
        ["rs", "output_bbox.weight"],
    ]
    assert ("Add", ["ra", "b"], ["sum"]) in nodes(data)


def test_layers_and_the_tensors_they_need_are_told(residual):
    assert layers(residual.onnx) == {
        "stem": ("input_1", "a"),
        "block": ("ra", "b"),
        "output_cov": ("rs", "logits"),
        "output_bbox": ("rs", "bbox"),
    }
    assert quantised_tensors(residual.onnx) == ("input_1", "ra", "rs")
    assert quantised_tensors(residual.onnx, excluded=("output_cov", "output_bbox")) == ("input_1", "ra")


def test_a_range_of_nothing_and_a_channel_of_zeros_still_have_a_scale(residual):
    model = onnx.load_model_from_string(residual.onnx)
    stem = next(tensor for tensor in model.graph.initializer if tensor.name == "backbone.stem.weight")
    values = numpy_helper.to_array(stem).copy()
    values[2] = 0
    stem.CopyFrom(numpy_helper.from_array(values, stem.name))

    found = constants(insert_qdq(model.SerializeToString(), {"input_1": 0.0}))

    assert found["input_1_scale"] == 1
    assert found["backbone.stem.weight_scale"][2] == 1
    assert not found["backbone.stem.weight_quantized"][2].any()


def test_what_cannot_be_quantised_says_why(residual):
    older = onnx.load_model_from_string(residual.onnx)
    older.opset_import[0].version = 12
    done = insert_qdq(residual.onnx, residual.ranges)

    def message(kind: type[Exception], data: bytes, ranges: dict[str, float], **options: tuple[str, ...]) -> str:
        with pytest.raises(kind) as caught:
            insert_qdq(data, ranges, **options)
        return str(caught.value)

    assert message(ModelError, older.SerializeToString(), residual.ranges) == (
        "int8 needs opset 13 or later, and this model has 12; export it with 17"
    )
    assert message(ModelError, done, residual.ranges) == (
        "this ONNX is quantised already (it carries Q/DQ nodes); start from the fp32 export"
    )
    assert message(ModelError, residual.onnx, {"relu_1": 1.0}) == (
        "no layer of this model has a range for its input; calibrate this model, not another"
    )
    assert message(UsageError, residual.onnx, residual.ranges, excluded=("head",)) == (
        "head is no layer of this model; its layers are stem, block, output_cov, output_bbox"
    )
    assert message(ValueError, residual.onnx, {"input_1": float("inf")}) == (
        "the range of input_1 is inf; it needs to be 0 or more, and finite"
    )


@pytest.mark.parametrize("per_channel", [True, False])
def test_tensorrt_rtx_builds_it_for_every_gpu_it_knows(residual, per_channel):
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    data = insert_qdq(residual.onnx, residual.ranges, per_channel=per_channel)

    built = build_engine(data, backend="tensorrt_rtx", compute_capabilities=("8.0", "8.6", "8.9", "12.0"))

    assert (built.precision, built.warnings) == ("int8", ())


def test_openvino_stays_as_close_to_the_float_network_as_onnx_runtime(residual):
    openvino = pytest.importorskip("openvino", reason="the openvino extra is not installed")
    data = insert_qdq(residual.onnx, residual.ranges)
    core = openvino.Core()

    answer = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(photos(8))

    plain, rounded = run(residual.onnx, photos(8)), run(data, photos(8))
    for index in (0, 1):
        ours = np.abs(rounded[index] - plain[index]).mean()
        assert np.abs(answer[index] - plain[index]).mean() < 1.5 * ours
