"""jetson-inference's commands without a spec file, as second forms of `taolite classification` tasks
(reference/jetson_workflows.md 2, 3, 8):

    train --model-dir=cat_dog DATASET       train.py's flags; the run folder holds the spec they stand for
    export --model-dir=cat_dog              onnx_export.py's; `onnx_export` is another name of it
    inference --model=M --labels=L IN OUT   imagenet's

`other_form` hangs one of them on the parser of TAO's task; which is meant is told from the words.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from taolite.cli import processes
from taolite.cli.jetson.forms import OPEN_KEY, Form, count, hang, key_of, number, ours, resume_place, truth
from taolite.cli.parsing import TaoParser
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.tasks.classification.jetson import Settings
    from taolite.tasks.classification.spec import ClassificationSpec

__all__ = ["add_forms", "export_flags", "run_export"]

_BEST, _LAST, _SPEC = "model_best.tlt", "checkpoint.tlt", "experiment_spec.txt"
_THEIRS = ".pth.tar"
_GONE = ("--world-size", "--rank", "--dist-url", "--dist-backend")


def add_forms(tasks: argparse._SubParsersAction[Any]) -> None:
    """Hang the second forms on TAO's tasks, and add `onnx_export`."""
    rows = (
        Form("train", _train_flags, partial(processes.in_processes, _run_train), _is_train, "DATA --model-dir=RUN"),
        Form("export", export_flags, run_export, _is_export, "--model-dir=RUN"),
        Form("inference", _inference_flags, _run_inference, _is_inference, "--model=MODEL IN OUT"),
    )
    hang(tasks, rows, of="jetson-inference")
    alias = tasks.add_parser("onnx_export", help="export as jetson-inference's onnx_export.py does")
    export_flags(alias)
    alias.set_defaults(run=run_export)


def _is_train(words: Sequence[str]) -> bool:
    """TAO's form has a results folder and a spec file; train.py's has a folder of data, and its -e takes nothing."""
    if not words or set(words) & {"-h", "--help"}:
        return any(word.startswith("--model-dir") for word in words)
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(("--results", "--experiment")) or (word[:2] == "-r" and word[:3] != "-re"):
            return False
        if word == "-e" and after and not after.startswith("-") and not Path(after).expanduser().is_dir():
            return False
    return True


def _is_export(words: Sequence[str]) -> bool:
    return any(word.startswith(("--model-dir", "--input", "--no-activation", "--no-softmax")) for word in words)


def _is_inference(words: Sequence[str]) -> bool:
    """TAO's form names its pictures behind a flag; imagenet's does not, and its model is `--model`, never `-m`."""
    if any(word[:2] in ("-i", "-d", "-e") or word.startswith(("--image", "--experiment")) for word in words):
        return False
    return any(word.partition("=")[0] in ("--model", "--labels") for word in words)


def _train_flags(parser: TaoParser) -> None:
    add = parser.add_argument
    add("data", nargs="?", metavar="DATASET", help="folder with train/ and val/, each a folder of pictures a class")
    add("--dataset-type", choices=("folder", "nuswide", "voc"), help="what DATASET is; folder unless told")
    add("--multi-label", action="store_true", default=None, help="pictures have any number of classes")
    add("--multi-label-threshold", type=number(0, 1), metavar="P", help="score from which a class counts; 0.5")
    add("--model-dir", default="models", metavar="DIR", help="the run's folder; models unless told")
    add("-a", "--arch", metavar="NAME", help="torchvision's name of the network; resnet18")
    add("--resolution", type=count(16), metavar="R", help="pixels of the input's sides; 224")
    add("-j", "--workers", type=count(0), default=2, metavar="N", help="threads that load pictures; 2")
    add("--epochs", type=count(1), metavar="N", help="epochs of the whole run, those before a --resume too; 35")
    add("--start-epoch", type=count(0), metavar="N", help="a new run leaves so many out; one that goes on knows")
    add("--epoch-start", type=count(0), help=argparse.SUPPRESS)
    add("-b", "--batch-size", type=count(1), metavar="N", help="pictures in a step, over all GPUs; 8")
    add("--optimizer", choices=("adam", "sgd"), help="adam; sgd, as in train.py, with --lr or --momentum")
    text = "the largest; of adam 0.0001 (0.0003 from a .tlt, 0.001 from random weights), of sgd 0.001"
    add("--lr", "--learning-rate", dest="lr", type=number(0, None), metavar="RATE", help=text)
    add("--momentum", type=number(0, 1, least=True), metavar="M", help="of sgd; 0.9")
    add("--wd", "--weight-decay", dest="wd", type=number(0, 1, least=True), metavar="W", help="of kernels; 1e-4")
    add("-p", "--print-freq", type=count(1), default=10, metavar="N", help="batches from line to line; 10")
    add("--resume", metavar="WHAT", help="go on: last, best, a checkpoint or its folder; weights of other runs begin")
    add("-e", "--evaluate", action="store_true", help="score on val/ and end")
    add("--pretrained", nargs="?", const="", metavar="FILE", help="weights to start from; torchvision's, downloaded")
    add("--no-pretrained", action="store_true", help="start from random weights")
    add("--seed", type=count(0), metavar="N", help="of everything random; 42")
    add("--gpu", type=count(0), metavar="I", help="which GPU; the processor where there is none")
    add("--compat-jetson", dest="compat", action="store_true", help="train.py's way: sgd, 0.1, a tenth every 30 epochs")
    add("--skip-corrupt", action="store_true", help="leave out pictures that cannot be read, with a warning")
    add("-k", "--key", metavar="KEY", help=f"seals the models, as KEY, @FILE or TAOLITE_KEY; else {OPEN_KEY}")
    add("--gpus", type=count(1), default=1, metavar="N", help="GPUs to share every step's pictures")
    processes.add_flags(parser.add_argument_group("several machines, the same command on each").add_argument)
    for flag in _GONE:
        add(flag, action=_Gone, help=argparse.SUPPRESS)
    add("--multiprocessing-distributed", action=_Gone, nargs=0, help=argparse.SUPPRESS)


