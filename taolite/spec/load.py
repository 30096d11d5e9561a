"""Reading a spec: from a file or a text to a frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from taolite.errors import PathError, SpecError, SpecProblem
from taolite.spec.bind import all_notes, bind
from taolite.spec.model import SpecModel, show_path
from taolite.spec.text import parse

__all__ = ["Reading", "json_schema", "load", "loads", "read", "read_text", "warnings"]

Model = TypeVar("Model", bound=SpecModel)


@dataclass(frozen=True)
class Reading(Generic[Model]):
    """A spec that was read, and what is worth a warning in it, with lines, in file order."""

    model: Model
    warnings: tuple[SpecProblem, ...]


def load(path: Path | str, model: type[Model]) -> Model:
    """Read the spec at `path`. Raises PathError (no such file) and SpecError (all its problems)."""
    return read(path, model).model


def loads(text: str, model: type[Model], *, path: Path | str = "<text>") -> Model:
    """Read a spec from `text`; `path` is what messages call it. Raises SpecError."""
    return reads(text, model, path=path).model


def read(path: Path | str, model: type[Model]) -> Reading[Model]:
    """Like `load`, with the warnings. Raises PathError, SpecError."""
    return reads(read_text(path), model, path=path)


def reads(text: str, model: type[Model], *, path: Path | str = "<text>") -> Reading[Model]:
    """Like `loads`, with the warnings. Raises SpecError."""
    bound = bind(parse(text), model)
    if bound.model is None:
        raise SpecError(path, bound.problems)
    return Reading(bound.model, bound.warnings)


def warnings(model: SpecModel) -> list[str]:
    """What is legal in `model` and still worth a warning, one sentence each. (`read` adds line numbers, and what only
    the text shows, such as a field given twice.)"""
    return [f"{show_path(finding.at)} {finding.text}".strip() for finding in all_notes(model)]


def json_schema(model: type[SpecModel]) -> dict[str, Any]:
    """The JSON schema of a spec, with TAO's spellings, defaults, ranges, units and one sentence a field."""
    return model.model_json_schema(by_alias=True)


def read_text(path: Path | str) -> str:
    """The text of the file at `path`. Raises PathError with the way out."""
    path = Path(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PathError(_missing(path)) from error
    except IsADirectoryError as error:
        raise PathError(f"{path}: this is a folder; name the spec file in it") from error
    except UnicodeDecodeError as error:
        raise PathError(f"{path}: not a text file (byte {error.start} is no UTF-8); a spec is plain text") from error
    except OSError as error:
        raise PathError(f"{path}: the spec cannot be read ({error.strerror})") from error


def _missing(path: Path) -> str:
    head = f"{path}: there is no spec file here"
    if path.is_absolute() and path.parts[1:2] == ("workspace",):
        return f"{head}; this is a path of the container: give its folder with --mount SOURCE:DESTINATION"
    near = path.parent if path.parent.is_dir() else None
    return f"{head}; check the spelling" + ("" if near else f", the folder {path.parent} does not exist either")
