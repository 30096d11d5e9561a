"""What detection tasks share: found boxes, and detections by name. NumPy only, for edge devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.sample import Detection

__all__ = ["Found", "boxes_by_name"]


@dataclass(frozen=True, eq=False)
class Found:
    """The objects of one image, best first: `boxes_n4` (N, 4) float32 pixels of the network input, `scores_n` (N,)
    float32 (a DetectNet's summed coverage passes 1), `classes_n` (N,) int64."""

    boxes_n4: Boxes
    scores_n: NDArray[np.float32]
    classes_n: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores_n)


def boxes_by_name(found: Found, classes: Sequence[str]) -> list[Detection]:
    """`found` with class names, in its order and frame."""
    rows = zip(found.classes_n, found.boxes_n4.tolist(), found.scores_n, strict=True)
    return [Detection(classes[kind], (x1, y1, x2, y2), float(score)) for kind, (x1, y1, x2, y2), score in rows]
