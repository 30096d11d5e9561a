"""Spec files: from protobuf text format to frozen pydantic models, and back.

spec.load(path, DetectNetSpec)      a model, or SpecError with all problems at once
spec.read(path, DetectNetSpec)      the same, with warnings and their lines
spec.dumps(model)                   text from which an equal model is loaded
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
