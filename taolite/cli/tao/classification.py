"""`taolite classification TASK` and `classification_tf1 TASK`: TAO's flags, letter for letter
(reference/tao_classification_ssd.md 3.6).

Each task parses, makes one library call and renders the report. torch is imported when a task runs.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.parsing import TaoParser, positive
from taolite.cli.tao import classification_flags as flags
from taolite.cli.tao import flags as shared
from taolite.cli.tao import lifecycle
from taolite.cli.tao.lifecycle import Network, at_work, mounts_of, opening_key, scored, status_of, told, trained
from taolite.cli.tao.pruning import run_prune
from taolite.cores import usable
from taolite.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from taolite.stages.evaluate import Evaluation
    from taolite.stages.inference.models import Model
    from taolite.tasks.base import Experiment, Given
    from taolite.tasks.classification.spec import ClassificationSpec
    from taolite.workspace.mounts import Mounts
    from taolite.workspace.status import StatusFile

__all__ = ["NETWORK", "configure"]


NETWORK = Network("classification", "classification", "classification")


def configure(parser: TaoParser) -> None:
    """Add the tasks."""
    lifecycle.add_tasks(
        parser,
        shared.common,
        (
            (flags.train, _run_train, "train a model, or continue a training"),
            (flags.evaluate, _run_evaluate, "score a model on the pictures of eval_config"),
            (flags.inference, _run_inference, "classify pictures"),
            (shared.prune, run_prune, "remove the channels of a model with the smallest norms"),
            (flags.export, _run_export, "export a model: .onnx, or sealed .etlt"),
            (
                flags.calibration_tensorfile,
                lifecycle.run_calibration_tensorfile,
                "collect training images for int8 calibration",
            ),
            (shared.gen_trt_engine, lifecycle.run_gen_trt_engine, "build an engine from an export"),
        ),
        network=NETWORK,
    )


def _given(options: argparse.Namespace, mounts: Mounts) -> Given:
    from taolite.tasks.base import Given

    classmap, pictures = (getattr(options, name, None) for name in ("classmap", "pictures"))
    return Given(
        classmap=mounts.resolve(classmap) if classmap else None,
        pictures=mounts.resolve(pictures) if pictures else None,
        skip_corrupt=getattr(options, "skip_corrupt", False),
    )


def _spec(path: Path) -> ClassificationSpec:
    from taolite import spec as specs
    from taolite.tasks.classification.spec import ClassificationSpec

    return specs.load(path, ClassificationSpec)


def _run_train(options: argparse.Namespace) -> int:
    from taolite.events import Notice
    from taolite.tasks.classification.task import TASK

    mounts = mounts_of(options)
    path, root = mounts.resolve(options.experiment_spec_file), mounts.resolve(options.results_dir)
    with at_work(options) as (world, show):
        show(Notice(f"Loading experiment spec at {path}."))
        experiment = told(TASK.read(path, resolve=mounts.resolve, given=_given(options, mounts)), path, show)
        spec = experiment.spec
        workers = positive("--workers", options.workers) or min(spec.train_config.n_workers, usable())
        name = spec.model_config_.arch
        said = trained(options, experiment, root, name=name, workers=workers, world=world, show=show)
    print(said)
    return 0


def _run_evaluate(options: argparse.Namespace) -> int:

    from taolite.cli.render import classes_block, scores_json, tags_block

    mounts = mounts_of(options)
    path = mounts.resolve(options.experiment_spec)
    spec = _spec(path)
    judged = spec.eval_config

    def read(classes: tuple[str, ...] | None) -> Experiment:
        from taolite.tasks.classification.task import TASK

        given = _given(options, mounts)
        return TASK.read(spec, resolve=mounts.resolve, classes=classes, given=given, source=str(path)).model

    model = options.model_path or (judged.model_path if judged else "")
    if not model:
        raise UsageError(f"{options.experiment_spec}: no model: give eval_config.model_path there, or -m MODEL")
    evaluation = scored(
        options,
        mounts.resolve(model),
        read,
        mounts=mounts,
        batch_size=positive("-b", options.batch_size) or (judged.batch_size if judged else None),
        workers=min(judged.n_workers if judged else 2, usable()),
        record=_record,
    )
    block = tags_block if "tags" in evaluation.card.beside else classes_block
    print(scores_json(evaluation) if options.json else block(evaluation))
    return 0


def _record(status: StatusFile, folder: Path, evaluation: Evaluation) -> None:
    """Write TAO's kpi, TAO Deploy's results.json (reference/deploy.md 6.6), and a plot of the confusion or of tags."""
    import json

    import numpy as np

    from taolite.files import write_text
    from taolite.report.plots import confusion_png, tags_png

    card = evaluation.card
    if tags := card.beside.get("tags"):
        scores = {"accuracy": card.main.value, "mAP": tags.value, "all_right": card.beside["exact"].value}
    else:
        scores = {"top_k_accuracy": next(iter(card.beside.values())).value}
    status.write("Evaluation metrics generated.", kpi={**scores, "validation_loss": evaluation.cost})
    write_text(folder / "results.json", json.dumps(scores, indent=2) + "\n")
    if tags:
        tags_png(tags.per_class, card.objects, folder / "tags.png")
    elif card.confusion:
        confusion_png(np.array(card.confusion, np.int64), list(card.objects), folder / "confusion.png")


def _run_export(options: argparse.Namespace) -> int:
    if options.classmap_json:
        from taolite.artifacts.bundle import read_bundle
        from taolite.tasks.classification.inference import check_classmap

        mounts = mounts_of(options)
        bundle = read_bundle(mounts.resolve(options.model), key=opening_key(options))
        check_classmap(mounts.resolve(options.classmap_json), bundle.classes)
    return lifecycle.run_export(options)


def _run_inference(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.cli.words import looked
    from taolite.events import Notice
    from taolite.media.sources import open_source
    from taolite.stages.inference.infer import infer
    from taolite.stages.inference.listeners import Drawing, annotated_folder, table
    from taolite.stages.inference.models import Computer, open_model
    from taolite.tasks.classification.inference import as_judged, check_classmap

    if not (options.image or options.image_dir):
        raise UsageError("no pictures: give -i PICTURE or -d FOLDER")
    mounts = mounts_of(options)
    spec = _spec(mounts.resolve(options.experiment_spec)) if options.experiment_spec else None
    judged = spec.eval_config if spec else None
    source = open_source(mounts.resolve(options.image_dir or options.image), below=True)
    with (
        Terminal(verbose=options.verbose) as show,
        status_of(options, mounts, "inference"),
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
        if options.classmap:
            check_classmap(mounts.resolve(options.classmap), model.classes)
        if spec and judged and not spec.jetson_config:
            model = replace(model, preprocessing=as_judged(model.preprocessing, crops=judged.enable_center_crop))
        show(Notice(f"{options.model_path}: {model.runs_on}"))
        if options.image and Path(mounts.resolve(options.image)).is_file():
            _print_scores(model, next(iter(source)).image_hwc)
            return 0
        folder = mounts.resolve(options.results_dir or options.image_dir or options.image)
        drawing, listeners = Drawing(model.classes), [table(folder / "result.csv", stack)]
        if options.results_dir:
            listeners.append(annotated_folder(folder / "images_annotated", source, drawing, stack, listener=show))
        batch_size = positive("-b", options.batch_size) or (judged.batch_size if judged else 1)
        report = infer(model, source, listeners, drawing=drawing, batch_size=batch_size, listener=show)
    print(looked(report.images, report.detections, model.runs_on, report.seconds_per_image))
    print(f"results: {folder / 'result.csv'}")
    return 0


def _print_scores(model: Model, image_hwc: NDArray[np.uint8]) -> None:
    """Print TAO's lines for one picture: the scores of all classes, then number and name of the likeliest, or of every
    tag."""
    from taolite.stages.inference.look import find_in
    from taolite.stages.inference.ranks import every_class

    (ranked,) = find_in(every_class(model), [image_hwc])
    scores = {one.name: one.score for one in ranked}
    least = (model.decoding or {}).get("threshold")
    given = [one.name for one in ranked if one.score >= least] if least is not None else [ranked[0].name]
    print(f"Current predictions: [[{' '.join(f'{scores[name]:.8g}' for name in model.classes)}]]")
    print(f"Class label = {', '.join(str(model.classes.index(name)) for name in given) or 'none'}")
    print(f"Class name = {', '.join(given) or 'none'}")
