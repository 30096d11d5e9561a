"""Train a model from a spec into a run folder: weights/NAME.tlt, and all that is needed to resume.

A folder that already holds this run is resumed where it stopped, as TAO does, with a message; a folder that holds
another run is refused. Ctrl-C and SIGTERM end the run between two steps, with a checkpoint.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from taolite.artifacts.bundle import weights_hash
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.dist.world import ALONE, World
from taolite.errors import DataError, TrainingError, UsageError
from taolite.events import (
    BatchShared,
    ClassesMissing,
    DataFound,
    Event,
    Intervals,
    LabelsLeftOut,
    Listener,
    Notice,
    Taught,
    silent,
)
from taolite.files import write_text
from taolite.report import plots
from taolite.sinks.base import Sink, guarded
from taolite.sinks.clearml import open_clearml
from taolite.sinks.mlflow import open_mlflow
from taolite.sinks.wandb import open_wandb
from taolite.stages.decodable import decodable
from taolite.stages.device import Device, Precision, choose, set_deterministic
from taolite.stages.diagnose.diagnose import why_zero
from taolite.stages.evaluate import Evaluation
from taolite.stages.labels import write_labels
from taolite.stages.reporting import write_report
from taolite.stages.scores import write_scores
from taolite.stages.training.loop import Trainer
from taolite.stages.training.record import Recorder
from taolite.stages.training.run import Best, Machine, Pauses, Place, Run, metrics_of
from taolite.stages.training.teacher import Teacher, open_teacher
from taolite.tasks.base import Experiment, Recipe, Schedule, Start, Watch
from taolite.workspace.manifest import hardware, versions
from taolite.workspace.run import RunFolder, RunIdentity, check_model_name

__all__ = ["Best", "TrainOptions", "TrainReport", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """The machine's settings of a run: they do not change what is learned, except by the rounding of reduced precision
    and by the number of images in a step."""

    gpus: int = 1
    gpu_index: Sequence[int] | None = None
    use_amp: bool = False
    precision: Precision = "auto"
    deterministic: bool = False
    workers: int = 2
    mlflow: str = ""  # tracking URI
    checkpoint_minutes: float = 10.0  # between checkpoints within an epoch
    checkpoints_kept: int = 2
    resume: bool = False  # resume an existing run; never begin a new one
    skip_corrupt: bool = False  # leave out pictures that cannot be decoded
    global_batch_size: int | None = None  # images a step, all processes together; None: the spec's times their number
    world: World = ALONE


@dataclass(frozen=True)
class TrainReport:
    """The finished model and its scores; `evaluation` is the last epoch's."""

    weights: Path
    evaluation: Evaluation
    best: Best
    epochs: int
    seconds: float
    parameters: int


