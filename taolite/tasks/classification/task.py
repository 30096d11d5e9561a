"""Image classification as the stages see it: the answers of `taolite.tasks.base.Task`.

A spec does not list its classes, so what the methods take as `spec` is a `Bound` one: with the classes of its data, or
of a model that is there already. Legend: N pictures, K classes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.data.examples import Examples
from taolite.errors import ModelError
from taolite.metrics.classes import score_classes, score_tags
from taolite.nn.arrays import fingerprint, load_arrays, state_arrays
from taolite.nn.backbone import Graph
from taolite.nn.inputs import swap_colours
from taolite.nn.torchvision_network import load_state_dict
from taolite.nn.weights import load_weights, preferred_graph, read_state_dict, read_weights
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection, Truth
from taolite.scorecard import ACCURACY, AP, Metric, ScoreCard
from taolite.tasks.base import Outputs, Recipe, Resolve, Schedule, Shapes, Split, Start, Watch
from taolite.tasks.classification.decode import Ranking, decode
from taolite.tasks.classification.examples import (
    class_examples,
    spec_augment,
    spec_classes,
    spec_preprocessing,
    spec_source,
)
from taolite.tasks.classification.inference import check_classmap
from taolite.tasks.classification.inputs import set_input
from taolite.tasks.classification.loss import ClassificationObjective, mixup
from taolite.tasks.classification.model import (
    HEADS,
    Activation,
    BatchNormSettings,
    Classifier,
    TaoClassifier,
    TorchvisionClassifier,
    architecture,
    build,
    tao_classifier,
    without_auxiliaries,
)
from taolite.tasks.classification.schedule import schedule_of
from taolite.tasks.classification.spec import ClassificationSpec, Optimizer, VisualizerConfig
from taolite.tasks.services import clearml_settings, wandb_settings, without_secrets

__all__ = ["TASK", "Bound", "ClassificationTask", "class_card", "tag_card"]

_COLUMNS = {
    "epoch": "epoch",
    "acc": "train_accuracy",
    "loss": "loss",
    "lr": "learning_rate",
    "val_acc": "accuracy",
    "val_loss": "validation_cost",
}  # TAO's training.csv: column -> key of metrics.jsonl


@dataclass(frozen=True)
class Bound:
    """A spec and the classes it is about, in the order of the outputs."""

    spec: ClassificationSpec
    classes: tuple[str, ...]


class ClassificationTask:
    """See the protocol for what each method promises.

    Args:
        classmap: a JSON object {class: number}, instead of the sorted class folders.
        pictures: what `evaluate` scores, instead of the spec's.
        skip_corrupt: pictures that cannot be read are left out with a warning.
    """

    name = "classification"
    title = "classification"
    metric = ACCURACY
    onnx_outputs: tuple[str, ...] = ("predictions/Softmax",)
    network_type = 1

    def __init__(
        self, *, classmap: Path | None = None, pictures: Path | None = None, skip_corrupt: bool = False
    ) -> None:
        self._classmap = classmap
        self._pictures = pictures
        self._skip_corrupt = skip_corrupt

    def read_spec(
        self, path: Path, *, resolve: Resolve = Path, classes: Sequence[str] | None = None
    ) -> specs.Reading[Bound]:
        reading = specs.read(path, ClassificationSpec)
        if classes is not None and self._classmap is not None:
            check_classmap(self._classmap, classes)
        if classes is None:
            classes = spec_classes(reading.model, classmap=self._classmap, resolve=resolve)
        return specs.Reading(Bound(reading.model, tuple(classes)), reading.warnings)

    def spec_text(self, spec: Bound) -> str:
        return specs.dumps(without_secrets(spec.spec, "train_config"), defaults=True)

    def classes(self, spec: Bound) -> tuple[str, ...]:
        return spec.classes

    def recipe(self, spec: Bound) -> Recipe:
        training = spec.spec.train_config
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
            epoch_model=f"weights/{spec.spec.model_config_.arch}_{{epoch:03d}}.tlt",
        )
        if spec.spec.jetson_config:
            return dataclasses.replace(made, epoch_model="checkpoint.tlt", best_model="model_best.tlt")
        return made

    def watch(self, spec: Bound) -> Watch:
        config = spec.spec.train_config.visualizer or VisualizerConfig()
        return Watch(
            points=10,
            every_epochs=1 if config.enabled else None,
            pictures=config.num_images,
            decoding=self.decoding(spec),
            wandb=wandb_settings(config.wandb_config, "model"),
            clearml=clearml_settings(config.clearml_config),
            log="training.csv",
            columns=_COLUMNS,
        )

    def schedule(self, spec: Bound) -> Schedule:
        training = spec.spec.train_config
        return schedule_of(training.lr_config, epochs=training.n_epochs)

    def preprocessing(self, spec: Bound) -> Preprocessing:
        """That of `evaluate` and of the model in use; validation's has the crop of `train_config`."""
        return self._preprocessing(spec, "test")

    def _preprocessing(self, spec: Bound, split: Split) -> Preprocessing:
        training, evaluation = spec.spec.train_config, spec.spec.eval_config
        judged = evaluation if evaluation is not None and split != "val" else training
        return spec_preprocessing(spec.spec, crops=judged.enable_center_crop)

    def run_files(self, spec: Bound) -> Mapping[str, str]:
        numbers = {name: number for number, name in enumerate(spec.classes)}
        if spec.spec.jetson_config:
            return {"labels.txt": "".join(f"{name}\n" for name in spec.classes)}
        return {"classmap.json": json.dumps(numbers, ensure_ascii=False) + "\n"}

    def output_shapes(self, network: nn.Module, spec: Bound) -> Shapes:
        assert isinstance(network, Classifier)
        network.check_input(self.preprocessing(spec).input_hw)
        return ((network.num_classes,),)

    def examples(
        self,
        spec: Bound,
        *,
        split: Split,
        resolve: Resolve,
        augment: bool,
        output_shapes: Shapes | None = None,
    ) -> Examples:
        source, notices = spec_source(
            spec.spec,
            split,
            spec.classes,
            resolve=resolve,
            leave_out_others=self._classmap is not None,
            skip_corrupt=self._skip_corrupt,
            pictures=self._pictures if split == "test" else None,
        )
        return class_examples(
            source,
            spec.classes,
            preprocessing=self._preprocessing(spec, split),
            augment=spec_augment(spec.spec) if augment else None,
            seed=spec.spec.train_config.random_seed,
            notices=notices,
        )

    def start(self, spec: Bound, *, resolve: Resolve, key: Key | None) -> Start:
        torch.manual_seed(spec.spec.train_config.random_seed)
        source = spec.spec.train_config.pretrained_model_path
        if not source:
            network = _fresh(spec.spec, len(spec.classes), "tao")
            self._adapt(network, spec)
            return Start(network, ("no pretrained_model_path: training starts from random weights",))
        path = source if source.startswith("torchvision://") else str(resolve(source))
        if Path(path).is_file() and sniff(Path(path)) is Kind.BUNDLE:
            bundle = read_bundle(Path(path), key=key)
            if bundle.task == self.name:
                return self._trained_before(spec, bundle, path)
        arch = spec.spec.model_config_.arch
        if arch == "torchvision":
            return self._torchvisions(spec, path)
        weights = read_weights(path, key=key)
        if weights.arch not in (None, arch):
            raise ModelError(f"{path} holds weights of {weights.arch} and the spec's arch is {arch}; they must agree")
        network = _fresh(spec.spec, len(spec.classes), preferred_graph(weights))
        assert isinstance(network, TaoClassifier)
        report = load_weights(network.backbone, weights)
        self._adapt(network, spec)
        loaded = f"{path}: {len(report.loaded)} layers loaded into the {network.backbone.graph} graph"
        skipped = tuple(f"{path}: layer {layer} skipped: {why}" for layer, why in report.skipped.items())
        fresh = (f"begin at random: {', '.join(report.fresh)}",) if report.fresh else ()
        parent = fingerprint(weights.tensors)
        return Start(network, (loaded, *skipped, *fresh), parent=parent)

    def _torchvisions(self, spec: Bound, path: str) -> Start:
        """A network of torchvision's with published weights, or those of a checkpoint of train.py: its head too where
        the classes are the same."""
        state = read_state_dict(path)
        network = _fresh(spec.spec, len(spec.classes), "torchvision")
        assert isinstance(network, TorchvisionClassifier)
        report = load_state_dict(network.body, state)
        notices = [f"using pre-trained model '{network.name}' ({path}: {len(report.loaded)} layers)"]
        classes = tuple(state.facts.get("classes") or ())
        if classes and classes != spec.classes and not report.skipped:
            network.renew_head(len(spec.classes))
            names = f"{', '.join(map(str, classes))}; now {', '.join(spec.classes)}"
            notices.append(f"{path}: its classes were {names}: its head begins at random")
        notices += [
            f"{path}: layer {layer}, which tells the classes apart, begins at random: {why}"
            for layer, why in report.skipped.items()
        ]
        self._adapt(network, spec)
        parent = fingerprint(state.tensors)
        return Start(network, tuple(notices), parent=parent)

    def _adapt(self, network: Classifier, spec: Bound) -> None:
        """A network with published weights, in RGB / 255, is made to take what the spec's preprocess_mode gives."""
        preprocessing = self.preprocessing(spec)
        if network.normalises and preprocessing.bgr:
            swap_colours(network)
        set_input(network, preprocessing)

    def _trained_before(self, spec: Bound, bundle: Bundle, path: str) -> Start:
        """The spec's network with everything of an earlier one, pruned or not; its head too where the classes are the
        same. TAO does so where it is pruned, and otherwise goes by layer names, which is the same."""
        stored = bundle.architecture
        fresh = _fresh(spec.spec, len(bundle.classes), stored.get("graph", "tao"))
        built = architecture(without_auxiliaries(fresh))
        differs = [name for name in ("family", "network") if built[name] != stored.get(name)]
        if differs or set(built["channels"]) != set(stored["channels"]):
            model, other = spec.spec.model_config_, stored.get("network")
            raise ModelError(
                f"{path} is a {other} of {len(stored['channels'])} layers and the spec asks for a {model.arch} of "
                f"{len(built['channels'])}; arch, n_layers, use_batch_norm, all_projections and retain_head must agree "
                "with the spec it was trained with"
            )
        activations = [one.get("hidden_activation") for one in (stored, built)]
        if activations[0] != activations[1]:
            was, asked = (f"`{name}`" if name else "that of its arch" for name in activations)
            raise ModelError(
                f"{path} was trained with another activation ({was}) than the spec asks for ({asked}); "
                "model_config.activation must agree with the spec it was trained with"
            )
        network = build({**built, "channels": stored["channels"]})
        load_arrays(network, bundle.tensors)
        notices = [f"{path}: the network is taken from this file"]
        ours, theirs = self.preprocessing(spec), bundle.preprocessing
        if network.normalises and ours.bgr != theirs.bgr:
            swap_colours(network)
        set_input(network, ours)
        if not network.normalises and _normalisation(ours) != _normalisation(theirs):
            notices.append(f"{path}: it was trained with another preprocess_mode or image_mean, and has to learn anew")
        if bundle.classes != spec.classes:
            network.renew_head(len(spec.classes))
            names = f"{', '.join(bundle.classes)}; now {', '.join(spec.classes)}"
            notices.append(f"{path}: its classes were {names}: its head begins at random")
        return Start(network, tuple(notices), bundle.lineage, weights_hash(bundle.tensors))

    def objective(self, spec: Bound) -> ClassificationObjective:
        smoothing, threshold = spec.spec.train_config.label_smoothing, _tag_threshold(spec.spec)
        if threshold is None:
            return ClassificationObjective(smoothing=smoothing)
        return ClassificationObjective(smoothing=smoothing, tags=True, threshold=threshold)

    def parameter_groups(self, network: nn.Module, spec: Bound) -> list[dict[str, Any]]:
        assert isinstance(network, Classifier)
        rate = spec.spec.jetson_config.head_rate if spec.spec.jetson_config else 1.0
        trained = [one for one in network.parameters() if one.requires_grad]
        if rate == 1:
            return [{"params": trained, "rate": 1.0}]
        head = set(network.head_parameters())
        split = ([one for one in trained if one not in head], 1.0), ([one for one in trained if one in head], rate)
        return [{"params": members, "rate": factor} for members, factor in split if members]

    def regularised(self, network: nn.Module, spec: Bound) -> Sequence[nn.Parameter]:
        """Kernels of the layers in `scope`; a depthwise convolution is no Conv2D to TAO."""
        kinds = spec.spec.train_config.reg_config.layers
        return [
            parameter
            for layer in network.modules()
            if ("conv2d" in kinds and isinstance(layer, nn.Conv2d) and layer.groups == 1)
            or ("dense" in kinds and isinstance(layer, nn.Linear))
            for name, parameter in layer.named_parameters(recurse=False)
            if name == "weight"
        ]

    def bundle(
        self, network: nn.Module, *, spec: Bound, lineage: tuple[Mapping[str, Any], ...], extra: Mapping[str, Any]
    ) -> Bundle:
        assert isinstance(network, Classifier)
        stored = without_auxiliaries(network)
        return Bundle(
            task=self.name,
            architecture=architecture(stored),
            classes=spec.classes,
            preprocessing=self.preprocessing(spec),
            tensors=state_arrays(stored),
            spec=self.spec_text(spec),
            lineage=lineage,
            decoding=self.decoding(spec),
            extra=extra,
        )

    def network(self, bundle: Bundle) -> nn.Module:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        set_input(network, bundle.preprocessing)
        return network.eval()

    def architecture(self, network: nn.Module) -> Mapping[str, Any]:
        assert isinstance(network, Classifier)
        return architecture(network)

    def heads(self) -> tuple[str, ...]:
        return HEADS

    def decoding(self, spec: Bound) -> dict[str, Any]:
        threshold = _tag_threshold(spec.spec)
        return {"top": 1} if threshold is None else {"threshold": threshold}

    def decode(self, outputs: Outputs, decoding: Mapping[str, Any], *, preprocessing: Preprocessing) -> Ranking:
        return decode(outputs[0], decoding)

    def detections(self, found: Ranking, classes: Sequence[str]) -> list[Detection]:
        rows = list(zip(found.classes_k, found.scores_k, strict=True))[: found.given]
        return [Detection(classes[kind], None, float(score)) for kind, score in rows]

    def score(self, truths: Sequence[Truth], founds: Sequence[Ranking], *, spec: Bound) -> ScoreCard:
        evaluation, threshold = spec.spec.eval_config, _tag_threshold(spec.spec)
        if threshold is not None:
            return tag_card(truths, founds, classes=spec.classes, threshold=threshold)
        return class_card(truths, founds, classes=spec.classes, top_k=evaluation.top_k if evaluation else 1)


