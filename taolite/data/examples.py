"""Samples as training sees them: class names mapped to indices, photos decoded, resized, augmented, and targets drawn.
An example depends on (seed, epoch, index) only.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import clip_boxes, scale_boxes
from taolite.data.kept import Keep, Kept
from taolite.data.order import BUFFER, Order, Shards, epoch_order, even_order, generator, shard_order
from taolite.errors import DataError
from taolite.events import Notice
from taolite.formats.packed import PackedSamples, pack
from taolite.formats.tars import TarPictures
from taolite.pictures import open_picture, read_rgb, read_scaled, scaled_hw
from taolite.preprocessing import Preprocessing
from taolite.sample import Sample, Truth

__all__ = ["Augment", "BoxRule", "Compose", "Encoder", "Example", "Examples", "Source", "fit_truth"]


@dataclass(frozen=True)
class BoxRule:
    """Which boxes are used for training (reference 4.3).

    least_width, least_height: smaller boxes are dropped; pixels of the input. cut: clip boxes to the input first.
    """

    least_width: float = 1.0
    least_height: float = 1.0
    cut: bool = False

    def apply(self, truth: Truth, *, hw: tuple[int, int]) -> Truth:
        """The boxes of `truth` that this rule keeps, on an input of `hw` (height, width) pixels; all have an area."""
        if self.cut:
            truth = Truth(clip_boxes(truth.boxes_n4, hw=hw), truth.classes_n, truth.difficult_n)
        sides = truth.boxes_n4[:, 2:] - truth.boxes_n4[:, :2]
        enough = (sides >= (self.least_width, self.least_height)) & (sides > 0)
        return truth.only(np.asarray(enough.all(axis=1)))


def fit_truth(truth: Truth, preprocessing: Preprocessing, photo_hw: tuple[int, int], rule: BoxRule) -> Truth:
    """The labels of a photo of size `photo_hw`, in pixels of the network input, filtered by `rule`."""
    boxes = preprocessing.boxes_to_input(truth.boxes_n4, photo_hw=photo_hw)
    return rule.apply(Truth(boxes, truth.classes_n, truth.difficult_n), hw=preprocessing.input_hw)


@dataclass(frozen=True)
class Source:
    """Samples of one data source. weight: multiplies the loss of each sample. pictures: the tar files that hold the
    pictures; None where they are files."""

    samples: Sequence[Sample]
    weight: float = 1.0
    pictures: TarPictures | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", pack(self.samples))


@dataclass(frozen=True)
class Example:
    """One network input. pixels: (H, W, C) uint8. truth: its boxes, in pixels of the input. targets: what the loss
    compares the outputs with, float32 by name. name: the picture's file."""

    pixels: NDArray[np.uint8]
    truth: Truth
    targets: Mapping[str, NDArray[np.float32]]
    name: str


Augment = Callable[[NDArray[np.uint8], Truth, np.random.Generator], tuple[NDArray[np.uint8], Truth]]
"""(photo (H, W, C) uint8, its labels in pixels of the photo, random generator) -> (input (h, w, C) uint8, its labels in
pixels of the input)."""

Load = Callable[[int], tuple[NDArray[np.uint8], Truth]]
"""Index of a sample -> its photo (H, W, C) uint8, and its labels in pixels of the photo."""


class Compose(Protocol):
    """Makes a view of a sample, and of others with it."""

    def __call__(
        self, load: Load, index: int, *, count: int, epoch: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Truth]:
        """The input (h, w, C) uint8 of sample `index` of `count` in `epoch`, and its labels in pixels of it."""
        ...


Encoder = Callable[[Truth, float], Mapping[str, NDArray[np.float32]]]
"""(labels in pixels of the input, weight of this sample's loss) -> targets by name."""


