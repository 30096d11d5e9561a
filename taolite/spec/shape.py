"""The shape of a SpecModel's field, from its annotation: kind, repetition, and range of values.

Only this module looks into annotations; the binder, the writer and the oracle of the tests use it.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from taolite.spec.model import SpecModel, Wire

__all__ = ["Range", "Shape", "shapes"]

_WIDEST = (2**31 - 1, 2**32 - 1)  # limits of the wire types; messages leave them out unless they are exceeded


@dataclass(frozen=True)
class Range:
    """Limits of a number, or of the length of a value. A limit that is not set is infinite."""

    low: float = -math.inf
    low_open: bool = False
    high: float = math.inf
    high_open: bool = False
    multiple_of: int | None = None
    min_length: int = 0
    finite: bool = False

    def holds(self, value: float) -> bool:
        """True if the number is in the range. With any limit, nan is not."""
        if self.finite and not math.isfinite(value):
            return False
        if self.low > -math.inf and not (value > self.low if self.low_open else value >= self.low):
            return False
        if self.high < math.inf and not (value < self.high if self.high_open else value <= self.high):
            return False
        return self.multiple_of is None or value % self.multiple_of == 0

    def needs(self, value: float | None = None) -> str:
        """The end of `it needs to be ...`. With the `value` that was given, only the limit that it exceeds."""
        if value is not None and not math.isfinite(value):
            return "a finite number"
        if self.multiple_of is not None and value is not None and value > 0:
            below = int(value // self.multiple_of) * self.multiple_of
            near = [str(n) for n in (below, below + self.multiple_of) if n > 0]
            return f"a multiple of {self.multiple_of}, such as {' or '.join(near)}"
        if self.multiple_of is not None:
            return f"a multiple of {self.multiple_of}, more than 0"
        low = -math.inf if self.low == -(2**31) and (value is None or value >= self.low) else self.low
        high = math.inf if self.high in _WIDEST and (value is None or value <= self.high) else self.high
        if low == -math.inf and high == math.inf:
            return "a number"
        if low > -math.inf and high < math.inf and not self.low_open and not self.high_open:
            return f"from {low:g} to {high:g}" if abs(high) < 1e6 else f"from {low:.0f} to {high:.0f}"
        parts = []
        if low > -math.inf:
            parts.append(f"more than {low:g}" if self.low_open else f"{low:.15g} or more")
        if high < math.inf:
            parts.append(f"less than {high:g}" if self.high_open else f"{high:.15g} or less")
        return " and ".join(parts)


@dataclass(frozen=True)
class Shape:
    """One field. name: of the attribute. spec_name: TAO's spelling. kind: of one element."""

    name: str
    spec_name: str
    kind: Literal["message", "enum", "bool", "int", "float", "int_or_float", "string"]
    repeats: Literal["no", "list", "map"]
    range: Range  # of one element, min_length of a string, list or map
    required: bool
    default: Any  # None where required
    model: type[SpecModel] | None = None  # of kind message
    enum: type[Enum] | None = None  # of kind enum
    choices: tuple[str | int, ...] = ()  # of a Literal
    zero_is_default: bool = False
    ignored: str = ""
    unit: str = ""


@cache
def shapes(model: type[SpecModel]) -> dict[str, Shape]:
    """The fields of `model` by TAO's spelling, in the order in which they are declared."""
    found = {}
    for name, info in model.model_fields.items():
        shape = _shape(name, info)
        found[shape.spec_name] = shape
    return found


def _shape(name: str, info: FieldInfo) -> Shape:
    limits: list[Any] = list(info.metadata)
    annotation = _unwrap(info.annotation, limits)
    repeats: Literal["no", "list", "map"] = "no"
    if get_origin(annotation) is tuple:
        repeats, annotation = "list", _unwrap(get_args(annotation)[0], limits)
    elif get_origin(annotation) is dict:
        repeats, annotation = "map", _unwrap(get_args(annotation)[1], limits)
    kind, model, enum, choices = _kind(annotation, name)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Shape(
        name=name,
        spec_name=info.alias or name,
        kind=kind,
        repeats=repeats,
        range=_range(limits, finite=kind == "int_or_float"),
        required=info.is_required(),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        model=model,
        enum=enum,
        choices=choices,
        zero_is_default=bool(extra.get("zero_is_default")),
        ignored=str(extra.get("ignored", "")),
        unit=str(extra.get("unit", "")),
    )


def _unwrap(annotation: Any, limits: list[Any]) -> Any:
    """Remove `Annotated[...]` and `| None`; limits that are found are added to `limits`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extra = get_args(annotation)
            limits.extend(extra)
        elif get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
            left = [arg for arg in get_args(annotation) if arg is not type(None)]
            annotation = left[0] if len(left) == 1 else Union[tuple(left)]  # noqa: UP007
        else:
            return annotation


def _kind(annotation: Any, name: str) -> tuple[Any, type[SpecModel] | None, type[Enum] | None, tuple[Any, ...]]:
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return ("string" if isinstance(choices[0], str) else "int"), None, None, choices
    union = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()
    if {_unwrap(part, []) for part in union} == {int, float}:
        return "int_or_float", None, None, ()
    if isinstance(annotation, type):
        if issubclass(annotation, SpecModel):
            return "message", annotation, None, ()
        if issubclass(annotation, Enum):
            return "enum", None, annotation, ()
        for python, kind in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
            if annotation is python:
                return kind, None, None, ()
    raise TypeError(f"a spec field cannot be of type {annotation!r} ({name})")


def _range(limits: list[Any], *, finite: bool) -> Range:
    low, low_open, high, high_open = -math.inf, False, math.inf, False
    multiple_of, min_length = None, 0
    flat: list[Any] = []
    for limit in limits:
        flat.extend(limit.metadata if isinstance(limit, FieldInfo) else [limit])
    for limit in flat:
        if isinstance(limit, Wire):
            if limit.low > low:
                low, low_open = limit.low, False
            if limit.high < high:
                high, high_open = limit.high, False
        elif isinstance(limit, annotated_types.Ge) and _number(limit.ge) > low:
            low, low_open = _number(limit.ge), False
        elif isinstance(limit, annotated_types.Gt) and _number(limit.gt) >= low:
            low, low_open = _number(limit.gt), True
        elif isinstance(limit, annotated_types.Le) and _number(limit.le) < high:
            high, high_open = _number(limit.le), False
        elif isinstance(limit, annotated_types.Lt) and _number(limit.lt) <= high:
            high, high_open = _number(limit.lt), True
        elif isinstance(limit, annotated_types.MultipleOf):
            multiple_of = int(_number(limit.multiple_of))
        elif isinstance(limit, annotated_types.MinLen):
            min_length = limit.min_length
        elif getattr(limit, "allow_inf_nan", None) is False:
            finite = True
    return Range(low, low_open, high, high_open, multiple_of, min_length, finite)


def _number(bound: object) -> float:
    """A bound of a spec's field, all of which are numbers."""
    assert isinstance(bound, (int, float)), f"{bound!r} bounds no number"
    return float(bound)
