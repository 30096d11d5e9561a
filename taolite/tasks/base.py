"""The interface between tasks and stages: with it, every stage is written once for all tasks.

A `Use` runs a finished model and loads without torch. A `Task` is a `Use` that can also be trained. `Task.read` binds
a spec, once, to an `Experiment`: a frozen value that stages take. Each task extends `Experiment` with its own typed
settings. A stage never asks which task it serves. If a stage needs to know, add a method here instead.

Shapes: N images, C input channels, H x W network input, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from taolite.diagnosis import Loaded
from taolite.preprocessing import Preprocessing
from taolite.scorecard import ScoreCard, Words
from taolite.tasks.found import Found

if TYPE_CHECKING:
    import torch

    from taolite.artifacts.bundle import Bundle
    from taolite.artifacts.keys import Key
    from taolite.data.examples import Examples
    from taolite.events import CostStuck
    from taolite.nn.network import TaskNetwork
    from taolite.sample import Truth
    from taolite.sinks.clearml import ClearmlSettings
    from taolite.sinks.wandb import WandbSettings
    from taolite.spec import Reading, SpecModel
    from taolite.tasks.teaching import Teaching

__all__ = [
    "BEST_THRESHOLD",
    "Begun",
    "Cost",
    "CostScaling",
    "Decoding",
    "DeepStream",
    "WHOLE",
    "EnginePlan",
    "Experiment",
    "Given",
    "InferencePlan",
    "Objective",
    "Outputs",
    "ParameterGroup",
    "Part",
    "Predict",
    "Recipe",
    "Schedule",
    "Shapes",
    "Split",
    "Start",
    "Task",
    "Use",
    "Watch",
]

Outputs = tuple[NDArray[np.float32], ...]  # the network's outputs for one image, in the order of `onnx_outputs`
Resolve = Callable[[str], Path]  # a path as written in the spec -> a path on this machine
Predict: TypeAlias = Callable[[NDArray[np.float32]], Outputs]
"""(N, C, H, W) float32 -> the raw outputs in the task's order, each (N, ...) float32."""
Decoding: TypeAlias = Mapping[str, object]
"""The settings that `Use.decode` needs, as a JSON value; stored in every artifact."""
ParameterGroup: TypeAlias = dict[str, object]
"""A group of the optimiser: `params`, a list of trained parameters, `rate`, the factor of the schedule's rate, and
options of the optimiser for them."""
BEST_THRESHOLD = "best_threshold"
"""In the decoding of a trained detector: for each class the threshold with the best F1 in its last validation."""
Split = Literal["train", "val", "test"]  # test: images for `evaluate`, where the spec separates test from val


Mix = Callable[
    ["torch.Tensor", Mapping[str, "torch.Tensor"], Sequence[int], int],
    "tuple[torch.Tensor, Mapping[str, torch.Tensor]]",
]
"""(pixels, targets, places, count): the images at `places` of a batch of `count` -> others made of them, drawn from
torch's generator, which is seeded for the step. With image `place` the batch also contains image
`count - 1 - place`."""
Shapes = tuple[tuple[int, ...], ...]  # shapes of the outputs for one image, in the order of `onnx_outputs`


@dataclass(frozen=True)
class CostScaling:
    """Dynamic cost scaling: the cost is multiplied by 2 ** exponent.

    A step with finite gradients adds `increment` to the exponent; any other step subtracts `decrement`.
    """

    initial_exponent: float
    increment: float
    decrement: float


@dataclass(frozen=True)
class Recipe:
    """The settings of a spec that the training loop needs, the same fields for every task."""

    seed: int
    epochs: int
    batch_size: int  # images per process and step
    optimizer: Callable[[list[ParameterGroup]], torch.optim.Optimizer]
    regularizer: Literal["none", "l1", "l2"]
    regularizer_weight: float
    checkpoint_interval: int  # epochs
    validates: Callable[[int], bool]  # epoch, from 1 -> whether a validation follows it
    float16: bool = False  # the spec asks for half precision
    cost_scaling: CostScaling | None = None
    mix: Mix | None = None
    largest_gradient: float = 0.0  # a gradient of a greater norm is scaled down to it; 0: never
    average: float = 0.0  # decay of the moving average of weights that is validated and saved; 0: none
    sparsity: float = 0.0  # weight of an L1 penalty on the scales of batch norms
    decay: float = 0.0  # after n steps the schedule's rate is divided by 1 + decay * n
    epoch_model: str = "model.epoch-{epoch}.tlt"  # file name of a checkpoint: {epoch} from 1, {index} from 0, {cost}
    keeps_last: bool = False  # where due, the last epoch's model is also saved as `epoch_model`
    best_model: str = "weights/{name}.best.tlt"  # path of the best model in the run folder


