"""Building blocks of specs: frozen pydantic models; each field has a default, range, unit and one sentence.

A spec message is a class derived from `SpecModel`; its fields are declared with `field(...)`:

    class Regularizer(SpecModel):
        type: RegularizerType = field(RegularizerType.NO_REG, doc="What is added to the cost.")
        weight: Float = field(0.0, ge=0, doc="Factor of the sum.")

Types: `UInt` `Int` `Float` `IntOrFloat` bool str, an enum derived from `SpecEnum`, `Literal` of strings or integers,
another SpecModel, `tuple[X, ...]` for a repeated field, `dict[str, X]` for a map (its order is kept), and `X | None` if
unset has its own meaning. A field without a default is required. A check of several fields is a method marked
`@check("field", ...)`; `spec_notes` gives warnings about valid values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import PydanticUndefined, core_schema

__all__ = [
    "Finding",
    "Float",
    "Int",
    "IntOrFloat",
    "Key",
    "OneOf",
    "Path",
    "SpecEnum",
    "SpecModel",
    "UInt",
    "Wire",
    "check",
    "field",
    "show_path",
]


@dataclass(frozen=True)
class Wire:
    """The range of a protobuf integer type. It is not a pydantic limit, because pydantic keeps only one limit of each
    kind, and a field may have its own `ge` and `le`."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._hold, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(schema)
        if not {"minimum", "exclusiveMinimum"} & set(found):
            found["minimum"] = self.low
        return found

    def _hold(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"needs to be from {self.low} to {self.high}")
        return value


UInt: TypeAlias = Annotated[int, Field(strict=True), Wire(0, 2**32 - 1)]
Int: TypeAlias = Annotated[int, Field(strict=True), Wire(-(2**31), 2**31 - 1)]
Float: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
IntOrFloat: TypeAlias = Annotated[int, Field(strict=True)] | Float


class SpecEnum(str, Enum):
    """An enum of a spec. The values are TAO's names; TAO's numbers are their positions, from 0."""

    def __str__(self) -> str:
        return str(self.value)


class Key(str):
    """The key of a map entry, as one step of a path."""


Path: TypeAlias = tuple[str | int, ...]  # field names as TAO spells them, Keys of maps, indices of repeated fields


@dataclass(frozen=True)
class Finding:
    """A problem or a warning of a check. at: path from the model that was checked. text: continues the sentence that
    begins with the field's name, as in `is 0; it needs to be 1 or more`."""

    at: Path
    text: str


@dataclass(frozen=True)
class OneOf:
    """Fields of which at most one may be set; with `required`, exactly one. `name` is used in messages."""

    name: str
    members: tuple[str, ...]
    required: bool = False


def field(
    default: Any = PydanticUndefined,
    *,
    doc: str,
    unit: str = "",
    zero_is_default: bool = False,
    ignored: str = "",
    spec_name: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: int | None = None,
    min_length: int | None = None,
) -> Any:
    """Declare one field of a SpecModel.

    Args:
        default: the value of an absent field; a field without a default is required.
        doc: one sentence.
        unit: of the value, e.g. "px", "epochs".
        zero_is_default: 0 (or "") means absent, as in TAO, which cannot tell the two apart.
        ignored: why the field has no effect; a spec that sets it gets a warning.
        spec_name: the name in the spec, if Python cannot use it (`model_config`).
        ge, gt, le, lt, multiple_of: range of a number; min_length: of a string, repeated field or map.
    """
    extra: dict[str, Any] = {
        name: value
        for name, value in (("unit", unit), ("zero_is_default", zero_is_default), ("ignored", ignored))
        if value
    }
    return Field(
        default,
        description=doc,
        alias=spec_name or None,
        json_schema_extra=extra or None,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        multiple_of=multiple_of,
        min_length=min_length,
    )


_Check = TypeVar("_Check", bound=Callable[[Any], Iterator[Finding]])


def check(*uses: str) -> Callable[[_Check], _Check]:
    """Mark a method that yields Findings about the fields in `uses` (dotted names of the spec, without map keys). It is
    only called if all of these are sound, so it need not check for missing values."""

    def mark(method: _Check) -> _Check:
        method.uses = tuple(tuple(use.split(".")) for use in uses)  # type: ignore[attr-defined]
        return method

    return mark


class SpecModel(BaseModel):
    """Base of all spec messages. Frozen; an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        populate_by_name=True,
        validate_default=False,
        defer_build=True,  # a command builds the messages of the specs that it reads, and no others
    )

    one_of: ClassVar[tuple[OneOf, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _zero_is_default(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        same = {
            name
            for name, info in cls.model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("zero_is_default")
        }
        return {name: value for name, value in values.items() if name not in same or value not in (0, "")}

    @model_validator(mode="after")
    def _checked(self) -> SpecModel:
        findings = [finding for method in self.spec_checks() for finding in method(self)]
        if findings:
            raise ValueError("; ".join(f"{show_path(finding.at)} {finding.text}".strip() for finding in findings))
        return self

    @classmethod
    def spec_checks(cls) -> list[Callable[[Any], Iterator[Finding]]]:
        """The methods marked with `check`, base classes first."""
        found: dict[str, Callable[[Any], Iterator[Finding]]] = {}
        for base in reversed(cls.__mro__):
            functions = {name: member for name, member in vars(base).items() if isinstance(member, FunctionType)}
            found.update({name: member for name, member in functions.items() if hasattr(member, "uses")})
        return list(found.values())

    @check()
    def _one_of(self) -> Iterator[Finding]:
        for group in self.one_of:
            given = [name for name in group.members if getattr(self, name) is not None]
            if len(given) > 1:
                others = " and ".join(f"`{name}`" for name in given[:-1])
                yield Finding((given[-1],), f"is given beside {others}; only one {group.name} can be")
            if group.required and not given:
                names = " or ".join(f"`{name}`" for name in group.members)
                yield Finding((), f"has no {group.name}; add {names}")

    def spec_notes(self) -> Iterator[Finding]:
        """Warnings about valid values of this message; not about messages inside it."""
        return iter(())


def show_path(path: Path, *, places: bool = False) -> str:
    """`("a", "b", Key("cat"), "c")` -> `a.b["cat"].c`. Indices are left out, because messages have the line; with
    `places` they are written, as `taolite.spec.flat.flatten` writes them: `a[0]`."""
    text = ""
    for step in path:
        if isinstance(step, Key):
            text += f'["{step}"]'
        elif isinstance(step, str):
            text += f".{step}" if text else step
        elif places:
            text += f"[{step}]"
    return text
