"""Early stopping of TAO's SSD (reference/tao_classification_ssd.md 4.1); the rates are `tasks.schedules`'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from taolite.events import CostStuck
from taolite.tasks.base import Schedule

__all__ = ["StopsEarly"]


class StopsEarly:
    """The rates of `schedule`, with early stopping as in Keras: training stops when the cost has not fallen below its
    minimum by more than `min_delta` for `patience` epochs in a row. The cost is the validation cost, or with `training`
    the training cost."""

    def __init__(self, schedule: Schedule, *, training: bool, min_delta: float, patience: int) -> None:
        self._schedule, self._training = schedule, training
        self._min_delta, self._patience = min_delta, patience
        self._least, self._waited = math.inf, 0
        self.stopped = False

    @property
    def led_by_cost(self) -> bool:
        return not self._training

    def rate(self, elapsed: float) -> float:
        return self._schedule.rate(elapsed)

    def trained(self, epoch: int, cost: float) -> CostStuck | None:
        return self._hear(epoch, cost) if self._training else None

    def validated(self, epoch: int, cost: float) -> CostStuck | None:
        return None if self._training else self._hear(epoch, cost)

    def _hear(self, epoch: int, cost: float) -> CostStuck | None:
        if cost < self._least - self._min_delta:
            self._least, self._waited = cost, 0
            return None
        self._waited += 1
        if self._waited < self._patience:
            return None
        self.stopped = True
        return CostStuck(epoch, "training" if self._training else "validation", self._least, self._waited, "stop")

    def state(self) -> dict[str, Any]:
        return {"least": self._least.hex(), "waited": self._waited, "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._least, self._waited = float.fromhex(state["least"]), int(state["waited"])
        self.stopped = bool(state["stopped"])
