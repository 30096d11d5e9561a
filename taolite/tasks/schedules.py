"""What schedules of several tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Fixed"]


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