def class_card(truths: Sequence[Truth], founds: Sequence[Ranking], *, classes: Sequence[str], top_k: int) -> ScoreCard:
    """Accuracy, that of the `top_k` likeliest beside it as `top_K`, and the confusion of pictures with one class."""
    scores = score_classes(
        np.stack([found.by_class_k for found in founds]),
        np.array([truth.classes_n[0] for truth in truths]),
        names=classes,
        top_k=(top_k,),
    )
    return ScoreCard(
        Metric(ACCURACY, scores.accuracy, scores.per_class),
        {f"top_{top_k}": Metric(ACCURACY, scores.top_k[top_k], {})},
        dict(zip(classes, scores.support_k.tolist(), strict=True)),
        len(truths),
        tuple(tuple(row) for row in scores.confusion_kk.tolist()),
    )


def tag_card(
    truths: Sequence[Truth], founds: Sequence[Ranking], *, classes: Sequence[str], threshold: float
) -> ScoreCard:
    """The share of right answers over all tags, as jetson-inference counts, and of each tag; beside it the mean average
    precision, which rare tags do not flatter, and the share of pictures with every tag right."""
    wanted_nk = np.zeros((len(truths), len(classes)), np.bool_)
    for row, truth in zip(wanted_nk, truths, strict=True):
        row[truth.classes_n] = True
    scores_nk = np.stack([found.by_class_k for found in founds])
    scores = score_tags(scores_nk, wanted_nk, names=classes, threshold=threshold)
    right_k = ((scores_nk >= threshold) == wanted_nk).mean(axis=0)
    known = {name: float(ap) for name, ap in zip(classes, scores.average_precision_k, strict=True) if not np.isnan(ap)}
    return ScoreCard(
        Metric(ACCURACY, scores.accuracy, dict(zip(classes, right_k.tolist(), strict=True))),
        {"tags": Metric(AP, scores.mean_average_precision, known), "exact": Metric(ACCURACY, scores.exact, {})},
        dict(zip(classes, wanted_nk.sum(axis=0).tolist(), strict=True)),
        len(truths),
    )


