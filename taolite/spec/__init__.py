"""Spec files: protobuf text format into frozen pydantic models, and back.

spec.load(path, DetectNetSpec)      a model, or SpecError with every problem at once
spec.read(path, DetectNetSpec)      the same, with warnings and their lines
spec.dumps(model)                   text that loads back equal
"""

from taolite.spec.kinds import Kind, identify
from taolite.spec.load import Reading, json_schema, load, loads, read, reads, warnings
from taolite.spec.model import (
    Finding,
    Float,
    Int,
    IntOrFloat,
    Key,
    OneOf,
    SpecEnum,
    SpecModel,
    UInt,
    check,
    field,
)
from taolite.spec.write import dumps

__all__ = [
    "Finding",
    "Float",
    "Int",
    "IntOrFloat",
    "Key",
    "Kind",
    "OneOf",
    "Reading",
    "SpecEnum",
    "SpecModel",
    "UInt",
    "check",
    "dumps",
    "field",
    "identify",
    "json_schema",
    "load",
    "loads",
    "read",
    "reads",
    "warnings",
]
