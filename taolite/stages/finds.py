"""What an evaluation finds in its pictures, in pixels of them, as `taolite.workspace.finds` records it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from taolite.data.examples import Examples
from taolite.sample import Detection
from taolite.tasks.found import Found
from taolite.workspace.finds import FLOOR, MOST_FINDS, MOST_PICTURES, Finds, Looked, Thing

__all__ = ["finds_of", "shown_indices"]


def shown_indices(count: int) -> list[int]:
    """Which of `count` pictures are recorded: all, or `MOST_PICTURES` at even distances.

    >>> len(shown_indices(1000)), shown_indices(1000)[:3]
    (400, [0, 2, 5])
    """
    shown = min(count, MOST_PICTURES)
    return [place * count // shown for place in range(shown)]


def finds_of(founds: Sequence[Found], examples: Examples, classes: Sequence[str]) -> Finds:
    """The labels and finds of the pictures of `shown_indices(len(examples))`; `founds` are theirs, in order."""
    indices = shown_indices(len(examples))
    looked = (_looked(index, found, examples, classes) for index, found in zip(indices, founds, strict=True))
    return Finds(tuple(classes), len(examples), tuple(looked))


def _looked(index: int, found: Found, examples: Examples, classes: Sequence[str]) -> Looked:
    sample, truth, prep = examples.samples[index], examples.truth(index), examples.preprocessing
    kinds = {name: kind for kind, name in enumerate(classes)}

    def in_photo(what: Found) -> list[Detection]:
        return what.in_photo(classes, preprocessing=prep, photo_hw=sample.size_hw)

    count = len(truth.classes_n)
    labelled = Found(truth.boxes_n4, np.ones(count, np.float32), np.asarray(truth.classes_n, np.int64))
    if len(found.boxes_n4) < len(found):  # of the whole picture: its labels have no boxes either
        labelled = replace(labelled, boxes_n4=found.boxes_n4)
    hard = np.zeros(count, np.bool_) if truth.difficult_n is None else truth.difficult_n
    things = tuple(
        Thing(kinds[one.name], one.box, difficult=bool(difficult))
        for one, difficult in zip(in_photo(labelled), hard, strict=True)
    )
    every = in_photo(replace(found, given=None))  # of a classifier: all classes, not its answer alone
    finds = tuple(Thing(kinds[one.name], one.box, one.score) for one in every[:MOST_FINDS] if one.score >= FLOOR)
    name = os.path.abspath(sample.image) if sample.image.exists() else str(sample.image)  # noqa: PTH100
    return Looked(name, sample.size_hw, things, finds)
