"""The boxes of all images of a data set in one array, with each box's image: what is labelled, and what is detected.

Legend: N boxes of all images together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.sample import Truth

__all__ = ["Detected", "FoundLike", "Labelled"]

_NO_BOXES = np.zeros((0, 4), np.float32)


class FoundLike(Protocol):
    """Detections of one image: (N, 4) boxes, (N,) scores and (N,) class indices, e.g. what a task's `decode` gives."""

    @property
    def boxes_n4(self) -> Boxes: ...

    @property
    def scores_n(self) -> NDArray[np.floating[Any]]: ...

    @property
    def classes_n(self) -> NDArray[np.integer[Any]]: ...


@dataclass(frozen=True, eq=False)
class Labelled:
    """The true boxes of a data set, image by image: their classes, images, and whether they are difficult, (N,)."""

    boxes_n4: Boxes
    classes_n: NDArray[np.int64]
    images_n: NDArray[np.int64]
    difficult_n: NDArray[np.bool_]

    @classmethod
    def of(cls, truths: Sequence[Truth]) -> Labelled:
        return cls(
            np.concatenate([_NO_BOXES, *(truth.boxes_n4 for truth in truths)]),
            np.concatenate([np.zeros(0, np.int64), *(truth.classes_n for truth in truths)]),
            np.repeat(np.arange(len(truths)), [len(truth.boxes_n4) for truth in truths]),
            np.concatenate([np.zeros(0, np.bool_), *map(_difficult, truths)]),
        )

    def only(self, kept: NDArray[Any]) -> Labelled:
        """The boxes of a mask, or at indices, (N,)."""
        return Labelled(self.boxes_n4[kept], self.classes_n[kept], self.images_n[kept], self.difficult_n[kept])

    def groups(self, num_classes: int) -> NDArray[np.int64]:
        """(N,) a number for each image and class."""
        return self.images_n * num_classes + self.classes_n


@dataclass(frozen=True, eq=False)
class Detected:
    """The detections of a data set by descending score, equal scores in the order of the images: their classes, images
    and scores, (N,)."""

    boxes_n4: Boxes
    classes_n: NDArray[np.int64]
    images_n: NDArray[np.int64]
    scores_n: NDArray[np.float64]

    @classmethod
    def of(cls, founds: Sequence[FoundLike]) -> Detected:
        scores = np.concatenate([np.zeros(0), *(found.scores_n for found in founds)])
        made = cls(
            np.concatenate([_NO_BOXES, *(found.boxes_n4 for found in founds)]),
            np.concatenate([np.zeros(0, np.int64), *(found.classes_n for found in founds)]),
            np.repeat(np.arange(len(founds)), [len(found.boxes_n4) for found in founds]),
            scores,
        )
        return made.only(np.argsort(-scores, kind="stable"))

    def only(self, kept: NDArray[Any]) -> Detected:
        """The boxes of a mask, or at indices, (N,)."""
        return Detected(self.boxes_n4[kept], self.classes_n[kept], self.images_n[kept], self.scores_n[kept])

    def groups(self, num_classes: int) -> NDArray[np.int64]:
        """(N,) a number for each image and class."""
        return self.images_n * num_classes + self.classes_n


def _difficult(truth: Truth) -> NDArray[np.bool_]:
    return np.zeros(len(truth.boxes_n4), dtype=np.bool_) if truth.difficult_n is None else truth.difficult_n
