"""The starting weights of a classifier: random, a pretrained backbone or network, or an earlier taolite model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.errors import ModelError
from taolite.nn.arrays import fingerprint, load_arrays
from taolite.nn.backbone import Graph
from taolite.nn.inputs import swap_colours
from taolite.nn.torchvision_network import load_state_dict
from taolite.nn.weights import load_weights, preferred_graph, read_state_dict, read_weights
from taolite.preprocessing import Preprocessing
from taolite.tasks.base import Begun, Resolve
from taolite.tasks.classification.inputs import set_input
from taolite.tasks.classification.model import (
    Activation,
    BatchNormSettings,
    Classifier,
    TaoClassifier,
    TorchvisionClassifier,
    build,
    tao_classifier,
)
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.classification.use import USE
from taolite.tasks.diagnosing import loaded_from
from taolite.wording import counted

__all__ = ["begin"]


@dataclass(frozen=True)
class _Asked:
    """The requested network."""

    spec: ClassificationSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing


def begin(
    spec: ClassificationSpec,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    *,
    resolve: Resolve,
    key: Key | None,
) -> Begun[Classifier]:
    """The network of the spec, for `classes` and for input from `preprocessing`.

    `key` decrypts an encrypted model. Raises PathError, ArtifactError, ModelError.
    """
    asked = _Asked(spec, classes, preprocessing)
    torch.manual_seed(spec.train_config.random_seed)
    source = spec.train_config.pretrained_model_path
    if not source:
        random = _fresh(spec, len(classes), "tao")
        _adapt(random, preprocessing)
        return Begun(random, ("no pretrained_model_path: training starts from random weights",))
    path = source if source.startswith("torchvision://") else str(resolve(source))
    if Path(path).is_file() and sniff(Path(path)) is Kind.BUNDLE:
        bundle = read_bundle(Path(path), key=key)
        if bundle.task == USE.name:
            return _trained_before(asked, bundle, path)
    arch = spec.model_config_.arch
    if arch == "torchvision":
        return _torchvisions(asked, path)
    weights = read_weights(path, key=key)
    if weights.arch not in (None, arch):
        raise ModelError(f"{path} holds weights of {weights.arch} and the spec's arch is {arch}; they must agree")
    network = _fresh_tao(spec, len(classes), preferred_graph(weights))
    report = load_weights(network.backbone, weights)
    _adapt(network, preprocessing)
    loaded = f"{path}: {counted(len(report.loaded), 'layer')} loaded into the {network.backbone.graph} graph"
    skipped = tuple(f"{path}: layer {layer} skipped: {why}" for layer, why in report.skipped.items())
    fresh = (f"begin at random: {', '.join(report.fresh)}",) if report.fresh else ()
    parent = fingerprint(weights.tensors)
    taken = loaded_from(
        path,
        len(report.loaded),
        learned=weights.preprocessing,
        given=preprocessing,
        adapts=network.normalises,
        fresh=report.fresh,
        skipped=report.skipped,
    )
    return Begun(network, (loaded, *skipped, *fresh), parent=parent, loaded=taken)


def _torchvisions(asked: _Asked, path: str) -> Begun[Classifier]:
    """A torchvision network with published weights, or with the weights of a train.py checkpoint.

    The head's weights are loaded too where the classes are the same.
    """
    state = read_state_dict(path)
    network = _fresh_torchvision(asked.spec, len(asked.classes))
    report = load_state_dict(network.body, state)
    notices = [f"using pre-trained model '{network.name}' ({path}: {counted(len(report.loaded), 'layer')})"]
    before = tuple(state.facts.get("classes") or ())
    if before and before != asked.classes and not report.skipped:
        network.renew_head(len(asked.classes))
        names = f"{', '.join(map(str, before))}; now {', '.join(asked.classes)}"
        notices.append(f"{path}: its classes were {names}: its head begins at random")
    notices += [
        f"{path}: layer {layer}, which tells the classes apart, begins at random: {why}"
        for layer, why in report.skipped.items()
    ]
    _adapt(network, asked.preprocessing)
    parent = fingerprint(state.tensors)
    return Begun(network, tuple(notices), parent=parent)


def _adapt(network: Classifier, preprocessing: Preprocessing) -> None:
    """Adapt a network with published weights, made for RGB / 255, to the input of the spec's preprocess_mode."""
    if network.normalises and preprocessing.bgr:
        swap_colours(network)
    set_input(network, preprocessing)


