"""Weights from a Keras HDF5 file: TAO 5's `.hdf5` models and NGC's unencrypted ones.

Only numbers are read, never the model's configuration, which can hold code. Under `model_weights` (or at the top level
of a weights-only file) there is a group for each layer, also for layers without weights. It holds datasets named
`.../kernel:0`, `bias:0`, `gamma:0`, `beta:0`, `moving_mean:0`, `moving_variance:0`. Where a layer is a model itself,
its group holds the datasets of all its layers. Keras kernels are (height, width, in, out), ours (out, in, height,
width); a `depthwise_kernel:0` is (height, width, channels, 1), ours (channels, 1, height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from taolite.errors import ForeignError, UsageError
from taolite.extras import install_command
from taolite.nn.foreign import printable, reading

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
"""For each of our axes in order, the number of Keras's axis."""

MAX_NUMBERS = 1 << 28
"""Numbers that a file may hold: 1 GiB in float32, four times the largest backbone (a ResNet200 has 63 million). A file
of a few bytes can claim any number, and HDF5 makes room for them."""


@dataclass(frozen=True)
class KerasFile:
    """What a Keras file holds. tensors: `layer.tensor` -> float32 values of the convolutions and batch norms, with our
    names and axes. layers: the names of all layers, with or without weights. Both in alphabetical order."""

    tensors: Mapping[str, Tensor]
    layers: tuple[str, ...]


def read_keras(path: Path) -> KerasFile:
    """Read the convolutions and batch norms of the Keras file `path`; dense layers are left out.

    Raises UsageError where h5py is not installed, DamagedError where the file cannot be read, ForeignError where it
    refers to another file or holds more numbers than any backbone has.
    """
    try:
        import h5py  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError(f"{path}: reading a Keras HDF5 file needs h5py; run {install_command('train')}") from error
    tensors: dict[str, Tensor] = {}
    layers: list[str] = []
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        top = file["model_weights"] if "model_weights" in _own_members(path, file) else file
        left = MAX_NUMBERS
        for name in _own_members(path, top):
            layers.append(name)
            # A layer has one scope (`conv1_1` in the second model of a Keras session); a model has one for each layer.
            found = _datasets(top[name])
            is_model = len({at.rpartition("/")[0] for at in found}) > 1
            for at, item in found.items():
                scope, _, kind = at.partition(":")[0].rpartition("/")
                if _is_wanted(kind, item):
                    left = _within(path, f"{name}/{at}", item, left)
                    layer = scope.rpartition("/")[2] if is_model else name
                    tensors[f"{layer}.{TENSOR_NAMES[kind]}"] = _tensor(kind, item)
    # The kernel of a dense layer was left out, so its bias stands alone: drop it too.
    used = {name: value for name, value in tensors.items() if f"{name.rpartition('.')[0]}.weight" in tensors}
    return KerasFile(used, tuple(layers))


def _own_members(path: Path, group: Any) -> list[str]:
    """The names in `group`. Raises ForeignError where one of them leads to another file."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ForeignError(f"{path}: {printable(name)} is in another file, which is not opened; save all in one")
    return list(group)


def _datasets(group: Any) -> dict[str, Any]:
    """Every dataset below `group` by its path there; none where it is no group."""
    import h5py

    found: dict[str, Any] = {}

    def take(at: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[at] = item

    if isinstance(group, h5py.Group):
        group.visititems(take)  # follows no link to another file
    return found


def _is_wanted(kind: str, item: Any) -> bool:
    """Whether the dataset is of a convolution or a batch norm."""
    return kind in TENSOR_NAMES and item.dtype.kind == "f" and item.ndim == (4 if kind in AXES else 1)


def _within(path: Path, name: str, item: Any, left: int) -> int:
    """`left`, the count of numbers that may still be read, less that of `item`, which is not read here.

    Raises ForeignError where it falls below 0, and for a dataset whose numbers are in another file.
    """
    if item.external or item.is_virtual:
        raise ForeignError(f"{path}: {printable(name)} is in another file, which is not opened; save all in one")
    if item.size > left:
        shape = "x".join(map(str, item.shape))
        raise ForeignError(
            f"{path}: with {printable(name)} ({shape}) the file claims more than {MAX_NUMBERS} numbers, and no "
            "backbone of TAO's has that many; check where the file comes from"
        )
    return left - int(item.size)


def _tensor(kind: str, item: Any) -> Tensor:
    """The dataset's numbers with our axes."""
    values = torch.from_numpy(np.asarray(item[()], np.float32))
    return values.permute(AXES[kind]) if kind in AXES else values
