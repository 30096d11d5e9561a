"""Train a model from a spec into a run folder: weights/NAME.tlt, and everything to go on from if it is interrupted.

A folder that already holds this run is taken up where it stopped, as TAO does, and says so; one that holds another
run is refused. Ctrl-C and SIGTERM end the run between two steps, with a checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.dist.world import ALONE, World
from taolite.errors import DataError, TrainingError, UsageError
from taolite.events import Event, Listener, Notice, silent
from taolite.files import write_text
from taolite.report import plots
from taolite.sinks.base import Sink, guarded
from taolite.sinks.clearml import open_clearml
from taolite.sinks.mlflow import open_mlflow
from taolite.sinks.wandb import open_wandb
from taolite.stages.device import Device, Precision, choose, set_deterministic
from taolite.stages.evaluate import Evaluation
from taolite.stages.loop import Trainer
from taolite.stages.record import Recorder
from taolite.stages.underway import Best, Pauses, Run, metrics_of
from taolite.tasks.base import Recipe, Resolve, Schedule, Start, Task, Watch
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
    checkpoint_minutes: float = 10.0  # between checkpoints within an epoch
    checkpoints_kept: int = 2
    resume: bool = False  # only go on with a run that is there
    global_batch_size: int | None = None  # images a step over all processes; else the spec's times their number
    world: World = ALONE


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
    began, world = time.perf_counter(), options.world
    listener = listener if world.writes else silent
    if options.resume and world.writes and not (results / "manifest.json").exists():
        raise TrainingError(f"--resume: {results} holds no run to go on with; leave it out to begin one there")
    listener(Notice(f"Loading experiment spec at {spec_path}."))
    plan = _plan(task, spec_path, key=key, resolve=resolve, options=options, listener=listener)
    spec, start, recipe, watch, device = plan.spec, plan.start, plan.recipe, plan.watch, plan.device
    identity = RunIdentity(
        task.name, task.spec_text(spec), task.classes(spec), plan.examples.content_hash(), start.parent
    )
    with ExitStack() as opened:
        folder, record = RunFolder(results, identity, resumed=False), None
        if world.writes:
            folder = opened.enter_context(RunFolder.open(results, identity))
            for text in () if folder.resumed else start.notices:
                listener(Notice(text))
            services = _services(watch, name, folder.root, _facts(task, spec_path, plan), options, listener)
            record = opened.enter_context(
                Recorder(folder, services, costs=plan.schedule.led_by_cost, log=watch.log, columns=watch.columns)
            )
        hear = _both(record, listener) if record else silent
        pauses = Pauses(60 * options.checkpoint_minutes, opened.enter_context(_stop_signals()))
        batch_size = world.told(lambda: _batch_size(folder, recipe, options, listener))
        trainer = _trainer(task, plan, options, batch_size=batch_size, listener=hear, should_pause=pauses.due)
        _tell_data(plan, trainer, listener)
        _tell_intervals(trainer, watch, listener)
        run = Run(
            task,
            spec,
            start,
            trainer,
            world,
            plan.held_out,
            folder,
            folder.weights(name),
            key,
            device,
            options.workers,
            options.checkpoints_kept,
            pauses,
            watch,
            record.sinks if record else (),
            hear,
        )
        if record:
            _note_start(task, plan, trainer, folder, name=name)
        run.take_up()
        if record:
            record.started(task.title)
            first = trainer.first_batch().examples
            plots.first_batch_png(first, task.classes(spec), folder.plots / "first_batch.png")
        evaluation = run.to_the_end()
        if record:
            parameters = run.save_model(run.weights, evaluation)
            record.finished(task.title, model=run.weights, parameters=parameters)
            folder.record(metrics=metrics_of(evaluation), parameters=parameters)
        best = world.told(run.best)
    epochs = trainer.step // trainer.steps_per_epoch
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    return TrainReport(run.weights, evaluation, best, epochs, time.perf_counter() - began, parameters)


def _note_start(task: Task, plan: _Plan, trainer: Trainer, folder: RunFolder, *, name: str) -> None:
    """What the run folder holds from the beginning."""
    folder.record(
        versions=versions(),
        hardware=hardware(),
        device=plan.device.description,
        seed=plan.recipe.seed,
        name=name,
        batch_size=trainer.batch_size,
    )
    for file, text in task.run_files(plan.spec).items():
        write_text(folder.root / file, text)


def _batch_size(folder: RunFolder, recipe: Recipe, options: TrainOptions, listener: Listener) -> int:
    """Images a step over all processes: what the run in the folder has, else what is asked for, else the spec's of
    each process."""
    size, asked = options.world.size, options.global_batch_size
    own = folder.recorded("batch_size", int) if folder.resumed else None
    if own and asked and own != asked:
        raise TrainingError(
            f"{folder.root}: this run has {own} images a step, and --global_batch_size asks for {asked}; leave it out, "
            "or choose another folder (-r, --model-dir)"
        )
    wanted: int = own or asked or recipe.batch_size * size
    if wanted < size:
        raise UsageError(f"{wanted} images a step cannot be shared by {size} processes; take {wanted} or fewer")
    if wanted != recipe.batch_size:
        each = "" if size == 1 else f" over {size} processes"
        listener(Notice(f"{wanted} images a step{each}; batch_size_per_gpu is {recipe.batch_size}"))
    return wanted


@dataclass(frozen=True)
class _Plan:
    """What a spec comes to on this machine, before a run folder is touched."""

    spec: Any
    start: Start
    examples: Examples
    held_out: Examples
    recipe: Recipe
    schedule: Schedule
    watch: Watch
    device: Device


def _plan(
    task: Task, spec_path: Path, *, key: Key, resolve: Resolve, options: TrainOptions, listener: Listener
) -> _Plan:
    """Read the spec and its data, build the network and choose the device; what is odd is told."""
    reading = task.read_spec(spec_path, resolve=resolve)
    spec = reading.model
    for warning in reading.warnings:
        listener(Notice(f"{spec_path}: line {warning.line}: {warning.text}", "warning"))
    start = task.start(spec, resolve=resolve, key=key)
    shapes = task.output_shapes(start.network, spec)
    examples = task.examples(spec, split="train", resolve=resolve, augment=True, output_shapes=shapes)
    held_out = task.examples(spec, split="val", resolve=resolve, augment=False, output_shapes=shapes)
    recipe = task.recipe(spec)
    for notice in dict.fromkeys((*examples.notices, *held_out.notices)):
        listener(notice)
    _compare_labels(examples, task.classes(spec), spec_path, listener)
    set_deterministic(options.deterministic)
    device = choose(
        gpus=max(options.gpus, options.world.local_size),
        place=options.world.local_rank,
        gpu_index=options.gpu_index,
        precision=options.precision,
        use_amp=options.use_amp,
        float16=recipe.float16,
    )
    listener(Notice(device.description))
    return _Plan(spec, start, examples, held_out, recipe, task.schedule(spec), task.watch(spec), device)


def _trainer(
    task: Task,
    plan: _Plan,
    options: TrainOptions,
    *,
    batch_size: int,
    listener: Listener,
    should_pause: Callable[[], bool],
) -> Trainer:
    network = plan.start.network
    return Trainer(
        network,
        examples=plan.examples,
        recipe=plan.recipe,
        objective=task.objective(plan.spec),
        schedule=plan.schedule,
        groups=task.parameter_groups(network, plan.spec),
        regularised=task.regularised(network, plan.spec),
        device=plan.device,
        workers=options.workers,
        listener=listener,
        batch_size=batch_size,
        world=options.world,
        points=plan.watch.points,
        should_pause=should_pause,
    )


def _facts(task: Task, spec_path: Path, plan: _Plan) -> dict[str, Any]:
    """What a service shows of the run's settings."""
    return {
        "spec": spec_path.name,
        "epochs": plan.recipe.epochs,
        "batch_size": plan.recipe.batch_size,
        "seed": plan.recipe.seed,
        "classes": ", ".join(task.classes(plan.spec)),
        "device": plan.device.description,
    }


