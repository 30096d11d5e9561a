"""Rebuild a whole DetectNet, pruned or not, from the tensors of a TAO 5 Keras file (reference 10.2).

The model's stored configuration can hold code, so it is not read. Layer names give the network, its depth, and
whether it has batch norms, projections and pools. Kernel shapes give channels and classes. All other settings are as
TAO builds them: strides, padding, epsilon and momentum. Frozen layers are not restored as frozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from taolite.errors import ModelError
from taolite.nn.backbone import Backbone
from taolite.nn.backbones import build_backbone
from taolite.nn.structure import resize
from taolite.nn.weights import Weights, load_weights
from taolite.tasks.detectnet.model import DetectNet, build
from taolite.tasks.detectnet.use import HEADS

__all__ = ["has_heads", "is_quantised", "network_from_keras"]

STEMS = {"vgg": "block_1a_conv_1", "efficientnet_b0": "stem_conv"}
"""The first convolution where it is not `conv1`."""


def has_heads(weights: Weights) -> bool:
    """Whether `weights` come from a whole detector, not only from a backbone."""
    return all(f"{head}.weight" in weights.tensors for head in HEADS)


def is_quantised(weights: Weights) -> bool:
    """Whether a Keras file's network was trained with TAO's fake quantisation."""
    return any(layer.endswith("_qdq") for layer in weights.layers)


def network_from_keras(weights: Weights, *, num_classes: int, inputs: Mapping[str, str]) -> DetectNet:
    """The network stored in a Keras file, with the values of `weights`.

    Args:
        num_classes: number of classes of fresh heads, where the file has no heads; otherwise not used.
        inputs: the layers that feed the heads, as in `DetectNet`; the file does not store them.

    Raises ModelError where the file's layers do not match one of TAO's networks.
    """
    try:
        with torch.device("meta"):
            backbone = _full_backbone(weights)
            if has_heads(weights):
                classes, distances = (len(weights.tensors[f"{head}.weight"]) for head in HEADS)
                if distances != 4 * classes:
                    raise ModelError(f"output_cov has {classes} channels and output_bbox {distances}; it needs 4 each")
                full = DetectNet(backbone, classes, inputs=inputs)
                stored = {**full.architecture(), "channels": _channels(full, weights)}
            else:
                resize(backbone, _channels(backbone, weights))
                stored = DetectNet(backbone, num_classes, inputs=inputs).architecture()
        network = build(stored)
    except ModelError as error:
        raise ModelError(f"{weights.source}: {error}") from error
    _fill(network, weights)
    return network


def _full_backbone(weights: Weights) -> Backbone:
    """The unpruned network that matches the layer names in `weights`, with fresh values."""
    tensors, layers, arch = weights.tensors, set(weights.layers), weights.arch
    stem = STEMS.get(arch or "", "conv1")
    if stem not in layers:
        raise ModelError(
            f"this model has another inside it, of which load_graph cannot tell all layers; save the one that holds "
            f"{stem} by itself"
        )
    if arch == "resnet" and any(layer.startswith("max_pooling2d") for layer in layers):
        raise ModelError(
            "this ResNet has a max-pool (use_pooling), which gives it a stride of 224; load_graph needs one without"
        )
    return build_backbone(
        arch or "",
        num_layers=weights.num_layers or 0,
        in_channels=tensors[f"{stem}.weight"].shape[1],
        use_batch_norm=any(name.endswith(".running_mean") for name in tensors),
        use_pooling="block1_pool" in layers,
        all_projections="block_1b_conv_shortcut" in layers,
    )


def _channels(module: nn.Module, weights: Weights) -> dict[str, list[int]]:
    """Path -> [in, out] channels in `weights` of every convolution and batch norm of `module`."""
    channels: dict[str, list[int]] = {}
    for path, layer in module.named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)):
            continue
        name = path.rpartition(".")[2]
        if (weight := weights.tensors.get(f"{name}.weight")) is None:
            raise ModelError(f"{name} is missing, without which this is no {weights.arch} of TAO's")
        plain = isinstance(layer, nn.Conv2d) and layer.groups == 1
        channels[path] = list(weight.shape[1::-1]) if plain else [len(weight)] * 2
    return channels


def _fill(network: DetectNet, weights: Weights) -> None:
    """Copy all of `weights` into `network`, in place."""
    parts: list[tuple[nn.Module, bool]] = [(network.backbone, False)]
    if has_heads(weights):
        parts.append((network, True))
    for module, of_heads in parts:
        tensors = {name: t for name, t in weights.tensors.items() if (name.partition(".")[0] in HEADS) == of_heads}
        report = load_weights(module, dataclasses.replace(weights, tensors=tensors))
        if report.skipped:
            layer, reason = next(iter(report.skipped.items()))
            raise ModelError(f"{weights.source}: load_graph needs every layer to fit, and {layer} does not: {reason}")
