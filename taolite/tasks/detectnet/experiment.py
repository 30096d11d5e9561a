"""A DetectNet_v2 spec, bound once: the values that stages take, and what this task does with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.diagnosis import Cause
from taolite.metrics.match import BoxLimits
from taolite.metrics.operating import risen
from taolite.metrics.score import score
from taolite.nn.network import TaskNetwork
from taolite.nn.regularised import kernels
from taolite.sample import Truth
from taolite.scorecard import AP, Metric, ScoreCard
from taolite.tasks.base import (
    Begun,
    CostScaling,
    Decoding,
    Experiment,
    Outputs,
    ParameterGroup,
    Recipe,
    Resolve,
    Schedule,
    Shapes,
    Split,
    Start,
    Task,
)
from taolite.tasks.details import detailed
from taolite.tasks.detectnet import diagnose
from taolite.tasks.detectnet.decode import Clustering
from taolite.tasks.detectnet.examples import spec_examples, spec_preprocessing
from taolite.tasks.detectnet.loss import ClassWeights, DetectNetObjective
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.origin import begin
from taolite.tasks.detectnet.quality import QualityObjective
from taolite.tasks.detectnet.schedule import EarlyStopping
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.spec.network import BackendFloat
from taolite.tasks.detectnet.watch import watch
from taolite.tasks.diagnosing import Evidence, Heard
from taolite.tasks.fitting import Fitting, fitted, with_decay
from taolite.tasks.found import Found
from taolite.tasks.schedules import Cosine, SoftStart
from taolite.tasks.services import without_secrets
from taolite.tasks.teaching import teaching_of

__all__ = ["DetectNetExperiment", "bind"]


@dataclass(frozen=True, kw_only=True)
class DetectNetExperiment(Experiment):
    """See `Experiment`. `resolve` maps the paths of `spec` to this machine's."""

    spec: DetectNetSpec
    resolve: Resolve

    def seeded(self, seed: int) -> DetectNetExperiment:
        spec = self.spec.model_copy(update={"random_seed": seed})
        return bind(spec, task=self.task, source=self.source, resolve=self.resolve)

    def examples(self, split: Split, *, augment: bool = False, shapes: Shapes | None = None) -> Examples:
        grid_hw = None if shapes is None else (shapes[0][1], shapes[0][2])
        part: Literal["train", "val"] = "train" if split == "train" else "val"
        return spec_examples(self.spec, part, resolve=self.resolve, augment=augment, grid_hw=grid_hw)

    def start(self, *, key: Key | None) -> Start:
        return self.ready(begin(self.spec, resolve=self.resolve, key=key))

    def ready(self, begun: Begun[TaskNetwork]) -> Start:
        network = begun.network
        assert isinstance(network, DetectNet), "a network of this task"
        count = network.num_classes
        grid_hw = network.grid_hw(self.preprocessing.input_hw)
        return Start(
            network,
            begun.notices,
            begun.lineage,
            begun.parent,
            begun.file,
            begun.loaded,
            groups=_groups(network, self.spec.taolite.fitting if self.spec.taolite else None),
            # kernels and biases of every convolution, heads included; no batch norms (reference 5.6)
            regularised=kernels(network, kinds=("conv2d", "grouped"), biases=True),
            shapes=((count, *grid_hw), (4 * count, *grid_hw)),
        )

    def objective(self) -> DetectNetObjective | QualityObjective:
        config = self.spec.cost_function_config
        if self.spec.taolite and (own := self.spec.taolite.loss):
            weights = [target.class_weight for target in config.target_classes]
            mean = sum(weights) / len(weights)
            return QualityObjective(
                tuple(weight / mean for weight in weights),
                self.spec.model_config_.objective_set.bbox.scale,
                quality=own.quality,
                focus=own.focus,
                box=own.box.value,
                box_weight=own.box_weight,
            )
        rows = []
        for target in config.target_classes:
            parts = {part.name: part for part in target.objectives}
            rows.append(
                ClassWeights(
                    target.name,
                    target.class_weight,
                    target.coverage_foreground_weight,
                    (parts["cov"].initial_weight, parts["bbox"].initial_weight),
                    (parts["cov"].weight_target, parts["bbox"].weight_target),
                )
            )
        return DetectNetObjective(
            rows,
            autoweight=config.enable_autoweighting,
            least=config.min_objective_weight,
            most=config.max_objective_weight,
        )

    def score(
        self, truths: Sequence[Truth], founds: Sequence[Found], *, photos: Sequence[tuple[int, int]] | None = None
    ) -> ScoreCard:
        names, config = self.classes, self.spec.evaluation_config
        limits = [
            BoxLimits(box.minimum_height, box.maximum_height, box.minimum_width, box.maximum_width)
            for box in (config.evaluation_box_config[name] for name in names)
        ]
        tao = score(
            truths,
            founds,
            names=names,
            mode=config.average_precision_mode.value,
            iou_thresholds=[config.minimum_detection_ground_truth_overlap[name] for name in names],
            limits=limits,
        )
        voc = score(truths, founds, names=names, mode="AREA")
        objects = {one.name: one.truths for one in voc.classes}
        beside = {"VOC": Metric(AP, voc.mean, voc.per_class)}
        curves = {one.name: risen(one) for one in tao.classes}
        card = ScoreCard(Metric(AP, tao.mean, tao.per_class), beside, objects, len(truths), curves=curves)
        return detailed(card, truths, founds, voc=voc, preprocessing=self.preprocessing, photos=photos)

    def against_teacher(self, bundle: Bundle) -> Sequence[str]:
        return [
            f"the {name} of its boxes is {bundle.decoding.get(name)} and the spec's is {self.decoding[name]}"
            for name in ("scale", "offset")
            if bundle.decoding.get(name) != self.decoding[name]
        ]

    def heard(self, outputs: Outputs, truth: Truth) -> Heard:
        return diagnose.heard(outputs, truth, input_hw=self.preprocessing.input_hw)

    def causes(self, evidence: Evidence) -> Iterator[Cause]:
        return diagnose.causes(self, evidence)


