"""Pictures with boxes, for a detector: read, drawn, saved. Where they lie is in `taolite.web.layouts`.

Boxes are cut at the edges of their picture. Of a label file that exists, what the page does not show is kept: points
and lines, and outlines, marks and attributes of boxes that were not moved.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taolite.errors import DataError, UsageError
from taolite.events import Listener, silent
from taolite.formats.findings import Findings, problems_error
from taolite.formats.places import measure
from taolite.formats.shapes import WITHOUT_AREA
from taolite.formats.text import show
from taolite.sample import Label, Sample
from taolite.web.classes import ClassList
from taolite.web.folders import SETS, Tally, require_set
from taolite.web.shots import Shot, Shots

__all__ = ["BoxSet", "Drawn", "inside"]

_LEAST = 2.0  # pixels; a smaller box is a stray click, and VOC cannot tell a box of one pixel from none
_SAME = 0.02  # pixels by which a box that was not moved may differ, after its way through the page


@dataclass(frozen=True)
class Drawn:
    """A box as the page has it: class; (x1, y1, x2, y2) in pixels of the picture; and the number of the label that it
    was when the picture was opened, None for a new box."""

    name: str
    box: tuple[float, float, float, float]
    was: int | None = None


class BoxSet(ABC):
    """A data set of labelled pictures that grows picture by picture."""

    sets: tuple[str, ...] = SETS
    _needs_list = False  # whether trainers need `labels.txt`

    def __init__(self, root: Path, shots: Shots, *, suggested: Sequence[str] = (), listener: Listener = silent) -> None:
        """Args:
        suggested: classes for a set that has none yet, such as those of a model.

        Raises DataError, UsageError for a wrong `labels.txt`.
        """
        self.root, self._shots, self._suggested = root, shots, tuple(suggested)
        self._seen: dict[Path, tuple[tuple[int, int], tuple[str, ...]]] = {}
        self.classes = ClassList(root / "labels.txt", found=self._found, folders=False, listener=listener)

    @abstractmethod
    def names(self) -> list[Path]:
        """All pictures, by name."""

    @abstractmethod
    def labels_of(self, picture: Path) -> Path:
        """The label file of a picture, whether it is there or not."""

    @abstractmethod
    def set_of(self, picture: Path) -> str:
        """The set that a picture belongs to; "" for none."""

    @abstractmethod
    def _new(self, to: str) -> Path:
        """The file for a new picture of set `to`."""

    @abstractmethod
    def _parse(self, path: Path, picture: Path, findings: Findings) -> Sample | None:
        """The labels in a file, and its picture."""

    @abstractmethod
    def _format(self, sample: Sample, before: bytes | None) -> str:
        """The label file's text; `before`: the content it has."""

    @abstractmethod
    def _enlist(self, shot: Shot, picture: Path, to: str, merge: bool) -> None:
        """Put a picture into the lists of set `to`. Raises UsageError where its set cannot be changed."""

    def read(self, picture: Path) -> Sample:
        """A picture's size and labels. Raises DataError where the picture or its label file cannot be read."""
        findings, path = Findings(), self.labels_of(picture)
        if not path.is_file():
            size_hw = measure(picture, findings)
            sample = None if size_hw is None else Sample(picture, size_hw)
        else:
            sample = self._parse(path, picture, findings)
        if findings.errors:
            raise problems_error(self.root, findings.errors)
        if sample is None:
            raise DataError(f"{path}: this is another program's file; move it, and draw the boxes anew")
        if sample.image.resolve() != picture.resolve():
            raise DataError(f"{path}: these are the labels of {sample.image.name}; give {picture.name} another name")
        return sample

    def add(self, jpeg: bytes, size_hw: tuple[int, int], drawn: Sequence[Drawn], *, to: str, merge: bool) -> Path:
        """Save a new picture with its boxes; the file. Raises UsageError, StorageError, PathError; then nothing is
        written."""
        path = self._new(require_set(to))
        sample = Sample(path, size_hw, self._labels(drawn, Sample(path, size_hw)))
        with self._shots.shot(self._said(path)) as shot:
            shot.write(path, jpeg)
            self._write(shot, sample, to, merge)
        return path

    def change(
        self, picture: Path, drawn: Sequence[Drawn], *, to: str, merge: bool, revision: str | None = None
    ) -> None:
        """Save the boxes of a picture that is there, and put it into set `to`; "" leaves its set as it is.

        revision: of the label file that the boxes were made from. Raises as `read` and `add` do, and UsageError where
        the file has another revision.
        """
        if revision is not None and revision != self.revision(picture):
            said = "another program or page has changed these labels; discard your boxes (Esc) to see them"
            raise UsageError(f"{self.labels_of(picture)}: {said}")
        before = self.read(picture)
        if to == self.set_of(picture) and not merge:
            to = ""  # its lists stay as they are
        sample = replace(before, labels=self._labels(drawn, before))
        with self._shots.shot(f"labels of {self._said(picture)}") as shot:
            self._write(shot, sample, require_set(to) if to else "", merge)

    def tally(self) -> Tally:
        """The number of boxes of each class in each set."""
        sets, sets_of = self.sets or ("",), self._sets()
        boxes = {name: Counter[str]() for name in self.classes.names}
        pictures = Counter[str]()
        for picture, names in self._labelled().items():
            for one in sets_of(picture):
                pictures[one] += 1
                for name in names:
                    boxes.setdefault(name, Counter())[one] += 1
        classes = {name: {one: row[one] for one in sets} for name, row in boxes.items()}
        return Tally(classes, {one: pictures[one] for one in sets})

    def _sets(self) -> Callable[[Path], Sequence[str]]:
        """A function from a picture to the sets that it is counted in."""
        return lambda picture: (self.set_of(picture),)

    @staticmethod
    def shown(sample: Sample) -> list[tuple[int, Label]]:
        """The labels that have an area, each with its number among all labels."""
        return [(number, label) for number, label in enumerate(sample.labels) if not _is_hidden(label)]

    def revision(self, picture: Path) -> str:
        """A text that changes with the picture's label file; "" where there is none."""
        path = self.labels_of(picture)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def is_labelled(self, picture: Path) -> bool:
        """Whether a picture has a label file."""
        return self.labels_of(picture).is_file()

    def _said(self, picture: Path) -> str:
        return picture.relative_to(self.root).as_posix()

    def _write(self, shot: Shot, sample: Sample, to: str, merge: bool) -> None:
        path = self.labels_of(sample.image)
        before = path.read_bytes() if path.is_file() else None
        shot.write(path, self._format(sample, before).encode())
        if to:
            self._enlist(shot, sample.image, to, merge)
        if self._needs_list and not self.classes.is_written:
            self.classes.add(())

    def _labels(self, drawn: Sequence[Drawn], before: Sample) -> tuple[Label, ...]:
        """The labels to write: those without an area as they were, and the boxes in the page's order."""
        hidden = [label for label in before.labels if _is_hidden(label)]
        known = self.classes.names
        return (*hidden, *(self._label(one, before, known) for one in drawn))

    def _label(self, one: Drawn, before: Sample, known: Sequence[str]) -> Label:
        old = before.labels[one.was] if one.was is not None and 0 <= one.was < len(before.labels) else None
        if one.name not in known and (old is None or old.name != one.name):
            raise UsageError(f"{show(one.name)} is not one of the classes; choose one, or add it")
        if old is not None and all(abs(a - b) <= _SAME for a, b in zip(old.box, one.box, strict=True)):
            return replace(old, name=one.name)
        box = inside(tuple(self._rounded(value) for value in one.box), before.size_hw)
        if box is None:
            raise UsageError(
                f"the box of {show(one.name)} is smaller than {_LEAST:g} pixels inside the picture; draw it again or "
                "delete it"
            )
        if old is None:
            return Label(one.name, box)
        kept = {name: value for name, value in old.attributes.items() if name not in ("shape", "mask", "parts")}
        return replace(old, name=one.name, box=box, points=(), attributes=kept)

    def _rounded(self, value: float) -> float:
        return round(value, 2)

    def _labelled(self) -> dict[Path, tuple[str, ...]]:
        """The class names in each labelled picture. A file is read again where it changed; one that cannot be read has
        none here, and its error comes when the picture is opened."""
        found = {}
        for picture in self.names():
            path = self.labels_of(picture)
            try:
                stat = path.stat()
            except OSError:
                continue
            mark = (stat.st_mtime_ns, stat.st_size)
            if path not in self._seen or self._seen[path][0] != mark:
                self._seen[path] = (mark, self._names_in(path))
            found[picture] = self._seen[path][1]
        return found

    @abstractmethod
    def _names_in(self, path: Path) -> tuple[str, ...]:
        """The class names in a label file, quickly; none where it cannot be read."""

    def _found(self) -> list[str]:
        names = {name for names in self._labelled().values() for name in names}
        return [*self._suggested, *sorted(names - set(self._suggested))]


def inside(box: tuple[float, ...], size_hw: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """A box (x1, y1, x2, y2) cut at the edges of its picture of (height, width) pixels; None where too little is left
    to be a label."""
    x1, y1, x2, y2 = box
    height, width = size_hw
    cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    return cut if cut[2] - cut[0] >= _LEAST and cut[3] - cut[1] >= _LEAST else None


def _is_hidden(label: Label) -> bool:
    """Whether a label has no area, so that the page does not show it."""
    return label.attributes.get("shape") in WITHOUT_AREA
