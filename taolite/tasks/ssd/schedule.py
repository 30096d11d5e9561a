"""When a run of TAO's SSD ends early (reference/tao_classification_ssd.md 4.1); its rates are DetectNet's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from taolite.tasks.base import Schedule

__all__ = ["StopsEarly"]


class StopsEarly:
    """The rates of `schedule`, until a cost has not been lower than its least by more than `min_delta` for `patience`
    epochs in a row, as in Keras. The cost is that of validations, or of training epochs with `training`."""

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

    def trained(self, epoch: int, cost: float) -> str:
        return self._hear("training", cost) if self._training else ""

    def validated(self, epoch: int, cost: float) -> str:
        return "" if self._training else self._hear("validation", cost)

    def _hear(self, what: str, cost: float) -> str:
        if cost < self._least - self._min_delta:
            self._least, self._waited = cost, 0
            return ""
        self._waited += 1
        if self._waited < self._patience:
            return ""
        self.stopped = True
        epochs = f"{self._waited} epoch{'s' if self._waited != 1 else ''}"
        return f"the {what} cost has not been below {self._least:.6f} for {epochs}: training stops here"

    def state(self) -> dict[str, Any]:
        return {"least": self._least.hex(), "waited": self._waited, "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._least, self._waited = float.fromhex(state["least"]), int(state["waited"])
        self.stopped = bool(state["stopped"])