def bind(spec: DetectNetSpec, *, task: Task, source: str, resolve: Resolve) -> DetectNetExperiment:
    """The experiment that `spec` describes; `source` is the spec's name in messages."""
    decoding = _decoding(spec)
    return DetectNetExperiment(
        task=task,
        source=source,
        text=specs.dumps(without_secrets(spec, "training_config"), defaults=True),
        classes=spec.classes,
        preprocessing=spec_preprocessing(spec),
        decoding=decoding,
        recipe=_recipe(spec),
        schedule=partial(_schedule, spec),
        watch=watch(spec, decoding),
        teaching=teaching_of(spec.taolite.teacher if spec.taolite else None, resolve=resolve),
        spec=spec,
        resolve=resolve,
    )


def _decoding(spec: DetectNetSpec) -> Decoding:
    rows = spec.postprocessing_config.target_class_config
    bbox = spec.model_config_.objective_set.bbox
    clusterings = [Clustering.from_spec(rows[name].clustering_config) for name in spec.classes]
    return {
        "clusterings": [clustering.to_json() for clustering in clusterings],
        "scale": bbox.scale,
        "offset": bbox.offset,
    }


def _recipe(spec: DetectNetSpec) -> Recipe:
    training, evaluation = spec.training_config, spec.evaluation_config
    first, period = evaluation.first_validation_epoch, evaluation.validation_period_during_training
    fitting = spec.taolite.fitting if spec.taolite else None
    epochs, scaling, precision = training.num_epochs, training.cost_scaling, spec.model_config_.training_precision
    adam = training.optimizer.adam
    betas, eps = (adam.beta1, adam.beta2), adam.epsilon
    recipe = Recipe(
        seed=spec.random_seed,
        epochs=epochs,
        batch_size=training.batch_size_per_gpu,
        optimizer=partial(torch.optim.Adam, lr=0.0, betas=betas, eps=eps, fused=True),
        regularizer=_REGULARIZERS[training.regularizer.type.value],
        regularizer_weight=training.regularizer.weight,
        checkpoint_interval=training.checkpoint_interval,
        validates=lambda epoch: epoch == epochs or (epoch >= first and (epoch - first) % period == 0),
        float16=precision is not None and precision.backend_floatx is BackendFloat.FLOAT16,
        cost_scaling=CostScaling(scaling.initial_exponent, scaling.increment, scaling.decrement)
        if scaling.enabled
        else None,
    )
    return fitted(recipe, fitting, betas=betas, eps=eps)


def _groups(network: DetectNet, fitting: Fitting | None) -> list[ParameterGroup]:
    """The trained parameters: one group, as in TAO; with `fitting` kernels decay, and the backbone has its own rate."""
    trained = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    if fitting is None:
        return [{"params": [one for _, one in trained], "rate": 1.0}]
    backbone = [one for name, one in trained if name.startswith("backbone.")]
    heads = [one for name, one in trained if not name.startswith("backbone.")]
    return with_decay([{"params": backbone, "rate": fitting.backbone_rate}, {"params": heads, "rate": 1.0}], fitting)


_REGULARIZERS: dict[str, Literal["none", "l1", "l2"]] = {"NO_REG": "none", "L1": "l1", "L2": "l2"}


def _schedule(spec: DetectNetSpec) -> Schedule:
    config = spec.training_config.learning_rate
    if (soft := config.soft_start_annealing_schedule) is not None:
        if spec.taolite and spec.taolite.fitting and spec.taolite.fitting.cosine:
            return Cosine(
                soft.min_learning_rate, soft.max_learning_rate, soft.soft_start, spec.training_config.num_epochs
            )
        return SoftStart(
            least=soft.min_learning_rate,
            most=soft.max_learning_rate,
            soft_start=soft.soft_start,
            annealing=soft.annealing,
            epochs=spec.training_config.num_epochs,
        )
    early = config.early_stopping_annealing_schedule
    assert early is not None, "the spec has one of the two"
    return EarlyStopping(
        least=early.min_learning_rate,
        most=early.max_learning_rate,
        soft_start_epochs=early.soft_start_epochs,
        annealing_epochs=early.annealing_epochs,
        patience=early.patience_steps,
    )
