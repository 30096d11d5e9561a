"""pytorch-ssd's programs (reference/jetson_workflows.md 4 to 7): `taolite jetson train_ssd.py`, `eval_ssd.py`,
`ssd/onnx_export.py` and `run_ssd_example.py`. The run folder of train_ssd.py holds the spec made from its flags.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from taolite.cli import processes
from taolite.cli.jetson import ssd_flags as flags
from taolite.cli.jetson.forms import key_of, ours, resume_place, teacher_place
from taolite.cli.jetson.seeds import run_seeds
from taolite.errors import PathError, UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.cli.jetson.ssd_log import SsdLog
    from taolite.sample import Detection, Sample
    from taolite.stages.training.train import TrainReport
    from taolite.tasks.ssd.spec import JetsonConfig, SsdSpec

__all__ = ["run_eval", "run_example", "run_export", "run_train"]

_SPEC, _THEIRS = "experiment_spec.txt", ".pth"
_USUAL = "ssd-mobilenet"  # onnx_export.py's name for mb1-ssd
_BESIDE = {"VOC": "mAP of the whole area (VOC 2010)", "COCO": "mAP at IoU 0.50 to 0.95 (COCO)"}
_UNTRAINED = {"resume": "", "base_net": "", "pretrained_ssd": ""}
_EXAMPLE = {"confidence_threshold": 0.4, "top_k": 10}  # settings of run_ssd_example.py


@dataclass(frozen=True)
class _Opened:
    """An opened model: its network's name, "" where only the model knows, and the spec of the run that made it."""

    path: Path
    net: str = ""
    spec: SsdSpec | None = None


def run_train(options: argparse.Namespace) -> int:
    if options.seeds is not None:
        return run_seeds(options, _train, seed="random_seed")
    _train(options)
    return 0


def _train(options: argparse.Namespace) -> TrainReport:
    """Train one run."""
    from taolite.cli.jetson.ssd_log import SsdLog
    from taolite.stages.training.train import TrainOptions, train
    from taolite.tasks.ssd.jetson import spec_of
    from taolite.tasks.ssd.task import TASK

    _use_cuda(options)
    root = Path(options.model_dir).expanduser()
    with (
        processes.world_of(options) as world,
        SsdLog(root, every=options.debug_steps, level=options.log_level) as log,
    ):
        given, kept = world.told(lambda: _given(options, root))  # only the writer opens the run's folder
        if kept is None and not any(given.get(name) for name in ("resume", "base_net", "pretrained_ssd")):
            given |= _published(given.get("net", "mb1-ssd"), log)
        made = spec_of(given, kept=kept, teacher=teacher_place(options.teacher), compat=options.compat)
        config = made.jetson_config
        assert config is not None, "spec_of makes it"
        _say_settings(made, config, root, log)
        log.expect(_network_lines(config))
        reading = TASK.read(made)
        for warning in reading.warnings:
            log.say(f"warning: {warning.text.removeprefix('jetson_config.')}", warns=True)
        report = train(
            reading.model,
            root,
            name=config.net,
            key=key_of(options.key),
            options=TrainOptions(
                gpus=options.gpus,
                workers=options.num_workers,
                global_batch_size=config.batch_size,
                skip_corrupt=options.skip_corrupt,
                world=world,
            ),
            listener=log,
        )
        if not log.epochs:
            log.say(f"All {config.num_epochs} epochs were done already; give more with --epochs to go on.")
        best = report.best
        log.say(f"Best: epoch {best.epoch - 1}, mAP {best.value:.4f}: {best.weights}")
        log.say(f"Next: taolite jetson ssd/onnx_export.py --model-dir={options.model_dir}")
        log.say("Task done, exiting program.")
    return report


