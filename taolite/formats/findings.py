"""What a reader or the checker found wrong, by file and line, so that all of it can be told at once.

An error stops a strict read; a note does not (an image nobody labelled, a point that has no area). A finding's
text is a sentence without the place: the place is `path` and `line` (from 1; 0 means the file as a whole).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import DataError

__all__ = ["SHOWN", "Finding", "Findings", "problems_error"]

SHOWN = 10  # problems listed in one message; more of them drown the first


@dataclass(frozen=True, order=True)
class Finding:
    """One thing found. `kind` is a short word for machines (`zero-size`, `outside`, `missing-image` ...)."""

    path: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Findings:
    """Errors and notes collected while a data set is read, each in the order it was met.

    `unlisted` errors were met besides, and counted only.
    """

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.notes: list[Finding] = []
        self.unlisted = 0

    def error(self, kind: str, path: Path, text: str, *, line: int = 0) -> None:
        """Something that cannot be used."""
        self.errors.append(Finding(path, line, kind, text))

    def note(self, kind: str, path: Path, text: str, *, line: int = 0) -> None:
        """Something the reader goes on past, and the user should know."""
        self.notes.append(Finding(path, line, kind, text))

    def add_errors(self, other: Findings) -> None:
        """Those of `other` too; of all the first `SHOWN` by place are kept and the rest is counted."""
        errors = sorted([*self.errors, *other.errors])
        self.errors = errors[:SHOWN]
        self.unlisted += other.unlisted + len(errors[SHOWN:])


def problems_error(root: Path | str, findings: Sequence[Finding], *, unlisted: int = 0) -> DataError:
    """One DataError for all of `findings` (at least one): the first `SHOWN` of them and how many more there are,
    `unlisted` ones among them."""
    count = len(findings) + unlisted
    if count == 1:
        return DataError(str(findings[0]))
    rows = [f"  {finding}" for finding in findings[:SHOWN]]
    if count > SHOWN:
        rows.append(f"  and {count - SHOWN} more; `taolite dataset check {root}` lists them all")
    return DataError("\n".join([f"{root}: {count} problems", *rows]))


def count_by_kind(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each kind, in the order the kinds were first met."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return counts
