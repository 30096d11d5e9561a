"""Weights out of a Keras HDF5 file: TAO 5's `.hdf5` models and NGC's unencrypted ones.

Only numbers are read, never the model's configuration, which can hold code. Under `model_weights` (or at the top, in
a file of weights alone) there is a group for each layer, also for one without weights, and in it datasets named
`.../kernel:0`, `bias:0`, `gamma:0`, `beta:0`, `moving_mean:0`, `moving_variance:0`; the group of a model that is a
layer holds those of all its layers. Keras kernels are (height, width, in, out), ours (out, in, height, width); a
`depthwise_kernel:0` is (height, width, channels, 1), ours (channels, 1, height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from taolite.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KerasFile", "read_keras"]

TENSOR_NAMES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

AXES = {"kernel": (3, 2, 0, 1), "depthwise_kernel": (2, 3, 0, 1)}
"""Of Keras's axes, ours in order."""


@dataclass(frozen=True)
class KerasFile:
    """`layer.tensor` -> values, of the convolutions and batch norms, with our names and axes; and the names of all
    layers, those without weights included. Both in the order of the alphabet."""

    tensors: Mapping[str, Tensor]
    layers: tuple[str, ...]


def read_keras(path: Path) -> KerasFile:
    """What `path` holds of a network; dense layers are left out.

    Raises UsageError where h5py is not installed, DamagedError where the file does not open.
    """
    try:
        import h5py  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError(f"{path}: reading a Keras HDF5 file needs h5py; pip install h5py") from error
    tensors: dict[str, Tensor] = {}
    layers: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            for name, group in file.get("model_weights", file).items():
                layers.append(name)
                found: dict[str, Any] = {}
                if isinstance(group, h5py.Group):
                    group.visititems(
                        lambda at, item, to=found: to.update({at: item}) if hasattr(item, "dtype") else None
                    )
                # A layer has one scope, which in Keras's second model of a kind is `conv1_1`; a model has its layers'.
                is_model = len({at.rpartition("/")[0] for at in found}) > 1
                for at, item in found.items():
                    scope, _, kind = at.partition(":")[0].rpartition("/")
                    layer = scope.rpartition("/")[2] if is_model else name
                    tensors |= _tensor(layer, kind, item)
    except (OSError, RuntimeError) as error:
        raise DamagedError(f"{path}: this HDF5 file is damaged or cut short; copy or download it again") from error
    # Biases of what is no convolution (a dense layer) stand alone; nothing can take them.
    used = {name: value for name, value in tensors.items() if f"{name.rpartition('.')[0]}.weight" in tensors}
    return KerasFile(used, tuple(layers))


def _tensor(layer: str, kind: str, item: Any) -> dict[str, Tensor]:
    """The dataset under our name with our axes; nothing where it is of no convolution and no batch norm."""
    if kind not in TENSOR_NAMES or item.dtype.kind != "f" or item.ndim != (4 if kind in AXES else 1):
        return {}
    values = torch.from_numpy(np.asarray(item[()], np.float32))
    return {f"{layer}.{TENSOR_NAMES[kind]}": values.permute(AXES[kind]) if kind in AXES else values}
