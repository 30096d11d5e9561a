"""The ONNX between training and engines: clean it up, rename, convert to float16, read and write its metadata.

Every function takes the bytes of an ONNX file and returns new bytes or a value; nothing is written to the disk, because
the bytes may come from a sealed `.etlt`. The metadata of a model (`OnnxMeta`: classes, preprocessing, decoding) is JSON
under the metadata key `taolite`, so a plain `.onnx` is enough to run.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taolite.errors import EngineError, reason
from taolite.onnxfile import parse_onnx
from taolite.preprocessing import Preprocessing

__all__ = [
    "OnnxMeta",
    "Signature",
    "describe",
    "element_types",
    "first_line",
    "lower_opset",
    "operators",
    "read_meta",
    "sha256",
    "shape_of",
    "signature",
    "tidy",
    "to_fp16",
    "write_meta",
]

_META_KEY = "taolite"
_META_VERSION = 1
_OLDEST_OPSET = 11
_HELD = "taolite.held"  # the domain of nodes that ONNX's converter is to leave alone
_UNCHANGED = {
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "Div",
    "GlobalAveragePool",
    "MaxPool",
    "Mul",
    "Relu",
    "Sigmoid",
    "Sub",
}


@dataclass(frozen=True)
class OnnxMeta:
    """The metadata of an exported model.

    Attributes:
        task: the task's name, e.g. "detectnet".
        classes: names in the order of the output channels.
        preprocessing: from photograph to input.
        decoding: what the task's decoder needs (stride, scale, offset, thresholds ...); JSON values only.
        precision: "fp32", "fp16" or "int8", the type of the weights.
        calibration: how the ranges of an int8 model were found (method, images ...); JSON values only.
        gate: its score beside that of the trained model (metric, trained, exported, drop ...); JSON values only.
    """

    task: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    calibration: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` gives the same OnnxMeta back."""
        return {
            "version": _META_VERSION,
            "task": self.task,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_json(),
            "decoding": dict(self.decoding),
            "precision": self.precision,
            **({"calibration": dict(self.calibration)} if self.calibration else {}),
            **({"gate": dict(self.gate)} if self.gate else {}),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> OnnxMeta:
        """The OnnxMeta that `to_json` wrote. EngineError where it is incomplete or of a newer version."""
        if value.get("version") != _META_VERSION:
            raise EngineError(
                f"the metadata of this model has version {value.get('version')!r}, and this taolite reads version "
                f"{_META_VERSION}; update taolite, or export the model again"
            )
        try:
            return OnnxMeta(
                task=str(value["task"]),
                classes=tuple(str(name) for name in value["classes"]),
                preprocessing=Preprocessing.from_json(value["preprocessing"]),
                decoding=dict(value["decoding"]),
                precision=str(value["precision"]),
                calibration=dict(value.get("calibration", {})),
                gate=dict(value.get("gate", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"the metadata of this model is incomplete ({error}); export the model again") from error


@dataclass(frozen=True)
class Signature:
    """Names and shapes of a model's inputs and outputs, -1 where an axis is free."""

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]


def sha256(onnx: bytes) -> str:
    """The hash an engine's sidecar names its model by: 64 hexadecimal digits."""
    return hashlib.sha256(onnx).hexdigest()


def tidy(onnx: bytes, *, input_names: Sequence[str] | None = None, output_names: Sequence[str] | None = None) -> bytes:
    """Fold constants, drop what no output needs, sort, name inputs and outputs, and check the result.

    Names and places of the exporter's source code are left out. Metadata is kept.

    Args:
        input_names: new names of the inputs, in the model's order; None keeps them.
        output_names: new names of the outputs, in the model's order; None keeps them. TAO's are
            `output_cov/Sigmoid` and `output_bbox/BiasAdd` (reference/detectnet_v2.md 11.2).

    Raises:
        EngineError: not an ONNX model, one that the checker refuses, or another number of names than tensors.
    """
    import onnx as onnx_library
    import onnx_graphsurgeon as gs

    model = parse_onnx(onnx)
    graph = gs.import_onnx(model)
    for kind, tensors, names in (("inputs", graph.inputs, input_names), ("outputs", graph.outputs, output_names)):
        if names is not None:
            _rename(graph, tensors, names, kind=kind)
    graph.fold_constants().cleanup().toposort()
    tidied = gs.export_onnx(graph)
    tidied.ir_version = min(model.ir_version, _oldest_ir(tidied.opset_import))
    tidied.producer_name, tidied.producer_version = model.producer_name, model.producer_version
    tidied.metadata_props.extend(model.metadata_props)
    for node in tidied.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    try:
        onnx_library.checker.check_model(tidied, full_check=True)
    except (onnx_library.checker.ValidationError, onnx_library.shape_inference.InferenceError) as error:
        raise EngineError(f"this ONNX model is not valid: {first_line(error)}; export it again") from error
    return bytes(tidied.SerializeToString(deterministic=True))


def lower_opset(onnx: bytes, opset: int) -> bytes:
    """The same model at an older opset.

    Detectors consist of operators that have not changed for float tensors since opset 11 (later versions only added
    types), so changing the number is enough. Other models go through ONNX's own converter; Mish and Split into equal
    parts, which it does not convert, are rewritten first.
    Raises EngineError where an operator has no counterpart at `opset`.
    """
    import onnx as onnx_library

    if opset < _OLDEST_OPSET:
        raise EngineError(f"opset {opset} is older than taolite writes; ask for {_OLDEST_OPSET} to 17, or later")
    model = parse_onnx(onnx)
    if {node.op_type for node in model.graph.node} <= _UNCHANGED:
        for entry in model.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = opset
        return bytes(model.SerializeToString(deterministic=True))
    if opset < 18:
        _spell_out(model)
    try:
        lowered = onnx_library.version_converter.convert_version(model, opset)
    except (RuntimeError, onnx_library.version_converter.ConvertError) as error:
        reason = first_line(error).rsplit(": ", 1)[-1]
        raise EngineError(f"this model cannot be written at opset {opset}: {reason}; ask for a later one") from error
    for domain in [entry for entry in lowered.opset_import if entry.domain == _HELD]:
        lowered.opset_import.remove(domain)
    for node in lowered.graph.node:
        node.domain = node.domain.removeprefix(_HELD)
        # The converter leaves this attribute of opset 18 behind; 0, its default, is what older readers do.
        kept = [a for a in node.attribute if (a.name, a.i) != ("noop_with_empty_axes", 0)]
        del node.attribute[:]
        node.attribute.extend(kept)
    return bytes(lowered.SerializeToString(deterministic=True))


def _spell_out(model: Any) -> None:
    """Replace, in place, what opset 18 introduced: Mish becomes x * tanh(softplus(x)), and Split loses `num_outputs`,
    which its outputs tell. A domain of their own keeps Splits away from ONNX's converter."""
    import onnx as onnx_library

    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "Mish":
            (x,), (y,) = node.input, node.output
            soft, bent = f"{y}_softplus", f"{y}_tanh"
            for kind, inputs, output in (("Softplus", [x], soft), ("Tanh", [soft], bent), ("Mul", [x, bent], y)):
                model.graph.node.append(
                    onnx_library.helper.make_node(kind, inputs, [output], name=f"{node.name}_{kind}")
                )
            continue
        if node.op_type == "Split" and len(node.input) == 1:
            kept = [a for a in node.attribute if a.name != "num_outputs"]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.domain = _HELD
        model.graph.node.append(node)
    model.opset_import.append(onnx_library.helper.make_opsetid(_HELD, 1))


def to_fp16(onnx: bytes) -> bytes:
    """Weights and arithmetic in float16, inputs and outputs float32 as before (`keep_io_types`).

    This is where fp16 is decided: TensorRT 11 and TensorRT-RTX build exactly the types they read
    (reference/deploy.md 9.4). Weights below 1e-7 in size are raised to it, those beyond 10000 cut to it.
    Raises EngineError for a model that holds Q/DQ nodes, whose scales must stay float32 here.
    """
    from onnxconverter_common import convert_float_to_float16

    model = parse_onnx(onnx)
    types = element_types(onnx)
    if "float16" in types:
        return onnx
    if "int8" in types:
        raise EngineError("this ONNX carries Q/DQ nodes (int8); build it with -t int8, which takes it as it is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for every weight that was raised to 1e-7
        half = convert_float_to_float16(model, keep_io_types=True)
    described = _described(model)
    if described is not None:
        return _with_prop(half, _META_KEY, json.dumps({**described, "precision": "fp16"}, sort_keys=True))
    return bytes(half.SerializeToString(deterministic=True))


def element_types(onnx: bytes) -> frozenset[str]:
    """Number formats of the model: "float32", "float16", and "int8" where it has Q/DQ nodes."""
    import onnx as onnx_library

    model = parse_onnx(onnx)
    kinds = onnx_library.TensorProto
    names = {kinds.FLOAT: "float32", kinds.FLOAT16: "float16", kinds.BFLOAT16: "bfloat16"}
    found = {names[tensor.data_type] for tensor in model.graph.initializer if tensor.data_type in names}
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        found.add("int8")
    return frozenset(found)


def operators(onnx: bytes) -> frozenset[str]:
    """The kinds of nodes in it, e.g. {"Conv", "Relu", "Sigmoid"}."""
    return frozenset(node.op_type for node in parse_onnx(onnx).graph.node)


def signature(onnx: bytes) -> Signature:
    """Names and shapes of inputs and outputs, without opening a runtime."""
    graph = parse_onnx(onnx).graph
    constants = {tensor.name for tensor in graph.initializer}
    return Signature(
        inputs={value.name: shape_of(value) for value in graph.input if value.name not in constants},
        outputs={value.name: shape_of(value) for value in graph.output},
    )


def read_meta(onnx: bytes) -> OnnxMeta | None:
    """The model's metadata; None for a model that taolite did not export."""
    value = _described(parse_onnx(onnx))
    return None if value is None else OnnxMeta.from_json(value)


def describe(onnx: bytes) -> dict[str, Any]:
    """The same as `read_meta`, as the JSON value an `.etlt` records beside the model; empty for foreign ones."""
    meta = read_meta(onnx)
    return {} if meta is None else meta.to_json()


def write_meta(onnx: bytes, meta: OnnxMeta) -> bytes:
    """The same model with the metadata `meta` in place of its own."""
    return _with_prop(parse_onnx(onnx), _META_KEY, json.dumps(meta.to_json(), sort_keys=True))


def _described(model: Any) -> dict[str, Any] | None:
    """The JSON object of a model's metadata; None where there is none. Raises EngineError."""
    text = _props(model).get(_META_KEY)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(
            f"the metadata of this model is not JSON ({reason(error)}); export the model again"
        ) from error
    if not isinstance(value, dict):
        raise EngineError("the metadata of this model is not a JSON object; export the model again")
    return value


def _props(model: Any) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props}


def _with_prop(model: Any, key: str, value: str) -> bytes:
    import onnx as onnx_library

    onnx_library.helper.set_model_props(model, {**_props(model), key: value})
    return bytes(model.SerializeToString(deterministic=True))


def _rename(graph: Any, tensors: Sequence[Any], names: Sequence[str], *, kind: str) -> None:
    if len(tensors) != len(names):
        found = ", ".join(tensor.name for tensor in tensors)
        raise EngineError(f"this model has {len(tensors)} {kind} ({found}) and {len(names)} names were given")
    ours = {id(tensor) for tensor in tensors}
    in_the_way = [tensor for name, tensor in graph.tensors().items() if name in names and id(tensor) not in ours]
    for tensor in in_the_way:
        tensor.name = f"{tensor.name}/before_renaming"
    for tensor, name in zip(tensors, names, strict=True):
        tensor.name = name


def _oldest_ir(opsets: Sequence[Any]) -> int:
    """The oldest file version that may carry these operator sets: older runtimes open it."""
    import onnx as onnx_library

    return int(onnx_library.helper.find_min_ir_version_for(opsets))


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of a ValueInfoProto, -1 where an axis is free."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim)


def first_line(error: Exception) -> str:
    """The first line of an error of ONNX."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
