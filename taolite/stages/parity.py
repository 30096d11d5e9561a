"""Compare two models on the same pictures: raw outputs, decoded results, and scores where the pictures have labels.

The models may be trained models, exports or engines of the same task, classes and preprocessing. Both are decoded by
the same settings, so that only the networks differ. Loads without torch; the pictures of a spec need it
(`taolite.stages.validation`), those of a folder do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, ModelError, PathError
from taolite.events import Listener, Progress, silent
from taolite.metrics.agreement import Agreement, agreement
from taolite.pictures import EXTENSIONS, read_rgb
from taolite.stages.inference.models import Model
from taolite.tasks.base import BEST_THRESHOLD, Decoding
from taolite.tasks.found import Found

if TYPE_CHECKING:
    from taolite.scorecard import Metric
    from taolite.stages.validation import Validation

__all__ = ["MOST", "Compared", "Folder", "ParityReport", "TensorDifference", "compare", "folder", "parity"]

MOST = 500
"""Pictures that are compared, where the user says no other number."""
_BATCH = 8


@dataclass(frozen=True)
class TensorDifference:
    """How one output differs over all pictures: the largest and the mean absolute difference. size: the largest
    absolute value that the first model gives."""

    largest: float
    mean: float
    size: float


@dataclass(frozen=True)
class Compared:
    """Attributes:
    pictures: how many were looked at.
    tensors: output name -> difference, of the outputs that both models have with the same shape.
    results: how far the decoded results agree, above the best thresholds where the decoding has them.
    first, second: what the decoding gives of each picture.
    """

    pictures: int
    tensors: Mapping[str, TensorDifference]
    results: Agreement
    first: Sequence[Found]
    second: Sequence[Found]


@dataclass(frozen=True)
class ParityReport:
    """Attributes:
    pictures, tensors, results: see `Compared`. source: what the pictures are called.
    runs_on: runtime and version of each model.
    scores: of each model, where the pictures have labels; else none.
    """

    source: str
    pictures: int
    runs_on: tuple[str, str]
    tensors: Mapping[str, TensorDifference]
    results: Agreement
    scores: tuple[Metric, Metric] | None = None

    @property
    def largest(self) -> tuple[str, float] | None:
        """The output that differs most, and by how much; None where no output can be compared."""
        return max(((name, one.largest) for name, one in self.tensors.items()), key=lambda row: row[1], default=None)


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder, or one picture."""

    paths: Sequence[Path]
    source: str