def _tell_data(plan: _Plan, trainer: Trainer, listener: Listener) -> None:
    count = len(plan.examples)
    if count % trainer.batch_size:
        listener(
            Notice(
                f"Cannot iterate over exactly {count} samples with a batch size of {trainer.batch_size}; "
                "each epoch will therefore take one extra step."
            )
        )
    listener(Notice(f"Found {count} samples in training set"))
    listener(Notice(f"Found {len(plan.held_out)} samples in validation set"))


def _tell_intervals(trainer: Trainer, watch: Watch, listener: Listener) -> None:
    listener(Notice(f"Checkpoint interval: {trainer.recipe.checkpoint_interval}"))
    listener(Notice(f"Scalars logged at every {trainer.point_every} steps"))
    if watch.every_epochs:
        listener(Notice(f"Images logged at every {watch.every_epochs * trainer.steps_per_epoch} steps"))


def _compare_labels(examples: Examples, classes: Sequence[str], spec_path: Path, listener: Listener) -> None:
    """Warn of labels that no class takes and of classes without a label. DataError where nothing is left to learn."""
    known, unknown = examples.label_counts()
    strangers = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
    if not known:
        found = f"the labels are {strangers}" if unknown else "there is not one label"
        raise DataError(
            f"{spec_path}: no training image has a label of {', '.join(classes)}: {found}; "
            "map the labels' names to these classes in dataset_config.target_class_mapping"
        )
    if unknown:
        text = f"{spec_path}: labels that target_class_mapping does not map are left out: {strangers}"
        listener(Notice(text, "warning"))
    if missing := ", ".join(name for index, name in enumerate(classes) if not known[index]):
        text = f"{spec_path}: no training image has a label of {missing}, which cannot be learned"
        listener(Notice(text, "warning"))


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
