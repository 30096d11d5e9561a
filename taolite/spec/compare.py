"""Two specs compared field by field, each value with its line. What counts is what is read: fields that are not written
have their default, and the order of a map's entries and the layout do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taolite.spec.flat import Plain, flatten
from taolite.spec.load import Reading
from taolite.spec.model import Path, SpecModel, show_path

__all__ = ["Difference", "Side", "differences"]


@dataclass(frozen=True)
class Side:
    """A field in one of the specs. value: None where it has none. line: None where the spec does not write it."""

    value: Plain | None
    line: int | None


@dataclass(frozen=True)
class Difference:
    """A field that two specs read differently; its path is that of `--set`."""

    path: str
    first: Side
    second: Side


def differences(first: Reading[SpecModel], second: Reading[SpecModel]) -> list[Difference]:
    """The fields that differ, in the order of the first spec, and behind them those that the second alone has."""
    ours, theirs = flatten(first.model), flatten(second.model)
    lines = _lines(first.places), _lines(second.places)
    found = []
    for path in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(path), theirs.get(path)
        if one != other or type(one) is not type(other):
            sides = (Side(one, lines[0].get(path)), Side(other, lines[1].get(path)))
            found.append(Difference(path, *sides))
    return found


def _lines(places: Mapping[Path, tuple[int, int]]) -> dict[str, int]:
    """The line of each field that is written, by its path in the spelling of `flatten`."""
    return {show_path(path, places=True): line for path, (line, _) in places.items()}
