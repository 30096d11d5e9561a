"""DetectNet_v2 as the stages see it: the answers of `taolite.tasks.base.Task`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.data.examples import Examples
from taolite.errors import ModelError
from taolite.metrics.match import BoxLimits
from taolite.metrics.score import score
from taolite.nn.arrays import fingerprint, load_arrays, state_arrays
from taolite.nn.backbone import Graph
from taolite.nn.backbones import build_backbone
from taolite.nn.batchnorm import forget_statistics
from taolite.nn.fake_quant import forget_ranges, is_quantized, quantize, strip
from taolite.nn.weights import load_weights, preferred_graph, read_weights
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection, Truth
from taolite.scorecard import AP, Metric, ScoreCard
from taolite.tasks.base import (
    CostScaling,
    Outputs,
    Recipe,
    Resolve,
    Schedule,
    Shapes,
    Split,
    Start,
    Watch,
)
from taolite.tasks.boxes import boxes_by_name
from taolite.tasks.detectnet.decode import OFFSET, SCALE, Clustering, Found, decode
from taolite.tasks.detectnet.examples import spec_examples, spec_preprocessing
from taolite.tasks.detectnet.keras_graph import has_heads, is_quantised, network_from_keras
from taolite.tasks.detectnet.loss import ClassWeights, DetectNetObjective
from taolite.tasks.detectnet.model import HEADS, DetectNet, architecture, build, regularised_parameters
from taolite.tasks.detectnet.schedule import EarlyStopping, SoftStart
from taolite.tasks.detectnet.spec import Adam, DetectNetSpec
from taolite.tasks.detectnet.spec.network import BackendFloat
from taolite.tasks.detectnet.watch import watch
from taolite.tasks.services import without_secrets

__all__ = ["DEFAULT_SPEC", "TASK"]

DEFAULT_SPEC = Path(__file__).with_name("default_spec.txt")
"""What trains where no spec is named: TAO's built-in one."""


