"""Can the experiment learn one batch by heart? If not, more data and more epochs do not help.

The network of the spec, with its weights, cost, optimiser and highest learning rate, sees the same few pictures again
and again, without augmentation. Nothing is written.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch

from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.errors import DataError
from taolite.events import EpochDone, Listener, Progress, silent
from taolite.nn.batchnorm import measure_statistics
from taolite.scorecard import ScoreCard
from taolite.stages.device import Device
from taolite.stages.evaluate import score_split
from taolite.stages.predict import torch_predict
from taolite.stages.training.loop import Trainer
from taolite.tasks.base import Experiment
from taolite.tasks.schedules import Fixed

__all__ = ["Overfit", "overfit"]

_MOST_PICTURES = 8
_PLACES = 1e3  # rates are looked at in so many places of the run


@dataclass(frozen=True)
class Overfit:
    """How one batch was learned.

    Attributes:
        pictures, objects: in the batch.
        steps, seconds: of the training; `in_time` is False where the time was up before the steps were done.
        rate: learning rate, the highest of the spec's schedule.
        first, last: the cost at the first and at the last step, without the penalty.
        found: share of the objects that are found with an IoU of 0.5 or more, 0..1; None for a classifier.
        metric, score: the main metric of the batch, 0..1.
    """

    pictures: int
    objects: int
    steps: int
    seconds: float
    in_time: bool
    rate: float
    first: float
    last: float
    found: float | None
    metric: str
    score: float

    @property
    def falls(self) -> bool:
        """Whether the cost fell to less than half."""
        return self.last < 0.5 * self.first

    @property
    def learned(self) -> bool:
        """Whether the batch was learned: most of its objects are found."""
        return (self.score if self.found is None else self.found) >= 0.5


def overfit(
    experiment: Experiment, *, key: Key | None, steps: int = 100, seconds: float = 300.0, listener: Listener = silent
) -> Overfit:
    """Train on one batch, on the processor, for at most `steps` steps and about `seconds` seconds.

    Raises DataError where no training picture has a label; PathError, ArtifactError, ModelError as a training does.
    """
    start, recipe = experiment.start(key=key), experiment.recipe
    examples = _labelled(experiment.examples("train", shapes=start.shapes), min(recipe.batch_size, _MOST_PICTURES))
    schedule = experiment.schedule()
    rate = max(schedule.rate(recipe.epochs * place / _PLACES) for place in range(int(_PLACES)))
    costs: list[EpochDone] = []
    began = time.monotonic()
    trainer = Trainer(
        start,
        examples=examples,
        recipe=dataclasses.replace(recipe, epochs=steps, batch_size=len(examples), mix=None, decay=0.0, average=0.0),
        objective=experiment.objective(),
        schedule=_Constant(rate),
        device=Device(torch.device("cpu"), None),
        workers=0,
        listener=silent,
    )
    while not trainer.finished and time.monotonic() - began < seconds:
        done = trainer.run_epoch()
        assert done is not None, "nothing pauses this training"
        costs.append(done)
        listener(Progress("one batch", len(costs), steps, "step", f"loss {done.loss:.5f}"))
    _settle(trainer, examples)
    evaluation = score_split(
        experiment,
        torch_predict(trainer.result, Device(torch.device("cpu"), None)),
        examples,
        objective=experiment.objective(),
        batch_size=len(examples),
        workers=0,
    )
    card = evaluation.card
    return Overfit(
        len(examples),
        sum(len(examples.truth(place).boxes_n4) for place in range(len(examples))),
        len(costs),
        time.monotonic() - began,
        trainer.finished,
        rate,
        costs[0].loss,
        costs[-1].loss,
        _found(card),
        card.main.words.short,
        card.main.value,
    )


def _settle(trainer: Trainer, examples: Examples) -> None:
    """Measure the batch norms on the batch: their moving statistics are behind after so few steps."""
    network = trainer.network.train()
    batch = next(batches(examples, range(len(examples)), batch_size=len(examples)))
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d) and layer.training]
    measure_statistics(layers, (network(batch.pixels) for _ in range(1)))


def _labelled(examples: Examples, count: int) -> Examples:
    """The first `count` pictures with objects."""
    kept, sources = 0, []
    place = 0
    for source in examples.sources:
        mine = []
        for sample in source.samples:
            if kept < count and len(examples.truth(place).boxes_n4):
                mine.append(sample)
                kept += 1
            place += 1
            if kept == count:
                break
        sources.append(dataclasses.replace(source, samples=mine))
        if kept == count:
            break
    if not kept:
        raise DataError("no training picture has a label of these classes, so there is nothing to learn by heart")
    return dataclasses.replace(examples, sources=sources)


def _found(card: ScoreCard) -> float | None:
    """The share of the objects that are found at the best threshold of their class; None where no boxes are found."""
    total = sum(card.objects.values())
    if not card.pictures or not total:
        return None
    return sum(count * card.best[name].recall for name, count in card.objects.items() if name in card.best) / total


class _Constant(Fixed):
    """The same rate all the time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def rate(self, elapsed: float) -> float:
        return self._rate
