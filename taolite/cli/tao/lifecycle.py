"""What the command lines of all networks share. The stages are the same; the flags and the printed text differ.

A network's task is its flags and a function of the parsed options. `Network` says which network a task belongs to; the
options carry it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from taolite.cli import keys
from taolite.cli.parsing import TaoParser, positive
from taolite.cli.processes import in_processes, world_of
from taolite.cli.settings import set_flag_of_tao
from taolite.errors import StorageError, UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.dist.world import World
    from taolite.events import Listener
    from taolite.spec import Reading
    from taolite.stages.evaluate import Evaluation
    from taolite.stages.exporting.calibrate import CalibrationOptions
    from taolite.stages.exporting.export import Border
    from taolite.stages.exporting.gate import GateSettings
    from taolite.stages.training.train import TrainReport
    from taolite.tasks.base import Experiment, Split
    from taolite.workspace.mounts import Mounts
    from taolite.workspace.status import StatusFile

__all__ = [
    "AddFlags",
    "Network",
    "Run",
    "add_tasks",
    "at_work",
    "logged",
    "mounts_of",
    "opening_key",
    "print_details",
    "run_calibration_tensorfile",
    "run_export",
    "run_gen_trt_engine",
    "scored",
    "sealing_key",
    "status_of",
    "told",
    "trained",
]

Run = Callable[[argparse.Namespace], int]
Bound = TypeVar("Bound", bound="Experiment")
AddFlags = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Network:
    """A network's name, its name in TAO's container, and its spelling in TAO's messages."""

    task: str
    program: str
    title: str


def add_tasks(
    parser: TaoParser, common: AddFlags, rows: Sequence[tuple[AddFlags, Run, str]], *, network: Network
) -> argparse._SubParsersAction[Any]:
    """Add a sub-command for each row: the function that adds its flags, whose name is the task's; the function it runs;
    its help."""
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    parser.tasks = [add_flags.__name__ for add_flags, _, _ in rows]
    for add_flags, run, line in rows:
        task = tasks.add_parser(add_flags.__name__, help=line, description=line)
        add_flags(task)
        set_flag_of_tao(task)
        common(task)
        task.set_defaults(run=partial(logged, run), network=network)
    return tasks


def logged(run: Run, options: argparse.Namespace) -> int:
    """Run a task. Where --log_file is given, its output is appended to that file."""
    if options.gpus < 1:
        raise UsageError(f"--gpus {options.gpus}: At least 1 GPU required to run any task; leave the flag out for one")
    if options.task != "train" and max(options.gpus, options.num_processes) > 1:
        raise UsageError(f"Please use only 1 GPU for the task {options.task}; leave --gpus and -np at 1")
    if options.num_processes >= 0 and options.num_processes != options.gpus:
        raise UsageError(
            f"--num_processes {options.num_processes} with --gpus {options.gpus}: a process needs a GPU of its own; "
            "give both the same number, or leave --num_processes out"
        )
    if options.launch_cuda_blocking:
        os.environ["CUDA_LAUNCH_BLOCKING"] = "1"  # read when torch is imported, by the task
    if options.use_amp and options.task != "train":
        raise UsageError("--use_amp: mixed precision is for train only; leave it out")
    if options.task in ("train", "evaluate"):
        run = partial(_timed, run)
    if options.task == "train":
        run = partial(_with_key, partial(in_processes, run))
    if options.log_file is None:
        return run(options)
    try:
        options.log_file.parent.mkdir(parents=True, exist_ok=True)
        log = open(options.log_file, "a", encoding="utf-8")  # noqa: SIM115  (closed by the stack below)
    except OSError as error:
        raise StorageError(f"--log_file {options.log_file}: cannot be written ({error.strerror})") from error
    with log, redirect_stdout(log), redirect_stderr(log):
        return run(options)


def _with_key(run: Run, options: argparse.Namespace) -> int:
    """Run a training after asking for the key, because its processes may have no terminal to ask at."""
    from taolite.artifacts.keys import terminal_prompt, variable

    prompt = terminal_prompt()
    if options.key is None and not variable() and prompt is not None:
        options.key = keys.option_of(prompt("key: "))
    return run(options)


