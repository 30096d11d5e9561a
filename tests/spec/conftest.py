"""The protobuf package as oracle: a run-time descriptor of a SpecModel, and its text_format (in merge mode, TAO's).

Traps avoided here: maps are plain repeated entries (upb's map order is random), `float` is declared double (0.41 stays
0.41), proto2 gives presence, every schema has a descriptor pool of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from pydantic import ValidationError

from taolite.spec.model import SpecModel
from taolite.spec.shape import Shape, shapes

Proto = descriptor_pb2.FieldDescriptorProto


Reader: TypeAlias = Callable[[type[SpecModel], str], SpecModel | None]


@pytest.fixture(scope="session")
def protobuf_reads() -> Reader:
    """`protobuf_reads(Model, text)`: the model, its grammar judged by protobuf and its values by pydantic; or None."""
    oracle = cache(Oracle)

    def read(model: type[SpecModel], text: str) -> SpecModel | None:
        try:
            return model.model_validate(oracle(model).read(text))
        except (RefusedError, ValidationError):
            return None

    return read


class RefusedError(Exception):
    """What the oracle does not take."""


class Oracle:
    """text_format for one model; `read` gives the plain values of what was set."""

    def __init__(self, model: type[SpecModel]) -> None:
        self._file = descriptor_pb2.FileDescriptorProto(name="spec.proto", package="spec", syntax="proto2")
        self._names: dict[Any, str] = {}
        root = self._message(model)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self._file)
        self._class = message_factory.GetMessageClass(pool.FindMessageTypeByName(root))
        self._model = model

    def read(self, text: str) -> dict[str, Any]:
        message = self._class()
        try:
            text_format.Merge(text, message)
        except (text_format.ParseError, UnicodeError) as error:
            raise RefusedError(str(error)) from error
        return _plain(message, self._model)

    def _message(self, model: type[SpecModel]) -> str:
        if model not in self._names:
            self._names[model] = f"spec.M{len(self._names)}"
            found = descriptor_pb2.DescriptorProto(name=self._names[model][5:])
            for number, shape in enumerate(shapes(model).values(), start=1):
                self._field(found, number, shape)
            self._file.message_type.add().CopyFrom(found)
        return self._names[model]

    def _field(self, message: Any, number: int, shape: Shape) -> None:
        row = message.field.add(name=shape.spec_name, number=number, label=Proto.LABEL_OPTIONAL)
        if shape.repeats != "no":
            row.label = Proto.LABEL_REPEATED
        if shape.repeats == "map":
            entry = descriptor_pb2.DescriptorProto(name=f"E{len(self._names)}")
            self._names[entry.name] = entry.name
            entry.field.add(name="key", number=1, label=Proto.LABEL_OPTIONAL, type=Proto.TYPE_STRING)
            value = entry.field.add(name="value", number=2, label=Proto.LABEL_OPTIONAL)
            self._type(value, shape)
            self._file.message_type.add().CopyFrom(entry)
            row.type, row.type_name = Proto.TYPE_MESSAGE, f".spec.{entry.name}"
        else:
            self._type(row, shape)

    def _type(self, row: Any, shape: Shape) -> None:
        if shape.kind == "message":
            row.type, row.type_name = Proto.TYPE_MESSAGE, f".{self._message(shape.model)}"
        elif shape.kind == "enum":
            row.type, row.type_name = Proto.TYPE_ENUM, f".{self._enum(shape.enum)}"
        elif shape.kind == "int":
            row.type = Proto.TYPE_UINT32 if shape.range.low >= 0 and not shape.choices else Proto.TYPE_INT32
        else:
            kinds = {"bool": Proto.TYPE_BOOL, "string": Proto.TYPE_STRING}
            row.type = kinds.get(shape.kind, Proto.TYPE_DOUBLE)

    def _enum(self, enum: Any) -> str:
        if enum not in self._names:
            holder = descriptor_pb2.DescriptorProto(name=f"H{len(self._names)}")
            inner = holder.enum_type.add(name="E")
            for number, member in enumerate(enum):
                inner.value.add(name=member.name, number=number)
            self._file.message_type.add().CopyFrom(holder)
            self._names[enum] = f"spec.{holder.name}.E"
        return self._names[enum]


def _plain(message: Any, model: type[SpecModel]) -> dict[str, Any]:
    """Set fields by TAO's names; maps in file order, the last of two equal keys counts, as in TAO."""
    found: dict[str, Any] = {}
    known = shapes(model)
    for row, value in message.ListFields():
        shape = known[row.name]
        if shape.repeats == "map":
            entries: dict[str, Any] = {}
            for entry in value:
                if not (entry.HasField("key") and entry.HasField("value")):
                    raise RefusedError("a map entry without key or value")
                entries[entry.key] = _one(entry.value, shape)
            found[row.name] = entries
        elif shape.repeats == "list":
            found[row.name] = [_one(item, shape) for item in value]
        else:
            found[row.name] = _one(value, shape)
    return found


def _one(value: Any, shape: Shape) -> Any:
    if shape.kind == "message":
        return _plain(value, shape.model)
    if shape.kind == "enum":
        return list(shape.enum)[value]
    return value
