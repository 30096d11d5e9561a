"""The learning-rate schedules of several tasks; `taolite.tasks.base.Schedule` documents the methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cosine", "Fixed", "SoftStart", "between"]


class Fixed:
    """The part of `taolite.tasks.base.Schedule` that is empty where rates are fixed in advance."""

    stopped = False
    led_by_cost = False

    def trained(self, epoch: int, cost: float) -> None:
        return None

    def validated(self, epoch: int, cost: float) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


@dataclass(frozen=True)
class SoftStart(Fixed):
    """A log-linear rise from `least` to `most` until the share `soft_start` of `epochs`; a fall from `annealing` on
    (reference 7.7).

    >>> schedule = SoftStart(least=5e-6, most=5e-4, soft_start=0.1, annealing=0.7, epochs=120)
    >>> [round(schedule.rate(elapsed), 9) for elapsed in (6, 60)]
    [5e-05, 0.0005]
    """

    least: float
    most: float
    soft_start: float
    annealing: float
    epochs: int

    def rate(self, elapsed: float) -> float:
        progress = elapsed / self.epochs
        if progress < self.soft_start:
            share = progress / self.soft_start
        elif progress > self.annealing:
            share = (1 - progress) / (1 - self.annealing)
        else:
            share = 1.0
        return between(self.least, self.most, share)


@dataclass(frozen=True)
class Cosine(Fixed):
    """A linear rise from `least` to `most` until the share `soft_start` of `epochs`, then half a cosine to `least`.

    >>> schedule = Cosine(least=0.0, most=1.0, soft_start=0.1, epochs=100)
    >>> [round(schedule.rate(elapsed), 3) for elapsed in (5, 10, 55, 100)]
    [0.5, 1.0, 0.5, 0.0]
    """

    least: float
    most: float
    soft_start: float
    epochs: int

    def rate(self, elapsed: float) -> float:
        progress = elapsed / self.epochs
        if progress < self.soft_start:
            share = progress / self.soft_start
        else:
            share = (1 + math.cos(math.pi * (progress - self.soft_start) / (1 - self.soft_start))) / 2
        return self.least + share * (self.most - self.least)


def between(least: float, most: float, share: float) -> float:
    """Log-linear interpolation: `least` at share 0, `most` at share 1."""
    return math.exp(math.log(least) + share * (math.log(most) - math.log(least)))
