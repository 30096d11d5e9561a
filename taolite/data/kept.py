"""Decoded pictures that are kept, so that an epoch does not decode again what the epoch before decoded.

All of a split's pictures are kept, or none: a part of them would be hit only now and then. They are kept in memory, or
in a folder, in one file without a name that the system removes with the process. What is kept is given back bit by bit,
read-only. Threads may use it at once.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.errors import StorageError

__all__ = ["Keep", "Kept"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Keep:
    """How pictures are kept. most_bytes: of all of them together, for each process; more are not kept at all. folder:
    where the file lies; None is memory."""

    most_bytes: int
    folder: Path | None = None

    def room(self, sizes_n: Sequence[int] | NDArray[np.int64]) -> Kept | None:
        """Room for pictures of so many bytes each; None where they are too many. Raises StorageError."""
        total = int(np.sum(sizes_n, dtype=np.int64))
        if not 0 < total <= self.most_bytes:
            return None
        return Kept(
            np.asarray(sizes_n, np.int64), _on_disk(self.folder, total) if self.folder else np.empty(total, np.uint8)
        )


class Kept:
    """Pictures by index, each in its place of one array."""

    def __init__(self, sizes_n: NDArray[np.int64], bytes_b: Pixels) -> None:
        self._ends, self._bytes = np.cumsum(sizes_n), bytes_b
        self._shapes: list[tuple[int, ...] | None] = [None] * len(sizes_n)

    def get(self, index: int) -> Pixels | None:
        """Picture `index`, (H, W, C), read-only; None before it was put there."""
        shape = self._shapes[index]
        if shape is None:
            return None
        end = int(self._ends[index])
        found = self._bytes[end - int(np.prod(shape)) : end].reshape(shape)
        found.flags.writeable = False
        return found

    def put(self, index: int, pixels: Pixels) -> None:
        """Keep a picture (H, W, C). One larger than its place, of a file that was changed, is not kept."""
        end = int(self._ends[index])
        begin = int(self._ends[index - 1]) if index else 0
        if pixels.size <= end - begin:
            self._bytes[end - pixels.size : end] = pixels.reshape(-1)
            self._shapes[index] = pixels.shape


def _on_disk(folder: Path, total: int) -> Pixels:
    """An array in a file without a name, whose whole room on the disk is taken now: later a full disk would end the
    process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, total)
            return np.frombuffer(mmap.mmap(file.fileno(), total), np.uint8)
    except OSError as error:
        raise StorageError(
            f"{folder}: {total:,} bytes of decoded pictures cannot be kept here ({error.strerror}); name another "
            "cache_folder in `taolite { loading { } }`, or leave it out"
        ) from error
