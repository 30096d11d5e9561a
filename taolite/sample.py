"""The values everything meets on: an image and what is labelled in it, the same labels as arrays in another frame,
and one detection, what a model says.

Readers of every format give samples, writers take them, training and scoring see nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes

__all__ = ["Detection", "Label", "Sample", "Truth"]


@dataclass(frozen=True)
class Label:
    """One labelled object.

    `box` is (x1, y1, x2, y2) in pixels of the sample's image, continuous edges (see `taolite.boxes`).
    `points` keeps the drawn outline of a polygon, circle or mask, (x, y) pairs in pixels, where the format had one.
    """

    name: str
    box: tuple[float, float, float, float]
    truncated: float = 0.0
    occluded: int = 0
    alpha: float = 0.0
    difficult: bool = False
    score: float | None = None
    points: tuple[tuple[float, float], ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    line: int = 0  # where it stands in its label file, from 1; 0 where the format has no lines


@dataclass(frozen=True)
class Sample:
    """One image with its labels. `size_hw` is (height, width) in pixels, after the photo's EXIF rotation."""

    image: Path
    size_hw: tuple[int, int]
    labels: tuple[Label, ...] = ()
    source: Path | None = None  # the label file it was read from

    @property
    def boxes_n4(self) -> Boxes:
        """(N, 4) float32, in the order of `labels`."""
        return np.array([label.box for label in self.labels], dtype=np.float32).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is labelled in one image, as training and scoring see it: `boxes_n4` (N, 4) float32 in pixels of one frame,
    `classes_n` (N,) indices of the task's classes. Boxes marked in `difficult_n` (N,) bool, None for none, are no
    misses, and what finds them counts neither way (VOC)."""

    boxes_n4: Boxes
    classes_n: NDArray[np.integer[Any]]
    difficult_n: NDArray[np.bool_] | None = None

    def only(self, keep_n: NDArray[np.bool_]) -> Truth:
        """The boxes where `keep_n` (N,) is true."""
        difficult = None if self.difficult_n is None else self.difficult_n[keep_n]
        return Truth(self.boxes_n4[keep_n], self.classes_n[keep_n], difficult)


@dataclass(frozen=True)
class Detection:
    """What a model found: `box` in pixels of the picture the caller gave, None where it speaks of the whole picture;
    `score` as the task defines it (DetectNet with DBSCAN: the summed coverage of the cluster, which passes 1); `track`
    the number of the object over the frames of a video, where a tracker gave one."""

    name: str
    box: tuple[float, float, float, float] | None
    score: float
    track: int | None = None
