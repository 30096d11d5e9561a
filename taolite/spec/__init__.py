"""Spec files: from protobuf text format to frozen pydantic models, and back.

spec.load(path, DetectNetSpec)      a model, or SpecError with all problems at once
spec.read(path, DetectNetSpec)      the same, with warnings and their lines
spec.dumps(model)                   text from which an equal model is loaded
spec.edited(text, DetectNetSpec, settings=[spec.parse_setting("training_config.num_epochs=40")])
                                    the text with another value, and what is read from it
"""

from taolite.spec.kinds import Kind, identify
from taolite.spec.load import Reading, edited, json_schema, load, loads, read, reads, warnings
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
from taolite.spec.setting import Setting, in_force, parse_setting
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
    "Setting",
    "SpecEnum",
    "SpecModel",
    "UInt",
    "check",
    "dumps",
    "edited",
    "field",
    "identify",
    "in_force",
    "json_schema",
    "load",
    "loads",
    "parse_setting",
    "read",
    "reads",
    "warnings",
]
