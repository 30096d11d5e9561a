"""The scores of a model as files: `scores.json`, `curves.json`, `pictures.json`, `finds.json` with what is found in the
pictures (`taolite.workspace.finds`), and below `plots/` the pictures that its score card has numbers for. A report is
made from them (`taolite.report`), on a machine without the data, too.

f1.png                precision, recall and F1 of each class over the threshold (detectors)
precision_recall.png  precision over recall of each class (detectors)
confusion.png         true classes against predicted ones; of detectors with the background
worst.png             the pictures with the lowest F1, labels and finds side by side (detectors)

curves.json has the numbers behind f1.png and precision_recall.png, up to 200 points a line. pictures.json has small
JPEGs of the worst pictures and of some others, with labels and finds in pixels of the JPEG.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from taolite.data.examples import Examples
from taolite.files import remove, write_text
from taolite.pictures import read_rgb
from taolite.preprocessing import resize
from taolite.report import Shown, confusion_png, f1_png, precision_recall_png, worst_png
from taolite.sample import Detection
from taolite.scorecard import BACKGROUND, ScoreCard
from taolite.stages.finds import finds_of
from taolite.stages.shown import WORST, Worst
from taolite.workspace.finds import write_finds
from taolite.workspace.status import finite

if TYPE_CHECKING:
    from taolite.stages.evaluate import Evaluation

__all__ = ["curves_of", "pictures_of", "scores_of", "write_scores"]

_MOST_POINTS = 200  # of a line in curves.json
_AREA = 480 * 360  # pixels of a JPEG in pictures.json, at most
_QUALITY = 80
_PLOTS = ("f1.png", "precision_recall.png", "confusion.png", "worst.png")


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """All results of an evaluation as a JSON object; a cost that is not available is null. Curves and the counts of
    every picture are left out; `worst` has the names of the worst pictures and their counts."""
    made: dict[str, Any] = asdict(replace(evaluation, founds=()))
    del made["founds"]
    for name in ("curves", "sweeps", "pictures"):
        del made["card"][name]
    del made["shown"]
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
    pixels = _read(evaluation.shown, examples)
    _write_json(folder / "curves.json", curves_of(card))
    _write_json(folder / "pictures.json", pictures_of(evaluation.shown, pixels, worst=_worst(evaluation)))
    pictures = [
        Shown(image_hwc, one.image.name, one.tally, one.labelled, one.found)
        for one, image_hwc in zip(evaluation.worst, pixels, strict=False)
    ]
    if pictures:
        worst_png(pictures, classes, plots / "worst.png")


def curves_of(card: ScoreCard) -> dict[str, Any]:
    """The lines behind a score card as a JSON object: precision over recall of each class, and precision and recall
    over the threshold, at up to 200 points each."""
    return {
        "version": 1,
        "curves": {
            name: _columns({"recall": one.recall, "precision": one.precision}) for name, one in card.curves.items()
        },
        "sweeps": {
            name: _columns({"threshold": one.thresholds, "precision": one.precision, "recall": one.recall})
            for name, one in card.sweeps.items()
        },
    }


def pictures_of(shown: Sequence[Worst], pixels: Sequence[NDArray[np.uint8]], *, worst: int) -> dict[str, Any]:
    """Pictures with their labels and finds as a JSON object, each as a JPEG in base64; boxes in pixels of the JPEG.

    Args:
        pixels: (H, W, 3) uint8 RGB of each of `shown`.
        worst: how many of them, from the first, are there because of their mistakes.
    """
    return {
        "version": 1,
        "pictures": [
            {"why": "worst" if place < worst else "other", **_picture(one, image)}
            for place, (one, image) in enumerate(zip(shown, pixels, strict=True))
        ],
    }


def _picture(one: Worst, image_hwc: NDArray[np.uint8]) -> dict[str, Any]:
    from PIL import Image

    height, width = image_hwc.shape[:2]
    scale = min(1.0, (_AREA / (height * width)) ** 0.5)
    hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    stream = io.BytesIO()
    Image.fromarray(resize(image_hwc, hw)).save(stream, "JPEG", quality=_QUALITY)
    across, down = hw[1] / width, hw[0] / height

    def placed(detection: Detection, flag: str, value: bool) -> dict[str, Any]:
        box = detection.box and [
            round(side * by, 1) for side, by in zip(detection.box, (across, down) * 2, strict=True)
        ]
        return {"name": detection.name, "box": box, "score": round(detection.score, 4), flag: value}

    return {
        "image": str(one.image),
        "photo_hw": [height, width],
        "hw": list(hw),
        **asdict(one.tally),
        "f1": one.tally.f1,
        "labelled": [placed(label, "seen", seen) for label, seen in zip(one.labelled, one.seen, strict=True)],
        "found": [placed(find, "right", right) for find, right in zip(one.found, one.right, strict=True)],
        "jpeg": base64.b64encode(stream.getvalue()).decode(),
    }


def _worst(evaluation: Evaluation) -> int:
    """How many of the shown pictures are there because of their mistakes; they come first."""
    return sum(1 for one in evaluation.shown[:WORST] if one.tally.mistakes)


def _read(shown: Sequence[Worst], examples: Examples) -> list[NDArray[np.uint8]]:
    pixels = []
    for one in shown:
        with examples.open(one.index) as stream:
            pixels.append(read_rgb(one.image, stream=stream))
    return pixels


def _columns(columns: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Columns of one length at `_MOST_POINTS` rows at most, at even distances, the first and the last among them."""
    count = max(map(len, columns.values()))
    rows = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int)).tolist()
    return {name: [round(float(column[row]), 5) for row in rows] for name, column in columns.items()}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(finite(value)) + "\n")
