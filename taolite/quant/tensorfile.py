"""TAO's calibration tensorfile: batches of network inputs in HDF5 (reference/deploy.md 4.4).

Group `_tensorfile_array_key__<i>` for each batch, in it the dataset `_tensorfile_array_key_`: (N, C, H, W) float32,
gzip. The file's attributes `count` and `shape` are the number of batches and the shape of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DamagedError, DataError, PathError
from taolite.files import whole_file

__all__ = ["read_tensorfile", "tensorfile_shape", "write_tensorfile"]

_KEY = "_tensorfile_array_key_"
_MOST = 1 << 33  # bytes of a batch
_GZIP = 1040  # the most that gzip can shrink; what claims more than this is not stored at all
_DAMAGE = (KeyError, OSError, RuntimeError, TypeError, ValueError, OverflowError)  # what h5py raises for foreign bytes


def write_tensorfile(path: Path, batches: Iterable[NDArray[np.float32]]) -> int:
    """Write the batches, all of one shape, as they come; gives their number.

    The file appears when it is whole. Raises PathError where there is one already, DataError where there are no
    batches or one has another shape, StorageError where it cannot be written.
    """
    import h5py

    if path.exists():
        raise PathError(
            f"A previously generated tensorfile already exists in the output path. {path}: remove it, or choose another"
        )
    count, shape = 0, None
    with whole_file(path) as partial, h5py.File(partial, "w", locking=False) as file:  # the partial file is locked
        for batch in batches:
            if shape is not None and batch.shape != shape:
                raise DataError(f"{path}: batch {count} is {batch.shape}, and the ones before are {shape}")
            shape = batch.shape
            file.create_group(f"{_KEY}_{count}").create_dataset(_KEY, data=batch.astype("f4"), compression="gzip")
            count += 1
        if shape is None:
            raise DataError(f"{path}: there are no batches to write")
        file.attrs["count"], file.attrs["shape"] = count, shape
    return count


def tensorfile_shape(path: Path) -> tuple[int, tuple[int, ...]]:
    """How many batches, and the shape of each. Raises PathError, DamagedError."""
    with _open(path) as file:
        try:
            count, shape = int(file.attrs["count"]), tuple(int(size) for size in file.attrs["shape"])
        except _DAMAGE as error:
            raise _foreign(path) from error
    if count < 0 or len(shape) != 4 or min(shape) < 1 or 4 * math.prod(shape) > _MOST:
        raise _foreign(path)
    return count, shape


def read_tensorfile(path: Path, *, batches: int | None = None) -> Iterator[NDArray[np.float32]]:
    """The first `batches` batches, or all, one at a time. Raises PathError, DamagedError."""
    count, shape = tensorfile_shape(path)
    with _open(path) as file:
        for index in range(count if batches is None else min(batches, count)):
            try:
                batch = _batch(file, f"{_KEY}_{index}", shape)
            except _DAMAGE as error:
                raise _foreign(path) from error
            yield batch


def _batch(file: Any, group: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The batch of one group, the last of which may have fewer images. Raises ValueError where its values are not in
    this file, or are of another shape or fewer bytes than said."""
    import h5py

    inside = isinstance(file.get(group, getlink=True), h5py.HardLink)
    inside = inside and isinstance(file[group].get(_KEY, getlink=True), h5py.HardLink)
    if not inside or file[group][_KEY].external or file[group][_KEY].is_virtual:
        raise ValueError("its values are in another file")
    stored = file[group][_KEY]
    fits = stored.ndim == 4 and stored.shape[1:] == shape[1:] and stored.shape[0] <= shape[0]
    if not fits or stored.dtype.kind != "f" or stored.nbytes > _GZIP * stored.id.get_storage_size():
        raise ValueError("its values are not all there")
    return np.asarray(stored, dtype=np.float32)


def _open(path: Path) -> Any:
    import h5py

    if not path.is_file():
        raise PathError(f"{path}: no such file; `detectnet_v2 calibration_tensorfile` writes a tensorfile")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _foreign(path) from error


def _foreign(path: Path) -> DamagedError:
    return DamagedError(
        f"{path}: not a whole calibration tensorfile; write it again with `detectnet_v2 calibration_tensorfile`"
    )
