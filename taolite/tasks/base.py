"""What a task must answer so that every stage can be written once.

A `Use` runs a finished model: it loads without torch. A `Task` is a `Use` that can also be trained. It binds a spec,
once, to an `Experiment`: a frozen value that stages take and that each task extends with its own typed settings.
A stage never asks which task it serves. The day it needs to, a method is missing here.

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

__all__ = [
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
    "ParameterGroup",
    "Part",
    "Predict",
    "Recipe",
    "Schedule",
    "Split",
    "Start",
    "Task",
    "Use",
    "Watch",
]

Outputs = tuple[NDArray[np.float32], ...]  # what the network gives for one image, in the order of `onnx_outputs`
Resolve = Callable[[str], Path]  # a path as the spec spells it -> a path of this machine
Predict: TypeAlias = Callable[[NDArray[np.float32]], Outputs]
"""(N, C, H, W) float32 -> the raw outputs in the task's order, each (N, ...) float32."""
Decoding: TypeAlias = Mapping[str, object]
"""The settings that `Use.decode` needs, as a JSON value; stored in every artifact."""
ParameterGroup: TypeAlias = dict[str, object]
"""A group of the optimiser: `params`, a list of trained parameters, and `rate`, the factor of the schedule's rate."""
Split = Literal["train", "val", "test"]  # test: what `evaluate` scores, where the spec tells it from val


Mix = Callable[
    ["torch.Tensor", Mapping[str, "torch.Tensor"], Sequence[int], int],
    "tuple[torch.Tensor, Mapping[str, torch.Tensor]]",
]
"""(pixels, targets, places, count): the images at `places` of a batch of `count` -> others made of them, drawn from
torch's generator, which is seeded for the step. With image `place` the batch also contains image
`count - 1 - place`."""
Shapes = tuple[tuple[int, ...], ...]  # of what the network gives for one image, in the order of `onnx_outputs`


@dataclass(frozen=True)
class CostScaling:
    """The cost is multiplied by 2 ** exponent; what the exponent starts at, gains a finite step, loses at another."""

    initial_exponent: float
    increment: float
    decrement: float


@dataclass(frozen=True)
class Recipe:
    """What the training loop needs to know of a spec, whatever the task."""

    seed: int
    epochs: int
    batch_size: int  # images a process and step
    optimizer: Callable[[list[ParameterGroup]], torch.optim.Optimizer]
    regularizer: Literal["none", "l1", "l2"]
    regularizer_weight: float
    checkpoint_interval: int  # epochs
    validates: Callable[[int], bool]  # epoch, from 1 -> is it followed by a validation
    float16: bool = False  # the spec asks for half precision
    cost_scaling: CostScaling | None = None
    mix: Mix | None = None
    decay: float = 0.0  # after n steps the schedule's rate is divided by 1 + decay * n
    epoch_model: str = "model.epoch-{epoch}.tlt"  # of a model kept on the way: {epoch} from 1, {index} from 0, {cost}
    keeps_last: bool = False  # the last epoch's model has such a name too
    best_model: str = "weights/{name}.best.tlt"  # what the best one is called, in the run folder


@dataclass(frozen=True)
class Watch:
    """What is shown of a run under way: `points` of its curves an epoch; every `every_epochs` epochs the weights'
    histograms and `pictures` held-out images with what `decoding` finds in them, never where that is None. `log` is
    the name of a CSV file of TAO's, "" for none, `columns` its columns and the keys of metrics.jsonl they hold."""

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
        lineage: the steps that made these weights, oldest first; empty for weights of other tools.
        parent: a hash of these weights, "" for random ones.
    """

    network: Net
    notices: tuple[str, ...] = ()
    lineage: tuple[Mapping[str, object], ...] = ()
    parent: str = ""


@dataclass(frozen=True)
class Start(Begun["TaskNetwork"]):
    """A network that is ready to be trained.

    Attributes:
        groups: the optimiser's groups of trained parameters.
        regularised: the parameters that the regulariser acts on.
        shapes: of the outputs for one image.
    """

    groups: list[ParameterGroup] = field(default_factory=list)
    regularised: Sequence[torch.nn.Parameter] = ()
    shapes: Shapes = ()


@dataclass(frozen=True)
class Cost:
    """A step's cost: `total` is what is differentiated, `parts` are its readings, already Python floats."""

    total: torch.Tensor
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EnginePlan:
    """An engine as an inference spec asks for it; paths as the spec spells them, "" for none. `file` is run where it
    exists; otherwise one is built from `source`, for `precision`, and kept at `file` where `save` says so."""

    file: str
    source: str
    parser: str  # "ETLT", or a format that nothing here reads
    precision: Literal["fp32", "fp16", "int8"]
    save: bool
    calibration_cache: str


