"""jetson-inference's programs that train classifiers (reference/jetson_workflows.md 2, 3): `taolite jetson train.py`
and `classification/onnx_export.py`. The run folder of train.py holds the spec made from its flags.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli import processes
from taolite.cli.jetson.classification_flags import BEST
from taolite.cli.jetson.forms import key_of, ours, resume_place, teacher_place
from taolite.cli.jetson.seeds import run_seeds
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.artifacts.bundle import Bundle
    from taolite.artifacts.keys import Key
    from taolite.events import Listener
    from taolite.stages.training.train import TrainReport
    from taolite.tasks.base import Given
    from taolite.tasks.classification.jetson import Settings
    from taolite.tasks.classification.spec import ClassificationSpec

__all__ = ["run_export", "run_train"]

_LAST, _SPEC = "checkpoint.tlt", "experiment_spec.txt"
_THEIRS = ".pth.tar"


def run_train(options: argparse.Namespace) -> int:
    if options.seeds is None:
        _train(options)
        return 0
    if options.evaluate:
        raise UsageError("--seeds with --evaluate: score one run at a time; --model-dir is its folder, .../seed-42")
    return run_seeds(options, _trained, seed="seed")


def _trained(options: argparse.Namespace) -> TrainReport:
    report = _train(options)
    assert report is not None, "nothing but --evaluate has none"
    return report


def _train(options: argparse.Namespace) -> TrainReport | None:
    """Train one run, or score a model with --evaluate."""
    from taolite.cli.jetson.classification_log import TrainLog
    from taolite.stages.training.train import TrainOptions, train
    from taolite.tasks.base import Given
    from taolite.tasks.classification.jetson import spec_of
    from taolite.tasks.classification.task import TASK

    root = Path(options.model_dir).expanduser()
    given, key = Given(skip_corrupt=options.skip_corrupt), key_of(options.key)
    with processes.world_of(options) as world, TrainLog(root, every=options.print_freq) as log:
        settings, kept = world.told(lambda: _settings(options, root))  # only the writer opens the run's folder
        made = spec_of(settings, kept=kept)
        _say_classes(made)
        if options.evaluate:
            _evaluate(made, given, _model_to_evaluate(options.resume, root), key, log)
            return None
        machine = TrainOptions(
            gpus=options.gpus,
            gpu_index=None if options.gpu is None else [options.gpu],
            workers=options.workers,
            global_batch_size=made.train_config.batch_size_per_gpu,
            skip_corrupt=options.skip_corrupt,
            world=world,
        )
        name = made.model_config_.torchvision_arch
        experiment = TASK.read(made, given=given).model
        report = train(experiment, root, name=name, key=key, options=machine, listener=log)
    if not log.epochs:
        epochs = made.train_config.n_epochs
        print(f"=> all {epochs} epochs were done already; give more with --epochs to go on (--resume=last)")
    best = report.best
    print(f"=> best: epoch {best.epoch - 1}, accuracy {100 * best.value:.3f}: {best.weights}")
    print(f"=> next: taolite jetson classification/onnx_export.py --model-dir={options.model_dir}")
    return report


def _settings(options: argparse.Namespace, root: Path) -> tuple[Settings, ClassificationSpec | None]:
    """The settings that the flags give, and the spec of the run to resume."""
    from taolite import spec as specs
    from taolite.tasks.classification.jetson import Settings
    from taolite.tasks.classification.spec import ClassificationSpec

    data, pretrained = options.data, options.pretrained
    if data is None and pretrained and Path(pretrained).expanduser().is_dir():
        data, pretrained = pretrained, ""  # train.py's --pretrained has no value
    weights = resume_place(options.resume, root, theirs=_THEIRS, newest=_LAST)
    goes_on = weights == root or (options.evaluate and (root / _SPEC).is_file())
    kept = specs.load(root / _SPEC, ClassificationSpec) if goes_on else None
    if data is None and kept is None:
        raise UsageError("no DATASET: give the folder that holds train/ and val/, as in `train --model-dir=m DATASET`")
    if options.dataset_type in ("nuswide", "voc") and kept is None and not options.multi_label:
        kind = options.dataset_type
        raise UsageError(f"--dataset-type={kind}: its pictures have any number of classes; give --multi-label with it")
    if weights not in (None, root) and not options.evaluate:
        pretrained = str(weights)
    elif pretrained and "://" not in pretrained:
        pretrained = str(Path(pretrained).expanduser().absolute())
    start = options.start_epoch if options.start_epoch is not None else options.epoch_start
    epochs = options.epochs
    if start and kept is None:
        epochs = (epochs or 35) - start
        if epochs < 1:
            raise UsageError(f"--start-epoch {start} with --epochs {options.epochs or 35}: no epoch is left")
        print(f"=> --start-epoch {start} in a new run: {epochs} epochs are trained")
    elif start:
        print("=> --start-epoch is ignored: a resumed run continues after its last epoch")
    return Settings(
        dataset=None if data is None else Path(data).expanduser().absolute(),
        dataset_type=options.dataset_type,
        arch=options.arch,
        resolution=options.resolution,
        epochs=epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        learning_rate=options.lr,
        momentum=options.momentum,
        weight_decay=options.wd,
        pretrained="" if options.no_pretrained else (pretrained or None),
        seed=options.seed,
        multi_label=options.multi_label,
        multi_label_threshold=options.multi_label_threshold,
        teacher=teacher_place(options.teacher),
        compat=options.compat,
    ), kept


def _say_classes(made: ClassificationSpec) -> None:
    """Print train.py's line about the classes; `labels.txt` beside the splits must agree with their folders."""
    from taolite.formats.folders import check_labels
    from taolite.tasks.classification.examples import spec_classes

    assert made.jetson_config is not None, "the template has it"
    classes = spec_classes(made, classmap=None, resolve=Path)
    labels = Path(made.train_config.train_dataset_path).parent / "labels.txt"
    if made.jetson_config.dataset_type == "folder" and labels.is_file():
        check_labels(labels, classes)
    print(f"=> dataset classes:  {len(classes)} {list(classes)}", flush=True)


