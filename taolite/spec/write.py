"""Writing a spec model as protobuf text format, from which an equal model is read."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from taolite.spec.model import SpecModel
from taolite.spec.shape import shapes

__all__ = ["dumps", "literal"]


def dumps(model: SpecModel, *, defaults: bool = False) -> str:
    """The text of `model` in the layout of TAO's specs: two blanks a level, maps as `{ key value }` in their order.

    Only fields that were set or differ from their default are written; with `defaults`, all fields that have a value.
    """
    return "".join(f"{line}\n" for line in _message(model, defaults, ""))


def _message(model: SpecModel, defaults: bool, indent: str) -> Iterator[str]:
    for shape in shapes(type(model)).values():
        value = getattr(model, shape.name)
        if value is None or not (defaults or shape.name in model.model_fields_set or value != shape.default):
            continue
        if shape.repeats == "list":
            for item in value:
                yield from _entry(shape.spec_name, item, defaults, indent)
        elif shape.repeats == "map":
            for key, item in value.items():
                yield f"{indent}{shape.spec_name} {{"
                yield f"{indent}  key: {literal(key)}"
                yield from _entry("value", item, defaults, f"{indent}  ")
                yield f"{indent}}}"
        else:
            yield from _entry(shape.spec_name, value, defaults, indent)


def _entry(name: str, value: Any, defaults: bool, indent: str) -> Iterator[str]:
    if isinstance(value, SpecModel):
        yield f"{indent}{name} {{"
        yield from _message(value, defaults, f"{indent}  ")
        yield f"{indent}}}"
    else:
        yield f"{indent}{name}: {literal(value)}"


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        body = "".join(_ESCAPES.get(c) or (f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c) for c in value)
        return f'"{body}"'
    return repr(value)
