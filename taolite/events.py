"""What a running stage says. The library neither prints nor exits: it hands these values to a listener,
and the command line (or a web page, or a test) decides how they look.
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
    """One line for the reader; a warning is something they should act on."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of the work called `task` are finished; `detail` is a short reading, e.g. the loss."""

    task: str
    done: int
    total: int
    unit: str = "image"
    detail: str = ""


@dataclass(frozen=True)
class Stepped:
    """A point of a run's curves: readings by name after `step` steps."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class BatchDrawn:
    """A training batch of `epoch` (from 1), before it goes through the network: each picture's file, and what its view
    shows in pixels of the input."""

    epoch: int
    pictures: tuple[tuple[str, Truth], ...]


@dataclass(frozen=True)
class BatchDone:
    """Batch `number` (from 1) of `count` went through the network: of `epoch` (from 1) in training, of a validation
    where that is None. `seconds` are the whole of it, `waited_s` of them for data; `values` its cost's readings,
    `loss`, without regularisation, first."""

    epoch: int | None
    number: int
    count: int
    images: int
    seconds: float
    waited_s: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Saved:
    """A model of the run is on the disk: the `best` so far, or the `last` of the epochs done (from 1)."""

    path: Path
    which: Literal["best", "last"]
    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """One epoch of training, counted from 1. Times in seconds; `data_wait` is the share (0..1) spent on loading.
    `cost_exponent` None is a cost that is not scaled; `overflows` counts the run's steps that scaling lost. `parts` are
    the means of what the cost told of each step."""

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
    """What one validation came to, by the task's own metric."""

    epoch: int
    epochs: int
    step: int
    cost: float
    metric: Metric
    seconds_per_image: float


Event: TypeAlias = Notice | Progress | Stepped | BatchDrawn | BatchDone | EpochDone | Validated | Saved
Listener: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that listens to nothing."""
