"""The scores of a model as files: `scores.json`, `finds.json` with what is found in the pictures
(`taolite.workspace.finds`), and below `plots/` the pictures that its score card has numbers for.

f1.png                precision, recall and F1 of each class over the threshold (detectors)
precision_recall.png  precision over recall of each class (detectors)
confusion.png         true classes against predicted ones; of detectors with the background
worst.png             the pictures with the lowest F1, labels and finds side by side (detectors)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taolite.data.examples import Examples
from taolite.files import remove, write_text
from taolite.pictures import read_rgb
from taolite.report import Shown, confusion_png, f1_png, precision_recall_png, worst_png
from taolite.scorecard import BACKGROUND
from taolite.stages.finds import finds_of
from taolite.workspace.finds import write_finds
from taolite.workspace.status import finite

if TYPE_CHECKING:
    from taolite.stages.evaluate import Evaluation

__all__ = ["scores_of", "write_scores"]

_PLOTS = ("f1.png", "precision_recall.png", "confusion.png", "worst.png")


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """All results of an evaluation as a JSON object; a cost that is not available is null. Curves and the counts of
    every picture are left out; `worst` has the names of the worst pictures and their counts."""
    made: dict[str, Any] = asdict(replace(evaluation, founds=()))
    del made["founds"]
    for name in ("curves", "sweeps", "pictures"):
        del made["card"][name]
    made["worst"] = [{"image": str(one.image), "f1": one.tally.f1, **asdict(one.tally)} for one in evaluation.worst]
    return dict(finite(made))


def write_scores(evaluation: Evaluation, examples: Examples, classes: Sequence[str], folder: Path) -> None:
    """Write the scores of `examples` to `folder`. Raises StorageError; DataError, PathError for a picture that cannot
    be read any more."""
    card, plots = evaluation.card, folder / "plots"
    write_text(folder / "scores.json", json.dumps(scores_of(evaluation), indent=2, ensure_ascii=False) + "\n")
    if evaluation.founds:
        write_finds(folder / "finds.json", finds_of(evaluation.founds, examples, classes))
    else:
        remove(folder / "finds.json")  # of an earlier evaluation in this folder
    for name in _PLOTS:  # of an earlier evaluation in this folder, which may have found something
        remove(plots / name)
    if card.sweeps:
        f1_png(card, plots / "f1.png")
    if any(curve.recall for curve in card.curves.values()):
        precision_recall_png(card, plots / "precision_recall.png")
    if card.confusion:
        background = len(card.confusion) > len(classes)
        names = [*classes, BACKGROUND] if background else list(classes)
        confusion_png(np.array(card.confusion, np.int64), names, plots / "confusion.png", background=background)
    if not evaluation.worst:
        return
    pictures = []
    for one in evaluation.worst:
        with examples.open(one.index) as stream:
            image_hwc = read_rgb(one.image, stream=stream)
        pictures.append(Shown(image_hwc, one.image.name, one.tally, one.labelled, one.found))
    worst_png(pictures, classes, plots / "worst.png")
