"""A run in progress: epochs, validations, models and checkpoints, from the state in its folder to the end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taolite import __version__
from taolite.artifacts.bundle import Bundle, write_bundle
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.dist.world import World
from taolite.errors import StoppedError
from taolite.events import (
    BatchNormsMeasured,
    BegunAnew,
    CostStuck,
    EpochDone,
    Listener,
    ModelKept,
    Notice,
    Saved,
    Validated,
    WentOn,
)
from taolite.report import plots
from taolite.sinks.base import Sink
from taolite.stages.bundles import bundle_of
from taolite.stages.device import Device
from taolite.stages.evaluate import Evaluation, score_split
from taolite.stages.predict import torch_predict
from taolite.stages.training import checkpoint, showing
from taolite.stages.training.loop import Trainer
from taolite.tasks.base import Experiment, Start
from taolite.workspace.run import RunFolder

__all__ = ["Best", "Machine", "Pauses", "Place", "Run", "metrics_of"]


@dataclass(frozen=True)
class Best:
    """The best validation of a run, and its weights; `value` is the task's metric, 0..1."""

    weights: Path
    epoch: int
    value: float


class Pauses:
    """When a run saves its state in the middle of an epoch: once `stop` is set, and after every `every_s` seconds of a
    monotonic clock."""

    def __init__(self, every_s: float, stop: threading.Event, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stop = stop
        self._every_s = every_s
        self._clock = clock
        self._saved_s = clock()

    def due(self) -> bool:
        """Whether to save after this step."""
        return self.stop.is_set() or self._clock() - self._saved_s >= self._every_s

    def saved(self) -> None:
        """Restart the interval."""
        self._saved_s = self._clock()


@dataclass(frozen=True)
class Place:
    """Where a run writes: its folder, its model's name, the key that seals, and how many checkpoints are kept."""

    folder: RunFolder
    name: str
    key: Key
    kept: int

    @property
    def weights(self) -> Path:
        """The finished model."""
        return self.folder.weights(self.name)


@dataclass(frozen=True)
class Machine:
    """What a run computes with: its processes, the device that validates, threads that prepare images, and its
    pauses."""

    world: World
    judge: Device
    workers: int
    pauses: Pauses


@dataclass(frozen=True)
class Run:
    """A run in progress: what it trains, on which data, and where it writes."""

    experiment: Experiment
    start: Start
    trainer: Trainer
    held_out: Examples
    place: Place
    machine: Machine
    sinks: Sequence[Sink]
    listener: Listener

    @property
    def world(self) -> World:
        """The processes of the run."""
        return self.machine.world

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return self.place.folder

    def take_up(self) -> None:
        """Resume from the folder's newest checkpoint, where there is one; the writer reads it for all processes."""
        trainer = self.trainer
        found = self.world.told(
            lambda: checkpoint.newest(self.folder.checkpoints, key=self.place.key, listener=self.listener)
        )
        if found is None:
            if self.world.writes and self.folder.metrics.read():
                self.folder.metrics.replace([])
                self.listener(BegunAnew(self.folder.root))
            self._settle()
            return
        path, state = found
        trainer.restore(state.tensors, state.trainer)
        for text in _elsewhere(state.trainer.get("computed_on", {}), trainer.computed_on):
            self.listener(Notice(text, "warning"))
        if self.world.writes:
            self.folder.metrics.replace(state.metrics)
            checkpoint.keep_newest(self.folder.checkpoints, self.place.kept)
        epoch, step = divmod(trainer.step, trainer.steps_per_epoch)
        self.listener(WentOn(path, epoch, trainer.recipe.epochs, step, trainer.finished))

    def _settle(self) -> None:
        """Measure the batch norms of a just pruned network again: they have the statistics of the larger one."""
        lineage = self.start.lineage
        if lineage and lineage[-1]["stage"] == "prune" and (count := self.trainer.settle()):
            self.listener(BatchNormsMeasured(count))

    def to_the_end(self) -> Evaluation:
        """Train the remaining epochs, with a checkpoint after every epoch and at every pause. Returns the last
        validation. Raises StoppedError once the run was told to stop."""
        trainer = self.trainer
        evaluation = None
        while not trainer.finished:
            done = trainer.run_epoch()
            if done is not None:
                evaluation = self._end_epoch(done, evaluation)
            saved = self.save()
            if self.world.any(self.machine.pauses.stop.is_set()):
                epoch, step = divmod(trainer.step, trainer.steps_per_epoch)
                raise StoppedError(
                    f"after epoch {epoch}, step {step} of {trainer.steps_per_epoch}; saved as {saved}. "
                    f"Run the same command again, in the folder {self.folder.root}, to go on from there"
                )
        return evaluation or self.validate(trainer.step // trainer.steps_per_epoch)

    def _end_epoch(self, done: EpochDone, evaluation: Evaluation | None) -> Evaluation | None:
        """Validate, and write pictures and models, where they are due after an epoch; returns the last validation."""
        trainer, recipe = self.trainer, self.trainer.recipe
        self.listener(done)
        self._tell(trainer.schedule.trained(done.epoch, done.loss + done.penalty))
        if recipe.validates(done.epoch) or trainer.schedule.stopped:
            evaluation = self.validate(done.epoch)
            self._tell(trainer.schedule.validated(done.epoch, evaluation.cost))
        if self.world.writes:
            self._write_epoch(done, evaluation)
        return evaluation

    def _write_epoch(self, done: EpochDone, evaluation: Evaluation | None) -> None:
        """Write the pictures and models that are due after an epoch."""
        trainer, recipe = self.trainer, self.trainer.recipe
        every = self.experiment.watch.every_epochs
        if every and done.epoch % every == 0:
            self.show()
        if done.epoch % recipe.checkpoint_interval == 0 and (recipe.keeps_last or done.epoch < recipe.epochs):
            self.listener(ModelKept(trainer.step))
            cost = evaluation.cost if evaluation else math.nan
            name = recipe.epoch_model.format(epoch=done.epoch, index=done.epoch - 1, cost=cost)
            path = self.folder.root / name
            self.save_model(path, evaluation)
            self.listener(Saved(path, "last", done.epoch))
        rows, picture = self.folder.metrics.read(), self.folder.plots / "curves.png"
        plots.curves_png(rows, picture, words=self.experiment.task.metric)

    def save(self) -> Path:
        """Write a checkpoint: everything needed to resume."""
        folder, path = self.folder, checkpoint.place(self.folder.checkpoints, self.trainer)
        if self.world.writes:
            checkpoint.save(path, self.trainer, metrics=folder.metrics.read(), key=self.place.key, kept=self.place.kept)
        self.machine.pauses.saved()
        return path

    def _tell(self, event: CostStuck | None) -> None:
        if event is not None:
            self.listener(event)

    def validate(self, epoch: int) -> Evaluation:
        """Score the current network on the validation images; the best model so far is kept beside the last."""
        evaluation = score_split(
            self.experiment,
            torch_predict(self.trainer.result, self.machine.judge),
            self.held_out,
            objective=self.trainer.objective,
            batch_size=self.trainer.recipe.batch_size,
            workers=self.machine.workers,
            listener=self.listener,
            world=self.world,
        )
        if not self.world.writes:
            return evaluation
        epochs, step = self.trainer.recipe.epochs, self.trainer.step
        cost, seconds = evaluation.cost, evaluation.seconds_per_image
        self.listener(Validated(epoch, epochs, step, cost, evaluation.card.main, seconds))
        if self.best().epoch == epoch:
            self.save_model(self.best().weights, evaluation)
            self.listener(Saved(self.best().weights, "best", epoch))
        return evaluation

    def best(self) -> Best:
        """The best validation so far: highest metric of the task, then lowest cost, then earliest."""
        name = self.experiment.task.metric.short
        rows = [row for row in self.folder.metrics.read() if row.get(name) is not None]
        row = min(rows, key=lambda row: (-row[name], row["validation_cost"], row["epoch"]))
        path = self.folder.root / self.trainer.recipe.best_model.format(name=self.place.weights.stem)
        return Best(path, row["epoch"], row[name])

    def show(self) -> None:
        """Send pictures and histograms of the current network to the sinks."""
        predict, step = torch_predict(self.trainer.result, self.machine.judge), self.trainer.step
        pictures = showing.detections(self.experiment, predict, self.held_out)
        histograms = showing.weights(self.trainer.result)
        for sink in self.sinks:
            sink.pictures(pictures, step)
            sink.histograms(histograms, step)

    def save_model(self, path: Path, evaluation: Evaluation | None) -> Bundle:
        """Write the current network to a sealed file; returns what is in it."""
        parameters = self.trainer.result.as_stored().parameter_count
        step = {
            "stage": "train",
            "parent": self.start.parent,
            "taolite": __version__,
            **({"teacher": teacher.weights} if (teacher := self.trainer.teacher) else {}),
            "step": self.trainer.step,
            "parameters": parameters,
            "metrics": metrics_of(evaluation) if evaluation else {},
        }
        lineage = (*self.start.lineage, step)
        best = evaluation.card.best if evaluation else {}
        bundle = bundle_of(self.experiment, self.trainer.result, lineage=lineage, best=best)
        write_bundle(path, bundle, key=self.place.key)
        return bundle


def _elsewhere(before: Mapping[str, str | int], now: Mapping[str, str | int]) -> Iterator[str]:
    """A warning for everything that a resumed run computes in another way than before; see `Device.fingerprint`."""
    ways = {"device": "on {}", "dtype": "in {}", "threads": "with --threads {}"}
    for name, way in ways.items():
        if name in before and before[name] != now[name]:
            yield (
                f"the run was computed {way.format(before[name])} so far, and goes on {way.format(now[name])}: its "
                "weights will differ, in their last digits at least, from those of a run that was never stopped"
            )


def metrics_of(evaluation: Evaluation) -> dict[str, Any]:
    """The scores of a validation by name, a JSON value."""
    card = evaluation.card
    found: dict[str, Any] = {"validation_cost": evaluation.cost}
    for prefix, metric in (("", card.main), *((f"{name}_", metric) for name, metric in card.beside.items())):
        found[prefix + metric.words.short] = metric.value
        found[prefix + metric.words.of_class] = dict(metric.per_class)
    return found
