"""What a report is made from: the record of a run and the JSON files beside it, read once and without trust.

A value of another type than it should have counts as missing, so a damaged file costs a section and never the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from taolite.scorecard import ACCURACY, AP, BACKGROUND, Words
from taolite.workspace.catalog import RunRecord
from taolite.workspace.lineage import Lineage

__all__ = ["ClassFacts", "RunFacts", "number", "numbers", "table", "tables"]

Json = Mapping[str, Any]
_EMPTY: Json = {}


@dataclass(frozen=True)
class ClassFacts:
    """One class. score: the main metric, 0..1; the others are None where they are not known.

    labels: objects in training; judged: in validation; side: median square root of the area in training, pixels of the
    input. Of the validation's finds at the best threshold: finds, how many; right; missed, objects without a find;
    invented: finds where no object is; confused: other classes that its objects were taken for, the most frequent
    first. threshold, precision, recall, f1: of the point with the best F1.
    """

    name: str
    number: int
    score: float | None = None
    labels: int | None = None
    judged: int | None = None
    side: int | None = None
    finds: int | None = None
    right: int | None = None
    missed: int | None = None
    invented: int | None = None
    confused: tuple[tuple[str, int], ...] = ()
    threshold: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True)
class RunFacts:
    """A run and everything that was found of it.

    labels, curves, pictures: labels.json, curves.json and pictures.json of the run. models: its .tlt files, as
    `taolite.artifacts.describe.describe` has them. gates, sweeps: (file name, JSON) of exports and pruning sweeps.
    changes: fields of the spec that differ from their default: (path, value, default). plots: PNG files by name. notes:
    what could not be read, in words. lineage: of the run, and of what was made of it in its folder.
    """

    record: RunRecord
    labels: Json = field(default_factory=dict)
    curves: Json = field(default_factory=dict)
    pictures: Json = field(default_factory=dict)
    models: Sequence[Json] = ()
    gates: Sequence[tuple[str, Json]] = ()
    sweeps: Sequence[tuple[str, Json]] = ()
    changes: Sequence[tuple[str, str, str]] = ()
    plots: Mapping[str, bytes] = field(default_factory=dict)
    notes: Sequence[str] = ()
    lineage: Lineage = field(default_factory=lambda: Lineage(()))

    @cached_property
    def card(self) -> Json:
        """The score card of the final validation; empty before the end."""
        return table((self.record.scorecard or _EMPTY).get("card"))

    @cached_property
    def words(self) -> Words:
        """What the main metric is called."""
        return ACCURACY if self.record.metric == ACCURACY.short else AP

    @property
    def is_detector(self) -> bool:
        """Whether the objects have boxes."""
        return self.words is AP

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes in their order."""
        found = self.record.run.get("classes")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    @property
    def files(self) -> list[str]:
        """The models of the run, below its folder."""
        return [str(one.get("path", "")).removeprefix(f"{self.record.folder}/") for one in self.models]

    @property
    def images(self) -> int | None:
        """Pictures of the final validation."""
        return _count(self.card.get("images")) or _count(self.split("val").get("pictures"))

    def split(self, name: str) -> Json:
        """The label statistics of a split (`taolite.data.statistics`); empty where there are none."""
        return table(table(self.labels.get("splits")).get(name))

    @cached_property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """The confusion matrix, true classes by row, a detector's with the background last; empty if there is none."""
        rows = self.card.get("confusion")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
            return ()
        made = tuple(tuple(max(_count(cell) or 0, 0) for cell in row) for row in rows)
        size = len(self.names) + self.is_detector
        return made if len(made) == size and all(len(row) == size for row in made) else ()

    @property
    def headings(self) -> tuple[str, ...]:
        """Names of the rows of the confusion matrix."""
        return (*self.names, BACKGROUND) if self.is_detector else self.names

    @cached_property
    def scores(self) -> Mapping[str, float]:
        """The main metric of each class, of the newest validation."""
        sources = (table(self.card.get("main")).get("per_class"), self.record.scores.get(self.words.of_class))
        rows = (row.get(self.words.of_class) for row in reversed(self.record.rows))
        for source in (*sources, *rows):
            if found := {name: value for name, value in table(source).items() if number(value) is not None}:
                return found
        return {}

    @cached_property
    def classes(self) -> tuple[ClassFacts, ...]:
        """The classes, in their order."""
        return tuple(self._class(index, name) for index, name in enumerate(self.names))

    def _class(self, index: int, name: str) -> ClassFacts:
        train, best = self.split("train"), table(table(self.card.get("best")).get(name))
        sides = numbers(table(train.get("sides")).get(name))
        made: dict[str, Any] = {
            "score": self.scores.get(name),
            "labels": _count(table(train.get("objects")).get(name)),
            "judged": _count(table(self.card.get("objects")).get(name)),
            "side": round(sides[2]) if len(sides) == 5 else None,
            **{key: number(best.get(key)) for key in ("threshold", "precision", "recall", "f1")},
        }
        if counts := self.confusion:
            row, column, size = counts[index], [line[index] for line in counts], len(self.names)
            others = [(self.names[k], row[k]) for k in range(size) if k != index and row[k]]
            made |= {
                "judged": sum(row),
                "finds": sum(column),
                "right": row[index],
                "missed": row[size] if self.is_detector else 0,
                "invented": column[size] if self.is_detector else 0,
                "confused": tuple(sorted(others, key=lambda pair: -pair[1])),
            }
            if not self.is_detector:
                precision, recall = _share(row[index], sum(column)), _share(row[index], sum(row))
                made |= {"precision": precision, "recall": recall, "f1": _f1(precision, recall)}
        return ClassFacts(name, index, **made)


def number(value: object) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float holds
        return None


def numbers(value: object) -> list[float]:
    """A list of finite numbers; empty for anything else."""
    found = [number(one) for one in value] if isinstance(value, list) else []
    return [] if None in found else [one for one in found if one is not None]


def table(value: object) -> Json:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else _EMPTY


def tables(value: object) -> list[Json]:
    """The objects of a JSON array."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
