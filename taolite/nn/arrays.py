"""A network's state as artifacts store it: NumPy arrays by state-dict name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taolite.artifacts.bundle import weights_hash
from taolite.errors import ModelError
from taolite.nn.foreign import printable

__all__ = ["fingerprint", "load_arrays", "state_arrays"]


def state_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """A copy of every tensor in the state dict of `network`, as NumPy arrays of the same dtype and shape."""
    return {name: value.detach().cpu().contiguous().numpy().copy() for name, value in network.state_dict().items()}


def load_arrays(network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays from `state_arrays` into `network`. Raises ModelError where names or shapes differ, as they may
    in a file from elsewhere."""
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    problems = [f"{name} is missing" for name in own if name not in arrays]
    problems += [f"{printable(name)} belongs to no layer" for name in arrays if name not in own]
    problems += [
        f"{name} is {_shape(arrays[name].shape)} and {_shape(shape)} is needed"
        for name, shape in own.items()
        if name in arrays and arrays[name].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ModelError(
            f"the stored tensors do not fit the stored structure ({problems[0]}{more}); restore the file from a "
            "backup, or train the model again"
        )
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "one number"


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """The hash by which the lineage of a run names the weights that it started from. Tensors are on the CPU."""
    return weights_hash({name: value.numpy() for name, value in tensors.items()})
