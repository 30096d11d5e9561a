"""`measure_dataset`: what a data set holds, in numbers: objects of each class, sizes of boxes and images.

Percentiles are NumPy's (linear), over boxes with an area, in pixels; `area` is the share of the image, 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from taolite.formats.shapes import is_without_area
from taolite.sample import Sample

__all__ = ["PERCENTILES", "ClassStats", "DatasetStats", "measure_dataset"]

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class ClassStats:
    """One class. `width`, `height`, `area`: one value for each of PERCENTILES; empty where no box has an area."""

    name: str
    boxes: int
    images: int
    without_area: int
    width: tuple[float, ...]
    height: tuple[float, ...]
    area: tuple[float, ...]


@dataclass(frozen=True)
class DatasetStats:
    """The whole set. `sizes`: (height, width) of images with their number, the most frequent first."""

    images: int
    background: int
    boxes: int
    per_image: tuple[float, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    classes: tuple[ClassStats, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON value with the percentiles' names beside it."""
        return {"percentiles": list(PERCENTILES), **asdict(self)}


def measure_dataset(samples: Sequence[Sample]) -> DatasetStats:
    """Count and measure; classes by number of boxes, the most frequent first."""
    counts = Counter(label.name for sample in samples for label in sample.labels)
    sizes = Counter(sample.size_hw for sample in samples)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return DatasetStats(
        images=len(samples),
        background=sum(not sample.labels for sample in samples),
        boxes=counts.total(),
        per_image=_percentiles([len(sample.labels) for sample in samples]),
        sizes=tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        classes=tuple(_measure_class(name, samples) for name in order),
    )


def _measure_class(name: str, samples: Sequence[Sample]) -> ClassStats:
    found = [(label, sample) for sample in samples for label in sample.labels if label.name == name]
    solid = [(label.box, sample.size_hw) for label, sample in found if not is_without_area(label)]
    widths, heights = [box[2] - box[0] for box, _ in solid], [box[3] - box[1] for box, _ in solid]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) / (hw[0] * hw[1]) for box, hw in solid]
    return ClassStats(
        name=name,
        boxes=len(found),
        images=len({sample.image for _, sample in found}),
        without_area=len(found) - len(solid),
        width=_percentiles(widths),
        height=_percentiles(heights),
        area=_percentiles(areas),
    )


def _percentiles(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.percentile(values, PERCENTILES)) if values else ()
