"""How a format is read and written: `Reader` and `Writing`, which a row of `taolite.formats.registry` holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from taolite.errors import DataError
from taolite.formats.findings import Findings
from taolite.formats.text import show
from taolite.sample import Sample

__all__ = ["Named", "Reader", "Target", "Writing", "class_names", "put"]

Named = Sequence[tuple[str, Sample]]
"""The file name that a picture is written under, and its sample."""


class Reader(Protocol):
    """Reads a data set. Anything that cannot be used goes to the findings; it raises no error."""

    def __call__(
        self,
        root: Path,
        *,
        only: frozenset[str] | None = None,
        split: str | None = None,
        outside: bool = False,
        findings: Findings,
    ) -> list[Sample]:
        """The samples at or below `root`.

        Args:
            root: a folder, or one label file.
            only: keep only the images with these stems.
            split: keep only one of the format's splits (`Format.splits`), by any of its names.
            outside: allow pictures that a label file names outside `root` and its parent folder.
            findings: collects every problem.
        """
        ...


@dataclass(frozen=True)
class Target:
    """Where a data set is written. root: the folder to write into. title: its final name. lists: the samples of each
    list. classes: the names of the classes, in order."""

    root: Path
    title: str
    lists: Mapping[str, Sequence[Sample]]
    classes: Sequence[str]


@dataclass(frozen=True)
class Writing:
    """How a format is written.

    labels: writes the label files; the pictures are already in `root / pictures`.
    pictures: the folder for pictures, "" for the root itself.
    keeps: the label fields beyond class and box that the format can store, in the words of `taolite.formats.losses`,
    and `no-area` for points and lines.
    cut: whether boxes are cut at the edges of their picture.
    one_extension: whether all pictures need the same extension.
    require: raises DataError for class names that cannot be written; it is given where each stands first.
    """

    labels: Callable[[Named, Target], None]
    pictures: str
    keeps: frozenset[str] = frozenset()
    cut: bool = False
    one_extension: bool = False
    require: Callable[[Mapping[str, str]], None] | None = None


def class_names(named: Named) -> list[str]:
    """The names of all labels, sorted."""
    return sorted({label.name for _, sample in named for label in sample.labels})


def put(path: Path, text: str) -> None:
    """Write a label file and make its folders. Raises DataError for text that is not valid Unicode (half a character,
    or the bytes of a file name that is not UTF-8)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except UnicodeEncodeError as error:
        where = show(text[max(0, error.start - 20) : error.end + 20].strip())
        what = f"its text is no Unicode at {where}; correct that label, or rename that picture"
        raise DataError(f"{path.name}: {what}") from error