def _tag_threshold(spec: ClassificationSpec) -> float | None:
    """From which score a tag counts as given; None where a picture has one class."""
    config = spec.jetson_config
    return config.multi_label_threshold if config and config.multi_label else None


_REGULARIZERS: dict[str, Literal["none", "l1", "l2"]] = {"None": "none", "L1": "l1", "L2": "l2"}


def _optimizer(config: Optimizer) -> tuple[Callable[[list[dict[str, Any]]], torch.optim.Optimizer], float]:
    """What the spec's optimiser makes of parameter groups, and its decay of the rate."""
    if (sgd := config.sgd) is not None:
        nesterov = sgd.nesterov and sgd.momentum > 0
        return partial(torch.optim.SGD, lr=0.0, momentum=sgd.momentum, nesterov=nesterov), sgd.decay
    if (adam := config.adam) is not None:
        betas = (adam.beta_1, adam.beta_2)
        return partial(torch.optim.Adam, lr=0.0, betas=betas, eps=adam.epsilon, fused=True), adam.decay
    rmsprop = config.rmsprop
    assert rmsprop is not None, "a spec has one of the three"
    return partial(torch.optim.RMSprop, lr=0.0, alpha=rmsprop.rho, eps=rmsprop.epsilon), rmsprop.decay


def _fresh(spec: ClassificationSpec, num_classes: int, graph: Graph) -> Classifier:
    model = spec.model_config_
    channels, height, width = model.input_chw
    activation: Activation = "softmax" if _tag_threshold(spec) is None else "sigmoid"
    if model.arch == "torchvision":
        arch, size = model.torchvision_arch, max(height, width)
        return TorchvisionClassifier(
            arch, num_classes, activation=activation, input_size=size, auxiliaries=True, freeze_bn=model.freeze_bn
        )
    norm = model.batch_norm_config
    return tao_classifier(
        model.arch,
        num_classes,
        num_layers=model.n_layers,
        in_channels=channels,
        input_hw=(height, width),
        use_batch_norm=model.use_batch_norm,
        use_bias=model.use_bias,
        use_pooling=model.use_pooling,
        all_projections=model.all_projections,
        retain_head=model.own_head,
        dropout=model.dropout,
        freeze_blocks=[int(block) for block in model.freeze_blocks],
        freeze_bn=model.freeze_bn,
        batch_norm=BatchNormSettings(norm.momentum, norm.epsilon) if norm else None,
        hidden_activation=model.activation.activation_type if model.activation else "",
        activation=activation,
        graph=graph,
    )


def _normalisation(preprocessing: Preprocessing) -> tuple[Any, ...]:
    return preprocessing.scale, preprocessing.offsets, preprocessing.stds, preprocessing.bgr


TASK = ClassificationTask()
