"""What a model costs: multiply-accumulates of one pass, and the number of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taolite.engines.onnx_graph import first_line, shape_of
from taolite.errors import EngineError
from taolite.onnxfile import parse_onnx

__all__ = ["Cost", "macs_and_parameters"]


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one pass, and the number of parameters."""

    macs: int
    parameters: int


def macs_and_parameters(onnx: bytes, input_shape: Sequence[int]) -> Cost:
    """Count the work of Conv, ConvTranspose, Gemm and MatMul, and the numbers learned in all layers.

    Args:
        input_shape: of the first input, every axis given, e.g. (1, 3, 544, 960).

    Conv: output elements x kernel h x kernel w x input channels / groups; Gemm and MatMul: M x N x K. Biases,
    activations and additions cost nothing here. Parameters are float constants of rank 1 and more that stand in the
    graph once BatchNorm is folded, so they are fewer than the training network's.
    Raises EngineError where the shapes do not work out.
    """
    import onnx as onnx_library

    model = parse_onnx(onnx)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if len(dims) != len(input_shape):
        raise EngineError(f"input {model.graph.input[0].name} has {len(dims)} axes; the shape has {len(input_shape)}")
    for dim, size in zip(dims, input_shape, strict=True):
        dim.dim_value = size
    for output in model.graph.output:
        del output.type.tensor_type.shape.dim[:]
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        inferred = onnx_library.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx_library.shape_inference.InferenceError as error:
        raise EngineError(f"an input of {tuple(input_shape)} does not fit this model: {first_line(error)}") from error
    graph = inferred.graph
    shapes = {value.name: shape_of(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    floats = onnx_library.TensorProto
    learned = [
        tensor
        for tensor in graph.initializer
        if tensor.dims and tensor.data_type in (floats.FLOAT, floats.FLOAT16, floats.BFLOAT16, floats.INT8)
    ]
    return Cost(
        macs=sum(_macs(node, shapes) for node in graph.node),
        parameters=sum(int(np.prod(tensor.dims)) for tensor in learned),
    )


def _macs(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":  # weight: out channels, in channels / groups, kernel
        return int(np.prod(out) * np.prod(second[1:]))
    if node.op_type == "ConvTranspose":  # weight: in channels, out channels / groups, kernel
        return int(np.prod(first) * np.prod(second[1:]))
    transposed = node.op_type == "Gemm" and any(attr.name == "transA" and attr.i for attr in node.attribute)
    return int(np.prod(out) * first[0 if transposed else -1])
