"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.sinks.base import Pixels

__all__ = ["Board"]


class Board:
    """Writes `folder`/events.out.tfevents.*"""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        for name, pixels in pictures.items():
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        for name, array in values.items():
            self._writer.add_histogram(name, array, step)

    def close(self) -> None:
        self._writer.close()
