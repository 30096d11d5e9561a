"""The life of a model as functions: read a spec, train, prune, export, evaluate. Each is one call of a stage.

They need the extra `train`. A spec is the path of a file, in TAO's format, or what `read` made of it; paths in it are
resolved by the mounts map, as on the command line. Progress goes to `listener` (`taolite.events`); without one the
functions are silent. Errors are `taolite.TaoliteError`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from taolite import spec as specs
from taolite.api.keys import Secret, opening_key, sealing_key
from taolite.api.libraries import needed
from taolite.engines.base import RuntimeName
from taolite.errors import UsageError
from taolite.events import Listener, Notice, silent
from taolite.tasks.base import Experiment, Given, Split
from taolite.workspace.mounts import Mounts

if TYPE_CHECKING:
    from taolite.stages.evaluate import Evaluation
    from taolite.stages.exporting.export import ExportPrecision, ExportReport
    from taolite.stages.prune import PruneReport
    from taolite.stages.training.train import TrainReport

__all__ = ["Spec", "evaluate", "export", "prune", "read", "train"]

Spec: TypeAlias = "str | Path | Experiment"

_TASK_OF = {
    specs.Kind.DETECTNET: "detectnet",
    specs.Kind.CLASSIFICATION: "classification",
    specs.Kind.SSD: "ssd",
}


def read(
    spec: str | Path,
    *,
    task: str | None = None,
    command: Literal["train", "evaluate", "export"] = "train",
    classes: Sequence[str] | None = None,
    listener: Listener = silent,
) -> Experiment:
    """Read a train / evaluate spec: its classes, preprocessing, data and recipe as typed values.

    Args:
        spec: the file.
        task: detectnet, classification or ssd; None: as the spec's fields say.
        command: what the spec is for; an SSD's needs other blocks for each.
        classes: the classes of an existing model, for a spec that lists none.
        listener: is told of the spec's warnings.

    Raises SpecError with all its problems; UsageError for a spec of another kind; PathError, DataError.
    """
    path = Mounts.load().resolve(Path(spec).expanduser())
    name = task or _TASK_OF.get(kind := specs.identify(path))
    if name is None:
        raise UsageError(
            f"{path}: a spec for {kind.value}; a spec of DetectNet_v2, classification or SSD training is needed"
        )
    with needed("read"):
        from taolite.tasks.registry import find

        reading = find(name).read(path, resolve=Mounts.load().resolve, classes=classes, given=Given(command=command))
    for warning in reading.warnings:
        listener(Notice(f"{path}: {warning.said}", "warning"))
    return reading.model


def train(
    spec: Spec,
    results: str | Path,
    *,
    key: Secret = None,
    name: str = "model",
    listener: Listener = silent,
    **options: Any,
) -> TrainReport:
    """Train, or continue the run in the folder `results`; see `taolite.stages.training.train`.

    Args:
        results: the run folder; the finished model is `weights/NAME.tlt` in it.
        key: seals the model, and opens the one that training starts from.
        options: fields of `taolite.stages.training.train.TrainOptions`: `gpus`, `precision`, `workers`, `resume`, ...

    Raises UsageError, SpecError, DataError, PathError, ArtifactError, ModelError, TrainingError, StorageError.
    """
    with needed("train"):
        from taolite.stages.training import train as stage

        asked = _options(stage.TrainOptions, options, "train")
        experiment = _experiment(spec, "train", listener)
        return stage.train(
            experiment,
            Path(results).expanduser(),
            name=name,
            key=sealing_key(key),
            options=asked,
            listener=listener,
        )


def prune(
    model: str | Path, output: str | Path, *, key: Secret = None, listener: Listener = silent, **settings: Any
) -> PruneReport:
    """Remove the weakest channels of a trained model and write the smaller one to `output`.

    Args:
        model: a `.tlt` or a run folder.
        settings: fields of `taolite.stages.prune.PruneSettings`: `threshold`, or `target`, the share of the parameters
            to keep; `granularity`, `min_filters`, `excluded`, ...

    Raises UsageError, PathError, ArtifactError, ModelError, StorageError.
    """
    with needed("prune"):
        from taolite.stages import prune as stage
        from taolite.stages.trained import open_trained

        asked, secret = _options(stage.PruneSettings, settings, "prune"), sealing_key(key)
        opened = open_trained(Path(model).expanduser(), key=secret)
        return stage.prune(opened, Path(output).expanduser(), key=secret, settings=asked, listener=listener)


def export(
    model: str | Path,
    output: str | Path | None = None,
    *,
    key: Secret = None,
    precision: ExportPrecision = "fp32",
    spec: Spec | None = None,
    images: str | Path | None = None,
    image_count: int = 160,
    cache: str | Path | None = None,
    opset: int | None = None,
    batch_size: int | None = None,
    deepstream: bool = False,
    overwrite: bool = False,
    listener: Listener = silent,
) -> ExportReport:
    """Export a trained model to ONNX, and prove that it is the same network.

    Args:
        model: a `.tlt` or a run folder.
        output: plain where its name ends in `.onnx`, else sealed with the key; None: the model's name with `.etlt`.
        spec: its decoding replaces the model's own, and its training images calibrate int8.
        images: a folder of pictures that calibrate int8; image_count: how many of them, or of the spec's, are drawn.
        cache: file with the ranges of int8, read where it exists, else written; None: beside the output, `.cal.bin`.
        opset: ONNX opset; None: 17.
        batch_size: fixed in the model; None leaves it free.
        deepstream: write DeepStream's config and labels beside it.
        overwrite: replace an earlier output.

    Raises UsageError, PathError, ArtifactError, ModelError, StorageError.
    """
    with needed("export"):
        from taolite.stages.exporting.calibrate import CalibrationOptions
        from taolite.stages.exporting.export import export_model
        from taolite.stages.exporting.to_onnx import OPSET
        from taolite.stages.trained import open_trained

        secret = sealing_key(key)
        opened = open_trained(Path(model).expanduser(), key=secret)
        target = opened.source.with_suffix(".etlt") if output is None else Path(output).expanduser()
        experiment = None if spec is None else _experiment(spec, "export", listener, opened.bundle.classes)
        return export_model(
            opened,
            target,
            key=secret,
            experiment=experiment,
            precision=precision,
            calibration=CalibrationOptions(
                cache=target.with_suffix(".cal.bin") if cache is None else Path(cache).expanduser(),
                image_dir=None if images is None else Path(images).expanduser(),
                experiment=experiment,
                batches=image_count,
                batch_size=1,
            ),
            opset=OPSET if opset is None else opset,
            static_batch=batch_size,
            gen_ds_config=deepstream,
            overwrite=overwrite,
            listener=listener,
        )


def evaluate(
    spec: Spec,
    model: str | Path,
    *,
    key: Secret = None,
    split: Split = "test",
    batch_size: int | None = None,
    workers: int = 2,
    runtime: RuntimeName | None = None,
    skip_corrupt: bool = False,
    listener: Listener = silent,
) -> Evaluation:
    """Score a model on a split of the spec's data; `card` of the result has the scores.

    Args:
        model: a `.tlt`, `.etlt`, `.onnx`, engine or run folder.
        split: train, val, or test: what `evaluate` of the command line takes.
        batch_size: None: the engine's largest, or the spec's.
        workers: threads that prepare images.
        runtime: what runs an export.
        skip_corrupt: leave out pictures that cannot be decoded.

    Raises UsageError, SpecError, DataError, PathError, ArtifactError, EngineError, ModelError.
    """
    with needed("evaluate"):
        from taolite.stages import evaluate as stage
        from taolite.stages.inference.models import meta_of, open_model

        with open_model(
            Path(model).expanduser(),
            key=opening_key(key),
            runtime=runtime,
            assumed=lambda: meta_of(_experiment(spec, "evaluate", silent)),
            listener=listener,
        ) as opened:
            return stage.evaluate(
                _experiment(spec, "evaluate", listener, opened.classes),
                opened,
                split=split,
                batch_size=batch_size,
                workers=workers,
                skip_corrupt=skip_corrupt,
                listener=listener,
            )


def _experiment(
    spec: Spec,
    command: Literal["train", "evaluate", "export"],
    listener: Listener,
    classes: Sequence[str] | None = None,
) -> Experiment:
    return spec if isinstance(spec, Experiment) else read(spec, command=command, classes=classes, listener=listener)


def _options(kind: type[Any], given: dict[str, Any], function: str) -> Any:
    """`kind` made of the given fields. Raises UsageError for a field that it does not have."""
    known = [one.name for one in fields(kind)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"{function} has no option {', '.join(unknown)}; its options are {', '.join(known)}")
    return kind(**given)
