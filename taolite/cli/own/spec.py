"""`taolite spec new TASK DATA`, `check FILE...`, `show FILE`, `schema [KIND]`: write, check and show spec files. The
commands derive, diff and fmt are in `spec_texts`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.own import spec_texts
from taolite.cli.parsing import mount_flag
from taolite.cli.settings import set_flag
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.spec import Kind, SpecModel
    from taolite.stages.propose import NewExperiment

__all__ = ["configure", "model_of"]

_PROPOSED = ("detectnet", "classification", "ssd")
_SCHEMAS = ("detectnet", "inference", "dataset_convert", "classification", "ssd")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `taolite spec`."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], line: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=line, description=line)
        command.set_defaults(run=run)
        return command

    new = add("new", _new, "write the specs of an experiment, chosen from its labelled pictures")
    new.add_argument("task", choices=_PROPOSED, metavar="TASK", help=f"{', '.join(_PROPOSED[:-1])} or {_PROPOSED[-1]}")
    text = "pictures with boxes in any format of labels; for classification class folders"
    new.add_argument("data", type=Path, metavar="DATA", help=text)
    new.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="new folder for data and specs")
    new.add_argument(
        "--classes", metavar="A,B", help="learn only these classes (default: all but DontCare and __ignore__)"
    )
    new.add_argument("--pretrained", type=Path, metavar="FILE", help="weights to start from (default: random weights)")
    new.add_argument("--train", metavar="PART", help="training part: train, trainval ... or a list file")
    new.add_argument("--val", metavar="PART", help="validation part (default: val, else a fifth of the training part)")
    new.add_argument("--from", dest="format", metavar="FORMAT", help="format of the labels (default: detected)")
    new.add_argument("--skip-bad", action="store_true", help="leave out unreadable labels and images, with warnings")
    check = add("check", _check, "check spec files: every problem with its line and column")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a spec file")
    show = add("show", _show, "print a spec with all defaults filled in")
    show.add_argument("file", type=Path, metavar="FILE", help="a spec file")
    for command in (check, show):
        set_flag(command)
        mount_flag(command.add_argument)
    show.add_argument("--json", action="store_true", help="print JSON (default: the spec's own format)")
    spec_texts.add_commands(add)
    schema = add("schema", _schema, "print the JSON schema of a spec: fields, types, ranges, units, meanings")
    schema.add_argument(
        "kind", nargs="?", choices=_SCHEMAS, default="detectnet", metavar="KIND",
        help=f"{', '.join(_SCHEMAS[:-1])} or {_SCHEMAS[-1]} (default: detectnet)",
    )  # fmt: skip


def _new(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.propose import Wanted, new_experiment

    names = [name.strip() for name in options.classes.split(",") if name.strip()] if options.classes else None
    wanted = Wanted(options.format, names, options.train, options.val, options.pretrained, options.skip_bad)
    with Terminal() as show:
        made = new_experiment(options.data, options.output, task=options.task, wanted=wanted, listener=show)
    counts = ", ".join(f"{counted(count, 'picture')} in {name}" for name, count in made.parts.items())
    print(f"{made.folder}: {counts}; {counted(len(made.classes), 'class', 'classes')}: {', '.join(made.classes)}")
    if made.held_out:
        print("the data set has no validation part: a fifth of the pictures is held out, those alike on one side")
    for name, count in made.alike.items():
        few = f"{counted(count, 'picture')} of {name} {'looks' if count == 1 else 'look'} like a training picture"
        print(f"warning: {few}: the score of {name} is too good", file=sys.stderr)
    print("\n".join(f"spec: {file}" for file in made.files))
    print("next:\n" + "\n".join(f"  {line}" for line in _next(made)))
    return 0


def _next(made: NewExperiment) -> Iterator[str]:
    """The commands from the data to an export."""
    yield from {"detectnet": _next_detectnet, "classification": _next_classification, "ssd": _next_ssd}[made.task](made)


def _next_detectnet(made: NewExperiment) -> Iterator[str]:
    here = made.folder
    for part in made.parts:
        yield f"detectnet_v2 dataset_convert -d {here}/tfrecords_{part}.txt -o {here}/tfrecords/{part}"
    yield f"detectnet_v2 train -e {here}/train.txt -r {here}/trained -n detector -k KEY"
    trained, pruned = f"{here}/trained/weights/detector.tlt", f"{here}/pruned/detector.tlt"
    rule = f"--importance taylor -e {here}/train.txt -nf 48 --target 0.12"  # docs/cookbook/pruning.md has the figures
    yield f"detectnet_v2 prune -m {trained} -o {pruned} {rule} -k KEY"
    yield f"detectnet_v2 train -e {here}/retrain.txt -r {here}/retrained -n detector -k KEY"
    yield f"detectnet_v2 export -m {here}/retrained/weights/detector.tlt -o {here}/detector.etlt -k KEY"
    yield f"detectnet_v2 inference -e {here}/inference.txt -i {here}/data/val/image_2 -o {here}/pictures -k KEY"


def _next_classification(made: NewExperiment) -> Iterator[str]:
    here = made.folder
    name = "torchvision" if made.arch else "resnet"
    trained, retrained = (f"{here}/{run}/weights/{name}.tlt" for run in ("trained", "retrained"))
    yield f"classification_tf1 train -e {here}/train.txt -r {here}/trained -k KEY"
    yield f"classification_tf1 evaluate -e {here}/train.txt -m {trained} -r {here}/scores -k KEY"
    rule = f"--importance taylor -e {here}/train.txt -nf 160 --target 0.4"  # docs/cookbook/recipe.md has the figures
    yield f"classification_tf1 prune -m {trained} -o {here}/pruned/classifier.tlt {rule} -k KEY"
    yield f"classification_tf1 train -e {here}/retrain.txt -r {here}/retrained -k KEY"
    yield f"classification_tf1 export -m {retrained} -o {here}/classifier.onnx -k KEY"


def _next_ssd(made: NewExperiment) -> Iterator[str]:
    here, start = made.folder, f" -m {made.pretrained.absolute()}" if made.pretrained else ""
    trained, retrained = (f"{here}/{run}/weights/ssd_resnet18.tlt" for run in ("trained", "retrained"))
    judged = "test" if "test" in made.parts else "train"
    yield f"ssd train -e {here}/train.txt -r {here}/trained{start} -k KEY"
    yield f"ssd evaluate -e {here}/{judged}.txt -m {trained} -r {here}/scores -k KEY"
    yield f"ssd prune -m {trained} -o {here}/pruned/detector.tlt --target 0.5 -nf 128 -k KEY"
    yield f"ssd train -e {here}/retrain.txt -r {here}/retrained -m {here}/pruned/detector.tlt -k KEY"
    yield f"ssd export -m {retrained} -e {here}/retrain.txt -o {here}/detector.etlt -k KEY"


def _check(options: argparse.Namespace) -> int:
    from taolite.errors import TaoliteError
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    failed = 0
    for file in options.files:
        try:
            print("\n".join(_report(mounts.resolve(file))))
        except TaoliteError as error:
            failed += 1
            print(error)
    return 1 if failed else 0


def _report(file: Path) -> Iterator[str]:
    """The lines that describe a valid spec; raises TaoliteError for an invalid one."""
    from taolite import spec

    kind = spec.identify(file)
    reading = spec.read(file, model_of(kind, file))
    count = len(reading.warnings)
    said = f", {counted(count, 'warning')}" if count else ""
    yield f"{file}: good, {'an' if kind is spec.Kind.SSD else 'a'} {kind.value} spec{said}"
    for warning in reading.warnings:
        place = f"line {warning.line}:{warning.column}: " if warning.line else ""
        yield f"  warning: {place}{warning.text}"


def _show(options: argparse.Namespace) -> int:
    from taolite import spec
    from taolite.workspace.mounts import Mounts

    file = Mounts.load(options.mount).resolve(options.file)
    model = spec.load(file, model_of(spec.identify(file), file))
    if options.json:
        print(model.model_dump_json(by_alias=True, exclude_none=True, indent=2))
    else:
        print(spec.dumps(model, defaults=True), end="")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from taolite import spec
    from taolite.tasks.classification.spec import ClassificationSpec
    from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec
    from taolite.tasks.ssd.spec import SsdSpec

    models: dict[str, type[SpecModel]] = dict(
        zip(_SCHEMAS, (DetectNetSpec, InferenceSpec, DatasetExportSpec, ClassificationSpec, SsdSpec), strict=True)
    )
    print(json.dumps(spec.json_schema(models[options.kind]), indent=2, ensure_ascii=False))
    return 0


def model_of(kind: Kind, file: Path) -> type[SpecModel]:
    """The model that reads a spec of `kind`. Raises UsageError for a kind that this version does not read."""
    from taolite.errors import UsageError
    from taolite.spec import Kind

    # Only the models of the task are imported: those of all tasks take longer than reading a spec.
    if kind in (Kind.DETECTNET, Kind.DETECTNET_INFERENCE, Kind.DATASET_EXPORT):
        from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec

        if kind is Kind.DETECTNET:
            return DetectNetSpec
        return InferenceSpec if kind is Kind.DETECTNET_INFERENCE else DatasetExportSpec
    if kind is Kind.CLASSIFICATION:
        from taolite.tasks.classification.spec import ClassificationSpec

        return ClassificationSpec
    if kind in (Kind.SSD, Kind.DSSD):  # the model explains why DSSD is refused
        from taolite.tasks.ssd.spec import SsdSpec

        return SsdSpec
    read = "it reads those of DetectNet_v2 (train and evaluate, inference, dataset_convert), classification and SSD"
    if kind is Kind.UNKNOWN:
        raise UsageError(f"{file}: this version knows no spec with these blocks; {read}")
    raise UsageError(f"{file}: this is a spec for {kind.value}, which this version does not read; {read}")
