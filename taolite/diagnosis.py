"""Why a score is low, as values that tasks, stages and events meet on. Sentences are made of them in `cli`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Answers", "Cause", "Loaded", "Step", "share_below"]

Step = Literal["data", "input", "training", "answers", "scoring"]
"""Where on the way from a label to a score a cause lies, in the order of the way. input: how photos and boxes are
fitted to the network. answers: how the network's outputs become results."""

_BLOCKS = 0.9


@dataclass(frozen=True)
class Cause:
    """One reason for a low score.

    Attributes:
        name: which cause, e.g. "threshold".
        step: see `Step`.
        share: 0..1, the share of the score that the cause takes away. A symptom, which tells less, has 0.5 or less.
        facts: the evidence and the field to change, as JSON values by name.
    """

    name: str
    step: Step
    share: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blocks(self) -> bool:
        """Whether this cause alone explains a score of about 0."""
        return self.share >= _BLOCKS


@dataclass(frozen=True)
class Answers:
    """What a network says of one class on a split, before any threshold.

    Three rows of 11 numbers, the smallest, the deciles and the largest; a row is empty where there is nothing to count.

    Attributes:
        on_objects: for each labelled object, the strongest answer in its place, 0..1.
        elsewhere: for each picture, the strongest answer in all other places, 0..1.
        overlaps: for each labelled object, the best IoU of a result of its class, 0..1.
        results: number of results, after all thresholds.
    """

    on_objects: tuple[float, ...]
    elsewhere: tuple[float, ...]
    overlaps: tuple[float, ...]
    results: int

    @property
    def tells_apart(self) -> bool:
        """Whether the answers on objects are stronger than those elsewhere, by their medians."""
        if not self.on_objects:
            return False
        return not self.elsewhere or self.on_objects[5] > self.elsewhere[5]

    def lost_below(self, threshold: float) -> float:
        """The share of the objects on which the answers do not exceed `threshold`, 0..1; 0.5 at most where they are no
        stronger than elsewhere, because a lower threshold would not help then."""
        lost = share_below(self.on_objects, threshold)
        return lost if self.tells_apart else min(lost, 0.5)

    @property
    def facts(self) -> dict[str, float]:
        """The scores that a cause names: median and largest on objects, and the median elsewhere."""
        elsewhere = self.elsewhere[5] if self.elsewhere else 0.0
        return {"median": self.on_objects[5], "most": self.on_objects[-1], "elsewhere": elsewhere}


@dataclass(frozen=True)
class Loaded:
    """What a training took from a file of weights.

    Attributes:
        file: path or address.
        layers: number of layers that were taken.
        fresh: layers of the backbone that are not in the file, or have other shapes there, and begin at random.
        reason: why the first of the file's layers that do not fit was left out; "" where all fit.
        learned: the normalisation of the input that the weights were trained with (`scale`, `offsets`, `stds`, `bgr` of
            a Preprocessing), where it is known and not that of this training; else empty.
    """

    file: str
    layers: int
    fresh: tuple[str, ...] = ()
    reason: str = ""
    learned: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object. `from_json` makes an equal value of it."""
        return asdict(self)

    @staticmethod
    def from_json(found: object) -> Loaded | None:
        """The value of an object of `to_json`; None for anything else."""
        if not isinstance(found, Mapping) or found.keys() != Loaded.__dataclass_fields__.keys():
            return None
        kinds: dict[str, type] = {
            "file": str,
            "layers": int,
            "fresh": Sequence,
            "reason": str,
            "learned": Mapping,
        }
        if not all(isinstance(found[name], kind) for name, kind in kinds.items()):
            return None
        lists = {name: tuple(value) if isinstance(value, list) else value for name, value in found["learned"].items()}
        if lists and lists.keys() != set(NORMALISATION):
            return None
        return Loaded(**{**found, "fresh": tuple(map(str, found["fresh"])), "learned": lists})


NORMALISATION = ("scale", "offsets", "stds", "bgr")
"""The fields of a Preprocessing that `Loaded.learned` has."""


def share_below(row: Sequence[float], least: float) -> float:
    """The share of the values behind a row of 11 (see `Answers`) that are `least` or less; 1 for an empty row.

    >>> share_below([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 0.25)
    0.25
    """
    if not row or least >= row[-1]:
        return 1.0
    if least < row[0]:
        return 0.0
    place = max(index for index, value in enumerate(row) if value <= least)
    return (place + (least - row[place]) / (row[place + 1] - row[place])) / (len(row) - 1)
