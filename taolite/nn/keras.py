"""Weights out of a Keras HDF5 file: TAO 5's `.hdf5` models and NGC's unencrypted ones.

Only numbers are read, never the model's configuration, which can hold code. Under `model_weights` (or at the top, in
a file of weights alone) there is a group for each layer, and in it datasets named `.../kernel:0`, `bias:0`, `gamma:0`,
`beta:0`, `moving_mean:0`, `moving_variance:0`. Keras kernels are (height, width, in, out), ours (out, in, height,
width); a `depthwise_kernel:0` is (height, width, channels, 1), ours (channels, 1, height, width).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from taolite.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_keras"]

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


def read_keras(path: Path) -> dict[str, Tensor]:
    """`layer.tensor` -> values, of the convolutions and batch norms in `path`, with our names and axes.

    Raises UsageError where h5py is not installed, DamagedError where the file does not open.
    """
    try:
        import h5py  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError(f"{path}: reading a Keras HDF5 file needs h5py; pip install h5py") from error
    tensors: dict[str, Tensor] = {}

    def visit(name: str, item: Any) -> None:
        parts = name.split("/")
        kind = parts[-1].partition(":")[0]
        if not isinstance(item, h5py.Dataset) or len(parts) < 2 or kind not in TENSOR_NAMES or item.dtype.kind != "f":
            return
        # layer/scope/kernel:0; a model inside the model has its layers' names one step further in.
        layer = parts[0] if len(parts) <= 3 else parts[-2]
        if kind in AXES and item.ndim != 4:
            return
        values = torch.from_numpy(np.asarray(item[()], np.float32))
        tensors[f"{layer}.{TENSOR_NAMES[kind]}"] = values.permute(AXES[kind]) if kind in AXES else values

    try:
        with h5py.File(path, "r") as file:
            file.get("model_weights", file).visititems(visit)
    except OSError as error:
        raise DamagedError(f"{path}: this HDF5 file is damaged or cut short; copy or download it again") from error
    # Biases of what is no convolution (a dense layer) stand alone; nothing can take them.
    return {name: value for name, value in tensors.items() if f"{name.rpartition('.')[0]}.weight" in tensors}
