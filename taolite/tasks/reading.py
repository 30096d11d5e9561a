"""A train / evaluate spec, from its file or as a model that flags were made into."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from taolite import spec as specs
from taolite.spec import Reading, SpecModel

__all__ = ["FLAGS", "read"]

FLAGS = "the flags"
"""What messages call a spec that has no file."""

Model = TypeVar("Model", bound=SpecModel)


def read(spec: Path | SpecModel, model: type[Model]) -> tuple[str, Reading[Model]]:
    """What messages call the spec, and the spec with its warnings. Raises PathError, SpecError."""
    if isinstance(spec, Path):
        return str(spec), specs.read(spec, model)
    assert isinstance(spec, model), f"a {model.__name__} is needed, not a {type(spec).__name__}"
    return FLAGS, Reading(spec, ())
