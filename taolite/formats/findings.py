"""What a reader or the checker found wrong, by file and line, so that all of it can be told at once.

An error stops a strict read; a note does not (an image without labels, a point that has no area). A finding's text is
a sentence without the place: the place is `path` and `line` (from 1; 0 means the file as a whole).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import DataError
from taolite.formats.printing import printable

__all__ = ["HARMLESS", "SHOWN", "Finding", "Findings", "count_by_kind", "problems_error"]

SHOWN = 10  # problems listed in one message; more of them drown the first
HARMLESS = frozenset({"no-area", "edges", "not-kept"})  # kinds of notes that tell of no fault in the data


@dataclass(frozen=True, order=True)
class Finding:
    """One thing found. `kind` is a short word for machines (`zero-size`, `outside`, `missing-image` ...).

    As text it is safe to print: control characters of file names and labels are escaped.
    """

    path: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return printable(f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}")


class Findings:
    """Errors and notes collected while a data set is read, in the order they were found.

    `unlisted`: how many more errors were found and only counted.
    """

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.notes: list[Finding] = []
        self.unlisted = 0

    def error(self, kind: str, path: Path, text: str, *, line: int = 0) -> None:
        """Something that cannot be used."""
        self.errors.append(Finding(path, line, kind, text))

    def note(self, kind: str, path: Path, text: str, *, line: int = 0) -> None:
        """Something that does not stop the reader, and that the user should know."""
        self.notes.append(Finding(path, line, kind, text))

    def add_errors(self, other: Findings) -> None:
        """Add the errors of `other`. The first `SHOWN` by place are kept; the rest is only counted."""
        errors = sorted([*self.errors, *other.errors])
        self.errors = errors[:SHOWN]
        self.unlisted += other.unlisted + len(errors[SHOWN:])


def problems_error(root: Path | str, findings: Sequence[Finding], *, unlisted: int = 0) -> DataError:
    """One DataError for all of `findings` (at least one): the first `SHOWN`, and how many more there are, with the
    `unlisted` ones."""
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
