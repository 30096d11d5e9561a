"""The results of a task's `decode` for one image. NumPy only, for edge devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.preprocessing import Preprocessing
from taolite.sample import Detection

__all__ = ["NO_BOXES", "Found"]

NO_BOXES: Boxes = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Found:
    """The results for one image, best first. Legend: N results, K classes.

    Attributes:
        boxes_n4: (N, 4) float32, pixels of the network input; NO_BOXES where the results are about the whole image.
        scores_n: (N,) float32, 0..1; a DetectNet's summed coverage may exceed 1.
        classes_n: (N,) int64, class indices.
        given: the first `given` results are the answer; None: all. A classifier lists all K classes; its answer is
            the top classes, or every tag that reaches its threshold.
    """

    boxes_n4: Boxes
    scores_n: NDArray[np.float32]
    classes_n: NDArray[np.int64]
    given: int | None = None

    def __len__(self) -> int:
        return len(self.scores_n)

    @property
    def by_class_k(self) -> NDArray[np.float32]:
        """(K,) scores in the order of the classes; every class must be listed once."""
        scores = np.empty_like(self.scores_n)
        scores[self.classes_n] = self.scores_n
        return scores

    def detections(self, classes: Sequence[str]) -> list[Detection]:
        """The answer with class names, in the same order; boxes stay in pixels of the network input."""
        scores = self.scores_n[: self.given].tolist()
        names = [classes[kind] for kind in self.classes_n[: self.given]]
        if len(self.boxes_n4) < len(self):
            return [Detection(name, None, score) for name, score in zip(names, scores, strict=True)]
        rows = zip(names, self.boxes_n4[: self.given].tolist(), scores, strict=True)
        return [Detection(name, (x1, y1, x2, y2), score) for name, (x1, y1, x2, y2), score in rows]

    def in_photo(
        self, classes: Sequence[str], *, preprocessing: Preprocessing, photo_hw: tuple[int, int]
    ) -> list[Detection]:
        """The answer with class names, boxes in pixels of a photo of (height, width) `photo_hw`."""
        named = self.detections(classes)
        boxes = np.array([one.box for one in named if one.box], np.float32).reshape(-1, 4)
        placed = iter(preprocessing.boxes_to_photo(boxes, photo_hw=photo_hw).tolist())
        return [replace(one, box=tuple(next(placed))) if one.box else one for one in named]
