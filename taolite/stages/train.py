"""Train a model from a spec into a run folder: weights/NAME.tlt, and everything to go on from if it is interrupted.

A folder that already holds this run is taken up where it stopped, as TAO does, and says so; one that holds another
run is refused. Ctrl-C ends the run between two steps, with a checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from taolite import __version__
from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.errors import DataError, TrainingError
from taolite.events import Event, Listener, Notice, Saved, Validated, silent
from taolite.files import write_text
from taolite.report import plots
from taolite.sinks.base import Sink, guarded
from taolite.sinks.clearml import open_clearml
from taolite.sinks.mlflow import open_mlflow
from taolite.sinks.wandb import open_wandb
from taolite.stages import checkpoint, showing
from taolite.stages.device import Device, Precision, choose, set_deterministic
from taolite.stages.evaluate import Evaluation, score_split
from taolite.stages.loop import Trainer
from taolite.stages.predict import torch_predict
from taolite.stages.record import Recorder
from taolite.tasks.base import Resolve, Start, Task, Watch
from taolite.workspace.manifest import hardware, versions
from taolite.workspace.run import RunFolder, RunIdentity

__all__ = ["Best", "TrainOptions", "TrainReport", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """The machine's side of a run: nothing here changes what is learned, but for the rounding of reduced precision."""

    gpus: int = 1
    gpu_index: Sequence[int] | None = None
    use_amp: bool = False
    precision: Precision = "auto"
    deterministic: bool = False
    workers: int = 2
    mlflow: str = ""  # tracking URI


@dataclass(frozen=True)
class Best:
    """The best validation of a run, and the weights it was of; `value` is the task's metric, 0..1."""

    weights: Path
    epoch: int
    value: float


@dataclass(frozen=True)
class TrainReport:
    """The finished model and what it reached; `evaluation` is the last epoch's."""

    weights: Path
    evaluation: Evaluation
    best: Best
    epochs: int
    seconds: float
    parameters: int


def train(
    task: Task,
    spec_path: Path,
    results: Path,
    *,
    name: str,
    key: Key,
    resolve: Resolve,
    options: TrainOptions,
    listener: Listener = silent,
) -> TrainReport:
    """Train, or go on training.

    Args:
        task: what is trained.
        spec_path: TAO's training spec.
        results: the run folder.
        name: the model's name: weights/NAME.tlt.
        key: seals the model and its checkpoints, and opens a pretrained `.tlt`.
        resolve: maps the spec's paths to this machine's.
        options: where and how to compute.
        listener: hears of progress.

    Raises SpecError, DataError, PathError, ArtifactError, ModelError, TrainingError, StorageError.
    """
    began = time.perf_counter()
    listener(Notice(f"Loading experiment spec at {spec_path}."))
    reading = task.read_spec(spec_path, resolve=resolve)
    spec = reading.model
    for warning in reading.warnings:
        listener(Notice(f"{spec_path}: line {warning.line}: {warning.text}", "warning"))
    start = task.start(spec, resolve=resolve, key=key)
    shapes = task.output_shapes(start.network, spec)
    examples = task.examples(spec, split="train", resolve=resolve, augment=True, output_shapes=shapes)
    held_out = task.examples(spec, split="val", resolve=resolve, augment=False, output_shapes=shapes)
    recipe, schedule, watch = task.recipe(spec), task.schedule(spec), task.watch(spec)
    if len(examples) % recipe.batch_size:
        listener(
            Notice(
                f"Cannot iterate over exactly {len(examples)} samples with a batch size of {recipe.batch_size}; "
                "each epoch will therefore take one extra step."
            )
        )
    for text in dict.fromkeys((*examples.notices, *held_out.notices)):
        listener(Notice(text, "warning"))
    listener(Notice(f"Found {len(examples)} samples in training set"))
    listener(Notice(f"Found {len(held_out)} samples in validation set"))
    _compare_labels(examples, task.classes(spec), spec_path, listener)
    set_deterministic(options.deterministic)
    device = choose(
        gpus=options.gpus,
        gpu_index=options.gpu_index,
        precision=options.precision,
        use_amp=options.use_amp,
        float16=recipe.float16,
    )
    listener(Notice(device.description))
    for text in start.notices:
        listener(Notice(text))
    identity = RunIdentity(task.name, task.spec_text(spec), task.classes(spec), examples.content_hash(), start.parent)
    facts = {
        "spec": spec_path.name,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "classes": ", ".join(task.classes(spec)),
        "device": device.description,
    }
    with (
        RunFolder.open(results, identity) as folder,
        Recorder(
            folder,
            _services(watch, name, folder.root, facts, options, listener),
            costs=schedule.led_by_cost,
            log=watch.log,
            columns=watch.columns,
        ) as record,
        _stop_signals() as stop,
    ):
        trainer = Trainer(
            start.network,
            examples=examples,
            recipe=recipe,
            objective=task.objective(spec),
            schedule=schedule,
            groups=task.parameter_groups(start.network, spec),
            regularised=task.regularised(start.network, spec),
            device=device,
            workers=options.workers,
            listener=_both(record, listener),
            points=watch.points,
            should_stop=stop.is_set,
        )
        listener(Notice(f"Checkpoint interval: {recipe.checkpoint_interval}"))
        listener(Notice(f"Scalars logged at every {trainer.point_every} steps"))
        if watch.every_epochs:
            listener(Notice(f"Images logged at every {watch.every_epochs * trainer.steps_per_epoch} steps"))
        run = _Run(
            task,
            spec,
            start,
            trainer,
            held_out,
            folder,
            folder.weights(name),
            key,
            device,
            options.workers,
            watch,
            record.sinks,
            _both(record, listener),
        )
        folder.record(
            versions=versions(), hardware=hardware(), device=device.description, seed=trainer.recipe.seed, name=name
        )
        for file, text in task.run_files(spec).items():
            write_text(folder.root / file, text)
        run.take_up()
        record.started(task.title)
        first = trainer.first_batch().examples
        plots.first_batch_png(first, task.classes(spec), folder.plots / "first_batch.png")
        evaluation = run.to_the_end(stop)
        weights = run.weights
        parameters = run.save_model(weights, evaluation)
        record.finished(task.title, model=weights, parameters=parameters)
        folder.record(metrics=_metrics(evaluation), parameters=parameters)
    epochs = trainer.step // trainer.steps_per_epoch
    return TrainReport(weights, evaluation, run.best(), epochs, time.perf_counter() - began, parameters)


