"""A classification spec, bound once: the values that stages take, and what this task does with them.

A classification spec need not list its classes. They come from its data, or from an existing model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.diagnosis import Cause
from taolite.nn.network import TaskNetwork
from taolite.nn.regularised import LayerKind, kernels
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.scorecard import ScoreCard
from taolite.tasks.base import (
    Begun,
    Decoding,
    Experiment,
    Given,
    Outputs,
    ParameterGroup,
    Recipe,
    Resolve,
    Shapes,
    Split,
    Start,
    Task,
    Watch,
)
from taolite.tasks.classification import diagnose
from taolite.tasks.classification.examples import (
    class_examples,
    spec_augment,
    spec_classes,
    spec_preprocessing,
    spec_source,
)
from taolite.tasks.classification.inference import check_classmap
from taolite.tasks.classification.loss import ClassificationObjective, mixup
from taolite.tasks.classification.model import Classifier
from taolite.tasks.classification.origin import begin
from taolite.tasks.classification.schedule import schedule_of
from taolite.tasks.classification.scoring import class_card, tag_card
from taolite.tasks.classification.spec import ClassificationSpec, Optimizer, VisualizerConfig
from taolite.tasks.diagnosing import Evidence, Heard
from taolite.tasks.fitting import fitted, with_decay
from taolite.tasks.found import Found
from taolite.tasks.services import clearml_settings, wandb_settings, without_secrets
from taolite.tasks.teaching import teaching_of

__all__ = ["ClassificationExperiment", "bind"]

_KINDS: tuple[LayerKind, ...] = ("conv2d", "dense")
"""What `scope` may name; a depthwise convolution is no Conv2D to TAO."""

_COLUMNS = {
    "epoch": "epoch",
    "acc": "train_accuracy",
    "loss": "loss",
    "lr": "learning_rate",
    "val_acc": "accuracy",
    "val_loss": "validation_cost",
}  # TAO's training.csv: column -> key of metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class ClassificationExperiment(Experiment):
    """See `Experiment`. `resolve` maps the paths of `spec` to this machine's; `given` has the command-line options.

    `preprocessing` is used by `evaluate` and by the finished model. Validation uses the crop of `train_config`.
    """

    spec: ClassificationSpec
    resolve: Resolve
    given: Given

    def seeded(self, seed: int) -> ClassificationExperiment:
        training = self.spec.train_config.model_copy(update={"random_seed": seed})
        spec = self.spec.model_copy(update={"train_config": training})
        return bind(
            spec, task=self.task, source=self.source, resolve=self.resolve, classes=self.classes, given=self.given
        )

    def examples(self, split: Split, *, augment: bool = False, shapes: Shapes | None = None) -> Examples:
        source, notices = spec_source(
            self.spec,
            split,
            self.classes,
            resolve=self.resolve,
            leave_out_others=self.given.classmap is not None,
            skip_corrupt=self.given.skip_corrupt,
            pictures=self.given.pictures if split == "test" else None,
        )
        return class_examples(
            source,
            self.classes,
            preprocessing=_preprocessing(self.spec, split),
            augment=spec_augment(self.spec) if augment else None,
            seed=self.recipe.seed,
            notices=notices,
        )

    def start(self, *, key: Key | None) -> Start:
        return self.ready(begin(self.spec, self.classes, self.preprocessing, resolve=self.resolve, key=key))

    def ready(self, begun: Begun[TaskNetwork]) -> Start:
        network = begun.network
        assert isinstance(network, Classifier), "a network of this task"
        network.check_input(self.preprocessing.input_hw)
        scope = self.spec.train_config.reg_config.layers
        kinds: list[LayerKind] = [kind for kind in _KINDS if kind in scope]
        return Start(
            network,
            begun.notices,
            begun.lineage,
            begun.parent,
            begun.file,
            begun.loaded,
            groups=_groups(network, self.spec),
            regularised=kernels(network, kinds=kinds),
            shapes=((network.num_classes,),),
        )

    def objective(self) -> ClassificationObjective:
        smoothing, threshold = self.spec.train_config.label_smoothing, self.spec.tag_threshold
        if threshold is None:
            return ClassificationObjective(smoothing=smoothing)
        return ClassificationObjective(smoothing=smoothing, tags=True, threshold=threshold)

    def score(
        self, truths: Sequence[Truth], founds: Sequence[Found], *, photos: Sequence[tuple[int, int]] | None = None
    ) -> ScoreCard:
        evaluation, threshold = self.spec.eval_config, self.spec.tag_threshold
        if threshold is not None:
            return tag_card(truths, founds, classes=self.classes, threshold=threshold)
        return class_card(truths, founds, classes=self.classes, top_k=evaluation.top_k if evaluation else 1)

    def against_teacher(self, bundle: Bundle) -> Sequence[str]:
        theirs, ours = (
            bundle.architecture.get("activation"),
            "softmax" if self.spec.tag_threshold is None else "sigmoid",
        )
        if theirs == ours:
            return ()
        kinds = {"softmax": "one class", "sigmoid": "any number of classes"}
        return [f"it gives a picture {kinds.get(str(theirs), theirs)} and the spec {kinds[ours]}"]

    def heard(self, outputs: Outputs, truth: Truth) -> Heard:
        return diagnose.heard(outputs, truth)

    def causes(self, evidence: Evidence) -> Iterator[Cause]:
        return diagnose.causes(self, evidence)


def bind(
    spec: ClassificationSpec,
    *,
    task: Task,
    source: str,
    resolve: Resolve,
    classes: Sequence[str] | None,
    given: Given,
) -> ClassificationExperiment:
    """The experiment that `spec` describes.

    `source` is the spec's name in messages. `classes` are the classes of an existing model.
    Raises PathError, DataError; UsageError where the classmap differs from the model's.
    """
    if classes is not None and given.classmap is not None:
        check_classmap(given.classmap, classes)
    if classes is None:
        classes = spec_classes(spec, classmap=given.classmap, resolve=resolve)
    decoding = _decoding(spec)
    return ClassificationExperiment(
        task=task,
        source=source,
        text=specs.dumps(without_secrets(spec, "train_config"), defaults=True),
        classes=tuple(classes),
        preprocessing=_preprocessing(spec, "test"),
        decoding=decoding,
        recipe=fitted(_recipe(spec), spec.taolite.fitting if spec.taolite else None),
        schedule=partial(schedule_of, spec.train_config.lr_config, epochs=spec.train_config.n_epochs),
        watch=_watch(spec, decoding),
        run_files=_run_files(spec, classes),
        teaching=teaching_of(spec.taolite.teacher if spec.taolite else None, resolve=resolve),
        spec=spec,
        resolve=resolve,
        given=given,
    )


def _preprocessing(spec: ClassificationSpec, split: Split) -> Preprocessing:
    training, evaluation = spec.train_config, spec.eval_config
    judged = evaluation if evaluation is not None and split != "val" else training
    return spec_preprocessing(spec, crops=judged.enable_center_crop)


def _decoding(spec: ClassificationSpec) -> Decoding:
    return {"top": 1} if spec.tag_threshold is None else {"threshold": spec.tag_threshold}


def _run_files(spec: ClassificationSpec, classes: Sequence[str]) -> dict[str, str]:
    if spec.jetson_config:
        return {"labels.txt": "".join(f"{name}\n" for name in classes)}
    numbers = {name: number for number, name in enumerate(classes)}
    return {"classmap.json": json.dumps(numbers, ensure_ascii=False) + "\n"}


def _watch(spec: ClassificationSpec, decoding: Decoding) -> Watch:
    config = spec.train_config.visualizer or VisualizerConfig()
    return Watch(
        points=10,
        every_epochs=1 if config.enabled else None,
        pictures=config.num_images,
        decoding=decoding,
        wandb=wandb_settings(config.wandb_config, "model"),
        clearml=clearml_settings(config.clearml_config),
        log="training.csv",
        columns=_COLUMNS,
    )


def _recipe(spec: ClassificationSpec) -> Recipe:
    training = spec.train_config
    optimizer, decay = _optimizer(training.optimizer)
    made = Recipe(
        seed=training.random_seed,
        epochs=training.n_epochs,
        batch_size=training.batch_size_per_gpu,
        optimizer=optimizer,
        regularizer=_REGULARIZERS[training.reg_config.type],
        regularizer_weight=training.reg_config.weight_decay,
        checkpoint_interval=1,
        validates=lambda epoch: True,
        mix=mixup(training.mixup_alpha) if training.mixup_alpha else None,
        decay=decay,
        keeps_last=True,
        epoch_model=f"weights/{spec.model_config_.arch}_{{epoch:03d}}.tlt",
    )
    if spec.jetson_config:
        return dataclasses.replace(made, epoch_model="checkpoint.tlt", best_model="model_best.tlt")
    return made


_REGULARIZERS: dict[str, Literal["none", "l1", "l2"]] = {"None": "none", "L1": "l1", "L2": "l2"}


def _optimizer(config: Optimizer) -> tuple[Callable[[list[ParameterGroup]], torch.optim.Optimizer], float]:
    """A function that builds the spec's optimiser from parameter groups, and the decay of its learning rate."""
    if (sgd := config.sgd) is not None:
        nesterov = sgd.nesterov and sgd.momentum > 0
        return partial(torch.optim.SGD, lr=0.0, momentum=sgd.momentum, nesterov=nesterov), sgd.decay
    if (adam := config.adam) is not None:
        betas = (adam.beta_1, adam.beta_2)
        return partial(torch.optim.Adam, lr=0.0, betas=betas, eps=adam.epsilon, fused=True), adam.decay
    rmsprop = config.rmsprop
    assert rmsprop is not None, "a spec has one of the three"
    return partial(torch.optim.RMSprop, lr=0.0, alpha=rmsprop.rho, eps=rmsprop.epsilon), rmsprop.decay


def _groups(network: Classifier, spec: ClassificationSpec) -> list[ParameterGroup]:
    """Parameter groups: one where the head learns at the rate of the other layers, else two."""
    fitting = spec.taolite.fitting if spec.taolite else None
    backbone_rate = fitting.backbone_rate if fitting else 1.0
    head_rate = spec.jetson_config.head_rate if spec.jetson_config else 1.0
    trained = [one for one in network.parameters() if one.requires_grad]
    if backbone_rate == head_rate == 1:
        return with_decay([{"params": trained, "rate": 1.0}], fitting)
    head: set[nn.Parameter] = set(network.head_parameters())
    split = (
        ([one for one in trained if one not in head], backbone_rate),
        ([one for one in trained if one in head], head_rate),
    )
    return with_decay([{"params": members, "rate": factor} for members, factor in split if members], fitting)
