"""What is labelled in a split, as numbers that a page can draw: how many objects of each class, how large and where.

Sizes are in pixels of the network's input, because they decide what can be learned; places are shares of the photo. The
columns of the samples are counted block by block, so memory does not grow with the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.data.examples import Examples
from taolite.formats.packed import Block
from taolite.sample import Truth

__all__ = ["GRID", "label_statistics"]

GRID = 24
"""Cells along a side of the maps of places and sizes."""

_LONGEST = 4096  # pixels; longer sides count as this
_MOST_NAMES = 50  # of labels that no class takes
_MOST_SIZES = 5  # of photos
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def label_statistics(examples: Examples, classes: Sequence[str]) -> dict[str, Any]:
    """The statistics of one split as a JSON object.

    Args:
        examples: the split; no picture is opened.
        classes: names of the K classes.

    Returns:
        pictures: how many; empty: how many without an object of a class. objects: labels of each class; with: pictures
        of each class; unused: labels that no class takes, the most frequent 50. left_out: objects that the spec's rules
        leave out of training, because they are too small or outside of the input. in_one: most objects in a picture,
        and their mean. photos: the most frequent photo sizes [width, height, count]; photo_sizes: how many there are.
        boxed: whether labels are boxes; if so, sides: of each class, the square root of the area in pixels of the
        input, at 5, 25, 50, 75 and 95 percent of the boxes; centres, sizes: GRID x GRID counts, by row from the top
        left, over places (x, y) and sizes (width, height), both in shares of the photo.
    """
    counts = _Counts(len(classes))
    for block in examples.samples.blocks:
        kinds = [examples.class_of(name) for name in block.names]
        for name, count in block.name_counts().items():
            if examples.class_of(name) is None:
                counts.unused[name] += count
        numbers = np.array([-1 if kind is None else kind for kind in kinds] or [-1], np.int64)
        counts.add(block, numbers, examples)
    return counts.as_json(classes)


class _Counts:
    """Sums over blocks. K classes."""

    def __init__(self, classes: int) -> None:
        self.pictures, self.empty, self.most, self.boxed = 0, 0, 0, False
        self.objects_k, self.with_k, self.left_k = (np.zeros(classes, np.int64) for _ in range(3))
        self.sides_ks = np.zeros((classes, _LONGEST + 1), np.int64)
        self.centres, self.sizes = np.zeros((GRID, GRID), np.int64), np.zeros((GRID, GRID), np.int64)
        self.unused: Counter[str] = Counter()
        self.photos: Counter[tuple[int, int]] = Counter()
        self.fits: dict[tuple[int, int], tuple[float, ...]] = {}

    def add(self, block: Block, numbers: NDArray[np.int64], examples: Examples) -> None:
        """Count a block; `numbers` is the class of each of its label names, -1 for none."""
        column, pictures = block.columns, len(block)
        ends = np.asarray(column["label_ends_n"], np.int64)
        at_l = np.repeat(np.arange(pictures), np.diff(ends))
        kinds_l = numbers[np.asarray(column["kinds_l"], np.int64)]
        used = kinds_l >= 0
        kinds, at = kinds_l[used], at_l[used]
        boxes = np.asarray(column["boxes_l4"], np.float32)[used]
        per_picture = np.bincount(at, minlength=pictures)
        classes = len(self.objects_k)
        self.pictures += pictures
        self.empty += int((per_picture == 0).sum())
        self.most = max(self.most, int(per_picture.max(initial=0)))
        self.objects_k += np.bincount(kinds, minlength=classes)
        self.with_k += np.bincount(np.unique(np.stack([at, kinds]), axis=1)[1], minlength=classes)
        hw_n2 = np.stack([np.asarray(column[name], np.int64) for name in ("heights_n", "widths_n")], axis=1)
        sizes, size_of_n = np.unique(hw_n2, axis=0, return_inverse=True)
        hws = [(int(height), int(width)) for height, width in sizes]
        for (height, width), count in zip(hws, np.bincount(size_of_n.ravel(), minlength=len(hws)), strict=True):
            self.photos[width, height] += int(count)
        fits = np.array([self._fit(hw, examples) for hw in hws], np.float32)[size_of_n.ravel()[at]]
        self._boxes(boxes, kinds, photos=hw_n2[at][:, ::-1], fits=fits, of=examples)

    def _fit(self, hw: tuple[int, int], examples: Examples) -> tuple[float, ...]:
        """(factor of x, of y, shift of x, of y) from a photo of this size to the input."""
        if hw not in self.fits:
            square = np.array([[0, 0, 1024, 1024]], np.float32)
            x1, y1, x2, y2 = examples.preprocessing.boxes_to_input(square, photo_hw=hw)[0].tolist()
            self.fits[hw] = ((x2 - x1) / 1024, (y2 - y1) / 1024, x1, y1)
        return self.fits[hw]

    def _boxes(
        self,
        boxes: NDArray[np.float32],
        kinds: NDArray[np.int64],
        *,
        photos: NDArray[np.int64],
        fits: NDArray[np.float32],
        of: Examples,
    ) -> None:
        """Count L boxes. photos: (L, 2), width and height of their photos; fits: (L, 4), see `_fit`."""
        scale = np.tile(photos, 2).astype(np.float32)
        whole = np.concatenate([np.zeros_like(photos), photos], axis=1)
        self.boxed = self.boxed or bool((np.abs(boxes - whole) > 1).any())
        fitted = boxes * np.tile(fits[:, :2], 2) + np.tile(fits[:, 2:], 2)
        sides = np.sqrt(np.prod(np.maximum(fitted[:, 2:] - fitted[:, :2], 0), axis=1))
        np.add.at(self.sides_ks, (kinds, np.minimum(sides.round(), _LONGEST).astype(np.int64)), 1)
        kept, input_hw = Truth(fitted, kinds), of.preprocessing.input_hw
        for rule in (of.fitted_rule, of.view_rule):
            kept = rule.apply(kept, hw=input_hw)
        classes = len(self.left_k)
        self.left_k += np.bincount(kinds, minlength=classes) - np.bincount(kept.classes_n, minlength=classes)
        shares = boxes / scale
        for grid, values in (
            (self.centres, (shares[:, :2] + shares[:, 2:]) / 2),
            (self.sizes, shares[:, 2:] - shares[:, :2]),
        ):
            cells = np.clip((values * GRID).astype(np.int64), 0, GRID - 1)
            np.add.at(grid, (cells[:, 1], cells[:, 0]), 1)

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        total = int(self.objects_k.sum())

        def named(values: NDArray[np.int64]) -> dict[str, int]:
            return dict(zip(classes, values.tolist(), strict=True))

        found: dict[str, Any] = {
            "pictures": self.pictures,
            "empty": self.empty,
            "objects": named(self.objects_k),
            "with": named(self.with_k),
            "unused": dict(self.unused.most_common(_MOST_NAMES)),
            "left_out": named(self.left_k),
            "in_one": {"most": self.most, "mean": round(total / self.pictures, 3) if self.pictures else 0.0},
            "photos": [[width, height, count] for (width, height), count in self.photos.most_common(_MOST_SIZES)],
            "photo_sizes": len(self.photos),
            "boxed": self.boxed,
        }
        if self.boxed:
            found["sides"] = {
                name: _quantiles(self.sides_ks[kind]) for kind, name in enumerate(classes) if self.objects_k[kind]
            }
            found |= {"centres": self.centres.ravel().tolist(), "sizes": self.sizes.ravel().tolist()}
        return found


def _quantiles(counts: NDArray[np.int64]) -> list[int]:
    """The values at `_SHARES` of a histogram of whole numbers."""
    sums = np.cumsum(counts)
    return [int(np.searchsorted(sums, max(share * sums[-1], 1))) for share in _SHARES]
