"""Which parameters of a network a penalty acts on: kernels for a regulariser, scales of batch norms for sparsity.

Frozen parameters are among them; the training loop leaves them out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from torch import nn

__all__ = ["LayerKind", "kernels", "norm_scales"]

LayerKind = Literal["conv2d", "grouped", "dense"]
"""`conv2d`: convolutions of one group. `grouped`: those of several groups, depthwise ones among them, which to Keras
are no Conv2D. `dense`: linear layers."""


def kernels(network: nn.Module, *, kinds: Collection[LayerKind], biases: bool = False) -> list[nn.Parameter]:
    """The kernels of the layers of these `kinds`, anywhere in `network`, in layer order.

    Args:
        network: any module; quantised convolutions count as convolutions.
        kinds: the kinds of layers to take; none gives an empty list.
        biases: take the biases of these layers too, each behind its kernel.

    Returns:
        The network's own parameters, not copies.
    """
    names = ("weight", "bias") if biases else ("weight",)
    return [
        parameter
        for layer in network.modules()
        if _kind(layer) in kinds
        for name, parameter in layer.named_parameters(recurse=False)
        if name in names
    ]


def norm_scales(network: nn.Module) -> list[nn.Parameter]:
    """The scales of all batch norms, in layer order; the network's own parameters."""
    norms = (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    return [layer.weight for layer in norms if layer.affine]


def _kind(layer: nn.Module) -> LayerKind | None:
    if isinstance(layer, nn.Conv2d):
        return "conv2d" if layer.groups == 1 else "grouped"
    return "dense" if isinstance(layer, nn.Linear) else None
