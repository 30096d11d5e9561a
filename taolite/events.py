"""What a running stage says: typed values with numbers in them, for a listener.

The library neither prints nor exits. Sentences are made in `taolite.cli`, once a dialect; no stage makes or reads one.
A `Notice` is what a reader of files has to say of them, in its own words, as an error message is.
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
    "BatchNormsMeasured",
    "BatchShared",
    "BegunAnew",
    "BuilderWarned",
    "BuildsWithoutGpu",
    "CacheUnused",
    "Calibrating",
    "CheckpointDamaged",
    "ClassesMissing",
    "ClassesUnnamed",
    "Computing",
    "CostStuck",
    "Cutting",
    "DataFound",
    "EngineBuilt",
    "EngineReplaced",
    "ExportOlder",
    "EpochDone",
    "Exploring",
    "Exporting",
    "Intervals",
    "LabelsLeftOut",
    "LayersFloored",
    "ModelKept",
    "RangesUsed",
    "TensorfileWritten",
    "WentOn",
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
    """One line that a reader of files says; a warning is something to act on."""

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
    """One epoch of training, counted from 1. `loss` is the mean cost of the data, `penalty` that of the regulariser;
    training lowers their sum. Times in seconds; `data_wait` is the share (0..1) spent on loading.
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
    penalty: float = 0.0
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


@dataclass(frozen=True)
class DataFound:
    """How many images there are to train on and to validate with, and how many go into a step."""

    training: int
    validation: int
    batch_size: int


@dataclass(frozen=True)
class LabelsLeftOut:
    """Labels that no class of the spec at `source` takes: how many of each name."""

    source: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class ClassesMissing:
    """Classes of the spec at `source` that no training image has."""

    source: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Computing:
    """Where the run computes: a GPU's number and name, or None and a processor's threads; `dtype` of convolutions."""

    gpu: int | None
    name: str
    threads: int
    dtype: str


@dataclass(frozen=True)
class BatchShared:
    """A step has `images`, over `processes`, and the spec says `asked`."""

    images: int
    processes: int
    asked: int


@dataclass(frozen=True)
class Intervals:
    """A model is kept every so many epochs; scalars and pictures (None: none) go to the sinks every so many steps."""

    checkpoint_epochs: int
    scalar_steps: int
    picture_steps: int | None


@dataclass(frozen=True)
class WentOn:
    """A run goes on from `checkpoint`: after `epoch` of `epochs` (from 1) and `step` of the next, or is `complete`."""

    checkpoint: Path
    epoch: int
    epochs: int
    step: int
    complete: bool


@dataclass(frozen=True)
class BegunAnew:
    """The run in `folder` left no state to go on from, and begins again."""

    folder: Path


@dataclass(frozen=True)
class CheckpointDamaged:
    """A checkpoint cannot be read, for this `reason`; the one before it is taken."""

    reason: str


@dataclass(frozen=True)
class BatchNormsMeasured:
    """The batch norms of a pruned network that keep their statistics were measured anew on so many `images`."""

    images: int


@dataclass(frozen=True)
class ModelKept:
    """The model after `step` steps is about to be written beside the others."""

    step: int


@dataclass(frozen=True)
class CostStuck:
    """The cost of `part` has not been below `least` for `waited` epochs, at `epoch` (from 1).

    `then`: the rate goes down over `annealing` epochs, or training stops; `again`: it went down before.
    """

    epoch: int
    part: Literal["training", "validation"]
    least: float
    waited: int
    then: Literal["anneal", "stop"]
    annealing: int = 0
    again: bool = False


@dataclass(frozen=True)
class Exploring:
    """Pruning looks for channels that can go."""


@dataclass(frozen=True)
class LayersFloored:
    """So many of `total` layers are cut to `least` filters, the fewest that are allowed."""

    count: int
    total: int
    least: int


@dataclass(frozen=True)
class Cutting:
    """Pruning takes the chosen channels out."""


@dataclass(frozen=True)
class Exporting:
    """The proven export is about to be written to `path`."""

    path: Path


@dataclass(frozen=True)
class Calibrating:
    """The ranges of activations are about to be found by `method` on so many images of `source`."""

    method: str
    images: int
    source: str


@dataclass(frozen=True)
class RangesUsed:
    """The ranges are those of the file `cache`; it has none for the tensors `missing`."""

    cache: Path
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorfileWritten:
    """Calibration images were kept in `path`."""

    path: Path
    batches: int
    batch_size: int


@dataclass(frozen=True)
class BuildsWithoutGpu:
    """There is no GPU here, and nobody chose `backend`: its engine is for this processor, or for GPUs elsewhere."""

    backend: str
    for_processor: bool


@dataclass(frozen=True)
class ClassesUnnamed:
    """The ONNX `model`, which `origin` wrote, does not name its classes; its engine needs a spec to run."""

    model: Path
    origin: str


@dataclass(frozen=True)
class BuilderWarned:
    """What the runtime that builds an engine warned of, in its own words."""

    backend: str
    version: str
    text: str


@dataclass(frozen=True)
class CacheUnused:
    """The calibration cache is not used: the model is quantised already, or the engine is not to be int8."""

    cache: Path
    quantised: bool


@dataclass(frozen=True)
class ExportOlder:
    """The exported model `export` was written before the model `newer` beside it."""

    export: Path
    newer: Path


@dataclass(frozen=True)
class EngineReplaced:
    """The exported model `source` runs instead of an engine: instead of the file `engine`, or of one to be built where
    that is None; because `runtime` was asked for, or, where that is None, because there is no GPU here."""

    source: Path
    engine: Path | None
    runtime: str | None


@dataclass(frozen=True)
class EngineBuilt:
    """An engine was built and kept at `path`, or for this run alone where that is None."""

    path: Path | None


Event: TypeAlias = (
    Notice
    | Progress
    | Stepped
    | BatchDrawn
    | BatchDone
    | EpochDone
    | Validated
    | Saved
    | DataFound
    | LabelsLeftOut
    | ClassesMissing
    | Computing
    | BatchShared
    | Intervals
    | WentOn
    | BegunAnew
    | CheckpointDamaged
    | BatchNormsMeasured
    | ModelKept
    | CostStuck
    | Exploring
    | LayersFloored
    | Cutting
    | Exporting
    | Calibrating
    | RangesUsed
    | TensorfileWritten
    | BuildsWithoutGpu
    | ClassesUnnamed
    | BuilderWarned
    | CacheUnused
    | EngineReplaced
    | ExportOlder
    | EngineBuilt
)
Listener: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that ignores all events."""
