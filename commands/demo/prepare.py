"""Fit the demonstration's specs to a data set, and lay out what is held out.

    python commands/demo/prepare.py workspace/demo [--epochs N]

Reads the KITTI folders `kitti/image_2` and `kitti/label_2` below the given folder. The specs in `specs/demo` are the
templates: where the data set has their classes they are copied as they are, otherwise every per-class part is written
once for each class found, like the first class of the template. Into the given folder go `specs/*.txt` and `heldout/`,
the photographs kept for validation. Of the demonstration's own they are those named so: the first `val_split` percent
by name, which is what TAO's `random` partition takes. That rule would hold out whole classes of other people's
photographs (`cat_01` ... `dog_99`), so theirs are divided class by class, told to TAO as its `sequence` partition.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from taolite import spec
from taolite.errors import DataError, TaoliteError
from taolite.tasks.detectnet.spec import BboxColor, DatasetExportSpec, DetectNetSpec, InferenceSpec

__all__ = ["fit_conversion", "fit_inference", "fit_training", "first_by_name", "fair_share", "prepare"]

TEMPLATES = Path(__file__).resolve().parents[2] / "specs" / "demo"
HELD_OUT_SHARE = 0.2
SPLIT_FILE = "split.json"
FEWEST_PHOTOGRAPHS = 10
COLOURS = ((66, 133, 244), (251, 188, 5), (52, 168, 83), (234, 67, 53), (171, 71, 188), (0, 172, 193), (255, 112, 67))

Value = TypeVar("Value")


def prepare(folder: Path, *, epochs: int | None = None) -> str:
    """Write `folder`/specs and `folder`/heldout; returns a sentence about the data set.

    Args:
        folder: holds `kitti/image_2` and `kitti/label_2`.
        epochs: of training and of retraining, instead of the templates'.

    Raises:
        DataError: fewer photographs than a split needs, no label at all, or pictures of several file types.
    """
    photographs = sorted(path for path in (folder / "kitti" / "image_2").iterdir() if path.is_file())
    if len(photographs) < FEWEST_PHOTOGRAPHS:
        raise DataError(
            f"{folder}: {len(photographs)} labelled photographs; {FEWEST_PHOTOGRAPHS} or more are needed, "
            "and a detector worth having wants some hundreds"
        )
    extensions = sorted({path.suffix for path in photographs})
    if len(extensions) > 1:
        raise DataError(f"{folder}: photographs end in {' and '.join(extensions)}; TAO reads one kind, convert them")
    names = {path.stem: _names(folder / "kitti" / "label_2" / f"{path.stem}.txt") for path in photographs}
    counts = Counter(name for found in names.values() for name in found)
    if not counts:
        raise DataError(f"{folder}: no photograph has a label; draw some with commands/annotate.sh")
    classes = tuple(sorted(counts))

    specs = folder / "specs"
    specs.mkdir(parents=True, exist_ok=True)
    template = spec.load(TEMPLATES / "tfrecords.txt", DatasetExportSpec)
    assert template.kitti_config is not None, "the template has one"
    if all(stem.startswith(("heldout-", "learning-")) for stem in names):
        kept = first_by_name(list(names), percent=template.kitti_config.val_split)
        conversion = fit_conversion(template, extension=extensions[0])
    else:
        kept = fair_share(names)
        sequences = {"learning": [stem for stem in names if stem not in kept], "heldout": sorted(kept)}
        (folder / "kitti" / SPLIT_FILE).write_text(json.dumps(sequences, indent=1) + "\n", encoding="utf-8")
        conversion = fit_conversion(template, extension=extensions[0], split_file=SPLIT_FILE)
    _write(conversion, "tfrecords.txt", specs)
    for name in ("train.txt", "retrain.txt"):
        training = spec.load(TEMPLATES / name, DetectNetSpec)
        _write(fit_training(training, classes=classes, extension=extensions[0], epochs=epochs), name, specs)
    _write(
        fit_inference(spec.load(TEMPLATES / "inference.txt", InferenceSpec), classes=classes), "inference.txt", specs
    )

    (folder / "heldout").mkdir(exist_ok=True)
    for photograph in photographs:
        if photograph.stem in kept:
            shutil.copyfile(photograph, folder / "heldout" / photograph.name)
    objects = ", ".join(f"{counts[name]} {name}" for name in classes)
    return f"{len(photographs)} photographs, {len(kept)} of them held out for validation; objects: {objects}"


def fit_conversion(template: DatasetExportSpec, *, extension: str, split_file: str | None = None) -> DatasetExportSpec:
    """The conversion spec for these pictures; with a split file, for its two sequences instead of TAO's own split.

    TAO deals the longest sequence first and reverses the folds, so the shorter one, held out, becomes fold 0.
    """
    kitti = template.kitti_config
    assert kitti is not None, "the template has one"
    update: dict[str, Any] = {"image_extension": extension}
    if split_file is not None:
        update |= {"partition_mode": "sequence", "kitti_sequence_to_frames_file": split_file}
    return template.model_copy(update={"kitti_config": kitti.model_copy(update=update)})


def fit_training(
    template: DetectNetSpec, *, classes: Sequence[str], extension: str = ".jpg", epochs: int | None = None
) -> DetectNetSpec:
    """The training spec for these classes (lower case): each gets what the template's first class has."""
    evaluation = template.evaluation_config
    cost = template.cost_function_config.target_classes[0]
    overlap = evaluation.minimum_detection_ground_truth_overlap
    parts: dict[str, Any] = {
        "dataset_config": {
            "target_class_mapping": {name: name for name in classes},
            "image_extension": extension.removeprefix("."),
        },
        "postprocessing_config": {
            "target_class_config": _for_each(classes, template.postprocessing_config.target_class_config)
        },
        "evaluation_config": {
            "minimum_detection_ground_truth_overlap": _for_each(classes, overlap),
            "evaluation_box_config": _for_each(classes, evaluation.evaluation_box_config),
        },
        "cost_function_config": {
            "target_classes": tuple(cost.model_copy(update={"name": name}) for name in classes),
        },
        "bbox_rasterizer_config": {
            "target_class_config": _for_each(classes, template.bbox_rasterizer_config.target_class_config)
        },
    }
    if epochs is not None:
        parts["training_config"] = {"num_epochs": epochs, "checkpoint_interval": epochs}
        parts["evaluation_config"] |= {"validation_period_during_training": epochs, "first_validation_epoch": epochs}
    return template.model_copy(
        update={name: getattr(template, name).model_copy(update=update) for name, update in parts.items()}
    )


