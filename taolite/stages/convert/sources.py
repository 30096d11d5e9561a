"""What `dataset_convert` reads records from, and what it finds on the way. A source opens label files and image
headers, splits frames into folds, and writes nothing. There are two sources: `convert.kitti` and `convert.coco`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from taolite.formats.findings import SHOWN, Findings
from taolite.formats.tfrecord import Record
from taolite.sample import Label

__all__ = ["Fold", "Frames", "Reading", "Resolve", "Source", "digest", "is_empty", "stamp"]

Resolve = Callable[[str], Path]


@dataclass
class Reading:
    """What was found while labels became records.

    names: number of objects of each name, as written. class_map: name in the labels -> name in the records. dropped:
    TAO's name for an object with an empty box, and its file -> its whole-number corners. of_empty: texts on the first
    of those. of_scores: texts on the first of the `scored` label files that have scores.
    """

    findings: Findings = field(default_factory=Findings)
    images: int = 0
    names: Counter[str] = field(default_factory=Counter)
    class_map: dict[str, str] = field(default_factory=dict)
    dropped: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    of_empty: list[str] = field(default_factory=list)
    scored: int = 0
    of_scores: list[str] = field(default_factory=list)

    def add(self, other: Reading) -> None:
        """Add what a later piece of work found."""
        self.findings.add_errors(other.findings)
        self.images += other.images
        self.names.update(other.names)
        self.class_map |= other.class_map
        self.dropped |= other.dropped
        self.of_empty = [*self.of_empty, *other.of_empty][:SHOWN]
        self.scored += other.scored
        self.of_scores = [*self.of_scores, *other.of_scores][:SHOWN]

    def saved(self) -> dict[str, Any]:
        """All but findings, as a JSON value."""
        names = ("images", "names", "class_map", "of_empty", "scored", "of_scores")
        kept = {name: getattr(self, name) for name in names}
        return {**kept, "dropped": [[*key, corners] for key, corners in self.dropped.items()]}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Reading:
        """The Reading that `saved` was made from, without findings."""
        dropped = {(name, file): corners for name, file, corners in saved["dropped"]}
        return cls(**{**saved, "names": Counter(saved["names"]), "dropped": dropped})


class Frames(Protocol):
    """Some frames of a fold."""

    def state(self) -> str:
        """A text that changes when the inputs of the records change: names, sizes and times of files."""
        ...

    def records(self, reading: Reading) -> Iterator[Record]:
        """The usable records, in order; problems are added to the findings of `reading`."""
        ...


class Fold(Protocol):
    """The frames of a fold, in writing order."""

    def __len__(self) -> int: ...

    def frames(self, places: Sequence[int]) -> Frames:
        """The frames at `places`."""
        ...


class Source(Protocol):
    """Folds of frames; where `apart` is True, other processes can read the frames."""

    root: Path
    num_folds: int
    apart: bool

    def fold(self, number: int, findings: Findings) -> Fold:
        """Open a fold; problems are added to `findings`."""
        ...


def is_empty(label: Label) -> bool:
    """TAO's test of a box, on its corners cut to whole numbers (reference 3.1): from 10.2 to 10.9 the width is 0."""
    x1, y1, x2, y2 = (int(value) for value in label.box)
    return not (x1 < x2 and y1 < y2)


def stamp(path: Path) -> str:
    """Name, size and time of a file, as one text."""
    try:
        found = path.stat()
    except OSError:
        return path.name
    return f"{path.name}/{found.st_size}/{found.st_mtime_ns}"


def digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()
