"""A detector's plots: what is drawn where; how it looks is for the eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.media import palette
from taolite.report import Shown, confusion_png, f1_png, worst_png
from taolite.report.paper import on_paper
from taolite.sample import Detection
from taolite.scorecard import AP, Metric, Point, ScoreCard, Sweep, Tally


def count(path: Path, colour: tuple[int, ...], part: tuple[int, int, int, int] | None = None) -> int:
    """Pixels of a colour, of the whole picture or of a part (left, top, right, bottom)."""
    with Image.open(path) as image:
        return int(
            (
                np.abs(np.array(image.convert("RGB").crop(part or (0, 0, *image.size))).astype(int) - colour).max(
                    axis=2
                )
                <= 2
            ).sum()
        )


def rgb(hex_colour: str) -> tuple[int, ...]:
    return tuple(int(hex_colour[start : start + 2], 16) for start in (1, 3, 5))


def card(**more: object) -> ScoreCard:
    return ScoreCard(Metric(AP, 0.5, {}), {}, {"cat": 3, "dog": 2}, 4, **more)  # type: ignore[arg-type]


def test_f1_has_a_line_for_each_class_in_each_panel(tmp_path: Path):
    thresholds = tuple(k / 100 for k in range(90))
    flat = Sweep(thresholds, (0.5,) * 90, (0.5,) * 90)
    steep = Sweep(thresholds, tuple(0.5 + t / 2 for t in thresholds), tuple(1 - t for t in thresholds))
    point = Point(0.85, 0.85, 0.85, 0.85)  # above all lines, where its ring is alone

    f1_png(card(sweeps={"cat": steep, "dog": flat}, best={"cat": point}), tmp_path / "f1.png")
    f1_png(card(sweeps={"cat": steep}), tmp_path / "unfound.png")

    cat, dog = (rgb(on_paper(colour)) for colour in palette(2))
    assert min(count(tmp_path / "f1.png", cat), count(tmp_path / "f1.png", dog)) > 3 * 500  # pixels of three lines
    corner = (740, 60, 840, 160)  # of the panel of F1
    assert 10 < count(tmp_path / "f1.png", cat, corner) < 120
    assert count(tmp_path / "unfound.png", cat, corner) == 0
    assert count(tmp_path / "unfound.png", dog) == 0


def test_f1_of_nothing_is_drawn(tmp_path: Path):
    f1_png(card(), tmp_path / "f1.png")

    with Image.open(tmp_path / "f1.png") as image:
        assert min(image.size) > 500


@pytest.mark.parametrize("size_hw", [(60, 80), (400, 100), (1000, 2000)])
def test_the_worst_pictures_have_labels_on_the_left_and_finds_on_the_right(tmp_path: Path, size_hw: tuple[int, int]):
    height, width = size_hw
    box = (0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height)
    grey = np.full((height, width, 3), 128, np.uint8)
    shown = Shown(grey, "a.jpg", Tally(0, 1, 1), [Detection("cat", box, 1.0)], [Detection("dog", box, 0.75)])

    worst_png([shown, shown, shown], ["cat", "dog"], tmp_path / "worst.png")

    with Image.open(tmp_path / "worst.png") as image:
        sheet = np.array(image.convert("RGB"))
    cat, dog = palette(2)
    for row, column in ((0, 0), (0, 1), (1, 0)):
        cell = sheet[40 + 380 * row : 400 + 380 * row, 895 * column : 895 * column + 895]
        lefts = [np.nonzero((cell == colour).all(axis=2))[1] for colour in (cat, dog)]
        assert len(lefts[0]) > 50
        assert lefts[0].max() < lefts[1].min()


def test_a_detectors_confusion_has_a_background_and_counts_what_was_found(tmp_path: Path):
    counts = np.array([[5, 1, 0], [0, 3, 1], [2, 0, 0]])

    confusion_png(counts, ["cat", "dog", "background"], tmp_path / "detector.png", background=True)
    confusion_png(counts, ["cat", "dog", "background"], tmp_path / "classifier.png")
    confusion_png(np.zeros((3, 3), np.int64), ["cat", "dog", "background"], tmp_path / "none.png", background=True)

    with Image.open(tmp_path / "detector.png") as one, Image.open(tmp_path / "classifier.png") as two:
        assert np.array(one).shape != np.array(two).shape or (np.array(one) != np.array(two)).any()
    blue = rgb("#0072b2")
    assert count(tmp_path / "detector.png", blue) == 0  # no class is all right
    assert count(tmp_path / "none.png", blue) == 0