def _timed(run: Run, options: argparse.Namespace) -> int:
    """Run a task and print its duration in TAO's words, on stderr: stdout is for the report alone."""
    began = time.monotonic()
    code = run(options)
    taken = timedelta(seconds=time.monotonic() - began)
    print(f"Time taken to run {options.network.program} {options.task}:main: {taken}.", file=sys.stderr)
    return code


def run_export(options: argparse.Namespace, *, border: Border | None = None) -> int:
    from taolite.cli.progress import Terminal
    from taolite.cli.render import gate_block, int8_block
    from taolite.stages.exporting.export import TAOS, export_model
    from taolite.stages.trained import open_trained

    mounts = mounts_of(options)
    key = sealing_key(options)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "export"):
        model = open_trained(mounts.resolve(options.model), key=key, of=options.network.task)
        experiment = _named_experiment(options, mounts, classes=model.bundle.classes)
        report = export_model(
            model,
            mounts.resolve(options.output_file) if options.output_file else None,
            key=key,
            experiment=experiment,
            precision=options.data_type,
            calibration=_calibration_options(options, mounts, experiment),
            opset=options.target_opset,
            static_batch=options.static_batch_size if options.static_batch_size > 0 else None,
            gen_ds_config=options.gen_ds_config,
            border=border or TAOS,
            gate=_gate_settings(options),
            overwrite=options.force,
            listener=show,
        )
    worst = max(report.differences.values())
    sealed = "sealed with the key" if report.sealed else "plain ONNX"
    print(f"exported: {report.output} ({sealed}, {report.precision}, {report.onnx_bytes / 1e6:.2f} MB of ONNX)")
    print(f"largest difference from the trained network: {worst:.1e}, on the images of the check")
    print(f"{report.parameters:,} numbers in its graph (batch norms folded), {report.macs / 1e9:.2f} GMACs an image")
    if report.int8 is not None:
        print(int8_block(report.int8, scored=report.gate is not None))
    if report.gate is not None:
        print(gate_block(report.gate, precision=report.precision))
        print(f"score and differences: {report.gate_record}")
    for path in report.companions:
        print(f"DeepStream: {path}")
    if options.engine_file:
        options.model_path, options.compute_capability = str(report.output), None
        if report.int8 is not None:
            options.cal_cache_file = None  # the model already holds its ranges
        _build_engine(options, mounts, key, workspace_bytes=options.max_workspace_size)
    return 0


def _gate_settings(options: argparse.Namespace) -> GateSettings | None:
    """The gate that the flags ask for; None where they ask for none."""
    from taolite.stages.exporting.gate import GateSettings

    limit, images = options.max_drop, options.gate_images
    if images == 0:
        if limit is not None:
            raise UsageError("--gate-images 0 with --max-drop: a drop is measured on images; leave out one of them")
        return None
    if options.data_type == "fp32" and limit is None and images is None:
        return None
    return GateSettings(limit) if images is None else GateSettings(limit, images)


def run_gen_trt_engine(options: argparse.Namespace) -> int:
    mounts = mounts_of(options)
    if options.engine_file is None:
        if options.data_type == "int8":
            _calibrate(options, mounts, opening_key(options))
        print("warning: no --engine_file, so no engine is built", file=sys.stderr)
        return 0
    with status_of(options, mounts, "gen_trt_engine"):
        _build_engine(options, mounts, opening_key(options), workspace_bytes=options.max_workspace_size << 30)
    return 0


def _named_experiment(
    options: argparse.Namespace, mounts: Mounts, classes: Sequence[str] | None = None
) -> Experiment | None:
    """The experiment of -e, where one is given."""
    if not options.experiment_spec:
        return None
    from taolite.tasks.registry import find

    path = mounts.resolve(options.experiment_spec)
    return find(options.network.task).read(path, resolve=mounts.resolve, classes=classes).model


def _calibration_options(
    options: argparse.Namespace, mounts: Mounts, experiment: Experiment | None
) -> CalibrationOptions:
    from taolite.stages.exporting.calibrate import CalibrationOptions

    def place(word: str | None) -> Path | None:
        return mounts.resolve(word) if word else None

    return CalibrationOptions(
        cache=mounts.resolve(options.cal_cache_file or "cal.bin"),
        data_file=place(options.cal_data_file),
        image_dir=place(options.cal_image_dir),
        experiment=experiment,
        batches=options.batches,
        batch_size=options.batch_size,
        json_file=place(options.cal_json_file),
        method=options.int8_calibrator,
        percentile=options.int8_percentile,
        excluded=tuple(options.int8_float_layers),
        force_ptq=options.force_ptq,
        tensorrt=options.int8_trt_version,
    )


