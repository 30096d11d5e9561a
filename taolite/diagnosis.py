"""Why a score is low, as values that tasks, stages and events meet on. Sentences are made of them in `cli`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Answers", "Cause", "Step", "share_below"]

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