def train(
    experiment: Experiment,
    results: Path,
    *,
    name: str,
    key: Key,
    options: TrainOptions,
    listener: Listener = silent,
    admit: Callable[[RunIdentity], Mapping[str, Any]] = lambda identity: {},
) -> TrainReport:
    """Train, or resume training.

    Args:
        experiment: network, data and recipe.
        results: the run folder.
        name: the model's name: weights/NAME.tlt.
        key: seals the model and its checkpoints, and opens a pretrained `.tlt`.
        options: where and how to compute.
        listener: is told of progress.
        admit: is told what the run is before its folder is touched; raises to refuse it, or returns facts for its
            manifest.

    Raises UsageError, SpecError, DataError, PathError, ArtifactError, ModelError, TrainingError, StorageError.
    """
    began, world = time.perf_counter(), options.world
    check_model_name(name)
    listener = listener if world.writes else silent
    if options.resume and world.writes and not (results / "manifest.json").exists():
        raise TrainingError(f"--resume: {results} holds no run to go on with; leave it out to begin one there")
    plan = _plan(experiment, key=key, options=options, listener=listener)
    start, watch, title = plan.start, experiment.watch, experiment.task.title
    identity = RunIdentity(
        experiment.task.name,
        experiment.text,
        experiment.classes,
        plan.examples.content_hash(),
        start.parent,
        plan.teacher.weights if plan.teacher else "",
    )
    noted = admit(identity)
    with ExitStack() as opened:
        folder, record = RunFolder(results, identity, resumed=False), None
        if world.writes:
            folder = opened.enter_context(RunFolder.open(results, identity))
            folder.record(**noted)
            for text in () if folder.resumed else start.notices:
                listener(Notice(text))
            services = _services(watch, name, folder.root, _facts(experiment, plan), options, listener)
            record = opened.enter_context(
                Recorder(folder, services, costs=plan.schedule.led_by_cost, log=watch.log, columns=watch.columns)
            )
        hear = _both(record, listener) if record else silent
        judge = plan.device.exact if options.precision == "auto" else plan.device
        pauses = Pauses(60 * options.checkpoint_minutes, opened.enter_context(_stop_signals()))
        batch_size = world.told(lambda: _batch_size(folder, experiment.recipe, options, listener))
        trainer = _trainer(experiment, plan, options, batch_size=batch_size, listener=hear, should_pause=pauses.due)
        listener(DataFound(len(plan.examples), len(plan.held_out), trainer.batch_size))
        _tell_intervals(trainer, watch, listener)
        run = Run(
            experiment,
            start=start,
            trainer=trainer,
            held_out=plan.held_out,
            place=Place(folder, name, key, kept=options.checkpoints_kept),
            machine=Machine(world, judge, options.workers, pauses),
            sinks=record.sinks if record else (),
            listener=hear,
        )
        if record:
            _note_start(experiment, plan, trainer, folder, name=name, options=options)
        run.take_up()
        if record:
            record.started(title)
            first = trainer.first_batch().examples
            plots.first_batch_png(first, experiment.classes, folder.plots / "first_batch.png")
        evaluation = run.to_the_end()
        if record:
            bundle = run.save_model(run.place.weights, evaluation)
            parameters = trainer.result.as_stored().parameter_count
            record.finished(title, model=run.place.weights, parameters=parameters)
            weights = weights_hash(bundle.tensors)
            folder.record(metrics=metrics_of(evaluation), parameters=parameters, weights_sha256=weights)
            write_scores(evaluation, plan.held_out, experiment.classes, folder.root)
            why_zero(
                experiment,
                evaluation,
                val=plan.held_out,
                train=plan.examples,
                shapes=start.shapes,
                rows=folder.metrics.read(),
                random_start=not start.parent,
                loaded=start.loaded,
                folder=folder.root,
                listener=hear,
            )
            write_report(folder.root, key=key, finished=True)
        best = world.told(run.best)
    epochs = trainer.step // trainer.steps_per_epoch
    parameters = trainer.network.as_stored().parameter_count
    return TrainReport(run.place.weights, evaluation, best, epochs, time.perf_counter() - began, parameters)


def _note_start(
    experiment: Experiment, plan: _Plan, trainer: Trainer, folder: RunFolder, *, name: str, options: TrainOptions
) -> None:
    """Write what the run folder holds from the beginning."""
    folder.record(
        versions=versions(),
        hardware=hardware(),
        device=asdict(plan.device.computing),
        seed=experiment.recipe.seed,
        name=name,
        metric=experiment.task.metric.short,
        batch_size=trainer.batch_size,
        options={
            "precision": options.precision,
            "use_amp": options.use_amp,
            "deterministic": options.deterministic,
            "skip_corrupt": options.skip_corrupt,
            "processes": options.world.size,
        },
        started_in=os.getcwd(),  # noqa: PTH109  (relative paths of the spec are seen from here)
        **({"start_model": experiment.weights} if experiment.weights else {}),
        **({"loaded": plan.start.loaded.to_json()} if plan.start.loaded else {}),
    )
    for file, text in experiment.run_files.items():
        write_text(folder.root / file, text)
    write_labels(folder.root, {"train": plan.examples, "val": plan.held_out}, experiment.classes)


