"""From bytes to an ONNX model: the one place where ONNX is read, whichever command it came by.

A model is one file here. ONNX also lets weights lie in other files, named inside the model; such a model is refused,
because the names may lead anywhere (`/etc/...`), and what is sealed, hashed and copied would not be the whole model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taolite.errors import EngineError

__all__ = ["check_onnx", "parse_onnx", "varint"]

_GRAPH, _BLOCK, _NUMBER = 7, 2, 0  # a ModelProto's field, and wire types


def parse_onnx(data: bytes, *, where: str = "this model") -> Any:
    """The ModelProto of an ONNX file's bytes; `where` names the file in messages.

    Raises EngineError: no ONNX, a file whose end is missing, a model without nodes or outputs (which TensorRT's parser
    would accept), or one whose weights lie in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise EngineError(_why(data, where)) from error
    if not model.graph.node or not model.graph.output:
        raise EngineError(f"{where} is an empty ONNX model: it has no nodes or no outputs; export it again")
    if not model.opset_import:
        raise EngineError(f"{where} is cut short: the operator set of the ONNX is missing; copy or export it again")
    outside = [tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise EngineError(_elsewhere(outside, where))
    return model


def check_onnx(data: bytes, *, where: str = "this model") -> None:
    """Raise what `parse_onnx` raises; for bytes that a runtime parses itself."""
    parse_onnx(data, where=where)


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of a model: weights, constants, those of branches, loops and functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message  # its fields are not looked at: that would copy the weights
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(one)


def _elsewhere(tensors: list[Any], where: str) -> str:
    first = tensors[0]
    file = next((entry.value for entry in first.external_data if entry.key == "location"), "")
    others = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
    return (
        f"{where} keeps weights in another file (tensor {first.name!r}{others}: {file!r}), which is not read; "
        "save it as one file: onnx.save_model(onnx.load(MODEL), ONE_FILE)"
    )


def _why(data: bytes, where: str) -> str:
    """Why these bytes are no ONNX: cut short in the middle of a field of a ModelProto, or something else."""
    place, fields = 0, set()
    while place < len(data):
        tag, place = varint(data, place)
        field, wire = tag >> 3, tag & 7
        if not field or wire not in (_NUMBER, _BLOCK):
            return f"{where} is not an ONNX model"
        value, place = varint(data, place)
        fields.add(field)
        if wire == _BLOCK:
            place += value
    if place > len(data) and _GRAPH in fields:
        missing = place - len(data)
        return f"{where} is cut short: {missing} bytes or more of the ONNX are missing; copy or export it again"
    return f"{where} is not an ONNX model, or it is damaged; copy or export it again"


def varint(data: bytes, place: int) -> tuple[int, int]:
    """A protobuf varint and the position after it, which is beyond the end of `data` if there is no varint."""
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    return 0, len(data) + 1
