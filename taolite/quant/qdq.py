"""Explicit INT8: QuantizeLinear / DequantizeLinear pairs in an ONNX, where TensorRT fuses them.

Symmetric, int8, zero point 0: q = clamp(round-half-even(x / scale), -128, 127). Biases stay float. That is what
TensorRT-RTX and TensorRT 11 build; unsigned or shifted activations and int32 biases they refuse
(reference/deploy.md 11.4). ONNX Runtime and OpenVINO run the same file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import ModelError, UsageError
from taolite.onnxfile import parse_onnx

__all__ = ["LEVELS", "insert_qdq", "layers", "quantised_tensors"]

LEVELS = 127
_OLDEST_OPSET = 13  # the first whose QuantizeLinear has an axis
_LAYERS = ("Conv", "Gemm")


@dataclass(frozen=True)
class _Layer:
    """A node with learned weights, and the axis of its weights that counts output channels."""

    name: str
    node: Any
    axis: int


def insert_qdq(
    onnx: bytes, ranges: Mapping[str, float], *, excluded: Collection[str] = (), per_channel: bool = True
) -> bytes:
    """The same model with INT8 convolutions.

    What is placed where:

    - Conv and Gemm with constant weights: a Q/DQ pair on the data input, and the weights stored as int8 behind a
      DequantizeLinear, one scale an output channel: max |w| / 127. Their outputs stay as they are, so Conv + ReLU
      with the next layer's Q behind them fuse into one INT8 kernel.
    - Add of two activations (a residual): a Q/DQ pair on the shorter branch only. The longer one ends in the
      convolution that TensorRT fuses the addition into; a pair there would split them.
    - All readers of a tensor share one pair. Nothing is placed on the model's outputs, on biases, between Conv and
      ReLU, or around pooling, concatenation and sigmoid.

    Args:
        onnx: float32, with BatchNorm folded, as `export` writes it.
        ranges: tensor name -> largest |x| it is to hold; 0 (a tensor that was never anything else) counts as 127. A
            layer or branch whose tensor has no range stays float; names that nothing needs are passed over.
        excluded: names of layers (see `layers`) that stay float.
        per_channel: False takes one scale for all the weights of a layer.

    Raises:
        ModelError: an opset below 13, a model that is quantised already, or no layer of it would be quantised.
        UsageError: `excluded` names no layer. ValueError: a range that is negative or not finite.
    """
    model, found = _read(onnx)
    graph = model.graph
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        raise ModelError("this ONNX is quantised already (it carries Q/DQ nodes); start from the fp32 export")
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _OLDEST_OPSET:
        raise ModelError(f"int8 needs opset {_OLDEST_OPSET} or later, and this model has {opset}; export it with 17")
    _check_names(found, excluded)
    _check_ranges(ranges)
    chosen = [layer for layer in found if layer.name not in excluded and layer.node.input[0] in ranges]
    if not chosen:
        raise ModelError("no layer of this model has a range for its input; calibrate this model, not another")

    added = _Added()
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for layer in chosen:
        node, name = layer.node, layer.node.input[1]
        added.weight(weights[name], axis=layer.axis if per_channel else None)
        node.input[1] = _dequantized(name)
    for node, position in [*((layer.node, 0) for layer in chosen), *_residuals(graph)]:
        name = node.input[position]
        if name in ranges:
            added.activation(name, ranges[name])
            node.input[position] = _dequantized(name)

    added.write(graph)
    return bytes(model.SerializeToString(deterministic=True))


def layers(onnx: bytes) -> dict[str, tuple[str, str]]:
    """The layers that can be quantised, in the graph's order, named as the network names them (`block_1a_conv_1`),
    each with the tensors it reads and gives."""
    return {layer.name: (layer.node.input[0], layer.node.output[0]) for layer in _read(onnx)[1]}


def quantised_tensors(onnx: bytes, *, excluded: Collection[str] = ()) -> tuple[str, ...]:
    """The activations `insert_qdq` wants a range for, each once. Raises UsageError as it does."""
    model, found = _read(onnx)
    _check_names(found, excluded)
    inputs = [layer.node.input[0] for layer in found if layer.name not in excluded]
    return tuple(dict.fromkeys([*inputs, *(node.input[position] for node, position in _residuals(model.graph))]))


class _Added:
    """What is added to a graph: constants by name, and the nodes behind each tensor."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self.nodes: dict[str, list[Any]] = {}

    def activation(self, tensor: str, largest: float) -> None:
        """A Q and a DQ node, once for all who read `tensor`."""
        from onnx import helper

        constants = self._scale(tensor, _scales(largest))
        stored, read = f"{tensor}_quantized", _dequantized(tensor)
        self.nodes[tensor] = [
            helper.make_node("QuantizeLinear", [tensor, *constants], [stored], f"{tensor}_q"),
            helper.make_node("DequantizeLinear", [stored, *constants], [read], f"{tensor}_dq"),
        ]

    def weight(self, tensor: Any, *, axis: int | None) -> None:
        """The weight as int8 levels, and a DQ node; one scale for each index of `axis`, or one in all."""
        from onnx import helper, numpy_helper

        values = numpy_helper.to_array(tensor)
        scales = _scales(np.abs(values).max(axis=tuple(other for other in range(values.ndim) if other != axis)))
        spread = scales if axis is None else np.expand_dims(scales, [o for o in range(values.ndim) if o != axis])
        levels = np.clip(np.rint(values / spread), -LEVELS, LEVELS).astype(np.int8)
        name, stored = tensor.name, f"{tensor.name}_quantized"
        self.constants[stored] = numpy_helper.from_array(levels, stored)
        node = helper.make_node(
            "DequantizeLinear", [stored, *self._scale(name, scales)], [_dequantized(name)], f"{name}_dq"
        )
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.nodes[name] = [node]

    def write(self, graph: Any) -> None:
        """Put the nodes behind those whose tensors they read, and the constants beside the others; constants that
        nobody reads any more are left out."""
        outputs = {name for node in graph.node for name in node.output}
        nodes = [node for name, made in self.nodes.items() if name not in outputs for node in made]
        for node in graph.node:
            nodes.append(node)
            nodes.extend(made for name in node.output for made in self.nodes.get(name, ()))
        read = {name for node in nodes for name in node.input}
        constants = [tensor for tensor in (*graph.initializer, *self.constants.values()) if tensor.name in read]
        for field, values in ((graph.node, nodes), (graph.initializer, constants), (graph.value_info, ())):
            del field[:]
            field.extend(values)

    def _scale(self, tensor: str, scales: NDArray[np.float32]) -> tuple[str, str]:
        """Keep the scale and its zero point of 0, which says int8; their names."""
        from onnx import numpy_helper

        scale, zero = f"{tensor}_scale", f"{tensor}_zero_point"
        self.constants[scale] = numpy_helper.from_array(scales, scale)
        self.constants[zero] = numpy_helper.from_array(np.zeros(scales.shape, np.int8), zero)
        return scale, zero


