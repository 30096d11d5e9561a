"""The starting weights of a DetectNet_v2: random, a pretrained backbone, or the whole graph of an earlier model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.errors import ModelError
from taolite.nn.arrays import fingerprint, load_arrays
from taolite.nn.backbone import Graph
from taolite.nn.backbones import build_backbone
from taolite.nn.batchnorm import forget_statistics
from taolite.nn.fake_quant import forget_ranges, is_quantized, quantize, strip
from taolite.nn.weights import load_weights, preferred_graph, read_weights
from taolite.tasks.base import Begun, Resolve
from taolite.tasks.detectnet.examples import spec_preprocessing
from taolite.tasks.detectnet.keras_graph import has_heads, is_quantised, network_from_keras
from taolite.tasks.detectnet.model import DetectNet, build
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.use import HEADS
from taolite.tasks.diagnosing import loaded_from
from taolite.wording import counted

__all__ = ["begin"]

_COV_BIAS = -4.0  # a first coverage of 0.018: nearly all cells are background
_FIRST_DISTANCE = 48.0  # pixels: boxes begin with an area, so that their overlap has a gradient


def begin(spec: DetectNetSpec, *, resolve: Resolve, key: Key | None) -> Begun[DetectNet]:
    """The network of the spec, quantised where `enable_qat` is set. `key` decrypts an encrypted model.

    Raises PathError, ArtifactError, ModelError.
    """
    return _as_quantised_as_asked(spec, _float_or_loaded(spec, resolve=resolve, key=key))


def _float_or_loaded(spec: DetectNetSpec, *, resolve: Resolve, key: Key | None) -> Begun[DetectNet]:
    model = spec.model_config_
    torch.manual_seed(spec.random_seed)
    if not model.pretrained_model_file:
        return Begun(_fresh(spec, "tao"), ("no pretrained_model_file: training starts from random weights",))
    source = model.pretrained_model_file
    path = source if source.startswith("torchvision://") else str(resolve(source))
    if model.load_graph:
        begun = _loaded_graph(spec, Path(path), key)
        forget_statistics(begun.network)
        return begun
    weights = read_weights(path, key=key)
    if weights.arch not in (None, model.arch):
        raise ModelError(
            f"{path} holds weights of {weights.arch} and the spec's arch is {model.arch}; the two must agree"
        )
    network = _fresh(spec, preferred_graph(weights))
    report = load_weights(network.backbone, weights)
    text = f"{path}: {counted(len(report.loaded), 'layer')} loaded into the {network.backbone.graph} graph"
    if report.fresh:
        some = ", ".join(report.fresh[:3]) + (", ..." if len(report.fresh) > 3 else "")
        text += f"; {len(report.fresh)} begin at random ({some}). A pruned model needs load_graph: true"
    skipped = tuple(
        f"{path}: layer {layer} skipped: {'heads begin at random without load_graph' if layer in HEADS else why}"
        for layer, why in report.skipped.items()
    )
    loaded = loaded_from(
        path,
        len(report.loaded),
        learned=weights.preprocessing,
        given=spec_preprocessing(spec),
        adapts=network.backbone.graph != "tao",
        fresh=report.fresh,
        skipped=report.skipped,
    )
    return Begun(network, (text, *skipped), parent=fingerprint(weights.tensors), loaded=loaded)


def _loaded_graph(spec: DetectNetSpec, path: Path, key: Key | None) -> Begun[DetectNet]:
    """The network of a `.tlt` or a Keras file.

    Where its classes differ from the spec's, and the spec allows it, the network gets fresh heads.
    """
    if path.is_file() and sniff(path) is Kind.HDF5:
        begun, found = _keras_graph(spec, path)
    else:
        bundle = read_bundle(path, key=key)
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        begun = Begun(network.eval(), (), bundle.lineage, weights_hash(bundle.tensors), path)
        found = f"{counted(len(bundle.classes), 'class', 'classes')} ({', '.join(bundle.classes)})"
    network, wanted = begun.network, spec.classes
    notices = [f"{path}: the whole graph is taken from this file", *begun.notices]
    if network.num_classes != len(wanted):
        difference = f"{path} finds {found} and the spec asks for {len(wanted)} ({', '.join(wanted)})"
        if not spec.model_config_.allow_loaded_model_modification:
            raise ModelError(
                f"{difference}; with load_graph the two must agree, or allow_loaded_model_modification: true "
                "puts fresh heads on it"
            )
        network.renew_heads(len(wanted))
        notices.append(f"{difference}: its heads are replaced by fresh ones, which begin at random")
    return dataclasses.replace(begun, notices=tuple(notices))


def _keras_graph(spec: DetectNetSpec, path: Path) -> tuple[Begun[DetectNet], str]:
    """The network of a Keras file, and a description of its classes."""
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
    network = network_from_keras(weights, num_classes=len(spec.classes), inputs=_head_inputs(spec))
    found = f"{network.num_classes} classes, of which it does not hold the names,"
    return Begun(network, tuple(f"{path}: {text}" for text in notices), parent=fingerprint(weights.tensors)), found


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
    biases = {}
    if spec.taolite and spec.taolite.loss:
        biases = {"cov_bias": _COV_BIAS, "bbox_bias": _FIRST_DISTANCE / model.objective_set.bbox.scale}
    return DetectNet(backbone, len(spec.classes), inputs=_head_inputs(spec), **biases)


def _head_inputs(spec: DetectNetSpec) -> dict[str, str]:
    heads = spec.model_config_.objective_set
    return {"output_cov": heads.cov.input, "output_bbox": heads.bbox.input}


def _as_quantised_as_asked(spec: DetectNetSpec, begun: Begun[DetectNet]) -> Begun[DetectNet]:
    """The network, its backbone quantised if and only if `enable_qat` is set; quantisation ranges are learned again."""
    network, was = begun.network, is_quantized(begun.network)
    if spec.training_config.enable_qat:
        count = quantize(network.backbone)
        forget_ranges(network)
        goes_on = "goes on" if was else "begins"
        text = f"enable_qat: training {goes_on} with 8-bit kernels and inputs in {count} convolutions; heads stay float"
    elif was:
        network = strip(network)
        text = "enable_qat is false and the loaded model is quantised: its quantisation is taken off"
    else:
        return begun
    return dataclasses.replace(begun, network=network, notices=(*begun.notices, text))
