"""`taolite ssd TASK` and `ssd TASK`: TAO's flags, letter for letter (reference/tao_classification_ssd.md 4.7).

Each task parses, makes one library call and renders the report. torch is imported when a task runs.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.parsing import TaoParser, positive
from taolite.cli.tao import flags as shared
from taolite.cli.tao import lifecycle
from taolite.cli.tao import ssd_flags as flags
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
    from taolite.tasks.base import Experiment
    from taolite.tasks.ssd.spec import Command, SsdSpec
    from taolite.workspace.status import StatusFile

__all__ = ["NETWORK", "configure"]

_COLOURS = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 215, 0), (128, 0, 128))
"""TAO's black, red, blue, gold and purple. Class k, counted with the background, has the colour at k modulo 5."""
_WORKERS = 2


NETWORK = Network("ssd", "ssd", "SSD")


def configure(parser: TaoParser) -> None:
    """Add the tasks."""
    lifecycle.add_tasks(
        parser,
        shared.common,
        (
            (flags.dataset_convert, _run_dataset_convert, "convert labels to TFRecords"),
            (flags.train, _run_train, "train a model, or continue a training"),
            (flags.evaluate, _run_evaluate, "score a model on the validation images"),
            (shared.prune, run_prune, "remove the channels of a model with the smallest norms"),
            (flags.export, _run_export, "export a model: sealed .etlt, or .onnx"),
            (flags.inference, _run_inference, "find objects: annotated pictures and KITTI labels"),
            (shared.gen_trt_engine, lifecycle.run_gen_trt_engine, "build an engine from an export"),
        ),
        network=NETWORK,
    )


def _spec(options: argparse.Namespace, named: str, command: Command) -> SsdSpec:
    """The spec in the file `named`, checked for all fields that `command` needs."""
    from taolite import spec as specs
    from taolite.tasks.ssd.spec import SsdSpec, check_needs

    path = mounts_of(options).resolve(named)
    found = specs.load(path, SsdSpec)
    check_needs(found, command, path=path)
    return found


def _run_dataset_convert(options: argparse.Namespace) -> int:
    from taolite import spec as specs
    from taolite.cli.progress import Terminal
    from taolite.stages.convert.dataset_convert import dataset_convert
    from taolite.tasks.detectnet.spec import DatasetExportSpec

    mounts = mounts_of(options)
    spec = specs.load(mounts.resolve(options.dataset_export_spec), DatasetExportSpec)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "dataset conversion"):
        prefix = mounts.resolve(options.output_filename)
        dataset_convert(spec, prefix, resolve=mounts.resolve, listener=show, pictures=True, workers=options.workers)
    return 0


def _run_train(options: argparse.Namespace) -> int:
    from taolite.events import Notice
    from taolite.tasks.base import Given
    from taolite.tasks.ssd.spec import DSSD_NOT_BUILT
    from taolite.tasks.ssd.tao import model_name
    from taolite.tasks.ssd.task import TASK

    if options.arch == "dssd":
        raise UsageError(f"--arch dssd: {DSSD_NOT_BUILT}")
    if options.initial_epoch > 1:
        raise UsageError(
            f"--initial_epoch {options.initial_epoch}: to continue a run, "
            "repeat the command that started it, with its own -m and without this flag"
        )
    mounts = mounts_of(options)
    path, root = mounts.resolve(options.experiment_spec_file), mounts.resolve(options.results_dir)
    given = Given(command="train", weights=options.resume_model_weights or "")
    with at_work(options) as (world, show):
        show(Notice(f"Loading experiment spec at {path}."))
        experiment = told(TASK.read(path, resolve=mounts.resolve, given=given), path, show)
        training = experiment.spec.training_config
        workers = positive("--workers", options.workers) or (training.n_workers if training else 0) or _WORKERS
        name = f"ssd_{model_name(experiment.spec)}" if experiment.spec.ssd_config else "ssd"
        said = trained(options, experiment, root, name=name, workers=workers, world=world, show=show)
    print(said)
    return 0