def _build_engine(options: argparse.Namespace, mounts: Mounts, key: Key | None, *, workspace_bytes: int) -> None:
    from taolite.cli.progress import Terminal
    from taolite.cli.tao.convert import capabilities, engine_text
    from taolite.stages.exporting.engine import build

    calibration = mounts.resolve(options.cal_cache_file) if options.cal_cache_file else None
    if options.data_type == "int8":
        calibration = _calibrate(options, mounts, key) or calibration
    with Terminal(verbose=options.verbose) as show:
        report = build(
            mounts.resolve(options.model_path),
            key=key,
            engine=mounts.resolve(options.engine_file),
            backend=options.backend,
            precision=options.data_type,
            batch=(options.min_batch_size, options.opt_batch_size, options.max_batch_size),
            workspace_bytes=workspace_bytes,
            compute_capabilities=capabilities(options.compute_capability),
            calibration=calibration,
            excluded=tuple(options.int8_float_layers),
            of=options.network.task,
            listener=show,
        )
    print(engine_text(report))


def _calibrate(options: argparse.Namespace, mounts: Mounts, key: Key | None) -> Path | None:
    """The cache with the ranges of a float model, made where it does not exist; None for an int8 model."""
    from taolite.cli.progress import Terminal
    from taolite.stages.exporting.calibrate import calibrate_model

    settings = _calibration_options(options, mounts, _named_experiment(options, mounts))
    with Terminal(verbose=options.verbose) as show:
        needed = calibrate_model(
            mounts.resolve(options.model_path), key=key, options=settings, of=options.network.task, listener=show
        )
    return settings.cache if needed else None


def mounts_of(options: argparse.Namespace) -> Mounts:
    from taolite.workspace.mounts import Mounts

    return Mounts.load(options.mount)


def sealing_key(options: argparse.Namespace) -> Key:
    from taolite.artifacts.keys import terminal_prompt

    return keys.sealing_key(options.key, prompt=terminal_prompt())


def opening_key(options: argparse.Namespace) -> Key | None:
    return keys.opening_key(options.key)


@contextmanager
def status_of(options: argparse.Namespace, mounts: Mounts, what: str) -> Iterator[StatusFile | None]:
    """Write TAO's status.json during a task, where -r or --results_dir asks for it."""
    if not options.results_dir:
        yield None
        return
    from taolite.workspace.status import StatusFile

    status = StatusFile(mounts.resolve(options.results_dir) / "status.json")
    status.write(f"Starting {options.network.title} {what}.", status="STARTED")
    try:
        yield status
    except BaseException as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        status.write(f"{what} failed: {first}", status="FAILURE")
        raise
    status.write(f"{options.network.title} {what} complete.", status="SUCCESS")


@contextmanager
def at_work(options: argparse.Namespace) -> Iterator[tuple[World, Listener]]:
    """The processes of a training and its listener: the terminal in the process that writes, silent in the others."""
    from taolite.cli.progress import Terminal
    from taolite.events import silent

    with world_of(options) as world, Terminal(verbose=options.verbose) as show:
        yield world, show if world.writes else silent


def told(reading: Reading[Bound], path: Path, show: Listener) -> Bound:
    """The experiment of a spec that was read; the spec's warnings are shown."""
    from taolite.events import Notice

    for warning in reading.warnings:
        show(Notice(f"{path}: {warning.said}", "warning"))
    return reading.model


