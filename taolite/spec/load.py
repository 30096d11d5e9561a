"""Reading a spec: from a file or a text to a frozen model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from taolite.errors import SpecError, SpecProblem
from taolite.spec.bind import Bound, all_notes, any_open, bind
from taolite.spec.draft import Draft
from taolite.spec.files import own_errors, read_text
from taolite.spec.model import Path as FieldPath
from taolite.spec.model import SpecModel, show_path
from taolite.spec.setting import Setting, applied, settings_of

__all__ = ["Reading", "edited", "json_schema", "load", "loads", "read", "reads", "warnings"]

Model = TypeVar("Model", bound=SpecModel)
Read = TypeVar("Read", covariant=True)


@dataclass(frozen=True)
class Reading(Generic[Read]):
    """A spec that was read (or what a task makes of it), its warnings with their lines, in file order, and the line and
    column of every field that the file writes."""

    model: Read
    warnings: tuple[SpecProblem, ...]
    places: Mapping[FieldPath, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)


def load(path: Path | str, model: type[Model]) -> Model:
    """Read the spec at `path`. Raises PathError (it cannot be read) and SpecError (all its problems)."""
    return read(path, model).model


def loads(text: str, model: type[Model], *, path: Path | str = "<text>") -> Model:
    """Read a spec from `text`; `path` is its name in messages. Raises SpecError."""
    return reads(text, model, path=path).model


def read(path: Path | str, model: type[Model]) -> Reading[Model]:
    """Like `load`, with the warnings, and with the settings in force (`setting.in_force`). Raises PathError,
    SpecError."""
    return reads(read_text(path), model, path=path, settings=settings_of(str(path)))


def reads(
    text: str, model: type[Model], *, path: Path | str = "<text>", settings: Sequence[Setting] = ()
) -> Reading[Model]:
    """Like `loads`, with the warnings; `settings` change fields of the spec. Raises SpecError."""
    return edited(text, model, path=path, settings=settings)[1]


def edited(
    text: str, model: type[Model], *, path: Path | str = "<text>", settings: Sequence[Setting] = ()
) -> tuple[str, Reading[Model]]:
    """The text of a spec with `settings`, its comments and layout kept, and what was read. Raises SpecError: problems
    of a value that was set are those of `--set PATH=VALUE`, all others have their line in `text`."""
    with own_errors(path):
        draft = Draft(text)
        problems: list[SpecProblem] = []
        if not draft.tree.problems and not any_open(draft.tree.root):
            problems = applied(draft, model, settings)
        bound = bind(draft.tree, model)
        if settings:
            bound = _at_home(bound, draft, settings)
    if bound.model is None or problems:
        raise SpecError(path, [*problems, *bound.problems])
    return draft.text, Reading(bound.model, bound.warnings, bound.places)


def _at_home(bound: Bound[Model], draft: Draft, settings: Sequence[Setting]) -> Bound[Model]:
    """Problems and warnings of a changed text: at their line in the file, or as those of a setting."""

    def moved(problem: SpecProblem) -> SpecProblem:
        if not problem.line:
            return problem
        origin = draft.origin(problem.line, problem.column)
        if isinstance(origin, int):
            return SpecProblem(0, 0, f"--set {settings[origin].word}: {problem.text}")
        return SpecProblem(*origin, problem.text)

    problems, warnings = (tuple(sorted(map(moved, found))) for found in (bound.problems, bound.warnings))
    return Bound(bound.model, problems, warnings, bound.places)


def warnings(model: SpecModel) -> list[str]:
    """Warnings about `model`, one sentence each. (`read` adds line numbers, and warnings that need the text,
    as for a field that is given twice.)"""
    return [f"{show_path(finding.at)} {finding.text}".strip() for finding in all_notes(model)]


def json_schema(model: type[SpecModel]) -> dict[str, Any]:
    """The JSON schema of a spec, with TAO's spellings, defaults, ranges, units and one sentence a field."""
    return model.model_json_schema(by_alias=True)