def folder(place: Path, *, most: int = MOST) -> Folder:
    """The pictures of a folder and the folders below, or one picture; of more than `most`, that many at even distances.
    Raises PathError, DataError."""
    if not place.exists():
        raise PathError(f"{place}: no such folder or spec; give --data a folder of pictures, a picture or a spec")
    found = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not found:
        raise DataError(f"{place}: no picture in this folder; it needs files that end in {', '.join(EXTENSIONS)}")
    count = min(most, len(found))
    return Folder([found[at * len(found) // count] for at in range(count)], f"pictures in {place.name}")


def parity(first: Model, second: Model, pictures: Folder | Validation, *, listener: Listener = silent) -> ParityReport:
    """Compare two opened models on pictures.

    Raises ModelError: the models are of different tasks, classes or preprocessing, or nothing says how their outputs
    are read. DataError, PathError: a picture cannot be read.
    """
    _check_alike(first, second)
    if isinstance(pictures, Folder):
        decoding = first.decoding or second.decoding
        if decoding is None:
            raise ModelError(f"{first.source} does not say how its outputs are read; give a spec as --data")
        seen = compare(first, second, _read(pictures, first), decoding, total=len(pictures.paths), listener=listener)
        return ParityReport(pictures.source, seen.pictures, (first.runs_on, second.runs_on), seen.tensors, seen.results)
    from taolite.stages.agree import agree

    agree(pictures.experiment, first)
    best = {key: value for key, value in (first.decoding or {}).items() if key == BEST_THRESHOLD}
    decoding = {**pictures.experiment.decoding, **best}
    seen = compare(first, second, pictures.pixels(), decoding, total=len(pictures), listener=listener)
    scores = pictures.score(seen.first).main, pictures.score(seen.second).main
    runs_on = first.runs_on, second.runs_on
    source = f"validation images of {pictures.source}"
    return ParityReport(source, seen.pictures, runs_on, seen.tensors, seen.results, scores)


def compare(
    first: Model,
    second: Model,
    inputs: Iterable[NDArray[np.float32]],
    decoding: Decoding,
    *,
    total: int,
    listener: Listener = silent,
) -> Compared:
    """Run two models on batches of `inputs`, each (N, C, H, W), `total` images in all, and compare what they give.
    Nothing but results is kept of a batch."""
    differences: dict[str, _Sum] = {}
    founds: tuple[list[Found], list[Found]] = ([], [])
    for pixels in inputs:
        answers = first.predict(pixels), second.predict(pixels)
        one, other = (
            dict(zip(m.outputs, given, strict=True)) for m, given in zip((first, second), answers, strict=True)
        )
        for name in one:
            if name in other and one[name].shape == other[name].shape:
                differences.setdefault(name, _Sum()).add(one[name], other[name])
        for model, given, kept in zip((first, second), answers, founds, strict=True):
            for index in range(len(pixels)):
                outputs = tuple(output[index] for output in given)
                kept.append(model.use.decode(outputs, decoding, preprocessing=model.preprocessing))
        listener(Progress("compare", len(founds[0]), total))
    best = decoding.get(BEST_THRESHOLD)
    shown = [[_answer(found, first.classes, best) for found in kept] for kept in founds]
    tensors = {name: each.difference() for name, each in differences.items()}
    return Compared(len(founds[0]), tensors, agreement(*shown), *founds)


class _Sum:
    """The difference of an output over the batches so far."""

    def __init__(self) -> None:
        self.largest, self.total, self.count, self.size = 0.0, 0.0, 0, 0.0

    def add(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        apart = np.abs(one.astype(np.float64) - other)
        # NaN stays: np.maximum keeps it, max() would not
        self.largest = float(np.maximum(self.largest, apart.max(initial=0.0)))
        self.size = float(np.maximum(self.size, np.abs(one).max(initial=0.0)))
        self.total += float(apart.sum())
        self.count += apart.size

    def difference(self) -> TensorDifference:
        return TensorDifference(self.largest, self.total / max(self.count, 1), self.size)


def _answer(found: Found, classes: Sequence[str], best: object) -> Found:
    """The results that a user sees: the answer, from the best thresholds on where there are some."""
    boxes = found.boxes_n4[: found.given]
    part = Found(boxes, found.scores_n[: found.given], found.classes_n[: found.given])
    if not isinstance(best, Mapping):
        return part
    least = np.array([float(best.get(name, 0.0)) for name in classes])
    keep = part.scores_n >= least[part.classes_n]
    placed = part.boxes_n4[keep] if len(part.boxes_n4) == len(part) else part.boxes_n4
    return replace(part, boxes_n4=placed, scores_n=part.scores_n[keep], classes_n=part.classes_n[keep])


def _check_alike(first: Model, second: Model) -> None:
    found = [
        what
        for what, one, other in (
            ("tasks", first.use.name, second.use.name),
            ("classes", first.classes, second.classes),
            ("preprocessing", first.preprocessing, second.preprocessing),
        )
        if one != other
    ]
    if found:
        raise ModelError(
            f"{first.source} and {second.source} cannot be compared: they differ in {' and '.join(found)} "
            "(`taolite show` prints both)"
        )


def _read(pictures: Folder, model: Model) -> Iterator[NDArray[np.float32]]:
    prep = model.preprocessing
    for begin in range(0, len(pictures.paths), _BATCH):
        part = pictures.paths[begin : begin + _BATCH]
        yield np.stack([prep.apply(read_rgb(path, grey=prep.channels == 1)) for path in part])
