"""What a task must answer so that every stage can be written once.

A stage never asks which task it serves. The day it needs to, a method is missing here.
Shapes: N images, C input channels, H x W network input, K classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.scorecard import ScoreCard, Words

if TYPE_CHECKING:
    import torch

    from taolite.artifacts.bundle import Bundle
    from taolite.artifacts.keys import Key
    from taolite.data.examples import Examples
    from taolite.preprocessing import Preprocessing
    from taolite.sample import Detection
    from taolite.sinks.clearml import ClearmlSettings
    from taolite.sinks.wandb import WandbSettings
    from taolite.spec import Reading

__all__ = [
    "Cost",
    "CostScaling",
    "WHOLE",
    "EnginePlan",
    "InferencePlan",
    "Objective",
    "Part",
    "Recipe",
    "Schedule",
    "Split",
    "Start",
    "Task",
    "Watch",
    "find",
]

Outputs = tuple[NDArray[np.float32], ...]  # what the network gives for one image, in the order of `onnx_outputs`
Resolve = Callable[[str], Path]  # a path as the spec spells it -> a path of this machine
Split = Literal["train", "val", "test"]  # test: what `evaluate` scores, where the spec tells it from val


Mix = Callable[
    ["torch.Tensor", Mapping[str, "torch.Tensor"], Sequence[int], int],
    "tuple[torch.Tensor, Mapping[str, torch.Tensor]]",
]
"""(pixels, targets, places, count): the images at `places` of a batch of `count` -> others made of them, drawn from
torch's generator, which is seeded for the step. With a place its mirror image, count - 1 - place, is there too."""
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
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]  # of parameter groups, see Task.parameter_groups
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
    decoding: Mapping[str, Any]
    wandb: WandbSettings | None = None
    clearml: ClearmlSettings | None = None
    log: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """A network ready to be trained, and where its weights came from."""

    network: torch.nn.Module
    notices: tuple[str, ...] = ()
    lineage: tuple[Mapping[str, Any], ...] = ()
    parent: str = ""  # what it starts from: a hash of those weights, "" for random ones


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
    decoding: Mapping[str, Any]
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
    """What a process has of a step's batch: the `share` of its images, which follow those of the ranks before its own;
    the sum over all processes, in place, and what each of them has, (processes, *shape) by rank. The step's cost is the
    sum of the processes' costs, each times its share."""

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

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
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

    def trained(self, epoch: int, cost: float) -> str:
        """Hear of the mean training cost of `epoch`, from 1; what follows from it in words, "" where nothing does."""
        ...

    def validated(self, epoch: int, cost: float) -> str:
        """Hear of a validation after `epoch`, from 1; what follows from it in words, "" where nothing does."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, as a JSON value."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state that `state` gave."""
        ...


class Task(Protocol):
    """One folder below `tasks/`; stateless, shared by all stages."""

    name: str
    title: str  # as TAO writes it
    metric: Words  # the main one of its score cards
    onnx_outputs: tuple[str, ...]  # in the order the network returns them
    network_type: int  # DeepStream's: 0 a detector, 1 a classifier

    def read_spec(self, path: Path, *, resolve: Resolve = Path, classes: Sequence[str] | None = None) -> Reading[Any]:
        """The train / evaluate spec with its warnings, as the other methods take it. A spec that does not list its
        classes has `classes`, those of a model that is there already, or else those of its training data.
        Raises SpecError with all its problems; PathError, DataError where the data has to say and cannot."""
        ...

    def spec_text(self, spec: Any) -> str:
        """The spec with its defaults, as text that loads back equal."""
        ...

    def classes(self, spec: Any) -> tuple[str, ...]:
        """Class names in the order of the output channels."""
        ...

    def recipe(self, spec: Any) -> Recipe:
        """The training settings."""
        ...

    def watch(self, spec: Any) -> Watch:
        """What is shown of a run under way."""
        ...

    def schedule(self, spec: Any) -> Schedule:
        """A fresh schedule of the learning rate."""
        ...

    def preprocessing(self, spec: Any) -> Preprocessing:
        """How pictures become the network's input."""
        ...

    def run_files(self, spec: Any) -> Mapping[str, str]:
        """Text files that TAO leaves in a run folder for this task alone: their names and texts."""
        ...

    def output_shapes(self, network: torch.nn.Module, spec: Any) -> Shapes:
        """Of the outputs for one image of the spec's input size; raises ModelError where the input is too small."""
        ...

    def examples(
        self,
        spec: Any,
        *,
        split: Split,
        resolve: Resolve,
        augment: bool,
        output_shapes: Shapes | None = None,
    ) -> Examples:
        """Images with targets for outputs of these shapes, without any where that is None; raises DataError where a
        split is empty or a file cannot be used."""
        ...

    def start(self, spec: Any, *, resolve: Resolve, key: Key | None) -> Start:
        """A network as the spec asks for it, with pretrained weights or the whole graph of an earlier model."""
        ...

    def objective(self, spec: Any) -> Objective:
        """A fresh cost."""
        ...

    def parameter_groups(self, network: torch.nn.Module, spec: Any) -> list[dict[str, Any]]:
        """The optimiser's groups of trained parameters, each with its `rate`: the factor of the schedule's."""
        ...

    def regularised(self, network: torch.nn.Module, spec: Any) -> Sequence[torch.nn.Parameter]:
        """The parameters that the spec's regulariser acts on."""
        ...

    def bundle(
        self, network: torch.nn.Module, *, spec: Any, lineage: tuple[Mapping[str, Any], ...], extra: Mapping[str, Any]
    ) -> Bundle:
        """The artifact that `network` rebuilds from."""
        ...

    def network(self, bundle: Bundle) -> torch.nn.Module:
        """The network of an artifact, in evaluation mode."""
        ...

    def architecture(self, network: torch.nn.Module) -> Mapping[str, Any]:
        """What `network`, pruned or not, is rebuilt from beside its numbers; a JSON value."""
        ...

    def heads(self) -> tuple[str, ...]:
        """Names of the layers whose outputs pruning leaves alone."""
        ...

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Any:
        """Raw outputs of one image -> what was found, as `detections` and `score` take it. NumPy only."""
        ...

    def detections(self, found: Any, classes: Sequence[str]) -> list[Detection]:
        """What `decode` gave, by name, best first; boxes stay in pixels of the network input."""
        ...

    def decoding(self, spec: Any) -> dict[str, Any]:
        """The settings `decode` needs, as a JSON value; stored in every artifact."""
        ...

    def score(self, truths: Sequence[Any], founds: Sequence[Any], *, spec: Any) -> ScoreCard:
        """Compare what was found with what is there, image by image."""
        ...


_FOLDERS = {
    "detectnet": "taolite.tasks.detectnet.task",
    "classification": "taolite.tasks.classification.task",
    "ssd": "taolite.tasks.ssd.task",
}


def find(name: str) -> Task:
    """The task called `name`; raises UsageError naming the ones there are."""
    if name not in _FOLDERS:
        raise UsageError(f"task {name!r} is not one of this version's: {', '.join(_FOLDERS)}")
    task: Task = importlib.import_module(_FOLDERS[name]).TASK
    return task
