"""A network's state as artifacts store it: NumPy arrays by state-dict name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taolite.artifacts.bundle import weights_hash

__all__ = ["fingerprint", "load_arrays", "state_arrays"]


def state_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """A copy of every tensor in the state dict of `network`, as NumPy arrays of the same dtype and shape."""
    return {name: value.detach().cpu().contiguous().numpy().copy() for name, value in network.state_dict().items()}


def load_arrays(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays from `state_arrays` into `network`. Raises RuntimeError where names or shapes differ."""
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """The hash by which the lineage of a run names the weights that it started from. Tensors are on the CPU."""
    return weights_hash({name: value.numpy() for name, value in tensors.items()})