def export_flags(parser: TaoParser) -> None:
    add = parser.add_argument
    add("--model-dir", default="", metavar="DIR", help="the run's folder")
    add("--input", default=_BEST, metavar="FILE", help=f"which model of it; {_BEST}")
    add("--output", default="", metavar="FILE", help="ARCH.onnx in the run's folder unless told")
    text = "leave softmax (sigmoid of --multi-label) out"
    add("--no-activation", "--no-softmax", dest="plain", nargs="?", const=True, default=False, type=truth, help=text)
    add("--target_opset", type=count(11), default=17, metavar="N", help="ONNX opset; 17, and 18 for a swin")
    add("-k", "--key", metavar="KEY", help=f"that of training; {OPEN_KEY} unless told")


def _inference_flags(parser: TaoParser) -> None:
    add = parser.add_argument
    add("input", metavar="IN", help="a picture, a folder, a pattern, a video or a camera")
    add("output", nargs="?", metavar="OUT", help="annotated pictures: a file, or a folder")
    add("--model", required=True, metavar="FILE", help=".onnx, .tlt, .etlt or an engine")
    add("--labels", metavar="FILE", help="class names; those in the model have to agree")
    add("--threshold", type=number(0, 1, least=True), metavar="P", help="least confidence; 0.01, of tags training's")
    add("--topK", "--topk", dest="top", type=count(0), metavar="K", help="classes a picture, 0 is all; 1, of tags 0")
    add("--smoothing", type=number(0, None, least=True), default=0.0, metavar="S", help="of a video's frames; 0")
    add("--fit", choices=("crop", "stretch"), help="crop as in training, or stretch as imagenet does; crop")
    add("-k", "--key", metavar="KEY", help=f"of a sealed model; {OPEN_KEY} unless told")
    for flag in ("--input-blob", "--input_blob", "--output-blob", "--output_blob"):
        add(flag, help=argparse.SUPPRESS)


def _run_train(options: argparse.Namespace) -> int:
    from taolite import spec as specs
    from taolite.cli.jetson.classification_log import TrainLog
    from taolite.stages.train import TrainOptions, train
    from taolite.tasks.classification.jetson import spec_of
    from taolite.tasks.classification.task import ClassificationTask

    root = Path(options.model_dir).expanduser()
    task, key = ClassificationTask(skip_corrupt=options.skip_corrupt), key_of(options.key)
    with (
        processes.world_of(options) as world,
        TemporaryDirectory() as folder,
        TrainLog(root, every=options.print_freq, spec=(path := Path(folder) / "flags.txt")) as log,
    ):
        settings, kept = world.told(lambda: _settings(options, root))  # the run's folder is the writer's
        made = spec_of(settings, kept=kept)
        path.write_text(specs.dumps(made), encoding="utf-8")
        _say_classes(made)
        if options.evaluate:
            return _evaluate(task, path, _model_to_evaluate(options.resume, root), key, log)
        machine = TrainOptions(
            gpus=options.gpus,
            gpu_index=None if options.gpu is None else [options.gpu],
            workers=options.workers,
            global_batch_size=made.train_config.batch_size_per_gpu,
            world=world,
        )
        name = made.model_config_.torchvision_arch
        report = train(task, path, root, name=name, key=key, resolve=Path, options=machine, listener=log)
    if not log.epochs:
        epochs = made.train_config.n_epochs
        print(f"=> all {epochs} epochs were done already; give more with --epochs to go on (--resume=last)")
    best = report.best
    print(f"=> best: epoch {best.epoch - 1}, accuracy {100 * best.value:.3f}: {best.weights}")
    print(f"=> next: taolite classification export --model-dir={options.model_dir}")
    return 0


