"""The learning-rate schedule that waits for the validation cost (reference 7.7); for its methods see
`taolite.tasks.base.Schedule`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taolite.events import CostStuck
from taolite.tasks.schedules import between

__all__ = ["EarlyStopping"]


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
        return between(*self._range, share)

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