class DetectNetTask:
    """Stateless; see the protocol for what each method promises."""

    name = "detectnet"
    title = "DetectNet_v2"
    metric = AP
    default_spec = DEFAULT_SPEC
    onnx_outputs = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
    network_type = 0

    def read_spec(
        self, path: Path, *, resolve: Resolve = Path, classes: Sequence[str] | None = None
    ) -> specs.Reading[DetectNetSpec]:
        return specs.read(path, DetectNetSpec)

    def spec_text(self, spec: DetectNetSpec) -> str:
        return specs.dumps(without_secrets(spec, "training_config"), defaults=True)

    def classes(self, spec: DetectNetSpec) -> tuple[str, ...]:
        return tuple(target.name for target in spec.cost_function_config.target_classes)

    def recipe(self, spec: DetectNetSpec) -> Recipe:
        training, evaluation = spec.training_config, spec.evaluation_config
        first, period = evaluation.first_validation_epoch, evaluation.validation_period_during_training
        epochs, scaling, precision = training.num_epochs, training.cost_scaling, spec.model_config_.training_precision
        return Recipe(
            seed=spec.random_seed,
            epochs=epochs,
            batch_size=training.batch_size_per_gpu,
            optimizer=_adam(training.optimizer.adam),
            regularizer=_REGULARIZERS[training.regularizer.type.value],
            regularizer_weight=training.regularizer.weight,
            checkpoint_interval=training.checkpoint_interval,
            validates=lambda epoch: epoch == epochs or (epoch >= first and (epoch - first) % period == 0),
            float16=precision is not None and precision.backend_floatx is BackendFloat.FLOAT16,
            cost_scaling=CostScaling(scaling.initial_exponent, scaling.increment, scaling.decrement)
            if scaling.enabled
            else None,
        )

    def watch(self, spec: DetectNetSpec) -> Watch:
        return watch(spec, self.decoding(spec))

    def schedule(self, spec: DetectNetSpec) -> Schedule:
        config = spec.training_config.learning_rate
        if (soft := config.soft_start_annealing_schedule) is not None:
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

    def preprocessing(self, spec: DetectNetSpec) -> Preprocessing:
        return spec_preprocessing(spec)

    def run_files(self, spec: DetectNetSpec) -> Mapping[str, str]:
        return {}

    def output_shapes(self, network: torch.nn.Module, spec: DetectNetSpec) -> Shapes:
        assert isinstance(network, DetectNet)
        grid_hw, classes = network.grid_hw(self.preprocessing(spec).input_hw), network.num_classes
        return (classes, *grid_hw), (4 * classes, *grid_hw)

    def examples(
        self,
        spec: DetectNetSpec,
        *,
        split: Split,
        resolve: Resolve,
        augment: bool,
        output_shapes: Shapes | None = None,
    ) -> Examples:
        grid_hw = None if output_shapes is None else (output_shapes[0][1], output_shapes[0][2])
        return spec_examples(
            spec, "train" if split == "train" else "val", resolve=resolve, augment=augment, grid_hw=grid_hw
        )

    def start(self, spec: DetectNetSpec, *, resolve: Resolve, key: Key | None) -> Start:
        return _as_quantised_as_asked(spec, self._float_or_loaded(spec, resolve=resolve, key=key))

    def _float_or_loaded(self, spec: DetectNetSpec, *, resolve: Resolve, key: Key | None) -> Start:
        model = spec.model_config_
        torch.manual_seed(spec.random_seed)
        if not model.pretrained_model_file:
            return Start(_fresh(spec, "tao"), ("no pretrained_model_file: training starts from random weights",))
        source = model.pretrained_model_file
        path = source if source.startswith("torchvision://") else str(resolve(source))
        if model.load_graph:
            start = self._loaded_graph(spec, Path(path), key)
            forget_statistics(start.network)
            return start
        weights = read_weights(path, key=key)
        if weights.arch not in (None, model.arch):
            raise ModelError(
                f"{path} holds weights of {weights.arch} and the spec's arch is {model.arch}; the two must agree"
            )
        network = _fresh(spec, preferred_graph(weights))
        report = load_weights(network.backbone, weights)
        text = f"{path}: {len(report.loaded)} layers loaded into the {network.backbone.graph} graph"
        if report.fresh:
            some = ", ".join(report.fresh[:3]) + (", ..." if len(report.fresh) > 3 else "")
            text += f"; {len(report.fresh)} begin at random ({some}). A pruned model needs load_graph: true"
        skipped = tuple(
            f"{path}: layer {layer} skipped: {'heads begin at random without load_graph' if layer in HEADS else why}"
            for layer, why in report.skipped.items()
        )
        return Start(network, (text, *skipped), parent=fingerprint(weights.tensors))

    def _loaded_graph(self, spec: DetectNetSpec, path: Path, key: Key | None) -> Start:
        """The network of a `.tlt` or a Keras file, with fresh heads where its classes are not the spec's and that is
        allowed."""
        if path.is_file() and sniff(path) is Kind.HDF5:
            start, found = self._keras_graph(spec, path)
        else:
            bundle = read_bundle(path, key=key)
            start = Start(self.network(bundle), (), bundle.lineage, weights_hash(bundle.tensors))
            found = f"{len(bundle.classes)} classes ({', '.join(bundle.classes)})"
        network, wanted = start.network, self.classes(spec)
        assert isinstance(network, DetectNet)
        notices = [f"{path}: the whole graph is taken from this file", *start.notices]
        if network.num_classes != len(wanted):
            difference = f"{path} finds {found} and the spec asks for {len(wanted)} ({', '.join(wanted)})"
            if not spec.model_config_.allow_loaded_model_modification:
                raise ModelError(
                    f"{difference}; with load_graph the two must agree, or allow_loaded_model_modification: true "
                    "puts fresh heads on it"
                )
            network.renew_heads(len(wanted))
            notices.append(f"{difference}: its heads are replaced by fresh ones, which begin at random")
        return dataclasses.replace(start, notices=tuple(notices))

    def _keras_graph(self, spec: DetectNetSpec, path: Path) -> tuple[Start, str]:
        """The network of a Keras file, and what is known of its classes."""
        weights, notices = read_weights(path), []
        if not has_heads(weights):
            if not spec.model_config_.allow_loaded_model_modification:
                raise ModelError(
                    f"{path}: Objective head is missing from model (a backbone alone), and model modification is not "
                    "allowed. Take load_graph out of the spec, or put in allow_loaded_model_modification: true"
                )
            notices.append("it has no heads and gets fresh ones, which begin at random")
        if is_quantised(weights):
            notices.append("it was trained with TAO's quantisation, which is taken off, and its ReLU6 becomes ReLU")
        network = network_from_keras(weights, num_classes=len(self.classes(spec)), inputs=_head_inputs(spec))
        found = f"{network.num_classes} classes, of which it does not hold the names,"
        return Start(network, tuple(f"{path}: {text}" for text in notices), parent=fingerprint(weights.tensors)), found

    def objective(self, spec: DetectNetSpec) -> DetectNetObjective:
        config = spec.cost_function_config
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

    def parameter_groups(self, network: torch.nn.Module, spec: DetectNetSpec) -> list[dict[str, Any]]:
        return [{"params": [one for one in network.parameters() if one.requires_grad], "rate": 1.0}]

    def regularised(self, network: torch.nn.Module, spec: DetectNetSpec) -> Sequence[torch.nn.Parameter]:
        return regularised_parameters(network)

    def bundle(
        self,
        network: torch.nn.Module,
        *,
        spec: DetectNetSpec,
        lineage: tuple[Mapping[str, Any], ...],
        extra: Mapping[str, Any],
    ) -> Bundle:
        assert isinstance(network, DetectNet)
        return Bundle(
            task=self.name,
            architecture=architecture(network),
            classes=self.classes(spec),
            preprocessing=self.preprocessing(spec),
            tensors=state_arrays(network),
            spec=self.spec_text(spec),
            lineage=lineage,
            decoding=self.decoding(spec),
            extra=extra,
        )

    def network(self, bundle: Bundle) -> torch.nn.Module:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        return network.eval()

    def architecture(self, network: torch.nn.Module) -> Mapping[str, Any]:
        assert isinstance(network, DetectNet)
        return architecture(network)

    def heads(self) -> tuple[str, ...]:
        return HEADS

    def decoding(self, spec: DetectNetSpec) -> dict[str, Any]:
        rows = spec.postprocessing_config.target_class_config
        bbox = spec.model_config_.objective_set.bbox
        clusterings = [Clustering.from_spec(rows[name].clustering_config) for name in self.classes(spec)]
        return {
            "clusterings": [clustering.to_json() for clustering in clusterings],
            "scale": bbox.scale,
            "offset": bbox.offset,
        }

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Found:
        return decode(
            outputs[0],
            outputs[1],
            input_hw=preprocessing.input_hw,
            clusterings=[Clustering.from_json(row) for row in decoding["clusterings"]],
            scale=decoding.get("scale", SCALE),
            offset=decoding.get("offset", OFFSET),
            stride=decoding.get("stride"),
        )

    def detections(self, found: Found, classes: Sequence[str]) -> list[Detection]:
        return boxes_by_name(found, classes)

    def score(self, truths: Sequence[Truth], founds: Sequence[Found], *, spec: DetectNetSpec) -> ScoreCard:
        names, config = self.classes(spec), spec.evaluation_config
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
        return ScoreCard(Metric(AP, tao.mean, tao.per_class), beside, objects, len(truths))


