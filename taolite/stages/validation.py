"""The labelled pictures that an export gate and `parity` score models on: a spec's validation set, or an even part of
it where it is large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.events import Listener, silent
from taolite.sample import Truth
from taolite.scorecard import ScoreCard
from taolite.stages.decodable import decodable
from taolite.tasks.base import Experiment
from taolite.tasks.found import Found

__all__ = ["Validation", "open_validation"]


@dataclass(frozen=True)
class Validation:
    """Labelled pictures. `of`: how many the whole validation set has."""

    experiment: Experiment
    examples: Examples
    of: int

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def source(self) -> str:
        """The name of the spec, without its folder."""
        return Path(self.experiment.source).name

    def pixels(self, *, batch_size: int | None = None) -> Iterator[NDArray[np.float32]]:
        """(N, C, H, W) network inputs, in order; N is the spec's batch size where none is given."""
        size = batch_size or self.experiment.recipe.batch_size
        for batch in batches(self.examples, range(len(self)), batch_size=size):
            yield batch.pixels.contiguous().numpy()

    def score(self, founds: Sequence[Found]) -> ScoreCard:
        """Score the results, one for each picture in order."""
        truths: list[Truth] = [self.examples.truth(index) for index in range(len(self))]
        return self.experiment.score(truths, founds)


def open_validation(experiment: Experiment, *, most: int, listener: Listener = silent) -> Validation:
    """The validation pictures of a spec; of more than `most`, that many at even distances. Pictures that cannot be
    decoded are left out, with a warning.

    Raises PathError, DataError: the spec names no validation data, or it is not there.
    """
    whole = experiment.examples("val")
    part = _every(whole, most)
    (usable,) = decodable({"validation": part}, skip_corrupt=True, listener=listener)
    return Validation(experiment, usable, len(whole))


def _every(examples: Examples, most: int) -> Examples:
    """`most` of the samples at even distances, or all where there are no more."""
    count = len(examples)
    if count <= most:
        return examples
    chosen = [place * count // most for place in range(most)]
    ends = list(accumulate(len(source.samples) for source in examples.sources))
    sources = []
    for source, end in zip(examples.sources, ends, strict=True):
        begin = end - len(source.samples)
        sources.append(replace(source, samples=[source.samples[at - begin] for at in chosen if begin <= at < end]))
    return replace(examples, sources=sources)