@dataclass(frozen=True)
class InferencePlan:
    """What an inference spec decides, whatever the task. `model` is the path of a trained model as the spec spells it,
    "" for none, `engine` what takes its place; `decoding` replaces settings of the model's own; names and colours by
    class; `shown` None is all classes; `notes` are lines for the reader, `warnings` what they should act on."""

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
    wandb: WandbSettings | None = None  # annotated pictures are sent there


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
    """A cost with a life: it may balance its parts from epoch to epoch. Its state belongs in the checkpoint."""

    def cost(
        self,
        outputs: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
        *,
        training: bool = True,
        part: Part = WHOLE,
    ) -> Cost:
        """The cost of one batch, or of this `part` of one, without regularisation; `training`: of outputs in training
        mode, which may be logits where those of evaluation mode are scores."""
        ...

    def end_epoch(self) -> None:
        """Called after the last step of an epoch."""
        ...

    def state(self) -> dict[str, object]:
        """Everything `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up the state that `state` gave."""
        ...


class Schedule(Protocol):
    """The learning rate over a run, and whether it ends early. Time is in epochs, `elapsed` with fractions."""

    @property
    def stopped(self) -> bool:
        """Whether the run ends here, before its last epoch."""
        ...

    @property
    def led_by_cost(self) -> bool:
        """Whether validation costs change its course."""
        ...

    def rate(self, elapsed: float) -> float:
        """The learning rate of the step that begins `elapsed` epochs after the start."""
        ...

    def trained(self, epoch: int, cost: float) -> CostStuck | None:
        """Hear of the mean training cost of `epoch`, from 1; what follows from it, None where nothing does."""
        ...

    def validated(self, epoch: int, cost: float) -> CostStuck | None:
        """Hear of a validation after `epoch`, from 1; what follows from it, None where nothing does."""
        ...

    def state(self) -> dict[str, object]:
        """Everything `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Take up the state that `state` gave."""
        ...


@dataclass(frozen=True)
class Given:
    """What a command says beside the spec.

    Attributes:
        command: what the spec is read for; it decides which blocks the spec must have.
        weights: the model that training starts from, instead of the spec's; "" for the spec's.
        classmap: a JSON file {class: number}, instead of the sorted class folders.
        pictures: a folder that is scored instead of the spec's.
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
    """A spec, or flags, bound once: everything that a stage needs to know, as values. Each task extends it.

    Attributes:
        task: whose experiment it is.
        source: what messages call the spec: its path, or "the flags".
        text: the spec with its defaults and without secrets; it loads back equal.
        classes: names in the order of the output channels.
        preprocessing: how a photo becomes the network's input.
        decoding: how outputs become results.
        recipe: the training settings.
        schedule: makes a fresh schedule of the learning rate.
        watch: what is shown of a run under way.
        run_files: text files that TAO leaves in a run folder for this task alone: names and texts.
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

    @abstractmethod
    def examples(self, split: Split, *, augment: bool = False, shapes: Shapes | None = None) -> Examples:
        """The images of a split, with targets for outputs of these shapes, without targets where that is None.
        Raises DataError where the split is empty or a file cannot be used."""

    @abstractmethod
    def start(self, *, key: Key | None) -> Start:
        """The network as the spec asks for it, with pretrained weights or the whole graph of an earlier model; `key`
        opens a sealed one. Raises PathError, ArtifactError, ModelError."""

    @abstractmethod
    def objective(self) -> Objective:
        """A fresh cost."""

    @abstractmethod
    def score(self, truths: Sequence[Truth], founds: Sequence[Found]) -> ScoreCard:
        """Compare what was found with what is there, image by image."""


@dataclass(frozen=True)
class DeepStream:
    """What a task adds to the config of DeepStream's nvinfer.

    Attributes:
        properties: lines of `[property]`, behind those of every task.
        classes: the lines of each class's `[class-attrs-N]`.
        separator: between the names in labels.txt.
        remarks: where nvinfer cannot do what the model was made for.
    """

    properties: tuple[str, ...] = ()
    classes: tuple[tuple[str, ...], ...] = ()
    separator: str = "\n"
    remarks: tuple[str, ...] = ()


class Use(Protocol):
    """A finished model's side of a task: from raw outputs to named results. Stateless; loads without torch."""

    name: str
    title: str  # as TAO writes it
    metric: Words  # the main one of its score cards
    onnx_outputs: tuple[str, ...]  # in the order the network returns them
    network_type: int  # DeepStream's: 0 a detector, 1 a classifier
    heads: tuple[str, ...]  # layers whose outputs pruning leaves alone

    def decode(self, outputs: Outputs, decoding: Decoding, *, preprocessing: Preprocessing) -> Found:
        """Raw outputs of one image -> what was found, best first. Raises ModelError for outputs that do not fit."""
        ...

    def deepstream(self, classes: Sequence[str], decoding: Decoding) -> DeepStream:
        """How nvinfer is to read the outputs. Raises UsageError where nvinfer has no parser for them."""
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
        """Bind a train / evaluate spec, from its file or as a model, to an experiment, with the spec's warnings.

        Args:
            resolve: maps the spec's paths to this machine's.
            classes: of a model that is there already, for a spec that does not list its own; None: of the data.
            given: what the command says beside the spec.
            source: what messages call a spec that is a model; one in a file is called by its path.

        Raises SpecError with all its problems; PathError, DataError where the data has to say and cannot.
        """
        ...

    def network(self, bundle: Bundle) -> TaskNetwork:
        """The network of an artifact, in evaluation mode. Raises ModelError where its structure does not hold."""
        ...