def _adam(config: Adam) -> Callable[[list[dict[str, Any]]], torch.optim.Optimizer]:
    return partial(torch.optim.Adam, lr=0.0, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


_REGULARIZERS: dict[str, Literal["none", "l1", "l2"]] = {"NO_REG": "none", "L1": "l1", "L2": "l2"}


def _fresh(spec: DetectNetSpec, graph: Graph) -> DetectNet:
    model = spec.model_config_
    backbone = build_backbone(
        model.arch,
        num_layers=model.num_layers,
        in_channels=spec.augmentation_config.preprocessing.output_image_channel,
        use_batch_norm=model.use_batch_norm,
        use_pooling=model.use_pooling,
        all_projections=model.all_projections,
        freeze_blocks=[int(block) for block in model.freeze_blocks],
        freeze_bn=model.freeze_bn,
        graph=graph,
    )
    return DetectNet(backbone, len(spec.cost_function_config.target_classes), inputs=_head_inputs(spec))


def _head_inputs(spec: DetectNetSpec) -> dict[str, str]:
    heads = spec.model_config_.objective_set
    return {"output_cov": heads.cov.input, "output_bbox": heads.bbox.input}


def _as_quantised_as_asked(spec: DetectNetSpec, start: Start) -> Start:
    """`start` with its backbone quantised where `enable_qat` says so, and only there; ranges are learned anew."""
    network, was = start.network, is_quantized(start.network)
    assert isinstance(network, DetectNet)
    if spec.training_config.enable_qat:
        count = quantize(network.backbone)
        forget_ranges(network)
        goes_on = "goes on" if was else "begins"
        text = f"enable_qat: training {goes_on} with 8-bit kernels and inputs in {count} convolutions; heads stay float"
    elif was:
        network = strip(network)
        text = "enable_qat is false and the loaded model is quantised: its quantisation is taken off"
    else:
        return start
    return dataclasses.replace(start, network=network, notices=(*start.notices, text))


TASK = DetectNetTask()
