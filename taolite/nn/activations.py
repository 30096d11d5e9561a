"""Activation functions by their names in a spec, for the networks whose activation a spec may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn.functional import elu, leaky_relu, mish, relu, relu6, silu

__all__ = ["ACTIVATIONS"]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": lambda x: leaky_relu(x, 0.1),
    "elu": elu,
    "mish": mish,
    "swish": silu,
}
"""The negative slope of leaky ReLU is 0.1, as in DarkNet."""