def trained(
    options: argparse.Namespace,
    experiment: Experiment,
    results: Path,
    *,
    name: str,
    workers: int,
    world: World,
    show: Listener,
    beside: Callable[[TrainReport], str] = lambda report: "",
) -> str:
    """Train with the flags that all networks have, and return the text to print. `beside` is printed next to the
    metric of a single run."""
    from taolite.cli.render import seeds_block, train_block
    from taolite.stages.training.seeds import train_seeds
    from taolite.stages.training.train import TrainOptions, train

    settings = TrainOptions(
        gpus=options.gpus,
        gpu_index=options.gpu_index,
        use_amp=options.use_amp,
        precision=options.precision,
        deterministic=options.enable_determinism,
        workers=workers,
        checkpoint_minutes=options.checkpoint_minutes,
        checkpoints_kept=positive("--keep_checkpoints", options.keep_checkpoints) or 2,
        resume=options.resume,
        skip_corrupt=options.skip_corrupt,
        global_batch_size=positive("--global_batch_size", options.global_batch_size),
        mlflow=options.mlflow or os.environ.get("MLFLOW_TRACKING_URI", ""),
        world=world,
    )
    key, seeds = sealing_key(options), positive("--seeds", options.seeds)
    if seeds is None:
        report = train(experiment, results, name=name, key=key, options=settings, listener=show)
        return train_block(report, beside(report))
    return seeds_block(
        train_seeds(experiment, results, count=seeds, name=name, key=key, options=settings, listener=show)
    )


def scored(
    options: argparse.Namespace,
    model: Path,
    read: Callable[[tuple[str, ...] | None], Experiment],
    *,
    mounts: Mounts,
    batch_size: int | None,
    record: Callable[[StatusFile, Path, Evaluation], None],
    split: Split = "test",
    workers: int = 2,
) -> Evaluation:
    """Evaluate with the flags that all networks have. `read` binds the spec to the model's classes; `record` writes to
    status.json and into its folder, where the scores are written as pictures, too."""
    from taolite.cli.progress import Terminal
    from taolite.events import Notice
    from taolite.stages.evaluate import evaluate
    from taolite.stages.inference.models import Computer, meta_of, open_model

    on_tensorrt = options.framework == "tensorrt"
    if on_tensorrt:
        _need_engine(model)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "evaluation") as status:
        key, task = opening_key(options), options.network.task
        with open_model(
            model,
            key=key,
            of=task,
            computer=Computer(precision=options.engine_precision),
            runtime=options.runtime,
            assumed=lambda: meta_of(read(None)),
            listener=show,
        ) as opened:
            experiment = read(opened.classes)
            show(Notice(f"{model}: {opened.runs_on}"))
            if on_tensorrt and not opened.runs_on.startswith("tensorrt"):
                show(Notice(f"-f tensorrt: {opened.runs_on} stands in for TensorRT here", "warning"))
            evaluation = evaluate(
                experiment,
                opened,
                split=split,
                batch_size=batch_size,
                workers=workers,
                skip_corrupt=options.skip_corrupt,
                shown=mounts.resolve(options.results_dir) if status is not None else None,
                listener=show,
            )
        if status is not None:
            record(status, mounts.resolve(options.results_dir), evaluation)
    return evaluation


def print_details(options: argparse.Namespace, mounts: Mounts, evaluation: Evaluation) -> None:
    """Print what `evaluate` says of a detector below its block."""
    from taolite.cli.render import details_lines

    plots = mounts.resolve(options.results_dir) / "plots" if options.results_dir else None
    if said := details_lines(evaluation, plots):
        print(said)


def _need_engine(model: Path) -> None:
    """Raises UsageError for a trained model, which TensorRT cannot run."""
    from taolite.artifacts.sniff import Kind, sniff

    if model.is_file() and sniff(model) is Kind.BUNDLE:
        raise UsageError(
            f"{model}: -f tensorrt needs an engine, and this is a trained model; leave -f out, or export it and "
            "build an engine of it with `taolite convert`"
        )


def run_calibration_tensorfile(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.exporting.calibrate import calibration_tensorfile
    from taolite.tasks.registry import find

    mounts = mounts_of(options)
    output = mounts.resolve(options.output_path)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "calibration tensorfile"):
        spec = mounts.resolve(options.experiment_spec_file)
        experiment = find(options.network.task).read(spec, resolve=mounts.resolve).model
        count = calibration_tensorfile(
            experiment,
            output,
            max_batches=options.max_batches,
            split="val" if options.use_validation_set else "train",
            listener=show,
        )
    print(f"{output}: {count} batches; `export -e SPEC --data_type int8` calibrates without this file")
    return 0
