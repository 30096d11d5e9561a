"""The learning-rate schedules: TAO's three (reference/tao_classification_ssd.md 3.1), and `Stairs`.

`taolite.tasks.base.Schedule` documents the methods. No schedule here depends on validation, so none has a state.
The rate is set at every step; `epochs` is the length of the run. TAO rounds `step_size` down to whole steps; taolite
does not. In a run of N steps, the exponent differs by less than a share of 1 / N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from taolite.tasks.base import Schedule
from taolite.tasks.classification.spec import LearningRate
from taolite.tasks.schedules import Fixed

__all__ = ["Cosine", "SoftAnneal", "Stairs", "Step", "schedule_of"]

_LEAST = 3e-4  # the first rate of TAO's soft start, for every base rate


def schedule_of(config: LearningRate, *, epochs: int, processes: int = 1) -> Schedule:
    """The schedule that a spec's `lr_config` names; its rates are multiplied by `processes`, as in TAO."""
    if config.step:
        return Step(config.step.learning_rate * processes, config.step.step_size / 100, config.step.gamma, epochs)
    if config.cosine:
        base = config.cosine.learning_rate * processes
        return Cosine(base * config.cosine.min_lr_ratio, base, config.cosine.soft_start, epochs)
    if config.stairs:
        return Stairs(config.stairs.learning_rate * processes, config.stairs.epochs, config.stairs.gamma)
    assert config.soft_anneal is not None, "a spec has one of the four"
    return SoftAnneal(
        config.soft_anneal.learning_rate * processes,
        config.soft_anneal.soft_start,
        config.soft_anneal.annealing_points,
        config.soft_anneal.annealing_divider,
        epochs,
    )


@dataclass(frozen=True)
class Step(Fixed):
    """`base`, multiplied by `gamma` over each share `step_size` (0..1) of the run; the decay is smooth.

    >>> schedule = Step(base=0.1, step_size=0.5, gamma=0.01, epochs=10)
    >>> [round(schedule.rate(elapsed), 6) for elapsed in (0, 2.5, 5, 10)]
    [0.1, 0.01, 0.001, 1e-05]
    """

    base: float
    step_size: float
    gamma: float
    epochs: int

    def rate(self, elapsed: float) -> float:
        return float(self.base * self.gamma ** (elapsed / self.epochs / self.step_size))


@dataclass(frozen=True)
class SoftAnneal(Fixed):
    """Linear from 3e-4 to `base` over the share `soft_start`, then divided by `divider` at each of `points`."""

    base: float
    soft_start: float
    points: tuple[float, ...]
    divider: float
    epochs: int

    def rate(self, elapsed: float) -> float:
        progress = elapsed / self.epochs
        if progress < self.soft_start:
            return _LEAST + (self.base - _LEAST) * progress / self.soft_start
        return float(self.base / self.divider ** sum(progress > point for point in self.points))


@dataclass(frozen=True)
class Cosine(Fixed):
    """Linear from `least` to `base` over the share `soft_start`, then half a cosine down.

    The half cosine is as long as the whole run. With a soft start, the run therefore ends above `least`, as in TAO.
    """

    least: float
    base: float
    soft_start: float
    epochs: int

    def rate(self, elapsed: float) -> float:
        progress = elapsed / self.epochs
        if progress < self.soft_start:
            return self.least + (self.base - self.least) * progress / self.soft_start
        return self.least + (self.base - self.least) * (1 + math.cos(math.pi * (progress - self.soft_start))) / 2


@dataclass(frozen=True)
class Stairs(Fixed):
    """`base`, multiplied by `gamma` after every `epochs` epochs (reference/jetson_workflows.md 2.5).

    >>> [Stairs(base=0.1, epochs=30, gamma=0.1).rate(elapsed) for elapsed in (0, 29.9, 30)]
    [0.1, 0.1, 0.010000000000000002]
    """

    base: float
    epochs: int
    gamma: float

    def rate(self, elapsed: float) -> float:
        return float(self.base * self.gamma ** int(elapsed / self.epochs))