def _settings(options: argparse.Namespace, root: Path) -> tuple[Settings, ClassificationSpec | None]:
    """What the flags say, and the spec of the run that goes on."""
    from taolite import spec as specs
    from taolite.tasks.classification.jetson import Settings
    from taolite.tasks.classification.spec import ClassificationSpec

    data, pretrained = options.data, options.pretrained
    if data is None and pretrained and Path(pretrained).expanduser().is_dir():
        data, pretrained = pretrained, ""  # train.py's --pretrained takes nothing
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
        print(f"=> a new run, and --start-epoch {start}: {epochs} epochs are trained, counted from 0")
    elif start:
        print("=> a run that goes on knows its epoch: --start-epoch is not needed")
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
        compat=options.compat,
    ), kept


def _say_classes(made: ClassificationSpec) -> None:
    """train.py's line about the classes; `labels.txt` beside the splits has to agree with their folders."""
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
    return named / (_LAST if what == "last" else _BEST) if named.is_dir() else named


def _evaluate(task: Any, spec: Path, model: Path, key: Key, log: Any) -> int:
    from taolite.stages.evaluate import evaluate

    evaluation = evaluate(task, spec, model, key=key, resolve=Path, split="val", listener=log)
    card = evaluation.card
    print(f"  * Val Loss       {evaluation.cost:.4e}")
    print(f"  * Val Accuracy   {100 * card.main.value:.4f}")
    for name, value in card.main.per_class.items():
        print(f"      {name}: {100 * value:.3f}")
    if "tags" in card.beside:
        print(f"  * Val mAP        {100 * card.beside['tags'].value:.4f}")
        print(f"  * Val All Right  {100 * card.beside['exact'].value:.4f}")
    return 0


def run_export(options: argparse.Namespace) -> int:
    from taolite.artifacts.bundle import read_bundle
    from taolite.cli.progress import Terminal
    from taolite.stages.export import Border, export_model
    from taolite.tasks.classification.model import without_activation

    root = Path(options.model_dir).expanduser()
    model = ours(root / options.input, _THEIRS)
    key = key_of(options.key)
    arch = read_bundle(model, key=key).architecture.get("network", "model")
    output = Path(options.output or f"{arch}.onnx").expanduser()
    output = output if output.parent != Path() else root / output
    border = Border("input_0", ("output_0",))
    if options.plain:
        border = Border("input_0", ("output_0",), without_activation, {"logits": True})
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


def _run_inference(options: argparse.Namespace) -> int:
    from taolite.media.sources import open_source
    from taolite.stages.device import choose
    from taolite.stages.imagenet import Manner, classify, open_classifier

    source = open_source(options.input)
    device = choose()
    labels = Path(options.labels).expanduser() if options.labels else None
    model = open_classifier(Path(options.model).expanduser(), labels, key=key_of(options.key), device=device)
    manner = Manner(options.threshold, options.top, options.smoothing, options.fit)
    output = Path(options.output).expanduser() if options.output else None
    try:
        for seen in classify(model, source, output, manner=manner):
            print(seen.name)
            for rank in seen.ranks:
                print(f"imagenet:  {100 * rank.confidence:.5f}% class #{rank.index} ({rank.label})")
            if not seen.ranks:
                print(f"imagenet:  no class reaches {seen.least:g}")
            if seen.written is not None:
                print(f"  written: {seen.written}")
    finally:
        model.close()
    return 0


class _Gone(argparse.Action):
    """A flag of train.py's from before 2022-12, for training on several machines."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(f"warning: {option_string} has no effect: give --gpus, and --num_nodes with its others", file=sys.stderr)