def _batch_size(folder: RunFolder, recipe: Recipe, options: TrainOptions, listener: Listener) -> int:
    """Images a step over all processes: that of the run in the folder; else the one asked for; else the spec's, which
    is for each process."""
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
        listener(BatchShared(wanted, size, recipe.batch_size))
    return wanted


@dataclass(frozen=True)
class _Plan:
    """An experiment prepared for this machine, before a run folder is touched."""

    start: Start
    examples: Examples
    held_out: Examples
    schedule: Schedule
    device: Device
    teacher: Teacher | None


def _plan(experiment: Experiment, *, key: Key, options: TrainOptions, listener: Listener) -> _Plan:
    """Read the data, build the network and choose the device; the listener is told of anything unusual."""
    start = experiment.start(key=key)
    teacher = open_teacher(experiment, start, key=key)
    if teacher is not None:
        listener(Taught(teacher.file, teacher.network.parameter_count, teacher.weight, teacher.temperature))
    learned = experiment.examples("train", augment=True, shapes=start.shapes)
    judged = experiment.examples("val", shapes=start.shapes)
    examples, held_out = decodable(
        {"training": learned, "validation": judged},
        skip_corrupt=options.skip_corrupt,
        world=options.world,
        listener=listener,
    )
    for notice in dict.fromkeys((*examples.notices, *held_out.notices)):
        listener(notice)
    _compare_labels(examples, experiment, listener)
    set_deterministic(options.deterministic)
    device = choose(
        gpus=max(options.gpus, options.world.local_size),
        place=options.world.local_rank,
        gpu_index=options.gpu_index,
        precision=options.precision,
        use_amp=options.use_amp,
        float16=experiment.recipe.float16,
    )
    listener(device.computing)
    return _Plan(start, examples, held_out, experiment.schedule(), device, teacher)


def _trainer(
    experiment: Experiment,
    plan: _Plan,
    options: TrainOptions,
    *,
    batch_size: int,
    listener: Listener,
    should_pause: Callable[[], bool],
) -> Trainer:
    return Trainer(
        plan.start,
        examples=plan.examples,
        recipe=experiment.recipe,
        objective=experiment.objective(),
        schedule=plan.schedule,
        device=plan.device,
        workers=options.workers,
        listener=listener,
        batch_size=batch_size,
        world=options.world,
        points=experiment.watch.points,
        should_pause=should_pause,
        teacher=plan.teacher,
    )


def _facts(experiment: Experiment, plan: _Plan) -> dict[str, Any]:
    """The run's settings that a service shows."""
    recipe = experiment.recipe
    return {
        "spec": Path(experiment.source).name,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "classes": ", ".join(experiment.classes),
        "device": plan.device.name or "processor",
    }


def _tell_intervals(trainer: Trainer, watch: Watch, listener: Listener) -> None:
    pictures = watch.every_epochs * trainer.steps_per_epoch if watch.every_epochs else None
    listener(Intervals(trainer.recipe.checkpoint_interval, trainer.point_every, pictures))


def _compare_labels(examples: Examples, experiment: Experiment, listener: Listener) -> None:
    """Warn of labels that no class takes and of classes without a label. DataError where no label is left."""
    classes, spec = experiment.classes, experiment.source
    known, unknown = examples.label_counts()
    strangers = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
    if not known:
        found = f"the labels are {strangers}" if unknown else "there is not one label"
        raise DataError(
            f"{spec}: no training image has a label of {', '.join(classes)}: {found}; "
            "map the labels' names to these classes in dataset_config.target_class_mapping"
        )
    if unknown:
        listener(LabelsLeftOut(spec, unknown))
    if missing := tuple(name for index, name in enumerate(classes) if not known[index]):
        listener(ClassesMissing(spec, missing))


def _services(
    watch: Watch, name: str, root: Path, facts: Mapping[str, Any], options: TrainOptions, listener: Listener
) -> list[Sink]:
    """The services that spec and options ask for; a service that fails causes a warning."""

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
    """Ctrl-C and SIGTERM set an event that is checked between steps; a second Ctrl-C interrupts at once."""
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
