"""A split of our own, for data sets that bring none.

It depends on the seed and the stems alone, and keeps identical pictures, or those that look alike, on one side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from taolite.errors import UsageError
from taolite.formats.photo import photo_bytes
from taolite.sample import Sample
from taolite.wording import counted

__all__ = ["split_by_class", "split_samples"]


def split_samples(
    samples: Sequence[Sample], *, percent: float, seed: int, groups: Sequence[Sequence[int]] | None = None
) -> tuple[list[Sample], list[Sample]]:
    """(training, validation), each in the order given; `percent` (0 to 100, exclusive) of the images validate.

    groups: indices of pictures that stay together; None keeps identical ones together.

    Raises UsageError for another percentage, or where one side would be empty.
    """
    found = _identical(samples) if groups is None else groups
    return _divided(samples, _held(samples, found, percent=percent, seed=seed), percent)


def split_by_class(
    samples: Sequence[Sample], *, percent: float, seed: int, groups: Sequence[Sequence[int]] | None = None
) -> tuple[list[Sample], list[Sample]]:
    """The same for pictures with one class each: `percent` of the images of every class validate. A class whose
    pictures cannot be divided is for training alone. A group has the class of its first picture."""
    of_class: dict[str, list[Sequence[int]]] = {}
    for group in _identical(samples) if groups is None else groups:
        of_class.setdefault(samples[group[0]].labels[0].name, []).append(group)
    held: set[int] = set()
    for own in of_class.values():
        found = _held(samples, own, percent=percent, seed=seed)
        held |= found if len(found) < sum(map(len, own)) else set()
    return _divided(samples, held, percent)


def _held(samples: Sequence[Sample], groups: Sequence[Sequence[int]], *, percent: float, seed: int) -> set[int]:
    """The indices that validate: groups in a random order, as long as they fit into `percent` of their images."""
    if not 0 < percent < 100:
        raise UsageError(f"--val-split is {percent:g}; it needs to be between 0 and 100, for example 20")
    order = sorted(groups, key=lambda group: samples[group[0]].image.name)
    random.Random(seed).shuffle(order)
    wanted = max(1, round(percent / 100 * sum(map(len, groups))))
    held: set[int] = set()
    for group in order:
        if len(held) + len(group) <= wanted:
            held.update(group)
    return held


def _divided(samples: Sequence[Sample], held: set[int], percent: float) -> tuple[list[Sample], list[Sample]]:
    train = [sample for index, sample in enumerate(samples) if index not in held]
    if not held or not train:
        many = counted(len(samples), "image")
        raise UsageError(f"--val-split {percent:g} of {many} leaves one side empty; use more images")
    return train, [sample for index, sample in enumerate(samples) if index in held]


def _identical(samples: Sequence[Sample]) -> list[list[int]]:
    """The indices of each picture's copies."""
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(_content(sample), []).append(index)
    return list(groups.values())


def _content(sample: Sample) -> str:
    return hashlib.sha256(photo_bytes(sample)).hexdigest()