@dataclass(frozen=True)
class Examples:
    """A split of a data set.

    class_of: maps a label's name to its class index, or to None where the spec does not use it. augment: None for
    evaluation, where the input is the resized photo. augment_fitted: in place of augment, gets the photo fitted to the
    input, and its labels there. compose: in place of augment, views of several samples. least_hw: large JPEGs may be
    decoded smaller, but not below this (height, width); None decodes all of it. keep: how decoded pictures, or fitted
    ones where nothing needs more, are kept for the next epoch; None keeps none. evenly:
    every source gives the same number of samples an epoch;
    without it every sample comes once. fitted_rule, view_rule: which boxes are used before and after augmentation.
    notices: messages for the user, to show before the split is used.
    """

    sources: Sequence[Source]
    class_of: Callable[[str], int | None]
    preprocessing: Preprocessing
    encode: Encoder
    augment: Augment | None = None
    augment_fitted: Augment | None = None
    compose: Compose | None = None
    least_hw: tuple[int, int] | None = None
    keep: Keep | None = None
    seed: int = 0
    evenly: bool = False
    fitted_rule: BoxRule = BoxRule()
    view_rule: BoxRule = BoxRule()
    notices: tuple[Notice, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def samples(self) -> PackedSamples:
        """All samples, source by source; an index counts these."""
        return PackedSamples(block for source in self.sources for block in pack(source.samples).blocks)

    @cached_property
    def _source_ends(self) -> list[int]:
        return list(accumulate(len(source.samples) for source in self.sources))

    @cached_property
    def _shards(self) -> Shards | None:
        """Which samples are in the same tar file; those of a folder count as one more. None where there are no tars."""
        if not any(source.pictures for source in self.sources):
            return None
        parts, before = [], 0
        for source in self.sources:
            pictures, names = source.pictures, (str(sample.image) for sample in source.samples)
            found = pictures.places(names) if pictures else np.zeros(len(source.samples), np.uint32)
            parts.append(found + np.uint32(before))
            before += len(pictures.tars) if pictures else 1
        return Shards.of(np.concatenate(parts), count=before)

    def order(self, epoch: int, *, batch_size: int) -> Order:
        """The sample indices of one epoch, in whole batches; depends on (seed, epoch) only."""
        sizes = [len(source.samples) for source in self.sources if source.samples]
        if self.evenly and len(sizes) > 1:
            return even_order(sizes, seed=self.seed, epoch=epoch, batch_size=batch_size)
        if self._shards is not None:
            return shard_order(self._shards, buffer=BUFFER, seed=self.seed, epoch=epoch, batch_size=batch_size)
        return epoch_order(len(self), seed=self.seed, epoch=epoch, batch_size=batch_size)

    def truth(self, index: int) -> Truth:
        """The labels of one sample, in pixels of the input, before augmentation."""
        fitted = fit_truth(self.labelled(index), self.preprocessing, self.samples[index].size_hw, self.fitted_rule)
        return self.view_rule.apply(fitted, hw=self.preprocessing.input_hw)

    def labelled(self, index: int) -> Truth:
        """The labels of one sample, in pixels of its photo."""
        known = [(label, self.class_of(label.name)) for label in self.samples[index].labels]
        kept = [(label, kind) for label, kind in known if kind is not None]
        boxes = np.array([label.box for label, _ in kept], np.float32).reshape(-1, 4)
        classes = np.array([kind for _, kind in kept], np.int64)
        return Truth(boxes, classes, np.array([label.difficult for label, _ in kept], np.bool_))

    def open(self, index: int) -> IO[bytes]:
        """The picture file of one sample, from a folder or a tar, open for reading. Raises DataError, PathError."""
        image, pictures = self.samples[index].image, self._source(index).pictures
        return pictures.open(str(image)) if pictures else open_picture(image)

    def _source(self, index: int) -> Source:
        return self.sources[bisect.bisect_right(self._source_ends, index)]

    def example(self, index: int, *, epoch: int = 0) -> Example:
        """Sample `index` as training sees it in `epoch`. Raises DataError, PathError."""
        sample, rng = self.samples[index], generator(self.seed, "view", epoch, index)
        if self.compose is not None:
            pixels, truth = self.compose(self._photo, index, count=len(self), epoch=epoch, rng=rng)
        elif self.augment is not None:
            pixels, truth = self.augment(*self._photo(index), rng)
        else:
            pixels = self._fitted(index)
            truth = fit_truth(self.labelled(index), self.preprocessing, sample.size_hw, self.fitted_rule)
            if self.augment_fitted is not None:
                pixels, truth = self.augment_fitted(pixels, truth, rng)
        truth = self.view_rule.apply(truth, hw=self.preprocessing.input_hw)
        return Example(pixels, truth, self.encode(truth, self._source(index).weight), str(sample.image))

    def prepare(self) -> None:
        """Make room for what is kept. To be called before threads ask for examples; else each might make its own."""
        _ = self._kept

    @cached_property
    def _kept(self) -> Kept | None:
        if self.keep is None:
            return None
        height, width, channels = *self.preprocessing.input_hw, self.preprocessing.channels
        if not self._needs_photos:
            return self.keep.room(np.full(len(self), height * width * channels))
        least = self.least_hw
        if least is None:
            return self.keep.room(self.samples.sizes_n2().prod(axis=1) * channels)
        return self.keep.room(
            [math.prod(scaled_hw((h, w), least)) * channels for h, w in self.samples.sizes_n2().tolist()]
        )

    @property
    def _needs_photos(self) -> bool:
        return self.compose is not None or self.augment is not None

    def _fitted(self, index: int) -> NDArray[np.uint8]:
        """The photo of a sample, fitted to the input."""
        return self._found(index, lambda: self.preprocessing.fit_photo(self._decoded(index)))

    def _photo(self, index: int) -> tuple[NDArray[np.uint8], Truth]:
        """The decoded photo of a sample, and its labels in pixels of it."""
        photo, truth = self._found(index, lambda: self._decoded(index)), self.labelled(index)
        from_hw, to_hw = self.samples[index].size_hw, (photo.shape[0], photo.shape[1])
        if from_hw != to_hw:
            truth = Truth(scale_boxes(truth.boxes_n4, from_hw=from_hw, to_hw=to_hw), truth.classes_n, truth.difficult_n)
        return photo, truth

    def _found(self, index: int, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """What is kept of a sample, else what `make` gives, kept from now on."""
        kept = self._kept
        found = None if kept is None else kept.get(index)
        if found is None:
            found = make()
            if kept is not None:
                kept.put(index, found)
        return found

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        """The photo of a sample."""
        sample, grey = self.samples[index], self.preprocessing.channels == 1
        with self.open(index) as stream:
            if self.least_hw is None:
                photo = read_rgb(sample.image, grey=grey, stream=stream)
                found_hw = (photo.shape[0], photo.shape[1])
            else:
                photo, found_hw = read_scaled(sample.image, least_hw=self.least_hw, grey=grey, stream=stream)
        if found_hw != sample.size_hw:
            height, width = sample.size_hw
            raise DataError(
                f"{sample.image}: {found_hw[1]}x{found_hw[0]} pixels, and its record says {width}x{height}; "
                "the image was changed after dataset_convert: convert again"
            )
        return photo

    def label_counts(self) -> tuple[Counter[int], Counter[str]]:
        """The number of boxes of each class index, and of each label name that is not used."""
        known: Counter[int] = Counter()
        unknown: Counter[str] = Counter()
        for name, count in self.samples.name_counts().items():
            kind = self.class_of(name)
            if kind is None:
                unknown[name] += count
            else:
                known[kind] += count
        return known, unknown

    def few(self, count: int) -> Examples:
        """The same split with `count` samples at most, taken at even distances, in their order."""
        if len(self) <= count:
            return self
        wanted = {int(place) for place in np.linspace(0, len(self) - 1, count).round()}
        sources, before = [], 0
        for source in self.sources:
            kept = [one for place, one in enumerate(source.samples, before) if place in wanted]
            sources.append(replace(source, samples=kept))
            before += len(source.samples)
        return replace(self, sources=sources)

    def content_hash(self) -> str:
        """A hash (64 hex digits) of the samples' image names, sizes and labels, in order; pixels are not read."""
        return self.samples.digest()
