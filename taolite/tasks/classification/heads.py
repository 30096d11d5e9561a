"""From features to logits: TAO's common head, and each architecture's own head, selected by `retain_head`
(reference/tao_classification_ssd.md 3.4).

The common head averages the whole feature map and has one dense layer, `predictions`. A resnet's own head is the same
with another name. In TAO's resnet with pooling, the head averages only the top-left 4 x 4 cells of a 7 x 7 map (3.5);
ours averages the whole map.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from taolite.errors import ModelError

__all__ = ["RETAINED", "make_head", "reset"]

RETAINED = ("resnet", "vgg", "alexnet", "googlenet", "squeezenet", "mobilenet_v1", "mobilenet_v2", "efficientnet")
"""Architectures with a head of their own, by how their names begin."""

WHOLE_MAP = ("vgg", "alexnet")
"""Those whose own heads have a weight for each cell, and so are for one input size."""

MAX_FEATURES = 1 << 20
"""Of a dense layer over a whole map: bound on what a file may ask for."""

_Named = Iterator[tuple[str, nn.Module]]


def make_head(
    arch: str, features_chw: tuple[int, int, int], num_classes: int, *, retain: bool, dropout: float
) -> nn.Sequential:
    """A head with fresh weights, Glorot-uniform with zero biases, whose layers have TAO's names.

    Args:
        arch: architecture of the backbone.
        features_chw: shape of the backbone's output for one image.
        retain: build the architecture's own head.
        dropout: dropout between the dense layers of the vgg head.

    Raises ModelError where there are too many features for a dense layer over all of them.
    """
    channels = features_chw[0]
    layers: _Named
    if not retain:
        layers = _common("predictions", channels, num_classes)
    elif arch in WHOLE_MAP:
        layers = _whole_map(arch, features_chw, num_classes, dropout)
    elif arch == "squeezenet":
        layers = _squeezenet(channels, num_classes)
    elif arch == "resnet":
        layers = _common(f"head_fc{num_classes}", channels, num_classes)
    elif arch == "googlenet":
        layers = _common("output_fc", channels, num_classes, 0.4)
    elif arch.startswith("efficientnet"):
        layers = _common("predictions", channels, num_classes, _EFFICIENTNET_DROPOUT[int(arch[-1])])
    else:
        layers = _common("predictions", channels, num_classes)
    head = nn.Sequential()
    for name, layer in layers:
        head.add_module(name, layer)
    return reset(head)


def reset(head: nn.Sequential) -> nn.Sequential:
    """`head` with fresh weights."""
    for layer in head:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            assert layer.bias is not None
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return head


_EFFICIENTNET_DROPOUT = (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5)


def _common(name: str, channels: int, num_classes: int, dropout: float = 0.0) -> _Named:
    yield "avg_pool", nn.AdaptiveAvgPool2d(1)
    yield "flatten", nn.Flatten()
    if dropout:
        yield "top_dropout", nn.Dropout(dropout)
    yield name, nn.Linear(channels, num_classes)


def _whole_map(arch: str, features_chw: tuple[int, int, int], num_classes: int, dropout: float) -> _Named:
    first, second, last = ("fc1", "fc2", "output_fc") if arch == "vgg" else ("fc6", "fc7", "head_fc8")
    channels, rows, columns = features_chw
    if arch == "vgg":  # the paper's network ends in a pooling layer
        rows, columns = rows // 2, columns // 2
        yield "block5_pool", nn.MaxPool2d(2)
    features = channels * rows * columns
    if not 1 <= features <= MAX_FEATURES:
        raise ModelError(
            f"{arch} with retain_head has a dense layer over {channels} x {rows} x {columns} features; 1 to "
            f"{MAX_FEATURES} are possible. Choose another input_image_size, or retain_head: false"
        )
    yield "flatten", nn.Flatten()
    for name, inputs in ((first, features), (second, 4096)):
        yield name, nn.Linear(inputs, 4096)
        yield f"{name}_relu", nn.ReLU()
        if arch == "vgg":
            yield f"{name}_dropout", nn.Dropout(dropout)
    yield last, nn.Linear(4096, num_classes)


def _squeezenet(channels: int, num_classes: int) -> _Named:
    yield "dropout", nn.Dropout(1e-3)
    yield "conv10", nn.Conv2d(channels, num_classes, 1)
    yield "conv10_relu", nn.ReLU()
    yield "pool10", nn.AdaptiveAvgPool2d(1)
    yield "flatten", nn.Flatten()
