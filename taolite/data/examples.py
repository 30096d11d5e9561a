"""Samples as training sees them: class names mapped once to indices, photographs decoded, fitted, augmented, and
targets drawn. An example is a function of (seed, epoch, index) alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes
from taolite.data.augment import Augmentation, draw_view, view_boxes, view_pixels
from taolite.data.order import generator
from taolite.errors import DataError
from taolite.pictures import read_rgb
from taolite.preprocessing import Preprocessing
from taolite.sample import Sample

__all__ = ["Encoder", "Example", "Examples", "LabelledBoxes"]

_LEAST_SIDE = 1.0  # input pixels; thinner boxes teach nothing (reference 4.3)


@dataclass(frozen=True)
class LabelledBoxes:
    """Ground truth of one image: boxes (N, 4) in pixels, class indices (N,), and which are difficult (N,)."""

    boxes_n4: Boxes
    classes_n: NDArray[np.int64]
    difficult_n: NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """One network input: pixels (H, W, C) uint8, its boxes in input pixels, and the targets drawn from them."""

    pixels: NDArray[np.uint8]
    truth: LabelledBoxes
    targets: Mapping[str, NDArray[np.float32]]
    name: str


Encoder = Callable[[LabelledBoxes], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Examples:
    """A split of a data set.

    `class_of` maps a label's name to its class index, or None where the spec does not ask for it. `augmentation` is
    None for evaluation: then the view is the fitted photograph itself.
    """

    samples: Sequence[Sample]
    class_of: Callable[[str], int | None]
    preprocessing: Preprocessing
    encode: Encoder
    augmentation: Augmentation | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def truth(self, index: int) -> LabelledBoxes:
        """The labels of one sample in input pixels, before augmentation; boxes under one pixel are left out."""
        sample = self.samples[index]
        known = [(label, self.class_of(label.name)) for label in sample.labels]
        kept = [(label, kind) for label, kind in known if kind is not None]
        boxes = np.array([label.box for label, _ in kept], np.float32).reshape(-1, 4)
        boxes = self.preprocessing.boxes_to_input(boxes, photo_hw=sample.size_hw)
        classes = np.array([kind for _, kind in kept], np.int64)
        difficult = np.array([label.difficult for label, _ in kept], np.bool_)
        return _sized(LabelledBoxes(boxes, classes, difficult))

    def example(self, index: int, *, epoch: int = 0) -> Example:
        """The example that training sees of sample `index` in `epoch`. Raises DataError, PathError."""
        sample, truth = self.samples[index], self.truth(index)
        photo = read_rgb(sample.image, grey=self.preprocessing.channels == 1)
        if photo.shape[:2] != sample.size_hw:
            height, width = sample.size_hw
            raise DataError(
                f"{sample.image}: {photo.shape[1]}x{photo.shape[0]} pixels, and its record says {width}x{height}; "
                "the image was changed after dataset_convert: convert again"
            )
        pixels = self.preprocessing.fit_photo(photo)
        if self.augmentation is not None:
            rng = generator(self.seed, "view", epoch, index)
            view = draw_view(self.augmentation, hw=self.preprocessing.input_hw, rng=rng)
            pixels = view_pixels(pixels, view)
            boxes = view_boxes(truth.boxes_n4, view)
            truth = _sized(LabelledBoxes(boxes, truth.classes_n, truth.difficult_n))
        return Example(pixels, truth, self.encode(truth), str(sample.image))

    def label_counts(self) -> tuple[Counter[int], Counter[str]]:
        """How many boxes each class index has, and each name that is of no class."""
        names = Counter(label.name for sample in self.samples for label in sample.labels)
        known: Counter[int] = Counter()
        unknown: Counter[str] = Counter()
        for name, count in names.items():
            kind = self.class_of(name)
            if kind is None:
                unknown[name] += count
            else:
                known[kind] += count
        return known, unknown

    def content_hash(self) -> str:
        """64 hex digits over the samples' image names, sizes and labels, in order; pixels are not read."""
        digest = hashlib.sha256()
        for sample in self.samples:
            labels = [(label.name, label.box, label.difficult) for label in sample.labels]
            digest.update(repr((sample.image.name, sample.size_hw, labels)).encode())
        return digest.hexdigest()


def _sized(truth: LabelledBoxes) -> LabelledBoxes:
    """`truth` without the boxes that are thinner than a pixel."""
    sides = truth.boxes_n4[:, 2:] - truth.boxes_n4[:, :2]
    keep = (sides >= _LEAST_SIDE).all(axis=1)
    return LabelledBoxes(truth.boxes_n4[keep], truth.classes_n[keep], truth.difficult_n[keep])
