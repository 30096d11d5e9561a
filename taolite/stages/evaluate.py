"""Score a network or an engine on a split, with TAO's own metric and with PASCAL VOC's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.diagnosis import Answers
from taolite.dist.world import ALONE, World
from taolite.events import BatchDone, Listener, Progress, silent
from taolite.sample import Detection, Sample, Truth
from taolite.scorecard import ScoreCard
from taolite.stages.agree import agree
from taolite.stages.decodable import decodable
from taolite.stages.diagnose.answers import answers_of
from taolite.stages.diagnose.diagnose import why_zero
from taolite.stages.finds import shown_indices
from taolite.stages.inference.models import Model
from taolite.stages.scores import write_scores
from taolite.stages.shown import Worst, shown_pictures
from taolite.tasks.base import Experiment, Objective, Outputs, Predict, Split
from taolite.tasks.diagnosing import Diagnosable, Heard
from taolite.tasks.found import Found

__all__ = ["Evaluation", "Told", "Worst", "evaluate", "score_split"]

Told = Callable[[Sample, Sequence[Detection]], None]
"""Called for every picture with the objects found in it, highest score first, in the picture's pixels."""


@dataclass(frozen=True)
class Evaluation:
    """`cost`: mean cost without regularisation. `seconds_per_image`: median over batches, network alone. `worst`: of a
    detector, up to 12 pictures with mistakes, the lowest F1 first; of equal ones that with the most mistakes. `shown`:
    pictures for a report, of any task: the worst, then some of the others. `founds`: in the process that writes, what
    was found in the pictures of `taolite.stages.finds.shown_indices`. `answers`: what the network says of each class
    before any threshold, where the task can tell."""

    card: ScoreCard
    cost: float
    seconds_per_image: float
    worst: tuple[Worst, ...] = ()
    shown: tuple[Worst, ...] = ()
    founds: tuple[Found, ...] = field(default=(), repr=False, compare=False)
    answers: Mapping[str, Answers] = field(default_factory=dict)


def evaluate(
    experiment: Experiment,
    model: Model,
    *,
    split: Split = "test",
    batch_size: int | None = None,
    workers: int = 2,
    skip_corrupt: bool = False,
    told: Told | None = None,
    shown: Path | None = None,
    listener: Listener = silent,
) -> Evaluation:
    """Score an opened model on a split of the experiment's data, without augmentation.

    Args:
        batch_size: images at once; None is the engine's largest batch, or the spec's batch size.
        workers: threads that prepare images.
        skip_corrupt: leave out pictures that cannot be decoded.
        told: called for every picture with the objects found in it.
        shown: folder for the scores as pictures and as JSON (`taolite.stages.scores`); None writes none.

    Raises DataError, PathError; ModelError where the model does not agree with the experiment.
    """
    agree(experiment, model)
    prep = experiment.preprocessing
    blank = np.zeros((1, prep.channels, *prep.input_hw), np.float32)
    shapes = tuple(output.shape[1:] for output in model.predict(blank))
    found = experiment.examples(split, shapes=shapes)
    (examples,) = decodable({"evaluated": found}, skip_corrupt=skip_corrupt, listener=listener)
    for notice in examples.notices:
        listener(notice)
    evaluation = score_split(
        experiment,
        model.predict,
        examples,
        objective=experiment.objective(),
        batch_size=batch_size or model.batch or experiment.recipe.batch_size,
        workers=workers,
        told=told,
        listener=listener,
    )
    why_zero(experiment, evaluation, val=examples, shapes=shapes, listener=listener)
    if shown is not None:
        write_scores(evaluation, examples, experiment.classes, shown)
    return evaluation


def score_split(
    experiment: Experiment,
    predict: Predict,
    examples: Examples,
    *,
    objective: Objective,
    batch_size: int,
    workers: int = 2,
    told: Told | None = None,
    listener: Listener = silent,
    world: World = ALONE,
) -> Evaluation:
    """Score every image of `examples` once; the last batch may be smaller (TAO drops or repeats some, compat).

    Processes take turns with the batches. The results are gathered and scored in one place, so the score does not
    depend on the number of processes.
    """
    task, decoding = experiment.task, experiment.decoding
    groups = [range(start, min(start + batch_size, len(examples))) for start in range(0, len(examples), batch_size)]
    own = groups[world.rank :: world.size]
    judged: list[_Judged] = []
    before_s = time.perf_counter()
    order = [index for group in own for index in group]
    for batch in batches(examples, order, batch_size=batch_size, workers=workers):
        started = time.perf_counter()
        outputs = predict(batch.pixels.contiguous().numpy())
        network_s = time.perf_counter() - started
        with torch.no_grad():
            cost = objective.cost(
                tuple(torch.from_numpy(np.ascontiguousarray(o)) for o in outputs), batch.targets, training=False
            )
        found = [
            task.decode(tuple(output[index] for output in outputs), decoding, preprocessing=examples.preprocessing)
            for index in range(len(batch.examples))
        ]
        truths = [example.truth for example in batch.examples]
        judged.append(_Judged(found, truths, float(cost.total), network_s, _heard(experiment, outputs, truths)))
        world.alive()
        listener(Progress("evaluate", min(len(judged) * batch_size * world.size, len(examples)), len(examples)))
        before_s, batch_s = time.perf_counter(), time.perf_counter() - before_s
        readings = {"loss": judged[-1].cost, **cost.parts}
        listener(BatchDone(None, len(judged), len(own), len(batch.examples), batch_s, 0.0, readings))
    everything = [batch for turn in zip_longest(*world.collected(judged)) for batch in turn if batch is not None]
    if told is not None and world.writes:
        names, prep = experiment.classes, examples.preprocessing
        for sample, one in zip(examples.samples, (one for batch in everything for one in batch.found), strict=True):
            told(sample, one.in_photo(names, preprocessing=prep, photo_hw=sample.size_hw))
    evaluation = world.told(lambda: _scored(experiment, everything, examples))
    if not world.writes:
        return evaluation
    founds = [one for batch in everything for one in batch.found]
    return replace(evaluation, founds=tuple(founds[index] for index in shown_indices(len(founds))))


@dataclass(frozen=True)
class _Judged:
    """One batch: predicted and true objects of its images, its cost, the network's seconds, and its answers."""

    found: Sequence[Found]
    truths: Sequence[Truth]
    cost: float
    seconds: float
    heard: Sequence[Heard | None]


def _heard(experiment: Experiment, outputs: Outputs, truths: Sequence[Truth]) -> list[Heard | None]:
    """The answers for each image of a batch, where the task can tell them."""
    if not isinstance(experiment, Diagnosable):
        return [None] * len(truths)
    return [experiment.heard(tuple(output[index] for output in outputs), truth) for index, truth in enumerate(truths)]


def _scored(experiment: Experiment, judged: Sequence[_Judged], examples: Examples) -> Evaluation:
    """The score of all batches, in the order of the examples."""
    found = [one for batch in judged for one in batch.found]
    truths = [truth for batch in judged for truth in batch.truths]
    card = experiment.score(truths, found, photos=[sample.size_hw for sample in examples.samples])
    mean_cost = sum(batch.cost * len(batch.found) for batch in judged) / len(found)
    seconds = float(np.median([batch.seconds / len(batch.found) for batch in judged]))
    worst, others = shown_pictures(experiment, card, truths, found, examples)
    answers = answers_of(experiment.classes, [one for batch in judged for one in batch.heard], truths, found)
    mistaken = worst if card.pictures else ()
    return Evaluation(card, mean_cost, seconds, mistaken, (*worst, *others), answers=answers)