def _given(options: argparse.Namespace, root: Path) -> tuple[dict[str, Any], SsdSpec | None]:
    """The fields whose flags were given, and the spec of the run to resume."""
    from taolite import spec as specs
    from taolite.tasks.ssd.spec import SsdSpec

    given = _fields(options)
    if "datasets" in given:
        given["datasets"] = tuple(_absolute(one) for one in given["datasets"])
    for name in ("base_net", "pretrained_ssd"):
        if given.get(name):
            given[name] = _absolute(given[name])
    weights = resume_place(options.resume, root, theirs=_THEIRS, newest=flags.BEST)
    if weights == root:
        return given, specs.load(root / _SPEC, SsdSpec)
    if weights is not None:  # before the others, as in train_ssd.py
        given = {name: value for name, value in given.items() if name not in ("base_net", "pretrained_ssd")}
        given["resume"] = str(weights)
    given.setdefault("datasets", (_absolute("data"),))
    return given, None


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given and are fields of `jetson_config`, by name."""
    from taolite.tasks.ssd.spec import JetsonConfig

    names = JetsonConfig.model_fields.keys() - {"resume"}  # --resume also accepts values that are not a file
    return {name: getattr(options, name) for name in sorted(names) if getattr(options, name, None) is not None}


def _published(net: str, log: SsdLog) -> dict[str, Any]:
    """The weights train_ssd.py starts from, where they exist."""
    path = Path(flags.PRETRAINED)
    if net == "mb1-ssd" and path.is_file():
        return {"pretrained_ssd": str(path.absolute())}
    why = f"{path} is not here" if net == "mb1-ssd" else f"no weights are published for {net}"
    log.say(
        f"warning: {why}: training starts from random weights; give --pretrained-ssd, or --base-net for a backbone",
        warns=True,
    )
    return {}


def _say_settings(spec: SsdSpec, config: JetsonConfig, root: Path, log: SsdLog) -> None:
    """Print train_ssd.py's lines before the first step."""
    log.say(str(argparse.Namespace(**config.model_dump(), checkpoint_folder=str(root))))
    log.say(f"model resolution {config.resolution}x{config.resolution}")
    for line in _prior_lines(spec):
        log.say(line)
    log.say("Prepare training datasets.")


def _network_lines(config: JetsonConfig) -> list[str]:
    """train_ssd.py's lines on the network and its training settings."""
    kinds = {"resume": "the model", "base_net": "base net", "pretrained_ssd": "pretrained SSD"}
    extra = config.lr if config.extra_layers_lr is None else config.extra_layers_lr
    return [
        "Build network.",
        *(f"Init from {kind} {getattr(config, name)}" for name, kind in kinds.items() if getattr(config, name)),
        f"Learning rate: {config.lr}, Base net learning rate: {config.base_net_lr}, "
        f"Extra Layers learning rate: {extra}.",
        f"Uses {'CosineAnnealingLR' if config.scheduler == 'cosine' else 'MultiStepLR'} scheduler.",
    ]


def _prior_lines(spec: SsdSpec) -> Iterator[str]:
    """Lines on the sizes of the prior boxes on each feature map, in pixels."""
    from taolite.tasks.ssd.task import TASK

    bound = TASK.read(spec, classes=("any",)).model
    side = bound.plan.network.input_hw[0]
    plan, sizes = bound.layout
    for level, (rows, _) in zip(plan.levels, sizes, strict=True):
        least, middle = side * level.boxes[0][0], side * level.boxes[1][0]
        ratios = [round((side * width / least) ** 2) for width, _ in level.boxes[2::2]]
        yield (
            f"SSDSpec(feature_map_size={rows}, shrinkage={side * level.step_yx[0]:.4g}, "
            f"box_sizes=SSDBoxSizes(min={least:.4g}, max={middle**2 / least:.4g}), aspect_ratios={ratios})"
        )