@dataclass(frozen=True)
class Watch:
    """What is shown of a run during training.

    Attributes:
        points: points of each curve per epoch.
        every_epochs: epochs between weight histograms and annotated pictures; None: neither is made.
        pictures: number of validation images to annotate.
        decoding: how the annotated results are decoded.
        log: name of TAO's CSV log file; "" for none.
        columns: columns of that file -> keys of metrics.jsonl.
    """

    points: int
    every_epochs: int | None
    pictures: int
    decoding: Decoding
    wandb: WandbSettings | None = None
    clearml: ClearmlSettings | None = None
    log: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


Net = TypeVar("Net", bound="TaskNetwork", covariant=True)


@dataclass(frozen=True)
class Begun(Generic[Net]):
    """A network with the weights that training starts from.

    Attributes:
        lineage: the steps that made these weights, oldest first; empty for weights from other tools.
        parent: a hash of these weights; "" for random weights.
        file: the file that the lineage was read from; None where it is empty.
        loaded: what was taken from a file of weights; None for random weights, and where it is not known.
    """

    network: Net
    notices: tuple[str, ...] = ()
    lineage: tuple[Mapping[str, object], ...] = ()
    parent: str = ""
    file: Path | None = None
    loaded: Loaded | None = None


@dataclass(frozen=True)
class Start(Begun["TaskNetwork"]):
    """A network that is ready to be trained.

    Attributes:
        groups: the optimiser's groups of trained parameters.
        regularised: the parameters that the regulariser acts on.
        shapes: shapes of the outputs for one image.
    """

    groups: list[ParameterGroup] = field(default_factory=list)
    regularised: Sequence[torch.nn.Parameter] = ()
    shapes: Shapes = ()


@dataclass(frozen=True)
class Cost:
    """The cost of one step: `total` is differentiated; `parts` are its named components, as Python floats."""

    total: torch.Tensor
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EnginePlan:
    """The engine that an inference spec requests. Paths are as written in the spec, "" for none.

    If `file` exists, it is run. Otherwise an engine is built from `source` with `precision`; `save` keeps it at `file`.
    """

    file: str
    source: str
    parser: str  # "ETLT", or a format that taolite cannot read
    precision: Literal["fp32", "fp16", "int8"]
    save: bool
    calibration_cache: str


@dataclass(frozen=True)
class InferencePlan:
    """The settings of an inference spec, the same fields for every task.

    Attributes:
        model: path of a trained model as written in the spec; "" for none.
        engine: the engine that is run instead of `model`.
        decoding: replaces settings of the model's own decoding.
        names, colours: by class.
        shown: the classes to show; None: all classes.
        notes: information for the user.
        warnings: problems that the user should act on.
    """

    model: str
    engine: EnginePlan | None
    batch_size: int
    gpu_index: int
    classes: tuple[str, ...]
    input_hw: tuple[int, int]
    channels: int
    decoding: Decoding
    names: Mapping[str, str]
    colours: Mapping[str, tuple[int, int, int]]
    shown: frozenset[str] | None
    labels: bool
    overlay: bool
    linewidth: int | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    wandb: WandbSettings | None = None  # where annotated pictures are sent


@dataclass(frozen=True)
class Part:
    """One rank's slice of the global batch. The step's cost is the sum of the ranks' costs, each times its share.

    Attributes:
        share: this rank's fraction of the images.
        rank: this rank; the slices are in the order of the ranks.
        total: sums a tensor over all ranks, in place.
        side_by_side: stacks the tensors of all ranks by rank, (ranks, *shape).
    """

    share: float = 1.0
    rank: int = 0
    total: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor
    side_by_side: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor[None]


