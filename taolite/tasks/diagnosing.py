"""What a task adds to `taolite diagnose`: a small protocol that an `Experiment` may have, and the evidence it gets.

Legend: N labelled objects, K classes, P pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from taolite.diagnosis import NORMALISATION, Answers, Cause, Loaded, share_below
from taolite.sample import Truth
from taolite.tasks.base import Outputs, Shapes

if TYPE_CHECKING:
    from taolite.boxes import Boxes
    from taolite.preprocessing import Preprocessing

__all__ = ["Diagnosable", "Evidence", "Heard", "Survey", "loaded_from", "of_mean", "of_overlap", "normalisation"]

_USUAL_IOU = 0.5
_TINY = 1e-6  # an object with the very IoU that is asked for is found
_MOSTLY = 0.75  # of the objects: where more are not found at all, their overlap is not the cause


@dataclass(frozen=True)
class Heard:
    """The network's answers for one image, before any threshold: in the place of each object of its class, on_n (N,);
    the strongest of each class in all other places, elsewhere_k (K,), 0 where there is no other place."""

    on_n: NDArray[np.float32]
    elsewhere_k: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Survey:
    """The labels of a split; those of at most some hundred pictures in detail.

    Attributes:
        pictures: of the whole split.
        labels: labels of each class, of the whole split.
        strangers: labels of each name that no class takes, of the whole split.
        boxes: for each picture, the labelled boxes of the classes, (N, 4), pixels of the photo.
        photos_hw: (height, width) of each photo.
        truths: for each picture, what the network learns or is scored with, pixels of the input.
    """

    pictures: int
    labels: Mapping[str, int]
    strangers: Mapping[str, int]
    boxes: Sequence[Boxes]
    photos_hw: Sequence[tuple[int, int]]
    truths: Sequence[Truth]

    @property
    def objects(self) -> Truth:
        """All of `truths` together."""
        return Truth(
            np.concatenate([np.zeros((0, 4), np.float32), *(truth.boxes_n4 for truth in self.truths)]),
            np.concatenate([np.zeros(0, np.int64), *(truth.classes_n for truth in self.truths)]),
        )


@dataclass(frozen=True)
class Evidence:
    """What is known of an experiment. None, or empty, where it is not known.

    Attributes:
        train, val: labels of the two splits.
        answers: of the last validation, by class.
        score: its main metric, 0..1.
        confusion: its (K, K) or (K + 1, K + 1) counts, truth by row.
        shapes: of the network's outputs for one image.
        random_start: whether training began with random weights.
        loaded: what it took from a file of weights.
    """

    train: Survey | None = None
    val: Survey | None = None
    answers: Mapping[str, Answers] = field(default_factory=dict)
    score: float | None = None
    confusion: Sequence[Sequence[int]] = ()
    shapes: Shapes | None = None
    random_start: bool | None = None
    loaded: Loaded | None = None


@runtime_checkable
class Diagnosable(Protocol):
    """An experiment that can be asked why its score is low. An experiment without these methods is asked no question of
    its task; the questions of all tasks are in `taolite.stages.diagnose`."""

    def heard(self, outputs: Outputs, truth: Truth) -> Heard | None:
        """The answers for one image with the labels `truth` (pixels of the input); None where the outputs do not show
        them."""
        ...

    def causes(self, evidence: Evidence) -> Iterable[Cause]:
        """The causes of a low score that only this task knows, in any order."""
        ...


def normalisation(preprocessing: Preprocessing) -> dict[str, Any]:
    """How a network's input is normalised."""
    return {name: getattr(preprocessing, name) for name in NORMALISATION}


def loaded_from(
    file: str,
    layers: int,
    *,
    learned: Preprocessing | None,
    given: Preprocessing,
    adapts: bool,
    fresh: Sequence[str] = (),
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> Loaded:
    """What was taken from `file`.

    Args:
        learned: how the input of the weights was prepared; None where the file does not tell.
        given: how the input of this training is prepared.
        adapts: the network undoes `given` itself, and takes the first kernels for RGB.
        skipped: layers of the file that were not taken, and why.
    """
    other = learned is not None and (
        learned.bgr if adapts else _values(learned) != _values(given) and learned.channels == given.channels
    )
    reason = next((f"{layer}: {why}" for layer, why in skipped.items()), "") if fresh else ""
    return Loaded(file, layers, tuple(fresh), reason, normalisation(learned) if learned and other else {})


def _values(preprocessing: Preprocessing) -> tuple[object, ...]:
    """What two normalisations that are the same have in common, however they are written."""
    factors = tuple(round(preprocessing.scale / std, 9) for std in preprocessing.stds)
    return preprocessing.bgr, preprocessing.offsets, factors


def of_mean(by_class: Mapping[str, float]) -> float:
    """The share that is taken from a mean over classes: the mean of the shares; 0 without a class."""
    return sum(by_class.values()) / len(by_class) if by_class else 0.0


def of_overlap(known: Mapping[str, Answers], least: Mapping[str, float]) -> Cause:
    """Objects that are found with a usual IoU, and not with the one of their class in `least`. `known`: of the classes
    with labelled objects, one at least."""
    lost = {}
    for name, answers in known.items():
        missed = share_below(answers.overlaps, min(least[name], _USUAL_IOU) - _TINY)
        below = share_below(answers.overlaps, least[name] - _TINY)
        lost[name] = (below - missed) / (1 - missed) if missed < _MOSTLY else 0.0
    worst = max(lost, key=lambda name: lost[name])
    facts = {"class": worst, "least": least[worst], "median": known[worst].overlaps[5]}
    return Cause("overlap", "scoring", of_mean(lost), facts | {"most": known[worst].overlaps[-1]})