def run_eval(options: argparse.Namespace) -> int:
    from taolite.cli.jetson.ssd_log import precision_lines
    from taolite.cli.progress import Terminal
    from taolite.files import write_text
    from taolite.report import precision_recall_png
    from taolite.stages.evaluate import evaluate
    from taolite.stages.inference.models import open_model
    from taolite.tasks.ssd.jetson import spec_of
    from taolite.tasks.ssd.task import TASK

    _use_cuda(options)
    if options.model is None:
        raise UsageError("no --model: give a model, or the folder of a run")
    given = _fields(options)
    if options.dataset:
        given["datasets"] = (_absolute(options.dataset),)
    elif "dataset_type" in given:
        raise UsageError("--dataset_type without --dataset: give the root of the data set")
    key, rows = key_of(options.key), dict[str, list[str]]()

    def note(sample: Sample, detections: Sequence[Detection]) -> None:
        for one in detections:
            assert one.box is not None, "a detector's"
            numbers = (f"{one.score:.6f}", *(f"{value + 1:.2f}" for value in one.box))
            rows.setdefault(one.name, []).append("\t".join((sample.image.stem, *numbers)))

    with _opened(Path(options.model).expanduser(), options.label_file, given, key) as opened:
        if opened.spec is None:
            given.setdefault("dataset_type", "voc")
        if not options.dataset and opened.spec is None:
            raise UsageError("no --dataset: give the root of the data set; this model does not know that of training")
        made = spec_of({**given, **_UNTRAINED}, kept=opened.spec)
        with Terminal() as show, open_model(opened.path, key=key, of=TASK.name) as model:
            experiment = TASK.read(made, classes=model.classes).model
            card = evaluate(experiment, model, skip_corrupt=options.skip_corrupt, told=note, listener=show).card
    output = Path(options.eval_dir).expanduser()
    for name in card.objects:
        text = "".join(f"{row}\n" for row in rows.get(name, ()))
        write_text(output / f"det_test_{name.replace('/', '_')}.txt", text)
    precision_recall_png(card, output / "PR_curve.png")
    print("\n".join(precision_lines(card.main, classes=card.objects)))
    for name, metric in card.beside.items():
        print(f"{_BESIDE[name]}:  {metric.value}")
    print(f"{card.images} images, {sum(card.objects.values())} objects; what was found: {output}")
    return 0


@contextmanager
def _opened(path: Path, labels: str | None, given: Mapping[str, Any], key: Key) -> Iterator[_Opened]:
    """The model at `path`, or the best model of the run in that folder.

    A state dict of pytorch-ssd is converted to a temporary model of ours; its classes are those of the file `labels`.
    Raises PathError, DataError, UsageError.
    """
    from taolite import spec as specs
    from taolite.artifacts.bundle import read_bundle
    from taolite.artifacts.sniff import Kind, sniff
    from taolite.errors import DataError
    from taolite.formats.part import read_labels
    from taolite.stages.training.adopt import adopt
    from taolite.tasks.ssd.jetson import spec_of
    from taolite.tasks.ssd.spec import SsdSpec
    from taolite.tasks.ssd.task import TASK

    model = ours(_found_in(path) if path.is_dir() else path, _THEIRS)
    if not model.is_file():
        raise PathError(f"{model}: there is no such model")
    names = read_labels(Path(labels).expanduser())[0] if labels else None
    kind = sniff(model)
    if kind is Kind.BUNDLE:
        bundle = read_bundle(model, key=key)
        if names is not None and names != bundle.classes:
            listed = f"{labels} names {', '.join(names)}; {model} finds {', '.join(bundle.classes)}"
            raise DataError(f"{listed}; leave the labels out, the model knows its classes")
        kept = specs.loads(bundle.spec, SsdSpec, path=str(model)) if bundle.task == "ssd" else None
        if kept is None or kept.jetson_config is None:
            raise UsageError(f"{model} was not trained by pytorch-ssd's form; use TAO's, with its spec (-e)")
        for name in ("net", "resolution", "mb2_width_mult"):
            known = getattr(kept.jetson_config, name)
            if given.get(name, known) != known:
                raise UsageError(f"{model}: its {name} is {known}, not {given[name]}; leave the flag out")
        yield _Opened(model, kept.jetson_config.net, kept)
    elif kind is Kind.TORCH:
        if names is None:
            raise UsageError(f"{model} does not say its classes; give the labels.txt of its training")
        with TemporaryDirectory() as folder:
            adopted = Path(folder) / f"{model.stem}.tlt"
            made = spec_of({**given, **_UNTRAINED, "resume": str(model.absolute())})
            adopt(TASK.read(made, classes=names).model, adopted, key=key)
            yield _Opened(adopted, made.jetson_config.net if made.jetson_config else "")
    else:
        yield _Opened(model)


