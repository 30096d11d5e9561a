"""A network's numbers as artifacts hold them: NumPy arrays by state-dict name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taolite.artifacts.bundle import weights_hash

__all__ = ["fingerprint", "load_arrays", "state_arrays"]


def state_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Everything in the state dict of `network`, copied."""
    return {name: value.detach().cpu().contiguous().numpy().copy() for name, value in network.state_dict().items()}


def load_arrays(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy what `state_arrays` gave into `network`. Raises RuntimeError where names or shapes are others."""
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """The hash of weights that a run starts from, as its lineage names them."""
    return weights_hash({name: value.numpy() for name, value in tensors.items()})
