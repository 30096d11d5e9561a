"""Events of a running stage. The library does not print and does not exit: it passes these values to a listener, and
the command line (or a web page, or a test) decides how to show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from taolite.scorecard import Metric

if TYPE_CHECKING:
    from taolite.sample import Truth

__all__ = [
    "BatchDone",
    "BatchDrawn",
    "EpochDone",
    "Event",
    "Listener",
    "Notice",
    "Progress",
    "Saved",
    "Stepped",
    "Validated",
    "silent",
]


@dataclass(frozen=True)
class Notice:
    """One line of text for the user. A warning is something to act on."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of the work named `task` are finished. detail: a short value to show, e.g. the loss."""

    task: str
    done: int
    total: int
    unit: str = "image"
    detail: str = ""


@dataclass(frozen=True)
class Stepped:
    """One point of a run's curves: values by name, after `step` training steps."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class BatchDrawn:
    """A training batch, before the forward pass. epoch: counted from 1. pictures: the file of each picture, and its
    objects in pixels of the network's input."""

    epoch: int
    pictures: tuple[tuple[str, Truth], ...]


@dataclass(frozen=True)
class BatchDone:
    """Batch `number` of `count` (from 1) is done. epoch: counted from 1; None in a validation. seconds: time of the
    batch. waited_s: the part of it that was spent waiting for data. values: of the cost, first `loss` (without
    regularisation)."""

    epoch: int | None
    number: int
    count: int
    images: int
    seconds: float
    waited_s: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Saved:
    """A model of the run was written: the `best` so far, or the one of the `last` epoch. epoch: counted from 1."""

    path: Path
    which: Literal["best", "last"]
    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """One epoch of training is done. epoch: counted from 1. seconds, eta_s: in seconds. data_wait: share (0..1) of the
    time that was spent waiting for data. cost_exponent: of the loss scaling, None without it. overflows: steps of the
    run that were skipped because of loss scaling. parts: mean of each part of the cost over the epoch."""

    epoch: int
    epochs: int
    step: int
    loss: float
    learning_rate: float
    images_per_s: float
    data_wait: float
    seconds: float
    eta_s: float
    cost_exponent: float | None = None
    overflows: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validated:
    """The result of one validation, with the task's own metric. epoch: counted from 1."""

    epoch: int
    epochs: int
    step: int
    cost: float
    metric: Metric
    seconds_per_image: float


Event: TypeAlias = Notice | Progress | Stepped | BatchDrawn | BatchDone | EpochDone | Validated | Saved
Listener: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that ignores all events."""
