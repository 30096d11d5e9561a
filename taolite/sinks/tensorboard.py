"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.files import storage_error
from taolite.quiet import reported_later, without
from taolite.sinks.base import Pixels

__all__ = ["Board"]


class Board:
    """Appends to `folder`/events.out.tfevents.*; raises StorageError where that fails."""

    def __init__(self, folder: Path) -> None:
        with without("boto3"):
            from torch.utils.tensorboard import SummaryWriter
        reported_later("tensorboard")

        self._folder = folder
        with self._storage():
            self._writer: Any = SummaryWriter(str(folder))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._storage():
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        with self._storage():
            for name, pixels in pictures.items():
                self._writer.add_image(name, pixels, step, dataformats="HWC")

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        with self._storage():
            for name, array in values.items():
                self._writer.add_histogram(name, array, step)

    def close(self) -> None:
        with self._storage():
            self._writer.close()

    @contextmanager
    def _storage(self) -> Iterator[None]:
        """A failed write, which its thread reports at the next call, as StorageError."""
        try:
            yield
        except OSError as error:
            raise storage_error(self._folder, error) from error
