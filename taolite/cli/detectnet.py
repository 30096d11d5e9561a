"""`taolite detectnet TASK` and `detectnet_v2 TASK`: TAO's flags, letter for letter (reference 2).

Each task parses, makes one library call and renders the report. torch is imported when a task runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli import detectnet_flags as flags
from taolite.cli.parsing import TaoParser
from taolite.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from taolite.artifacts.keys import Key
    from taolite.stages.calibrate import CalibrationOptions
    from taolite.workspace.mounts import Mounts
    from taolite.workspace.status import StatusFile

__all__ = ["add_tasks", "configure", "run_evaluate", "run_gen_trt_engine", "run_inference"]

Run = Callable[[argparse.Namespace], int]


AddFlags = Callable[[argparse.ArgumentParser], None]


def configure(parser: TaoParser) -> None:
    """Add the tasks."""
    add_tasks(
        parser,
        flags.common,
        (
            (flags.dataset_convert, _run_dataset_convert, "labels into TFRecords"),
            (flags.train, _run_train, "train, or go on training"),
            (flags.evaluate, run_evaluate, "score a model on the validation images"),
            (flags.prune, _run_prune, "remove the weakest channels of a model"),
            (flags.export, _run_export, "write the sealed .etlt, or .onnx"),
            (flags.calibration_tensorfile, _run_calibration_tensorfile, "training images into a tensorfile for int8"),
            (flags.inference, run_inference, "annotated pictures and labels"),
            (flags.gen_trt_engine, run_gen_trt_engine, "build an engine from an export"),
        ),
    )


def add_tasks(parser: TaoParser, common: AddFlags, rows: Sequence[tuple[AddFlags, Run, str]]) -> None:
    """Add a sub-command for each row: its flags (their function's name is the task's), what it runs, its help."""
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    parser.tasks = [add_flags.__name__ for add_flags, _, _ in rows]
    for add_flags, run, line in rows:
        task = tasks.add_parser(add_flags.__name__, help=line, description=line)
        common(task)
        add_flags(task)
        task.set_defaults(run=partial(_logged, run))


def _logged(run: Run, options: argparse.Namespace) -> int:
    """Run a task, its output appended to --log_file where there is one."""
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
    if options.log_file is None:
        return run(options)
    try:
        options.log_file.parent.mkdir(parents=True, exist_ok=True)
        log = open(options.log_file, "a", encoding="utf-8")  # noqa: SIM115  (closed by the stack below)
    except OSError as error:
        raise StorageError(f"--log_file {options.log_file}: cannot be written ({error.strerror})") from error
    with log, redirect_stdout(log), redirect_stderr(log):
        return run(options)


def _timed(run: Run, options: argparse.Namespace) -> int:
    """Run a task and say how long it took, in TAO's words; stdout is the report's alone."""
    began = time.monotonic()
    code = run(options)
    taken = timedelta(seconds=time.monotonic() - began)
    print(f"Time taken to run detectnet_v2 {options.task}:main: {taken}.", file=sys.stderr)
    return code


def _run_train(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.train import TrainOptions, train
    from taolite.tasks import base
    from taolite.tasks.detectnet.task import DEFAULT_SPEC

    mounts = _mounts(options)
    settings = TrainOptions(
        gpus=options.gpus,
        gpu_index=options.gpu_index,
        use_amp=options.use_amp,
        precision=options.precision,
        deterministic=options.enable_determinism,
        workers=options.workers,
        mlflow=options.mlflow or os.environ.get("MLFLOW_TRACKING_URI", ""),
    )
    task = base.find("detectnet")
    named = options.experiment_spec_file
    results = options.results_dir or str(Path.home() / f"experiments/drivenet_{datetime.now():%Y%m%d_%H%M%S}")
    with Terminal(verbose=options.verbose) as show:
        report = train(
            task,
            mounts.resolve(named) if named else DEFAULT_SPEC,
            mounts.resolve(results),
            name=options.model_name,
            key=_sealing_key(options),
            resolve=mounts.resolve,
            options=settings,
            listener=show,
        )
    card = report.evaluation.card
    print(
        f"mAP {100 * card.main.value:.2f} % (VOC, all points: {100 * card.beside['VOC'].value:.2f} %) "
        f"after {report.epochs} epochs"
    )
    print(f"model: {report.weights} ({report.parameters:,} parameters)")
    best = report.best
    print(f"best validation: epoch {best.epoch}, mAP {100 * best.value:.2f} %: {best.weights}")
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from taolite.cli.progress import Terminal
    from taolite.cli.render import evaluation_block
    from taolite.stages.evaluate import evaluate
    from taolite.stages.record import record_scores, write_results
    from taolite.tasks import base

    mounts = _mounts(options)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "evaluation") as status:
        evaluation = evaluate(
            base.find("detectnet"),
            mounts.resolve(options.experiment_spec),
            mounts.resolve(options.model_path),
            key=_opening_key(options),
            resolve=mounts.resolve,
            split="train" if options.use_training_set else "val",
            runtime=options.runtime,
            framework=options.framework,
            batch_size=_positive("-b", options.batch_size),
            listener=show,
        )
        if status is not None:
            record_scores(status, evaluation.card.main, evaluation.cost)
            write_results(mounts.resolve(options.results_dir) / "results.json", evaluation.card.main)
    print(json.dumps(asdict(evaluation), indent=2) if options.json else evaluation_block(evaluation))
    return 0


def _run_prune(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.prune import PruneSettings, prune

    mounts = _mounts(options)
    settings = PruneSettings(
        threshold=options.pruning_threshold,
        normalizer=options.normalizer,
        equalization=options.equalization_criterion,
        granularity=options.pruning_granularity,
        min_filters=options.min_num_filters,
        excluded=tuple(options.excluded_layers),
        target=options.target,
    )
    model, output = mounts.resolve(options.model), mounts.resolve(options.output_file)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "pruning"):
        report = prune(model, output, key=_sealing_key(options), settings=settings, listener=show)
    before, after = report.plan.parameters_before, report.plan.parameters_after
    if options.target is not None:
        print(f"-pth {report.threshold:.7g} keeps at most {options.target:.3g} of the parameters")
    print(f"Pruning ratio (pruned model / original model): {report.plan.ratio:.7f}")
    print(f"{before:,} -> {after:,} parameters; {report.output} ({report.megabytes:.2f} MB)")
    if after == before:
        print("nothing was below the threshold: raise -pth, or give --target 0.3 to have it found", file=sys.stderr)
    return 0


def _run_export(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.cli.render import int8_block
    from taolite.stages.export import export_model

    mounts = _mounts(options)
    key = _sealing_key(options)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "export"):
        report = export_model(
            mounts.resolve(options.model),
            mounts.resolve(options.output_file) if options.output_file else None,
            key=key,
            spec=mounts.resolve(options.experiment_spec) if options.experiment_spec else None,
            precision=options.data_type,
            calibration=_calibration_options(options, mounts),
            resolve=mounts.resolve,
            opset=options.target_opset,
            static_batch=options.static_batch_size if options.static_batch_size > 0 else None,
            gen_ds_config=options.gen_ds_config,
            overwrite=options.force,
            listener=show,
        )
    worst = max(report.differences.values())
    sealed = "sealed with the key" if report.sealed else "plain ONNX"
    print(f"exported: {report.output} ({sealed}, {report.precision}, {report.onnx_bytes / 1e6:.2f} MB of ONNX)")
    print(f"the export differs from the trained network by {worst:.1e} at most, on the images it was proved with")
    print(f"{report.parameters:,} parameters, {report.macs / 1e9:.2f} GMACs an image")
    if report.int8 is not None:
        print(int8_block(report.int8))
    for path in report.companions:
        print(f"DeepStream: {path}")
    if options.engine_file:
        options.model_path, options.compute_capability = str(report.output), None
        if report.int8 is not None:
            options.cal_cache_file = None  # the model holds its ranges
        _build_engine(options, mounts, key, workspace_bytes=options.max_workspace_size)
    return 0


def run_gen_trt_engine(options: argparse.Namespace) -> int:
    mounts = _mounts(options)
    if options.engine_file is None:
        if options.data_type == "int8":
            _calibrate(options, mounts, _opening_key(options))
        print("warning: no --engine_file, so no engine is built", file=sys.stderr)
        return 0
    with _status(options, mounts, "gen_trt_engine"):
        _build_engine(options, mounts, _opening_key(options), workspace_bytes=options.max_workspace_size << 30)
    return 0


def _run_calibration_tensorfile(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.calibrate import calibration_tensorfile
    from taolite.tasks import base

    mounts = _mounts(options)
    output = mounts.resolve(options.output_path)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "calibration tensorfile"):
        count = calibration_tensorfile(
            base.find("detectnet"),
            mounts.resolve(options.experiment_spec_file),
            output,
            resolve=mounts.resolve,
            max_batches=options.max_batches,
            split="val" if options.use_validation_set else "train",
            listener=show,
        )
    print(f"{output}: {count} batches; `export -e SPEC --data_type int8` calibrates without this file")
    return 0


def _calibration_options(options: argparse.Namespace, mounts: Mounts) -> CalibrationOptions:
    from taolite.stages.calibrate import CalibrationOptions

    def place(word: str | None) -> Path | None:
        return mounts.resolve(word) if word else None

    return CalibrationOptions(
        cache=mounts.resolve(options.cal_cache_file or "cal.bin"),
        data_file=place(options.cal_data_file),
        image_dir=place(options.cal_image_dir),
        spec=place(options.experiment_spec),
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
    from taolite.cli.convert import capabilities, engine_text
    from taolite.cli.progress import Terminal
    from taolite.stages.engine import build

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
            listener=show,
        )
    print(engine_text(report))


def _calibrate(options: argparse.Namespace, mounts: Mounts, key: Key | None) -> Path | None:
    """The cache with the ranges of a float model, made where there is none; None for a model that is int8 already."""
    from taolite.cli.progress import Terminal
    from taolite.stages.calibrate import calibrate_model

    settings = _calibration_options(options, mounts)
    with Terminal(verbose=options.verbose) as show:
        needed = calibrate_model(
            mounts.resolve(options.model_path),
            key=key,
            options=settings,
            resolve=mounts.resolve,
            listener=show,
        )
    return settings.cache if needed else None


def run_inference(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.events import Notice
    from taolite.media.sources import open_source
    from taolite.sinks.base import guarded
    from taolite.sinks.wandb import open_wandb
    from taolite.stages.device import choose
    from taolite.stages.infer import infer, planned
    from taolite.stages.models import open_engine_plan, open_model
    from taolite.tasks.detectnet.inference import load_plan

    mounts = _mounts(options)
    plan = load_plan(mounts.resolve(options.experiment_spec)) if options.experiment_spec else None
    named = options.model_path or (plan.model if plan else "")
    engine = plan.engine if plan and not options.model_path else None
    if not named and engine is None:
        raise UsageError("no model: give -m MODEL, or an inference spec (-e) with tlt_config or tensorrt_config")
    batch_size = _positive("-b", options.batch_size) or (plan.batch_size if plan else 1)
    source = open_source(mounts.resolve(options.image_dir))
    with ExitStack() as stack:
        show = stack.enter_context(Terminal(verbose=options.verbose))
        for warning in plan.warnings if plan else ():
            show(Notice(f"{options.experiment_spec}: {warning}", "warning"))
        for note in plan.notes if plan else ():
            show(Notice(note))
        device = choose(gpus=options.gpus, gpu_index=options.gpu_index or ([plan.gpu_index] if plan else None))
        key, runtime = _opening_key(options), options.runtime
        if engine is not None:
            model = open_engine_plan(
                engine,
                resolve=mounts.resolve,
                key=key,
                device=device,
                runtime=runtime,
                batch_size=batch_size,
                listener=show,
            )
        else:
            model = open_model(mounts.resolve(named), key=key, device=device, runtime=runtime)
        stack.callback(model.close)
        model, drawing = planned(model, plan)
        output = mounts.resolve(options.results_dir)
        sinks = []
        if plan and (wandb := plan.wandb) is not None:
            sinks.append(
                guarded("wandb", lambda: open_wandb(wandb, output, {}), lambda text: show(Notice(text, "warning")))
            )
            stack.callback(sinks[0].close)
        report = infer(model, source, output, drawing=drawing, batch_size=batch_size, sinks=sinks, listener=show)
    found = ", ".join(f"{name} {count}" for name, count in report.detections.items())
    print(f"{report.images} pictures: {found} ({model.runs_on}, {1000 * report.seconds_per_image:.1f} ms a picture)")
    print(f"results: {report.folder}")
    return 0


def _positive(flag: str, number: int | None) -> int | None:
    if number is not None and number < 1:
        raise UsageError(f"{flag} {number}: needs to be 1 or more")
    return number


def _run_dataset_convert(options: argparse.Namespace) -> int:
    from taolite import spec as specs
    from taolite.cli.progress import Terminal
    from taolite.stages.dataset_convert import dataset_convert
    from taolite.tasks.detectnet.spec import DatasetExportSpec

    mounts = _mounts(options)
    spec = specs.load(mounts.resolve(options.dataset_export_spec), DatasetExportSpec)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "dataset conversion"):
        dataset_convert(
            spec,
            mounts.resolve(options.output_filename),
            resolve=mounts.resolve,
            listener=show,
            validation_fold=options.validation_fold,
        )
    return 0


def _mounts(options: argparse.Namespace) -> Mounts:
    from taolite.workspace.mounts import Mounts

    return Mounts.load(options.mount)


def _sealing_key(options: argparse.Namespace) -> Key:
    from taolite.artifacts.keys import find_key, terminal_prompt

    return find_key(options.key, prompt=terminal_prompt())


def _opening_key(options: argparse.Namespace) -> Key | None:
    from taolite.artifacts.keys import find_key_if_given

    return find_key_if_given(options.key)


@contextmanager
def _status(options: argparse.Namespace, mounts: Mounts, what: str) -> Iterator[StatusFile | None]:
    """TAO's status.json around a task, where -r or --results_dir asks for one."""
    if not options.results_dir:
        yield None
        return
    from taolite.workspace.status import StatusFile

    status = StatusFile(mounts.resolve(options.results_dir) / "status.json")
    status.write(f"Starting DetectNet_v2 {what}.", status="STARTED")
    try:
        yield status
    except BaseException as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        status.write(f"{what} failed: {first}", status="FAILURE")
        raise
    status.write(f"DetectNet_v2 {what} complete.", status="SUCCESS")