def _found_in(folder: Path) -> Path:
    """The best model of a run; for a run of pytorch-ssd itself, the file with the lowest loss in its name."""
    if (folder / flags.BEST).is_file():
        return folder / flags.BEST
    losses = {path: _loss_in(path.name) for path in sorted(folder.glob("*-Epoch-*-Loss-*.pth"))}
    known = [path for path, loss in losses.items() if math.isfinite(loss)]
    if not known:
        raise PathError(
            f"{folder}: no {flags.BEST} is here, and no NET-Epoch-E-Loss-L.pth; train first, or name the model"
        )
    return min(known, key=losses.__getitem__)


def _loss_in(name: str) -> float:
    try:
        return float(name.rpartition("-Loss-")[2].removesuffix(_THEIRS))
    except ValueError:
        return math.nan


def run_export(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.exporting.export import Border, export_model
    from taolite.stages.trained import open_trained
    from taolite.tasks.ssd.export import BOXES, SCORES, end_in_nms
    from taolite.tasks.ssd.foreign import IN_USE

    root, key = Path(options.model_dir).expanduser(), key_of(options.key)
    if not (options.model_dir or options.input):
        raise UsageError("no model: give --model-dir, the folder of a run, or --input, a model")
    sizes = {size for size in (options.width, options.height, options.resolution) if size is not None}
    if len(sizes) > 1:
        raise UsageError(f"--width {options.width} --height {options.height}: the input is square")
    given: dict[str, Any] = {"resolution": max(sizes)} if sizes else {}
    given |= {"net": flags.network(options.net)} if options.net else {}
    model = root
    if options.input:
        model = Path(options.input).expanduser()
        model = model if model.is_file() else root / model
    labels = options.labels or None
    if labels and not Path(labels).is_file():
        labels = str(root / labels)
    elif labels is None and (root / "labels.txt").is_file():
        labels = str(root / "labels.txt")
    with _opened(model, labels, given, key) as opened:
        name = options.net or (_USUAL if opened.net == "mb1-ssd" else opened.net)
        output = Path(options.output or f"{name}.onnx").expanduser()
        output = output if output.parent != Path() else root / output
        with Terminal() as show:
            report = export_model(
                open_trained(opened.path, key=key, of="ssd"),
                output,
                key=key,
                static_batch=options.batch_size,
                border=Border(
                    "input_0", (SCORES, BOXES), decoding=IN_USE, finish=end_in_nms if options.onnx_nms else None
                ),
                overwrite=True,
                listener=show,
            )
    print(f"model exported to:  {report.output}")
    worst = max(report.differences.values())
    print(f"input_0 -> scores, boxes; differs from the trained network by {worst:.1e} at most")
    stale = sorted(output.parent.glob(f"{output.name}.*.engine"))
    if stale:
        print(f"warning: {stale[0]} was built from an earlier export; remove it", file=sys.stderr)
    return 0


def run_example(options: argparse.Namespace) -> int:
    from taolite.media.sources import open_source
    from taolite.stages.inference.labelled import open_detector
    from taolite.stages.inference.listeners import Drawing, annotated_output
    from taolite.stages.inference.look import look

    key, labels, output = key_of(options.key), Path(options.labels).expanduser(), Path("run_ssd_example_output.jpg")
    given = {"net": options.net} | ({"resolution": options.resolution} if options.resolution else {})
    with _opened(Path(options.model).expanduser(), options.labels, given, key) as opened:
        source = open_source(options.image)
        with open_detector(opened.path, labels, key=key, decoding=_EXAMPLE) as model, ExitStack() as stack:
            (seen,) = look(model, source)
            annotated_output(output, source, Drawing(model.classes), stack)(seen)
    print(f"Found {len(seen.found)} objects. The output image is {output}")
    return 0


def _use_cuda(options: argparse.Namespace) -> None:
    if not options.use_cuda:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read when torch is imported, later


def _absolute(text: str) -> str:
    return str(Path(text).expanduser().absolute())
