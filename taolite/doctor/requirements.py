"""What taolite's own metadata asks of other packages, and what of it is installed. Nothing is imported to find out.

Versions are compared by their numbers alone (2.9.0+cu128 is 2.9.0): the bounds of pyproject.toml need no more.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

__all__ = ["Requirement", "Version", "fits", "installed", "requirements"]

Version = Callable[[str], "str | None"]
"""The version of an installed package by its name; None where it is not installed."""

_LINE = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?")
_BOUND = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*([0-9][0-9A-Za-z.+*-]*)\s*")
_HERE = {"platform_system": platform.system, "platform_machine": platform.machine}


@dataclass(frozen=True)
class Requirement:
    """A package that taolite asks for. bounds: as "<3,>=2". extra: the extra that brings it, "" for the base."""

    name: str
    bounds: str
    extra: str = ""


def installed(name: str) -> str | None:
    """The version of the installed package `name`; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements(lines: Iterable[str] | None = None) -> list[Requirement]:
    """What taolite asks for on this system; `lines` as in a package's metadata (default: those of taolite itself, none
    where it runs from a folder without being installed)."""
    if lines is None:
        try:
            lines = metadata.requires("taolite") or ()
        except metadata.PackageNotFoundError:
            lines = ()
    return list(_read(lines))


def _read(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, bounds, marker = found[1], found[2].strip(), found[3] or ""
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        wanted = re.findall(r"(platform_\w+)\s*==\s*['\"]([^'\"]+)", marker)
        if name != "taolite" and all(_HERE[kind]() == value for kind, value in wanted):
            yield Requirement(name, bounds, extra[1] if extra else "")


def fits(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as ">=2.9,!=2.13.0"; True for bounds that this cannot read."""
    return all(_holds(version, found[1], found[2]) for part in bounds.split(",") if (found := _BOUND.fullmatch(part)))


def _holds(version: str, relation: str, bound: str) -> bool:
    here, there = _numbers(version), _numbers(bound)
    length = max(len(here), len(there))
    here, there = here + (0,) * (length - len(here)), there + (0,) * (length - len(there))
    return {
        ">=": here >= there,
        "<=": here <= there,
        "==": here == there,
        "!=": here != there,
        "<": here < there,
        ">": here > there,
    }[relation]


def _numbers(version: str) -> tuple[int, ...]:
    """2.9.0rc1+cu128 -> (2, 9, 0)"""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