WHOLE = Part()


class Objective(Protocol):
    """A cost with state: it may re-balance its parts after each epoch. Its state is saved in the checkpoint."""

    def cost(
        self,
        outputs: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """The cost of one batch, or of this `part` of a batch, without regularisation.

        `training`: the outputs come from training mode. They may be logits where evaluation mode gives scores.
        """
        ...

    def taught(
        self,
        outputs: tuple[torch.Tensor, ...],
        wanted: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
        *,
        temperature: float = 1.0,
        part: Part = WHOLE,
    ) -> Cost:
        """How far the outputs of a batch, or of this `part` of it, are from a teacher's: 0 where they are equal.

        A class that inherits from this one and has no measure of its own takes the mean squared difference of each
        output (Ba and Caruana, arXiv 1312.6184), which knows no temperature.

        Args:
            outputs: in training mode.
            wanted: those of the teacher for the same images, `TaskNetwork.training_outputs`; without gradients.
            targets: as `cost` takes them.
            temperature: divides the logits of both (Hinton et al., arXiv 1503.02531).
        """
        total = outputs[0].new_zeros(())
        for found, taught in zip(outputs, wanted, strict=False):
            total = total + (found - taught).square().mean()
        return Cost(total)

    def end_epoch(self) -> None:
        """Called after the last step of an epoch."""
        ...

    def state(self) -> dict[str, object]:
        """The values that `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Restore a value of `state`."""
        ...


class Schedule(Protocol):
    """The learning rate over a run, and early stopping. Time is in epochs; `elapsed` may be fractional."""

    @property
    def stopped(self) -> bool:
        """Whether the run stops now, before its last epoch."""
        ...

    @property
    def led_by_cost(self) -> bool:
        """Whether the schedule depends on validation costs."""
        ...

    def rate(self, elapsed: float) -> float:
        """The learning rate of the step that begins `elapsed` epochs after the start."""
        ...

    def trained(self, epoch: int, cost: float) -> CostStuck | None:
        """Take the mean training cost of `epoch` (from 1). Returns an event to report, or None."""
        ...

    def validated(self, epoch: int, cost: float) -> CostStuck | None:
        """Take the validation cost after `epoch` (from 1). Returns an event to report, or None."""
        ...

    def state(self) -> dict[str, object]:
        """The values that `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Restore a value of `state`."""
        ...


@dataclass(frozen=True)
class Given:
    """Options of the command line that add to the spec.

    Attributes:
        command: the command that reads the spec; it decides which blocks the spec must have.
        weights: the model that training starts from, instead of the spec's; "" for the spec's.
        classmap: a JSON file {class: number}, instead of the sorted class folders.
        pictures: the folder to score, instead of the spec's.
        skip_corrupt: leave out pictures that cannot be read, with a warning.
    """

    command: Literal["train", "evaluate", "export"] = "export"
    weights: str = ""
    classmap: Path | None = None
    pictures: Path | None = None
    skip_corrupt: bool = False


NOTHING = Given()
FLAGS = "the flags"
"""What messages call a spec that has no file."""


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """A spec, or flags, bound once: every setting that a stage needs, as values. Each task extends this class.

    Attributes:
        task: the task of this experiment.
        source: the spec's name in messages: its path, or "the flags".
        text: the spec with its defaults and without secrets; loading it gives an equal spec.
        classes: names in the order of the output channels.
        preprocessing: how a photo becomes the network's input.
        decoding: how outputs become results.
        recipe: the training settings.
        schedule: makes a fresh schedule of the learning rate.
        watch: what is shown of a run during training.
        run_files: text files that TAO writes to the run folder for this task only: name -> text.
        teaching: the teacher that training learns from beside the labels; None for none.
        weights: the model that training starts from, as a flag names it; "" where the spec says what it starts from.
    """

    task: Task
    source: str
    text: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: Decoding
    recipe: Recipe
    schedule: Callable[[], Schedule]
    watch: Watch
    run_files: Mapping[str, str] = field(default_factory=dict)
    teaching: Teaching | None = None
    weights: str = ""

    @abstractmethod
    def seeded(self, seed: int) -> Experiment:
        """The same experiment with another seed of everything random; its text says so."""

    @abstractmethod
    def examples(self, split: Split, *, augment: bool = False, shapes: Shapes | None = None) -> Examples:
        """The images of a split, with targets for outputs of these `shapes`; None: no targets.

        Raises DataError where the split is empty or a file cannot be used.
        """

    @abstractmethod
    def start(self, *, key: Key | None) -> Start:
        """The network of the spec, with pretrained weights or the whole graph of an earlier model.

        `key` decrypts an encrypted model. Raises PathError, ArtifactError, ModelError.
        """

    @abstractmethod
    def ready(self, begun: Begun[TaskNetwork]) -> Start:
        """A network of this task, with the classes of this spec, as the start of a training."""

    @abstractmethod
    def objective(self) -> Objective:
        """A new cost, in its initial state."""

    @abstractmethod
    def score(
        self, truths: Sequence[Truth], founds: Sequence[Found], *, photos: Sequence[tuple[int, int]] | None = None
    ) -> ScoreCard:
        """Compare the results with the ground truth, image by image. `photos`: (height, width) of each photo, pixels,
        where they are known."""

    def against_teacher(self, bundle: Bundle) -> Sequence[str]:
        """Why the outputs of `bundle`'s network do not mean the same as those of this experiment's network, so that it
        cannot be the teacher; its task, classes and input agree. Empty where it can."""
        return ()


@dataclass(frozen=True)
class DeepStream:
    """What a task adds to the config of DeepStream's nvinfer.

    Attributes:
        properties: lines of `[property]`; they follow the lines common to all tasks.
        classes: the lines of each class's `[class-attrs-N]`.
        separator: the separator of names in labels.txt.
        remarks: where nvinfer cannot do what the model does.
    """

    properties: tuple[str, ...] = ()
    classes: tuple[tuple[str, ...], ...] = ()
    separator: str = "\n"
    remarks: tuple[str, ...] = ()


class Use(Protocol):
    """The part of a task that runs a finished model: raw outputs -> named results. Stateless; loads without torch."""

    name: str
    title: str  # the task's name as TAO writes it
    metric: Words  # the main metric of the task's score cards
    onnx_outputs: tuple[str, ...]  # in the order the network returns them
    network_type: int  # DeepStream's: 0 a detector, 1 a classifier
    heads: tuple[str, ...]  # layers whose outputs pruning leaves alone

    def decode(self, outputs: Outputs, decoding: Decoding, *, preprocessing: Preprocessing) -> Found:
        """Raw outputs of one image -> results, best first. Raises ModelError for outputs that do not fit."""
        ...

    def at_threshold(self, decoding: Decoding, threshold: float) -> Decoding:
        """The same decoding for results that score `threshold` or more."""
        ...

    def deepstream(self, classes: Sequence[str], decoding: Decoding) -> DeepStream:
        """The nvinfer settings that read the outputs. Raises UsageError where nvinfer has no parser for them."""
        ...


class Task(Use, Protocol):
    """One folder below `tasks/`; stateless, shared by all stages."""

    def read(
        self,
        spec: Path | SpecModel,
        *,
        resolve: Resolve = Path,
        classes: Sequence[str] | None = None,
        given: Given = NOTHING,
        source: str = FLAGS,
    ) -> Reading[Experiment]:
        """Bind a train / evaluate spec to an experiment, with the spec's warnings.

        Args:
            spec: the path of a spec file, or a spec model.
            resolve: maps the spec's paths to this machine's.
            classes: the classes of an existing model, for a spec that lists none; None: the classes of the data.
            given: options of the command line.
            source: the name in messages of a spec model; a spec file is named by its path.

        Raises SpecError with all its problems. Raises PathError, DataError where the data is needed and unusable.
        """
        ...

    def network(self, bundle: Bundle) -> TaskNetwork:
        """The network of an artifact, in evaluation mode. Raises ModelError where its structure is invalid."""
        ...
