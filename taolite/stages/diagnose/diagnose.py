"""Why a score is low: all causes that the data, the spec and the records of a run show, the likeliest first.

The order, stated so that it can be argued with:

1. What contradicts the score is left out: a cause that takes away the share s of the score cannot stand beside one
   above 1 - s. So is what explains less than a quarter. A good run has no causes.
2. Causes that alone explain a score of 0 (s is 0.9 or more) come before those that explain a part.
3. Of these, the one that lies earlier on the way from a label to a score (`taolite.diagnosis.Step`) comes first,
   because what comes later may be its consequence.
4. At the same step, the greater share comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from taolite.data.examples import Examples
from taolite.diagnosis import Answers, Cause, Loaded, Step
from taolite.errors import DataError, PathError
from taolite.events import Diagnosed, Listener
from taolite.stages.diagnose.curves import of_costs, of_rate
from taolite.stages.diagnose.start import of_start
from taolite.stages.diagnose.survey import of_detectors, of_labels, survey
from taolite.tasks.base import Experiment, Shapes, Split
from taolite.tasks.diagnosing import Diagnosable, Evidence, Survey

if TYPE_CHECKING:
    from taolite.stages.evaluate import Evaluation

__all__ = ["causes_of", "diagnose", "ranked", "why_zero"]

_LEAST = 0.25
_STEPS: tuple[str, ...] = get_args(Step)
_DETECTOR = 0  # `Use.network_type`


def diagnose(
    experiment: Experiment,
    *,
    answers: Mapping[str, Answers],
    score: float | None,
    confusion: Sequence[Sequence[int]] = (),
    rows: Sequence[Mapping[str, Any]] = (),
    shapes: Shapes | None = None,
    random_start: bool | None = None,
    loaded: Loaded | None = None,
    trained: bool = True,
) -> list[Cause]:
    """The causes, likeliest first; labels are read where the spec says they are.

    Args:
        answers, score, confusion: of the last validation, where there is one.
        rows: lines of metrics.jsonl.
        shapes: of the network's outputs for one image, where they are known.
        random_start: whether training began with random weights.
        loaded: what it took from a file of weights.
        trained: whether a training of this spec is diagnosed, so that its schedule counts.
    """
    splits: dict[Split, Survey | None] = {}
    unread = []
    for split in ("train", "val"):
        try:
            splits[split] = survey(experiment.examples(split), experiment.classes)
        except (DataError, PathError) as error:
            splits[split] = None
            unread.append(Cause("unreadable", "data", 1.0, {"split": split, "reason": str(error)}))
    evidence = Evidence(splits["train"], splits["val"], answers, score, confusion, shapes, random_start, loaded)
    return ranked([*unread, *causes_of(experiment, evidence, rows=rows, trained=trained)], score=score)


def why_zero(
    experiment: Experiment,
    evaluation: Evaluation,
    *,
    val: Examples,
    train: Examples | None = None,
    shapes: Shapes,
    rows: Sequence[Mapping[str, Any]] = (),
    random_start: bool | None = None,
    loaded: Loaded | None = None,
    folder: Path | None = None,
    listener: Listener,
) -> None:
    """After a validation that scores 0, tell the listener why, from what is in memory; after any other nothing."""
    card = evaluation.card
    if card.main.value > 0:
        return
    evidence = Evidence(
        None if train is None else survey(train, experiment.classes),
        survey(val, experiment.classes),
        evaluation.answers,
        card.main.value,
        card.confusion,
        shapes,
        random_start,
        loaded,
    )
    found = causes_of(experiment, evidence, rows=rows, trained=train is not None)
    listener(Diagnosed(tuple(ranked(found, score=card.main.value)), card.main.words.short, folder))


def causes_of(
    experiment: Experiment, evidence: Evidence, *, rows: Sequence[Mapping[str, Any]] = (), trained: bool = True
) -> Iterator[Cause]:
    """Every cause that was looked for, in no order; those that were not found have a share of 0."""
    train, val = evidence.train, evidence.val
    yield from of_labels(train, val, experiment.classes)
    if experiment.task.network_type == _DETECTOR:
        yield from of_detectors(experiment, train, val)
    if evidence.loaded is not None:
        yield from of_start(experiment, evidence.loaded)
    if trained:
        if train is not None:
            yield from of_rate(experiment, rows, pictures=train.pictures)
        yield from of_costs(rows)
    known = [one for one in evidence.answers.values() if one.on_objects]
    if known:
        deaf = sum(not one.tells_apart for one in known) / len(known)
        facts = min(known, key=lambda one: one.on_objects[5]).facts
        yield Cause("not_learned", "answers", 0.5 * deaf, facts)
    if isinstance(experiment, Diagnosable):
        yield from experiment.causes(evidence)


def ranked(causes: Iterable[Cause], *, score: float | None) -> list[Cause]:
    """The causes that count, likeliest first; see the top of this module. score: 0..1, None where it is not known."""
    kept = [one for one in causes if one.share >= _LEAST and (score is None or score <= 1 - one.share + 1e-9)]
    best: dict[str, Cause] = {}
    for one in kept:  # of one cause in both splits, the one that takes more
        if one.name not in best or one.share > best[one.name].share:
            best[one.name] = one
    return sorted(best.values(), key=lambda one: (not one.blocks, _STEPS.index(one.step), -one.share))