def _model_to_evaluate(what: str | None, root: Path) -> Path:
    named = root if what is None or what in ("last", "best") else ours(Path(what).expanduser(), _THEIRS)
    return named / (_LAST if what == "last" else BEST) if named.is_dir() else named


def _evaluate(made: ClassificationSpec, given: Given, model: Path, key: Key, log: Listener) -> None:
    from taolite.stages.evaluate import evaluate
    from taolite.stages.inference.models import open_model
    from taolite.tasks.classification.task import TASK

    with open_model(model, key=key, of=TASK.name) as opened:
        experiment = TASK.read(made, classes=opened.classes, given=given).model
        evaluation = evaluate(experiment, opened, split="val", skip_corrupt=given.skip_corrupt, listener=log)
    card = evaluation.card
    print(f"  * Val Loss       {evaluation.cost:.4e}")
    print(f"  * Val Accuracy   {100 * card.main.value:.4f}")
    for name, value in card.main.per_class.items():
        print(f"      {name}: {100 * value:.3f}")
    if "tags" in card.beside:
        print(f"  * Val mAP        {100 * card.beside['tags'].value:.4f}")
        print(f"  * Val All Right  {100 * card.beside['exact'].value:.4f}")


def run_export(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.exporting.export import Border, export_model
    from taolite.stages.trained import open_trained

    root = Path(options.model_dir).expanduser()
    key = key_of(options.key)
    model = open_trained(ours(root / options.input, _THEIRS), key=key, of="classification")
    arch = model.bundle.architecture.get("network", "model")
    output = Path(options.output or f"{arch}.onnx").expanduser()
    output = output if output.parent != Path() else root / output
    border = Border("input_0", ("output_0",))
    if options.plain:
        border = Border("input_0", ("output_0",), _without_activation, {"logits": True})
    with Terminal() as show:
        report = export_model(
            model,
            output,
            key=key,
            opset=options.target_opset,
            static_batch=1,
            border=border,
            overwrite=True,
            listener=show,
        )
    worst = max(report.differences.values())
    print(f"exported: {report.output} (input_0, output_0; differs from the trained network by {worst:.1e} at most)")
    stale = sorted(output.parent.glob(f"{output.name}.*.engine"))
    if stale:
        print(f"warning: {stale[0]} was built from an earlier export; remove it", file=sys.stderr)
    return 0


def _without_activation(bundle: Bundle) -> Bundle:
    """The same classifier without its last activation: it returns logits."""
    return replace(bundle, architecture={**bundle.architecture, "activation": "none"})