def _run_evaluate(options: argparse.Namespace) -> int:
    from taolite.cli.render import precisions_block, scores_json
    from taolite.report import precision_recall_png
    from taolite.stages.training.record import record_scores, write_results

    def record(status: StatusFile, folder: Path, evaluation: Evaluation) -> None:
        record_scores(status, evaluation.card.main, evaluation.cost)
        write_results(folder / "results.json", evaluation.card.main)

    mounts = mounts_of(options)
    spec, model = _spec(options, options.experiment_spec, "evaluate"), mounts.resolve(options.model_path)
    judged = spec.eval_config

    def read(classes: tuple[str, ...] | None) -> Experiment:
        from taolite.tasks.base import Given
        from taolite.tasks.ssd.task import TASK

        source, given = str(mounts.resolve(options.experiment_spec)), Given(command="evaluate")
        return TASK.read(spec, resolve=mounts.resolve, classes=classes, given=given, source=source).model

    evaluation = scored(
        options,
        model,
        read,
        mounts=mounts,
        batch_size=positive("-b", options.batch_size) or (judged.batch_size if judged else None),
        record=record,
    )
    if judged is not None and judged.visualize_pr_curve:
        precision_recall_png(evaluation.card, model.parent / "PR_curve.png")
    print(scores_json(evaluation) if options.json else precisions_block(evaluation))
    if not options.json:
        print_details(options, mounts, evaluation)
    return 0


def _run_export(options: argparse.Namespace) -> int:
    if options.experiment_spec:
        _spec(options, options.experiment_spec, "export")
    if not options.onnx_nms:
        return lifecycle.run_export(options)
    from taolite.stages.exporting.export import Border
    from taolite.tasks.ssd.export import end_in_nms

    if options.gen_ds_config:
        raise UsageError(
            "--onnx_nms with --gen_ds_config: DeepStream's parser reads raw outputs; leave out one of them"
        )
    return lifecycle.run_export(options, border=Border(finish=end_in_nms))


def _run_inference(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from taolite.cli.progress import Terminal
    from taolite.cli.words import looked
    from taolite.events import Notice
    from taolite.media.sources import open_source
    from taolite.stages.inference.infer import infer
    from taolite.stages.inference.listeners import Drawing, annotated_folder, labels
    from taolite.stages.inference.models import Computer, open_model

    mounts = mounts_of(options)
    asked = _spec(options, options.experiment_spec, "inference").nms_config
    source = open_source(mounts.resolve(options.image_dir))
    output = mounts.resolve(options.results_dir)
    with (
        Terminal(verbose=options.verbose) as show,
        status_of(options, mounts, "Inference"),
        open_model(
            mounts.resolve(options.model_path),
            key=opening_key(options),
            of=NETWORK.task,
            computer=Computer(options.gpus, options.gpu_index, options.engine_precision, many=True),
            runtime=options.runtime,
            listener=show,
        ) as model,
        ExitStack() as stack,
    ):
        show(Notice(f"{options.model_path}: {model.runs_on}"))
        decoding = dict(model.decoding or {})
        if asked is not None:
            decoding |= {"nms_iou": asked.clustering_iou_threshold, "top_k": asked.top_k}
        decoding["confidence_threshold"] = options.threshold
        colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(model.classes, start=1)}
        drawing = Drawing(model.classes, colours=colours)
        listeners = (
            annotated_folder(output / "images_annotated", source, drawing, stack, listener=show),
            labels(output / "labels", drawing, listener=show),
        )
        report = infer(
            replace(model, decoding=decoding),
            source,
            listeners,
            drawing=drawing,
            batch_size=positive("-b", options.batch_size) or 1,
            listener=show,
        )
    print(looked(report.images, report.detections, model.runs_on, report.seconds_per_image))
    print(f"results: {output}")
    return 0