def _scales(largest: Any) -> NDArray[np.float32]:
    """range / 127 in float32; 1 for a range of 0, because a scale of 0 has no inverse."""
    scales = (np.asarray(largest, np.float64) / LEVELS).astype(np.float32)
    return np.asarray(np.where(scales > 0, scales, 1), np.float32)


def _dequantized(tensor: str) -> str:
    return f"{tensor}_dequantized"


def _read(onnx: bytes) -> tuple[Any, list[_Layer]]:
    """The ModelProto and its layers."""
    model = parse_onnx(onnx)
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in _LAYERS and node.input[1] in constants]
    found = []
    for name, node in zip(_names([node.input[1] for node in nodes]), nodes, strict=True):
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        found.append(_Layer(name, node, axis=0 if node.op_type == "Conv" or transposed else 1))
    return model, found


def _names(kernels: Sequence[str]) -> list[str]:
    """What layers with these kernels are called: the last word of their path where no other has it, as TAO's layers
    are, else all of it.

    >>> _names(["backbone.conv1.weight", "extras.0.expand.weight", "layer1.0.conv2.weight", "layer1.1.conv2.weight"])
    ['conv1', 'expand', 'layer1.0.conv2', 'layer1.1.conv2']
    """
    paths = [kernel.removesuffix(".weight").removeprefix("backbone.") for kernel in kernels]
    ends = Counter(path.rpartition(".")[2] for path in paths)
    return [end if ends[end := path.rpartition(".")[2]] == 1 and not end.isdecimal() else path for path in paths]


def _residuals(graph: Any) -> list[tuple[Any, int]]:
    """Every Add of two activations, with the position of its shorter branch (the second, where they are equal); but for
    those that decode an output, as an SSD's boxes, which stays float."""
    constants = {tensor.name for tensor in graph.initializer}
    decoded = _decoded(graph)
    depth: dict[str, int] = {}
    found = []
    for node in graph.node:
        below = [depth.get(name, 0) for name in node.input if name not in constants]
        depth.update(dict.fromkeys(node.output, 1 + max(below, default=0)))
        if node.op_type == "Add" and len(below) == 2 and node.output[0] not in decoded:
            found.append((node, 0 if below[0] < below[1] else 1))
    return found


def _decoded(graph: Any) -> set[str]:
    """The tensors that are no feature maps any more, but reshaped, and that no layer is behind."""
    read: set[str] = set()  # by a layer, or on the way to one
    for node in reversed(graph.node):
        if node.op_type in _LAYERS or read.intersection(node.output):
            read.update(node.input)
    reshaped: set[str] = set()
    for node in graph.node:
        if node.op_type == "Reshape" or reshaped.intersection(node.input):
            reshaped.update(node.output)
    return reshaped - read


def _check_names(found: Iterable[_Layer], excluded: Collection[str]) -> None:
    names = [layer.name for layer in found]
    unknown = [name for name in excluded if name not in names]
    if unknown:
        raise UsageError(f"{unknown[0]} is no layer of this model; its layers are {', '.join(names)}")


def _check_ranges(ranges: Mapping[str, float]) -> None:
    for name, largest in ranges.items():
        if not 0 <= largest < np.inf:
            raise ValueError(f"the range of {name} is {largest}; it needs to be 0 or more, and finite")
