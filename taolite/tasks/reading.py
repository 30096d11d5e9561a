"""A train / evaluate spec, from its file or as a model that flags were made into."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from taolite import spec as specs
from taolite.errors import SpecProblem
from taolite.spec import Reading, SpecModel

__all__ = ["read"]

Model = TypeVar("Model", bound=SpecModel)


def read(spec: Path | SpecModel, model: type[Model], *, source: str) -> tuple[str, Reading[Model]]:
    """What messages call the spec (`source` where it has no file), and the spec with its warnings. Raises PathError,
    SpecError."""
    if isinstance(spec, Path):
        return str(spec), specs.read(spec, model)
    assert isinstance(spec, model), f"a {model.__name__} is needed, not a {type(spec).__name__}"
    return source, Reading(spec, tuple(SpecProblem(0, 0, text) for text in specs.warnings(spec)))
