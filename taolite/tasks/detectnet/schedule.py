"""The two learning-rate schedules (reference 7.7); `taolite.tasks.base.Schedule` documents the methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taolite.events import CostStuck
from taolite.tasks.schedules import Fixed

__all__ = ["Cosine", "EarlyStopping", "SoftStart"]


@dataclass(frozen=True)
class SoftStart(Fixed):
    """A log-linear rise from `least` to `most` until the share `soft_start` of `epochs`; a fall from `annealing` on.

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
        return _between(self.least, self.most, share)


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


class EarlyStopping:
    """A log-linear rise over `soft_start_epochs`, a constant rate, then a fall over `annealing_epochs`.

    The fall starts when the validation cost has not fallen for `patience` epochs. After the fall, the run stops when
    this happens again. With `annealing_epochs` 0 the rate stays at `most`, as in TAO.
    """

    led_by_cost = True

    def __init__(
        self, *, least: float, most: float, soft_start_epochs: int, annealing_epochs: int, patience: int
    ) -> None:
        self._range = (least, most)
        self._soft_start = soft_start_epochs
        self._annealing = annealing_epochs
        self._patience = patience
        self._best: tuple[float, int] | None = None  # cost, epoch
        self._annealed_from: int | None = None  # epoch
        self.stopped = False

    def rate(self, elapsed: float) -> float:
        if self._annealed_from is None:
            share = min(elapsed / self._soft_start, 1.0) if self._soft_start else 1.0
        else:
            share = max(1 - (elapsed - self._annealed_from) / self._annealing, 0.0) if self._annealing else 1.0
        return _between(*self._range, share)

    def trained(self, epoch: int, cost: float) -> None:
        return None

    def validated(self, epoch: int, cost: float) -> CostStuck | None:
        if self._best is None or cost < self._best[0]:
            self._best = (cost, epoch)
            return None
        best, since = self._best
        waited = epoch - since
        if waited < self._patience:
            return None
        if self._annealed_from is None:
            self._annealed_from, self._best = epoch, (cost, epoch)
            return CostStuck(epoch, "validation", best, waited, "anneal", self._annealing)
        if epoch - self._annealed_from > self._annealing:
            self.stopped = True
            return CostStuck(epoch, "validation", best, waited, "stop", again=True)
        return None

    def state(self) -> dict[str, Any]:
        best = [self._best[0].hex(), self._best[1]] if self._best else None
        return {"best": best, "annealed_from": self._annealed_from, "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any]) -> None:
        best = state["best"]
        self._best = (float.fromhex(best[0]), int(best[1])) if best else None
        self._annealed_from, self.stopped = state["annealed_from"], bool(state["stopped"])


def _between(least: float, most: float, share: float) -> float:
    """Log-linear interpolation: `least` at share 0, `most` at share 1."""
    return math.exp(math.log(least) + share * (math.log(most) - math.log(least)))
