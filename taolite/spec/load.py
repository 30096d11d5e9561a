"""Reading a spec: from a file or a text to a frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from taolite.errors import SpecError, SpecProblem
from taolite.spec.bind import all_notes, bind
from taolite.spec.files import own_errors, read_text
from taolite.spec.model import SpecModel, show_path
from taolite.spec.text import parse

__all__ = ["Reading", "json_schema", "load", "loads", "read", "reads", "warnings"]

Model = TypeVar("Model", bound=SpecModel)
Read = TypeVar("Read", covariant=True)


@dataclass(frozen=True)
class Reading(Generic[Read]):
    """A spec that was read (or what a task makes of it), and its warnings with their lines, in file order."""

    model: Read
    warnings: tuple[SpecProblem, ...]


def load(path: Path | str, model: type[Model]) -> Model:
    """Read the spec at `path`. Raises PathError (it cannot be read) and SpecError (all its problems)."""
    return read(path, model).model


def loads(text: str, model: type[Model], *, path: Path | str = "<text>") -> Model:
    """Read a spec from `text`; `path` is its name in messages. Raises SpecError."""
    return reads(text, model, path=path).model


def read(path: Path | str, model: type[Model]) -> Reading[Model]:
    """Like `load`, with the warnings. Raises PathError, SpecError."""
    return reads(read_text(path), model, path=path)


def reads(text: str, model: type[Model], *, path: Path | str = "<text>") -> Reading[Model]:
    """Like `loads`, with the warnings. Raises SpecError."""
    with own_errors(path):
        bound = bind(parse(text), model)
    if bound.model is None:
        raise SpecError(path, bound.problems)
    return Reading(bound.model, bound.warnings)


def warnings(model: SpecModel) -> list[str]:
    """Warnings about `model`, one sentence each. (`read` adds line numbers, and warnings that need the text,
    as for a field that is given twice.)"""
    return [f"{show_path(finding.at)} {finding.text}".strip() for finding in all_notes(model)]


def json_schema(model: type[SpecModel]) -> dict[str, Any]:
    """The JSON schema of a spec, with TAO's spellings, defaults, ranges, units and one sentence a field."""
    return model.model_json_schema(by_alias=True)
