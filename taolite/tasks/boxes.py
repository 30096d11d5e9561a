"""What detection tasks share: from found boxes to detections by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.sample import Detection

__all__ = ["FoundBoxes", "boxes_by_name"]


class FoundBoxes(Protocol):
    """What was found in one image, best first; boxes in pixels of the network input."""

    @property
    def boxes_n4(self) -> Boxes: ...
    @property
    def scores_n(self) -> NDArray[np.float32]: ...
    @property
    def classes_n(self) -> NDArray[np.int64]: ...


def boxes_by_name(found: FoundBoxes, classes: Sequence[str]) -> list[Detection]:
    """`found` with class names, in its order and frame."""
    rows = zip(found.classes_n, found.boxes_n4.tolist(), found.scores_n, strict=True)
    return [Detection(classes[kind], (x1, y1, x2, y2), float(score)) for kind, (x1, y1, x2, y2), score in rows]
