"""`taolite detectnet TASK` and `detectnet_v2 TASK`: TAO's flags, letter for letter (reference 2).

Each task parses, makes one library call and renders the report. torch is imported when a task runs.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.parsing import TaoParser, positive
from taolite.cli.tao import detectnet_flags as flags
from taolite.cli.tao import flags as shared
from taolite.cli.tao import lifecycle
from taolite.cli.tao.lifecycle import (
    Network,
    at_work,
    mounts_of,
    opening_key,
    print_details,
    scored,
    status_of,
    told,
    trained,
)
from taolite.cli.tao.pruning import run_prune
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.stages.evaluate import Evaluation
    from taolite.stages.training.train import TrainReport
    from taolite.tasks.base import Experiment
    from taolite.workspace.status import StatusFile

__all__ = ["NETWORK", "configure", "run_evaluate", "run_inference"]


NETWORK = Network("detectnet", "detectnet_v2", "DetectNet_v2")


def configure(parser: TaoParser) -> None:
    """Add the tasks."""
    lifecycle.add_tasks(
        parser,
        shared.common,
        (
            (flags.dataset_convert, _run_dataset_convert, "convert labels to TFRecords"),
            (flags.train, _run_train, "train a model, or continue a training"),
            (flags.evaluate, run_evaluate, "score a model on the validation images"),
            (shared.prune, run_prune, "remove the channels of a model with the smallest norms"),
            (shared.export, lifecycle.run_export, "export a model: sealed .etlt, or .onnx"),
            (
                flags.calibration_tensorfile,
                lifecycle.run_calibration_tensorfile,
                "collect training images for int8 calibration",
            ),
            (flags.inference, run_inference, "find objects: annotated pictures and KITTI labels"),
            (shared.gen_trt_engine, lifecycle.run_gen_trt_engine, "build an engine from an export"),
        ),
        network=NETWORK,
    )


def _run_train(options: argparse.Namespace) -> int:
    from taolite.events import Notice
    from taolite.tasks.detectnet.task import DEFAULT_SPEC, TASK

    mounts, named = mounts_of(options), options.experiment_spec_file
    results = options.results_dir or str(Path.home() / f"experiments/drivenet_{datetime.now():%Y%m%d_%H%M%S}")
    spec = mounts.resolve(named) if named else DEFAULT_SPEC
    with at_work(options) as (world, show):
        show(Notice(f"Loading experiment spec at {spec}."))
        experiment = told(TASK.read(spec, resolve=mounts.resolve), spec, show)
        name, workers = options.model_name, options.workers
        root = mounts.resolve(results)
        said = trained(options, experiment, root, name=name, workers=workers, world=world, show=show, beside=_voc)
    print(said)
    return 0


def _voc(report: TrainReport) -> str:
    """VOC's AP, in the line of TAO's."""
    return f"(VOC, all points: {100 * report.evaluation.card.beside['VOC'].value:.2f} %) "


def run_evaluate(options: argparse.Namespace) -> int:

    from taolite.cli.render import evaluation_block, scores_json
    from taolite.stages.training.record import record_scores, write_results

    def record(status: StatusFile, folder: Path, evaluation: Evaluation) -> None:
        record_scores(status, evaluation.card.main, evaluation.cost)
        write_results(folder / "results.json", evaluation.card.main)

    def read(classes: tuple[str, ...] | None) -> Experiment:
        from taolite.tasks.detectnet.task import TASK

        return TASK.read(mounts.resolve(options.experiment_spec), resolve=mounts.resolve).model

    mounts = mounts_of(options)
    evaluation = scored(
        options,
        mounts.resolve(options.model_path),
        read,
        mounts=mounts,
        batch_size=positive("-b", options.batch_size),
        record=record,
        split="train" if options.use_training_set else "test",
    )
    print(scores_json(evaluation) if options.json else evaluation_block(evaluation))
    if not options.json:
        print_details(options, mounts, evaluation)
    return 0


def run_inference(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.cli.words import looked
    from taolite.events import Notice
    from taolite.media.sources import open_source
    from taolite.sinks.base import guarded
    from taolite.sinks.wandb import open_wandb
    from taolite.stages.inference.infer import infer, plan_meta, planned
    from taolite.stages.inference.listeners import annotated_folder, labels
    from taolite.stages.inference.models import Computer, open_engine_plan, open_model

    mounts = mounts_of(options)
    plan = None
    if options.experiment_spec:
        from taolite.tasks.detectnet.inference import load_plan  # here: most runs have no spec

        plan = load_plan(mounts.resolve(options.experiment_spec))
    named = options.model_path or (plan.model if plan else "")
    engine = plan.engine if plan and not options.model_path else None
    if not named and engine is None:
        raise UsageError("no model: give -m MODEL, or an inference spec (-e) with tlt_config or tensorrt_config")
    batch_size = positive("-b", options.batch_size) or (plan.batch_size if plan else 1)
    source = open_source(mounts.resolve(options.image_dir))
    with ExitStack() as stack:
        show = stack.enter_context(Terminal(verbose=options.verbose))
        for warning in plan.warnings if plan else ():
            show(Notice(f"{options.experiment_spec}: {warning}", "warning"))
        for note in plan.notes if plan else ():
            show(Notice(note))
        indices = options.gpu_index or ([plan.gpu_index] if plan else None)
        computer = Computer(options.gpus, indices, options.engine_precision, many=True)
        key, runtime = opening_key(options), options.runtime
        if engine is not None:
            model = open_engine_plan(
                engine,
                resolve=mounts.resolve,
                key=key,
                of=NETWORK.task,
                computer=computer,
                runtime=runtime,
                batch_size=batch_size,
                listener=show,
            )
        else:
            path = mounts.resolve(named)
            assumed = partial(plan_meta, plan) if plan is not None else None
            model = open_model(
                path, key=key, of=NETWORK.task, computer=computer, runtime=runtime, assumed=assumed, listener=show
            )
        stack.callback(model.close)
        model, drawing = planned(model, plan)
        output = mounts.resolve(options.results_dir)
        sinks = []
        if plan and (wandb := plan.wandb) is not None:
            sinks.append(
                guarded("wandb", lambda: open_wandb(wandb, output, {}), lambda text: show(Notice(text, "warning")))
            )
            stack.callback(sinks[0].close)
        listeners = []
        if plan is None or plan.overlay:
            folder = output / "images_annotated"
            listeners.append(annotated_folder(folder, source, drawing, stack, services=sinks, listener=show))
        if plan is None or plan.labels:
            listeners.append(labels(output / "labels", drawing, listener=show))
        report = infer(model, source, listeners, drawing=drawing, batch_size=batch_size, listener=show)
    print(looked(report.images, report.detections, model.runs_on, report.seconds_per_image))
    print(f"results: {output}")
    return 0


def _run_dataset_convert(options: argparse.Namespace) -> int:
    from taolite import spec as specs
    from taolite.cli.progress import Terminal
    from taolite.stages.convert.dataset_convert import dataset_convert
    from taolite.tasks.detectnet.spec import DatasetExportSpec

    mounts = mounts_of(options)
    spec = specs.load(mounts.resolve(options.dataset_export_spec), DatasetExportSpec)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "dataset conversion"):
        dataset_convert(
            spec,
            mounts.resolve(options.output_filename),
            resolve=mounts.resolve,
            listener=show,
            validation_fold=options.validation_fold,
            workers=options.workers,
        )
    return 0
