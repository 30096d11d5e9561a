"""Events: what a running stage reports to a listener, as typed values with numbers in them.

The library neither prints nor exits. `taolite.cli` makes the sentences, once for each dialect; no stage makes or reads
one. Only a `Notice` has text of its own: a message from a reader of files, worded as an error message is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from taolite.diagnosis import Cause
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
    "Diagnosed",
    "Downloading",
    "EngineBuilt",
    "EngineNeeded",
    "EngineReason",
    "EngineReplaced",
    "EngineReused",
    "EngineUnkept",
    "ExportOlder",
    "EpochDone",
    "Exploring",
    "Exporting",
    "FramesDropped",
    "FramesUnreadable",
    "GateSkipped",
    "Intervals",
    "KeyFileOdd",
    "KeyFileOpen",
    "LabelsLeftOut",
    "LayerToFloat",
    "LayersFloored",
    "ModelKept",
    "RangesUsed",
    "Taught",
    "TensorfileWritten",
    "WentOn",
    "Event",
    "Listener",
    "Notice",
    "Progress",
    "PruneStepped",
    "Saved",
    "SeedBegun",
    "SourceBack",
    "SourceLost",
    "Stepped",
    "StreamDescribed",
    "Validated",
    "silent",
]


@dataclass(frozen=True)
class Notice:
    """One line of text from a reader of files; a warning needs the user's attention."""

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
    batch. waited_s: the part of `seconds` spent waiting for data. values: the cost and its parts, first `loss` (without
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
    """A model of the run was written: the `best` so far, or that of the `last` epoch. epoch: counted from 1."""

    path: Path
    which: Literal["best", "last"]
    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """One epoch of training, counted from 1. `loss` is the mean cost of the data, `penalty` that of the regulariser;
    training lowers their sum. Times in seconds. `data_wait` is the fraction (0..1) of time spent on loading.
    `cost_exponent` is None where the cost is not scaled. `overflows` counts the run's steps lost to cost scaling.
    `parts` are the means of the cost's parts over the steps."""

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
class Diagnosed:
    """A validation scored 0 in `metric`: the causes that were found, likeliest first. folder: that of the run; None for
    a model alone."""

    causes: tuple[Cause, ...]
    metric: str
    folder: Path | None = None


@dataclass(frozen=True)
class DataFound:
    """The number of images for training and for validation, and the number in a step."""

    training: int
    validation: int
    batch_size: int


@dataclass(frozen=True)
class LabelsLeftOut:
    """Labels that no class of the spec at `source` takes: the number of each name."""

    source: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class ClassesMissing:
    """Classes of the spec at `source` for which no training image has a label."""

    source: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Computing:
    """Where the run computes: a GPU's number and name, or None and a processor's threads. `dtype`: type of
    convolutions."""

    gpu: int | None
    name: str
    threads: int
    dtype: str


@dataclass(frozen=True)
class BatchShared:
    """A step has `images` images, over `processes` processes; the spec asks for `asked`."""

    images: int
    processes: int
    asked: int


@dataclass(frozen=True)
class Intervals:
    """How often a run saves: a model every `checkpoint_epochs` epochs; scalars and pictures (None: never) go to the
    sinks at intervals counted in steps."""

    checkpoint_epochs: int
    scalar_steps: int
    picture_steps: int | None


@dataclass(frozen=True)
class SeedBegun:
    """Run `number` of `count` (from 1) of a training with several seeds is about to begin or to resume."""

    seed: int
    number: int
    count: int
    folder: Path


@dataclass(frozen=True)
class WentOn:
    """A run resumes from `checkpoint`: after `epoch` of `epochs` (from 1) and `step` of the next, or is `complete`."""

    checkpoint: Path
    epoch: int
    epochs: int
    step: int
    complete: bool


@dataclass(frozen=True)
class BegunAnew:
    """The run in `folder` left no state to resume from, and starts from the beginning."""

    folder: Path


@dataclass(frozen=True)
class CheckpointDamaged:
    """A checkpoint cannot be read, for this `reason`; the one before it is used."""

    reason: str


@dataclass(frozen=True)
class Taught:
    """A run learns from the model at `teacher` too. `weight`, `temperature`: of the spec's `teacher`."""

    teacher: Path
    parameters: int
    weight: float
    temperature: float


@dataclass(frozen=True)
class BatchNormsMeasured:
    """The batch norms of a pruned network that keep their statistics were measured again on `images` images."""

    images: int


@dataclass(frozen=True)
class ModelKept:
    """The model after `step` steps is about to be written; earlier models are kept."""

    step: int


@dataclass(frozen=True)
class CostStuck:
    """The cost of `part` has not been below `least` for `waited` epochs, at `epoch` (from 1).

    `then`: the learning rate is lowered over `annealing` epochs, or training stops. `again`: it was lowered before.
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
    """Pruning looks for channels to remove."""


@dataclass(frozen=True)
class LayersFloored:
    """`count` of `total` layers are pruned to `least` filters, the fewest that are allowed."""

    count: int
    total: int
    least: int


@dataclass(frozen=True)
class Cutting:
    """Pruning removes the chosen channels."""


@dataclass(frozen=True)
class GateSkipped:
    """The export is not scored beside the trained model: `why` there is nothing to score it on."""

    why: str


@dataclass(frozen=True)
class LayerToFloat:
    """A layer of an int8 export goes back to float. drop: that of the export with it, in points of the main metric;
    allowed: the largest that passes."""

    layer: str
    drop: float
    allowed: float


@dataclass(frozen=True)
class PruneStepped:
    """A step of pruning within a price is done. share: fraction of the parameters that is left. score: the task's main
    metric, 0..1; dropped: points below the unpruned network. threshold: `-pth` of this step."""

    number: int
    share: float
    parameters: int
    macs: int
    metric: str
    score: float
    dropped: float
    threshold: float


@dataclass(frozen=True)
class Exporting:
    """The proven export is about to be written to `path`."""

    path: Path


@dataclass(frozen=True)
class Calibrating:
    """The ranges of activations are about to be found by `method` on `images` images of `source`."""

    method: str
    images: int
    source: str


@dataclass(frozen=True)
class RangesUsed:
    """The ranges are read from the file `cache`; it has none for the tensors `missing`."""

    cache: Path
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorfileWritten:
    """The calibration images were written to `path`."""

    path: Path
    batches: int
    batch_size: int


@dataclass(frozen=True)
class BuildsWithoutGpu:
    """There is no GPU here, and `backend` was not chosen by the user. The engine is for this processor, or for GPUs
    elsewhere."""

    backend: str
    for_processor: bool


@dataclass(frozen=True)
class ClassesUnnamed:
    """The ONNX `model`, written by `origin`, does not name its classes; its engine needs a spec to run."""

    model: Path
    origin: str


@dataclass(frozen=True)
class BuilderWarned:
    """A warning of the runtime that builds an engine, in its own words."""

    backend: str
    version: str
    text: str


@dataclass(frozen=True)
class CacheUnused:
    """The calibration cache is not used: the model is already quantised, or the engine is not int8."""

    cache: Path
    quantised: bool


@dataclass(frozen=True)
class ExportOlder:
    """The exported model `export` was written before the model `newer` beside it."""

    export: Path
    newer: Path


@dataclass(frozen=True)
class Downloading:
    """A file is being downloaded from `url` to `path`."""

    url: str
    path: Path


@dataclass(frozen=True)
class EngineReplaced:
    """The exported model `source` runs instead of the engine file `engine`, or, where that is None, of an engine still
    to be built. The reason: `runtime` was asked for, or, where that is None, there is no GPU here."""

    source: Path
    engine: Path | None
    runtime: str | None


@dataclass(frozen=True)
class EngineBuilt:
    """An engine was built and written to `path`; None where it is for this run alone."""

    path: Path | None


@dataclass(frozen=True)
class FramesDropped:
    """`dropped` of `frames` frames have not reached `place` (a network or a window), which is slower than the pipeline.
    at_end: the output is closed now."""

    place: str
    dropped: int
    frames: int
    at_end: bool


@dataclass(frozen=True)
class StreamDescribed:
    """The description, in SDP, that receivers of the RTP stream to `place` need."""

    place: str
    description: str


@dataclass(frozen=True)
class SourceLost:
    """The camera or stream `place` (without a password) gives no frames, for this `reason`. It is opened again and
    again, for `patience_s` seconds at most."""

    place: str
    reason: str
    patience_s: float


@dataclass(frozen=True)
class SourceBack:
    """The camera or stream `place` gives frames again, `after_s` seconds after it was lost."""

    place: str
    after_s: float


@dataclass(frozen=True)
class FramesUnreadable:
    """`count` frames of the video `place` could not be decoded and were passed over; `read` were read."""

    place: str
    count: int
    read: int


EngineReason: TypeAlias = Literal["new", "model", "version", "device", "damaged", "asked"]
"""Why an engine is built: none is kept; the model, the runtime's version or the device is not that of the kept one; the
kept one is damaged; or the user asked for it."""


@dataclass(frozen=True)
class EngineNeeded:
    """An engine of `model` is about to be built with `runtime`. `was` and `now`: versions or devices that differ."""

    model: Path
    runtime: str
    why: EngineReason
    was: str = ""
    now: str = ""


@dataclass(frozen=True)
class EngineReused:
    """The kept engine at `path` fits `model` and is used."""

    model: Path
    path: Path


@dataclass(frozen=True)
class EngineUnkept:
    """The engine of `model` that was built runs but is not kept: it could not be written, for this `reason`, or, where
    that is None, the model is sealed, and an engine holds its weights unencrypted."""

    model: Path
    reason: str | None


@dataclass(frozen=True)
class KeyFileOpen:
    """Other users of the machine can read the key file `path`. mode: its permissions, as 0o644."""

    path: Path
    mode: int


@dataclass(frozen=True)
class KeyFileOdd:
    """A key file holds more than the key and one line break, and another program may take another key from it.

    what: a byte order mark or a Windows line break (neither is part of the key), or line breaks within the key or
    spaces at its ends (both are part of it).
    """

    path: Path
    what: Literal["bom", "crlf", "lines", "spaces"]


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
    | Diagnosed
    | LabelsLeftOut
    | ClassesMissing
    | Computing
    | BatchShared
    | Intervals
    | SeedBegun
    | WentOn
    | BegunAnew
    | CheckpointDamaged
    | Taught
    | BatchNormsMeasured
    | ModelKept
    | CostStuck
    | Exploring
    | LayersFloored
    | Cutting
    | PruneStepped
    | Exporting
    | GateSkipped
    | LayerToFloat
    | Calibrating
    | RangesUsed
    | TensorfileWritten
    | BuildsWithoutGpu
    | ClassesUnnamed
    | BuilderWarned
    | CacheUnused
    | Downloading
    | EngineReplaced
    | ExportOlder
    | EngineBuilt
    | FramesDropped
    | StreamDescribed
    | SourceLost
    | SourceBack
    | FramesUnreadable
    | EngineNeeded
    | EngineReused
    | EngineUnkept
    | KeyFileOpen
    | KeyFileOdd
)
Listener: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that ignores all events."""
