"""The pictures of a validation that are worth a look: those with the most mistakes, and some of the others.

For a detector the worst are those with the lowest F1 at the best thresholds; for a classifier the wrong answers that it
was surest of. The others are taken at even distances from all that remain, so that a page also shows what works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from taolite.data.examples import Examples
from taolite.metrics.confusion import pair
from taolite.sample import Detection, Truth
from taolite.scorecard import ScoreCard, Tally
from taolite.tasks.base import Experiment
from taolite.tasks.found import Found

__all__ = ["WORST", "Worst", "shown_pictures"]

WORST = 12
"""Pictures with mistakes, at most."""
_OTHERS = 6


@dataclass(frozen=True)
class Worst:
    """A picture with its labels and what was found in it.

    index: of the sample. labelled, found: its objects and the finds that reach the best threshold of their class, in
    pixels of the photo; of a classifier, its classes and the answer, without a box. seen: of each of `labelled`,
    whether it was found as what it is. right: of each of `found`, whether it is right.
    """

    index: int
    image: Path
    tally: Tally
    labelled: tuple[Detection, ...]
    found: tuple[Detection, ...]
    seen: tuple[bool, ...] = ()
    right: tuple[bool, ...] = ()


def shown_pictures(
    experiment: Experiment, card: ScoreCard, truths: Sequence[Truth], founds: Sequence[Found], examples: Examples
) -> tuple[tuple[Worst, ...], tuple[Worst, ...]]:
    """Up to 12 pictures with mistakes, the worst first, and up to 6 others."""
    count = len(truths)
    if card.pictures:
        tallies = list(card.pictures)
        order = sorted(range(count), key=lambda i: (tallies[i].f1, -tallies[i].mistakes, i))
    else:
        founds = [_answer(card, found) for found in founds]
        tallies = [_answer_tally(truth, found) for truth, found in zip(truths, founds, strict=True)]
        order = sorted(range(count), key=lambda i: (tallies[i].mistakes == 0, -_sureness(truths[i], founds[i]), i))
    worst = [index for index in order[:WORST] if tallies[index].mistakes]
    rest = sorted(set(range(count)) - set(worst))
    others = [rest[place] for place in np.linspace(0, len(rest) - 1, min(_OTHERS, len(rest))).round().astype(int)]

    def looked(index: int) -> Worst:
        return _looked(experiment, card, index, tallies[index], truths[index], founds[index], examples)

    return tuple(map(looked, worst)), tuple(map(looked, others))


def _looked(
    experiment: Experiment, card: ScoreCard, index: int, tally: Tally, truth: Truth, found: Found, examples: Examples
) -> Worst:
    """One picture, with what is right in it."""
    names, prep, sample = experiment.classes, examples.preprocessing, examples.samples[index]
    placed = found.in_photo(names, preprocessing=prep, photo_hw=sample.size_hw)
    kinds = [int(kind) for kind in truth.classes_n]
    if not card.pictures:
        wanted, answer = [names[kind] for kind in kinds], [one.name for one in placed]
        labelled = tuple(Detection(name, None, 1.0) for name in wanted)
        seen, right = tuple(name in answer for name in wanted), tuple(name in wanted for name in answer)
        return Worst(index, sample.image, tally, labelled, tuple(placed), seen, right)
    labels = Found(truth.boxes_n4, np.ones(len(kinds), np.float32), np.asarray(truth.classes_n, np.int64))
    pairs = pair(truth, found, thresholds_k=np.array([card.threshold(name) for name in names], np.float64))
    kept = [int(place) for place in pairs.kept_f]
    same = {box: find for box, find in pairs.find_of.items() if int(found.classes_n[kept[find]]) == kinds[box]}
    hits = set(same.values())
    return Worst(
        index,
        sample.image,
        tally,
        tuple(labels.in_photo(names, preprocessing=prep, photo_hw=sample.size_hw)),
        tuple(placed[place] for place in kept),
        tuple(box in same for box in range(len(kinds))),
        tuple(find in hits for find in range(len(kept))),
    )


def _answer(card: ScoreCard, found: Found) -> Found:
    """A classifier's answer alone: its first class, or all of its tags."""
    given = 1 if card.confusion else found.given
    return replace(found, classes_n=found.classes_n[:given], scores_n=found.scores_n[:given], given=None)


def _answer_tally(truth: Truth, found: Found) -> Tally:
    """What of a classifier's answer is right."""
    wanted, given = set(map(int, truth.classes_n)), set(map(int, found.classes_n))
    return Tally(len(wanted & given), len(given), len(wanted))


def _sureness(truth: Truth, found: Found) -> float:
    """The highest score of a wrong answer; 0 where none is wrong."""
    wanted = set(map(int, truth.classes_n))
    rows = zip(found.classes_n.tolist(), found.scores_n.tolist(), strict=True)
    return max((score for kind, score in rows if kind not in wanted), default=0.0)