def _trained_before(asked: _Asked, bundle: Bundle, path: str) -> Begun[Classifier]:
    """The spec's network with the weights of an earlier model, pruned or not.

    The head's weights are loaded too where the classes are the same. TAO does this for a pruned model; otherwise TAO
    matches layer names, with the same result.
    """
    stored = bundle.architecture
    fresh = _fresh(asked.spec, len(bundle.classes), stored.get("graph", "tao"))
    built = fresh.as_stored().architecture()
    differs = [name for name in ("family", "network") if built[name] != stored.get(name)]
    if differs or set(built["channels"]) != set(stored["channels"]):
        model, other = asked.spec.model_config_, stored.get("network")
        raise ModelError(
            f"{path} is a {other} of {len(stored['channels'])} layers and the spec asks for a {model.arch} of "
            f"{len(built['channels'])}; arch, n_layers, use_batch_norm, all_projections and retain_head must agree "
            "with the spec it was trained with"
        )
    activations = [one.get("hidden_activation") for one in (stored, built)]
    if activations[0] != activations[1]:
        was, wanted = (f"`{name}`" if name else "that of its arch" for name in activations)
        raise ModelError(
            f"{path} was trained with another activation ({was}) than the spec asks for ({wanted}); "
            "model_config.activation must agree with the spec it was trained with"
        )
    network = build({**built, "channels": stored["channels"]})
    load_arrays(network, bundle.tensors)
    notices = [f"{path}: the network is taken from this file"]
    ours, theirs = asked.preprocessing, bundle.preprocessing
    if network.normalises and ours.bgr != theirs.bgr:
        swap_colours(network)
    set_input(network, ours)
    taken = None
    if not network.normalises:
        taken = loaded_from(path, len(stored["channels"]), learned=theirs, given=ours, adapts=False)
        if taken.learned:
            notices.append(f"{path}: it was trained with another preprocess_mode or image_mean, and has to learn anew")
    if bundle.classes != asked.classes:
        network.renew_head(len(asked.classes))
        names = f"{', '.join(bundle.classes)}; now {', '.join(asked.classes)}"
        notices.append(f"{path}: its classes were {names}: its head begins at random")
    return Begun(network, tuple(notices), bundle.lineage, weights_hash(bundle.tensors), Path(path), taken)


def _fresh(spec: ClassificationSpec, num_classes: int, graph: Graph) -> Classifier:
    """The spec's network with random weights; `graph` is used by TAO's architectures only."""
    if spec.model_config_.arch == "torchvision":
        return _fresh_torchvision(spec, num_classes)
    return _fresh_tao(spec, num_classes, graph)


def _fresh_torchvision(spec: ClassificationSpec, num_classes: int) -> TorchvisionClassifier:
    model = spec.model_config_
    return TorchvisionClassifier(
        model.torchvision_arch,
        num_classes,
        activation=_activation(spec),
        input_size=max(model.input_chw[1:]),
        auxiliaries=True,
        freeze_bn=model.freeze_bn,
    )


def _fresh_tao(spec: ClassificationSpec, num_classes: int, graph: Graph) -> TaoClassifier:
    model, norm = spec.model_config_, spec.model_config_.batch_norm_config
    channels, height, width = model.input_chw
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
        activation=_activation(spec),
        graph=graph,
    )


def _activation(spec: ClassificationSpec) -> Activation:
    return "softmax" if spec.tag_threshold is None else "sigmoid"