def fit_inference(template: InferenceSpec, *, classes: Sequence[str]) -> InferenceSpec:
    """The inference spec for these classes, each drawn in a colour of its own."""
    handler = template.bbox_handler_config
    first = next(iter(handler.classwise_bbox_handler_config.values()))
    each = {
        name: first.model_copy(update={"output_map": name, "bbox_color": BboxColor(R=red, G=green, B=blue)})
        for name, (red, green, blue) in zip(classes, _cycle(COLOURS, len(classes)), strict=True)
    }
    inferencer = template.inferencer_config.model_copy(update={"target_classes": tuple(classes)})
    drawing = handler.model_copy(update={"classwise_bbox_handler_config": each})
    return template.model_copy(update={"inferencer_config": inferencer, "bbox_handler_config": drawing})


def first_by_name(stems: Sequence[str], *, percent: float) -> frozenset[str]:
    """What TAO's `random` partition puts into fold 0: the first of the names in alphabetical order."""
    return frozenset(sorted(stems)[: int(percent / 100 * len(stems))])


def fair_share(names: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """A fifth of the photographs of each class, always the same ones; never more than a third.

    Args:
        names: stem of a photograph -> class of each of its objects. A photograph counts for the rarest class in it.
    """
    counts = Counter(name for found in names.values() for name in found)
    groups: dict[str, list[str]] = {}
    for stem, found in names.items():
        groups.setdefault(min(found, key=lambda name: (counts[name], name), default=""), []).append(stem)
    kept: set[str] = set()
    for stems in groups.values():
        share = max(round(HELD_OUT_SHARE * len(stems)), 1 if len(stems) >= 3 else 0)
        kept |= set(_shuffled(stems)[:share])
    return frozenset(kept or _shuffled(list(names))[: max(1, round(HELD_OUT_SHARE * len(names)))])


def _shuffled(stems: Sequence[str]) -> list[str]:
    """An order that depends on each name alone, so that a photograph keeps its side when others are added."""
    return sorted(stems, key=lambda stem: hashlib.sha256(stem.encode()).digest())


def _for_each(classes: Sequence[str], template: Mapping[str, Value]) -> dict[str, Value]:
    first = next(iter(template.values()))
    return {name: template.get(name, first) for name in classes}


def _cycle(colours: Sequence[tuple[int, int, int]], count: int) -> list[tuple[int, int, int]]:
    return [colours[index % len(colours)] for index in range(count)]


def _names(label_file: Path) -> list[str]:
    """The class of each object in a KITTI file, in lower case, as TFRecords will have them; DontCare is none."""
    lines = label_file.read_text(encoding="utf-8").splitlines()
    return [name for name in (line.split()[0].lower() for line in lines if line.strip()) if name != "dontcare"]


def _write(fitted: spec.SpecModel, name: str, folder: Path) -> None:
    """A spec that fits as it was keeps its text and its comments."""
    template = spec.load(TEMPLATES / name, type(fitted))
    text = (TEMPLATES / name).read_text(encoding="utf-8") if fitted == template else spec.dumps(fitted)
    (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the demonstration's specs to a data set.")
    parser.add_argument("folder", type=Path, help="holds kitti/, gets specs/ and heldout/")
    parser.add_argument("--epochs", type=int, metavar="N", help="of training and retraining, for a quick look")
    options = parser.parse_args(arguments)
    try:
        print(prepare(options.folder, epochs=options.epochs))
    except TaoliteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