@dataclass(frozen=True)
class _Run:
    """A run that is under way: what it trains, on what, and where it writes."""

    task: Task
    spec: Any
    start: Start
    trainer: Trainer
    held_out: Examples
    folder: RunFolder
    weights: Path
    key: Key
    device: Device
    workers: int
    watch: Watch
    sinks: Sequence[Sink]
    listener: Listener

    def take_up(self) -> None:
        """Go on from the folder's newest checkpoint, where there is one."""
        trainer = self.trainer
        path = checkpoint.restore_latest(self.folder.checkpoints, trainer, key=self.key, listener=self.listener)
        if path is None:
            return
        epoch, step = divmod(trainer.step, trainer.steps_per_epoch)
        self.folder.metrics.rewind(epoch)
        where = f"epoch {epoch} of {trainer.recipe.epochs}" + (f", step {step} of the next" if step else "")
        self.listener(Notice(f"{path}: this folder holds this run already; going on after {where}"))
        if trainer.finished:
            self.listener(Notice("the run is complete: only the final model is written again"))

    def to_the_end(self, stop: threading.Event) -> Evaluation:
        """Train what is left, with a checkpoint every epoch; the last validation. TrainingError once `stop` is set."""
        trainer, recipe = self.trainer, self.trainer.recipe
        evaluation = None
        while not trainer.finished:
            done = trainer.run_epoch()
            if done is not None:
                self.listener(done)
                if recipe.validates(done.epoch):
                    evaluation = self.validate(done.epoch)
                    if said := trainer.schedule.validated(done.epoch, evaluation.cost):
                        self.listener(Notice(f"epoch {done.epoch}: {said}"))
                if self.watch.every_epochs and done.epoch % self.watch.every_epochs == 0:
                    self.show()
                if done.epoch % recipe.checkpoint_interval == 0 and (recipe.keeps_last or done.epoch < recipe.epochs):
                    self.listener(Notice(f"Saving checkpoints for step-{trainer.step}."))
                    path = self.folder.root / recipe.epoch_model.format(epoch=done.epoch)
                    self.save_model(path, evaluation)
                    self.listener(Saved(path, "last", done.epoch))
                plots.curves_png(self.folder.metrics.read(), self.folder.plots / "curves.png")
            saved = checkpoint.save(self.folder.checkpoints, trainer, key=self.key)
            if stop.is_set():
                epoch, step = divmod(trainer.step, trainer.steps_per_epoch)
                raise TrainingError(
                    f"stopped after epoch {epoch}, step {step} of {trainer.steps_per_epoch}; saved as {saved}. "
                    f"Run the same command again, in the folder {self.folder.root}, to go on from there"
                )
        return evaluation or self.validate(trainer.step // trainer.steps_per_epoch)

    def validate(self, epoch: int) -> Evaluation:
        """Score the network as it stands on what is held out; the best so far is kept beside the last."""
        evaluation = score_split(
            self.task,
            torch_predict(self.trainer.network, self.device),
            self.held_out,
            spec=self.spec,
            objective=self.trainer.objective,
            batch_size=self.trainer.recipe.batch_size,
            workers=self.workers,
            listener=self.listener,
        )
        epochs, step = self.trainer.recipe.epochs, self.trainer.step
        cost, seconds = evaluation.cost, evaluation.seconds_per_image
        self.listener(Validated(epoch, epochs, step, cost, evaluation.card.main, seconds))
        if self.best().epoch == epoch:
            self.save_model(self.best().weights, evaluation)
            self.listener(Saved(self.best().weights, "best", epoch))
        return evaluation

    def best(self) -> Best:
        """The best validation so far: the highest by the task's metric, then the lowest cost, then the earliest."""
        name = self.task.metric.short
        rows = [row for row in self.folder.metrics.read() if row.get(name) is not None]
        row = min(rows, key=lambda row: (-row[name], row["validation_cost"], row["epoch"]))
        path = self.folder.root / self.trainer.recipe.best_model.format(name=self.weights.stem)
        return Best(path, row["epoch"], row[name])

    def show(self) -> None:
        """Give the sinks pictures and histograms of the network as it stands."""
        predict = torch_predict(self.trainer.network, self.device)
        classes, step = self.task.classes(self.spec), self.trainer.step
        pictures = showing.detections(self.task, predict, self.held_out, classes=classes, watch=self.watch)
        histograms = showing.weights(self.trainer.network)
        for sink in self.sinks:
            sink.pictures(pictures, step)
            sink.histograms(histograms, step)

    def save_model(self, path: Path, evaluation: Evaluation | None) -> int:
        """Seal the network as it stands; returns its number of parameters."""
        parameters: int = sum(parameter.numel() for parameter in self.trainer.network.parameters())
        step = {
            "stage": "train",
            "parent": self.start.parent,
            "taolite": __version__,
            "step": self.trainer.step,
            "parameters": parameters,
            "metrics": _metrics(evaluation) if evaluation else {},
        }
        lineage = (*self.start.lineage, step)
        write_bundle(
            path, self.task.bundle(self.trainer.network, spec=self.spec, lineage=lineage, extra={}), key=self.key
        )
        return parameters


def _compare_labels(examples: Examples, classes: Sequence[str], spec_path: Path, listener: Listener) -> None:
    """Warn of labels that no class takes and of classes without a label. DataError where nothing is left to learn."""
    known, unknown = examples.label_counts()
    strangers = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
    if not known:
        found = f"the labels are {strangers}" if unknown else "there is not one label"
        raise DataError(
            f"{spec_path}: no training image has an object of {', '.join(classes)}: {found}; "
            "map the labels' names to these classes in dataset_config.target_class_mapping"
        )
    if unknown:
        text = f"{spec_path}: labels that target_class_mapping does not map are left out: {strangers}"
        listener(Notice(text, "warning"))
    for index, name in enumerate(classes):
        if not known[index]:
            listener(Notice(f"{spec_path}: no training image has an object of {name}; it cannot be learned", "warning"))


def _services(
    watch: Watch, name: str, root: Path, facts: Mapping[str, Any], options: TrainOptions, listener: Listener
) -> list[Sink]:
    """The services that spec and options ask for; one that fails is a warning."""

    def warn(text: str) -> None:
        listener(Notice(text, "warning"))

    opened: list[Sink] = []
    if (wandb := watch.wandb) is not None:
        opened.append(guarded("wandb", lambda: open_wandb(wandb, root, facts), warn))
    if (clearml := watch.clearml) is not None:
        opened.append(guarded("clearml", lambda: open_clearml(clearml, facts), warn))
    if options.mlflow:
        opened.append(guarded("mlflow", lambda: open_mlflow(options.mlflow, name, facts), warn))
    return opened


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    card = evaluation.card
    found: dict[str, Any] = {"validation_cost": evaluation.cost}
    for prefix, metric in (("", card.main), *((f"{name}_", metric) for name, metric in card.beside.items())):
        found[prefix + metric.words.short] = metric.value
        found[prefix + metric.words.of_class] = dict(metric.per_class)
    return found


def _both(*listeners: Listener) -> Listener:
    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set an event that is looked at between steps; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
