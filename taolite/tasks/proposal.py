"""What the proposals of all tasks share: where the files of a new experiment lie, and choices by the same rule.

Each task's `propose` module has `LABELS`, the labels it needs, and `propose`, which writes its specs. NumPy only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taolite.sample import Sample
from taolite.tasks.suppress import overlaps
from taolite.wording import counted

__all__ = [
    "Labels",
    "Places",
    "balance_note",
    "closeness",
    "each",
    "epochs_for",
    "fitting_block",
    "input_size",
    "on_one_line",
    "sides",
    "smallest",
    "spread",
]

Labels = Literal["boxes", "folders"]
"""Boxes, which a new experiment keeps as KITTI labels; or class folders."""

_SHARED = 0.15  # how far nine of ten pictures may be from the median aspect for an input of that aspect
_CELL = 32  # pixels; the sides of the input are multiples of it
_LEAST_SIDE = 224  # pixels; what ImageNet's weights were trained with
_ENLARGED = 416  # pixels, to which small pictures of small objects are enlarged
_RARE = 5  # times fewer labels than the most frequent class, from which a note says so
_NAMED = 10  # classes of a note


@dataclass(frozen=True)
class Places:
    """Paths as specs write them. folder: of the specs and everything made from them. pretrained: weights to start from,
    "" for random ones. arch: torchvision's name of the ResNet that has these weights, "" for other weights."""

    folder: str
    pretrained: str = ""
    arch: str = ""


def each(classes: Sequence[str], text: str, **values: Mapping[str, str]) -> str:
    """`text` for each class, with NAME replaced by the class's name as a literal of TAO's format, and the name of each
    of `values` by its value for the class."""
    from taolite.spec.write import literal

    texts = []
    for name in classes:
        own = text
        for place, of_class in values.items():
            own = own.replace(place, of_class[name])
        texts.append(own.replace("NAME", literal(name)))
    return "\n".join(texts)


def epochs_for(pictures: int, *, seen: int, least: int, most: int) -> tuple[int, str]:
    """The epochs in which training sees at least `seen` pictures, within bounds; and why, as a comment."""
    epochs = int(np.clip(math.ceil(seen / pictures), least, most))
    views = f"{epochs * pictures:,} views"
    return epochs, f"{counted(pictures, 'picture')}, each seen {counted(epochs, 'time')}: {views}"


def input_size(
    train: Sequence[Sample], *, sides: Sequence[int], enough: float, cell: int = _CELL
) -> tuple[tuple[int, int], str]:
    """(height, width) of a detector's input, and why, as a comment.

    The aspect is that of the pictures where nine of ten share it, else a square. The longer side is the first of
    `sides` (pixels, ascending) at which nine of ten objects of each class are `enough` pixels or more, or that is as
    large as the pictures and 416. Pictures smaller than the first of `sides`, whose objects are large enough, are not
    enlarged to it, but to 224.
    """
    sizes = np.array([sample.size_hw for sample in train], float)
    aspects = sizes[:, 1] / sizes[:, 0]
    median = float(np.median(aspects))
    shared = float(np.mean(np.abs(np.log(aspects / median)) <= _SHARED)) >= 0.9
    aspect = median if shared else 1.0
    longest = float(np.percentile(sizes.max(axis=1), 95))
    own = max(_LEAST_SIDE, cell * math.ceil(longest / cell))
    for side in (own, *sides) if own < sides[0] else sides:
        hw = _of_side(side, aspect, cell)
        small = smallest(train, hw)
        if small >= enough or side >= max(longest, _ENLARGED):
            break
    width_height = f"pictures are about {median:.2f} times as wide as high" if shared else "pictures differ in aspect"
    return hw, f"{width_height}; nine of ten objects of each class are {small:.0f} pixels or more here"


def sides(train: Sequence[Sample], hw: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    """For each class, its name in lower case: (N, 2) widths and heights of objects in pixels of an input of `hw`."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in train:
        scale = min(hw[0] / sample.size_hw[0], hw[1] / sample.size_hw[1])
        for label in sample.labels:
            x1, y1, x2, y2 = label.box
            found.setdefault(label.name.lower(), []).append((scale * max(x2 - x1, 0), scale * max(y2 - y1, 0)))
    return {name: np.array(rows) for name, rows in found.items()}


def smallest(train: Sequence[Sample], hw: tuple[int, int]) -> float:
    """The extent, in pixels of an input of `hw`, that nine of ten objects of each class reach: root of the area."""
    return min(float(np.percentile(np.sqrt(rows.prod(axis=1)), 10)) for rows in sides(train, hw).values())


def spread(sides_of: Mapping[str, NDArray[np.float64]]) -> float:
    """How much objects of one class vary in size: standard deviation of the extent's logarithm, mean of the classes.
    `sides_of` is what `sides` gives."""
    logs = [np.log(np.maximum(np.sqrt(rows.prod(axis=1)), 1)) for rows in sides_of.values()]
    return float(np.mean([values.std() for values in logs]))


def closeness(train: Sequence[Sample]) -> dict[str, float]:
    """For each class, its name in lower case: the IoU with the nearest object of the class that 1 % of them exceed."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for sample in train:
        names = np.array([label.name.lower() for label in sample.labels])
        for name in set(names.tolist()):
            boxes = sample.boxes_n4[names == name].astype(np.float64)
            shared = overlaps(boxes, boxes)
            np.fill_diagonal(shared, 0)
            found.setdefault(name, []).append(shared.max(axis=1))
    return {name: float(np.percentile(np.concatenate(rows), 99)) for name, rows in found.items()}


def _of_side(side: int, aspect: float, cell: int) -> tuple[int, int]:
    """(height, width) with this longer side, both multiples of `cell`."""
    other = max(cell, cell * round(side * min(aspect, 1 / aspect) / cell))
    return (other, side) if aspect >= 1 else (side, other)


def balance_note(train: Sequence[Sample], classes: Sequence[str], *, unit: str) -> str:
    """How many labels each class has, the most frequent first, as comment lines; a warning where one has far fewer.

    Args:
        unit: what a label is of: "object" or "picture".
    """
    counts = Counter(label.name.lower() if unit == "object" else label.name for s in train for label in s.labels)
    ranked = sorted(classes, key=lambda name: -counts[name])
    listed = ", ".join(f"{on_one_line(name)} {counts[name]:,}" for name in ranked[:_NAMED])
    more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
    note = f"# Training {unit}s: {listed}{more}."
    rare = [on_one_line(name) for name in ranked if counts[ranked[0]] >= _RARE * counts[name]]
    if rare:
        note += (
            f"\n# Rare: {', '.join(rare[:_NAMED])}. More {unit}s of them raise their score more than any setting here."
        )
    return note


def fitting_block(backbone_rate: float, *, cosine: bool = True) -> str:
    """The lines of `taolite { fitting }`; docs/cookbook/recipe.md has what they were chosen by.

    Args:
        backbone_rate: rate of the pretrained layers, a share of the others'.
        cosine: the rate falls by half a cosine; else the spec's own schedule says how.
    """
    falls = "\n    cosine: true" if cosine else ""
    return f"""  fitting {{
    weight_decay: 0.02
    backbone_rate: {backbone_rate:g}
    largest_gradient: 10.0{falls}
    average: 0.998
  }}"""


def on_one_line(name: str) -> str:
    """Text for a comment, on one line."""
    return " ".join(name.split())
