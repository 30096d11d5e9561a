"""Plots: that they are written, whole, and show what they were given. How they look is for the eye."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from taolite.media import palette
from taolite.report import confusion_png, curves_png, first_batch_png, precision_recall_png, tags_png
from taolite.report.paper import on_paper
from taolite.sample import Truth
from taolite.scorecard import ACCURACY, AP, Curve, Metric, ScoreCard


@dataclass
class Example:
    pixels: np.ndarray
    truth: Truth
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    name: str = "/data/images/one.jpg"


def rgb(hex_colour):
    return [int(hex_colour[start : start + 2], 16) for start in (1, 3, 5)]


def count(path, colour):
    with Image.open(path) as image:
        return int((np.abs(np.array(image.convert("RGB")).astype(int) - colour).max(axis=2) <= 2).sum())


def test_curves_show_loss_rate_and_the_precision_of_every_class(tmp_path):
    rows = [
        {"epoch": 1, "loss": 0.01, "learning_rate": 1e-4, "step": 10},
        {"epoch": 2, "loss": 0.0005, "learning_rate": 5e-4, "step": 20},
        {"epoch": 2, "validation_cost": 0.001, "mAP": 0.7, "AP": {"cat": 0.9, "dog": 0.5}},
        {"epoch": 3, "loss": None, "learning_rate": 5e-4, "step": 30},
        {"epoch": 4, "loss": 0.0004, "learning_rate": 5e-4, "step": 40},
        {"epoch": 4, "validation_cost": 0.002, "mAP": 0.8, "AP": {"cat": 0.95, "dog": 0.65}},
    ]

    curves_png(rows, tmp_path / "plots" / "curves.png")

    for colour in [rgb("#0072b2"), rgb("#d55e00"), rgb("#666666"), *(rgb(on_paper(one)) for one in palette(2))]:
        assert count(tmp_path / "plots" / "curves.png", colour) > 50
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["curves.png"]


def test_curves_of_a_classifier_show_its_accuracy(tmp_path):
    rows = [{"epoch": e, "accuracy": e / 4, "class_accuracy": {"cat": 0.9, "dog": e / 4}} for e in (1, 2, 3)]

    curves_png(rows, tmp_path / "accuracy.png", words=ACCURACY)
    curves_png(rows, tmp_path / "precision.png")  # of which these rows have nothing

    for colour in palette(2):
        assert count(tmp_path / "accuracy.png", rgb(on_paper(colour))) > 50
        assert count(tmp_path / "precision.png", rgb(on_paper(colour))) == 0


def test_tags_have_a_bar_as_long_as_their_precision(tmp_path):
    def blue(precision):
        tags_png(precision, dict.fromkeys(("cat", "犬", "sky"), 3), tmp_path / "tags.png")
        return count(tmp_path / "tags.png", rgb("#0072b2"))

    assert blue({"cat": 0.8, "犬": 0.4}) == pytest.approx(1.2 * blue({"cat": 1.0}), rel=0.02)
    assert blue({}) == 0


def test_curves_of_a_run_that_has_just_begun_are_drawn(tmp_path):
    for rows in (
        [],
        [{"epoch": 1, "loss": 0.1, "learning_rate": 1e-4}],
        [{"epoch": 1, "loss": 0.0, "mAP": 0.0, "AP": {}}],
    ):
        curves_png(rows, tmp_path / "curves.png")

        with Image.open(tmp_path / "curves.png") as image:
            assert min(image.size) > 500


def test_the_penalty_is_a_line_of_its_own_beside_the_loss_and_older_rows_are_drawn_without(tmp_path):
    rows = [{"epoch": epoch, "loss": 0.02 / epoch, "penalty": 0.01} for epoch in range(1, 9)]
    older = [{name: value for name, value in row.items() if name != "penalty"} for row in rows]
    unregularised = [{**row, "penalty": 0.0} for row in rows]

    for name, drawn in (("with", rows), ("older", older), ("without", unregularised)):
        curves_png(drawn, tmp_path / f"{name}.png")

    purple, blue = rgb("#cc79a7"), rgb("#0072b2")
    shown = {name: count(tmp_path / f"{name}.png", purple) > 400 for name in ("with", "older", "without")}
    assert shown == {"with": True, "older": False, "without": False}
    assert count(tmp_path / "with.png", blue) == pytest.approx(count(tmp_path / "older.png", blue), rel=0.2)
    assert (tmp_path / "older.png").read_bytes() == (tmp_path / "without.png").read_bytes()


def named(tmp_path, names):
    """The bytes of a picture of curves of two classes called so."""
    curves_png([{"epoch": 1, "mAP": 0.5, "AP": dict(zip(names, (0.5, 0.4), strict=True))}], tmp_path / "curves.png")
    return (tmp_path / "curves.png").read_bytes()


@pytest.fixture
def only_base_fonts(monkeypatch):
    """matplotlib's list of fonts, of which only its own are left."""
    from matplotlib.font_manager import fontManager

    own = [font for font in fontManager.ttflist if font.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(fontManager, "ttflist", own)
    return own


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_written_as_their_codes(tmp_path, only_base_fonts):
    assert named(tmp_path, ["車", "plate"]) == named(tmp_path, [r"\u8eca", "plate"])
    assert named(tmp_path, ["\x1b[31mred", "plate"]) == named(tmp_path, [r"\x1b[31mred", "plate"])
    assert named(tmp_path, ["車", "plate"]) != named(tmp_path, ["犬", "plate"])


def black_square_font(letter, path):
    """A font that has this letter alone, drawn as a black square of one em."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(letter): "square"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({"familyName": "One Letter", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


@pytest.mark.filterwarnings("error")
def test_letters_of_any_script_are_drawn_with_a_font_of_the_system_that_has_them(tmp_path, only_base_fonts):
    from matplotlib.font_manager import FontEntry

    black_square_font("車", tmp_path / "one.ttf")
    only_base_fonts.append(FontEntry(fname=str(tmp_path / "one.ttf"), name="One Letter"))
    named(tmp_path, [" ", "plate"])
    before = count(tmp_path / "curves.png", np.zeros(3))

    named(tmp_path, ["車", "plate"])

    em = 9 / 72 * 110  # of 9 points, in pixels
    assert count(tmp_path / "curves.png", np.zeros(3)) - before == pytest.approx(em**2, rel=0.25)


@pytest.mark.filterwarnings("error")
def test_names_with_dollars_or_a_leading_underscore_are_drawn_as_they_are(tmp_path):
    formulas = named(tmp_path, [r"$\frac$", "x"])

    assert formulas != named(tmp_path, [r"frac", "x"])
    assert named(tmp_path, ["_bg", "x"]) != named(tmp_path, ["_fg", "x"])  # matplotlib hides a label that begins with _


def test_nothing_is_said_where_the_home_folder_cannot_be_written_to(tmp_path):
    code = "import pathlib, sys, taolite.report as report; report.curves_png([], pathlib.Path(sys.argv[1]))"
    environ = {name: value for name, value in os.environ.items() if name not in ("MPLCONFIGDIR", "XDG_CACHE_HOME")}

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "curves.png")],
        capture_output=True,
        text=True,
        env={**environ, "HOME": "/dev/null"},
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_precision_over_recall_has_a_line_a_class(tmp_path):
    curves = {"cat": Curve((0.5, 0.5), (1.0, 0.5)), "dog": Curve((1.0,), (1.0,)), "bird": Curve((), ())}
    main, objects = Metric(AP, 0.75, {"cat": 0.5, "dog": 1.0}), {"cat": 2, "dog": 1, "bird": 0}

    precision_recall_png(ScoreCard(main, {}, objects, 3, curves=curves), tmp_path / "pr.png")

    for colour in palette(2):
        assert count(tmp_path / "pr.png", rgb(on_paper(colour))) > 100


@pytest.mark.parametrize("classes", [1, 2, 20, 100])
def test_a_confusion_matrix_has_a_square_of_its_share_s_colour_for_each_cell(classes, tmp_path):
    confusion = np.diag(np.full(classes, 4))
    confusion[0, classes - 1] += 4  # half of the first class is taken for the last

    confusion_png(
        confusion, [f"{'犬' * (number % 3)}{number}" for number in range(classes)], tmp_path / "confusion.png"
    )

    blue, orange = rgb("#0072b2"), rgb("#d55e00")
    half = [round(255 - 0.5**0.5 * (255 - value)) for value in orange]
    right, wrong = count(tmp_path / "confusion.png", np.array(blue)), count(tmp_path / "confusion.png", np.array(half))
    if classes == 1:
        assert (right > 1000, wrong) == (True, 0)
    else:  # the diagonal but for its first cell; numbers and edges take a little
        assert right / wrong == pytest.approx(classes - 1, rel=0.3)


def test_a_confusion_matrix_of_nothing_is_drawn(tmp_path):
    confusion_png(np.zeros((3, 3), np.int64), ["a", "b", "c"], tmp_path / "confusion.png")

    assert count(tmp_path / "confusion.png", np.array(rgb("#0072b2"))) == 0


def test_the_first_batch_shows_pictures_labels_and_coverage(tmp_path):
    pixels = np.full((96, 128, 3), 40, np.uint8)
    cov = np.zeros((2, 6, 8), np.float32)
    cov[1, 2:4, 2:4] = 1.0
    boxes = np.float32([[20, 20, 80, 80]])
    examples = [Example(pixels, Truth(boxes, np.array([1])), {"cov": cov}) for _ in range(3)]

    first_batch_png(examples, ["cat", "dog"], tmp_path / "first.png")
    first_batch_png([Example(pixels, examples[0].truth)] * 3, ["cat", "dog"], tmp_path / "untinted.png")

    tint = np.round(0.45 * 40 + 0.55 * np.array(palette(2)[1]))
    cell = 480 / 8 * 360 / 6  # pixels on the sheet
    assert count(tmp_path / "first.png", tint) == pytest.approx(3 * 4 * cell, rel=0.02)
    assert count(tmp_path / "untinted.png", tint) < 100
    assert count(tmp_path / "first.png", palette(2)[1]) > 1000  # the frames
    with Image.open(tmp_path / "first.png") as image:
        assert image.width > 3 * 480


def test_the_first_batch_of_grey_pictures_without_labels_is_drawn(tmp_path):
    nothing = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))

    first_batch_png([Example(np.full((64, 64, 1), 77, np.uint8), nothing)], ["cat"], tmp_path / "first.png")
    first_batch_png([], ["cat"], tmp_path / "none.png")

    assert count(tmp_path / "first.png", np.array([77, 77, 77])) > 100_000
    assert (tmp_path / "none.png").exists()


def test_a_lock_that_a_killed_process_left_on_the_list_of_fonts_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    left, in_use = (tmp_path / f"fontlist-v{version}.json.matplotlib-lock" for version in (1, 2))
    for lock, age_s in ((left, 61), (in_use, 10)):
        lock.touch()
        os.utime(lock, (time.time() - age_s,) * 2)

    confusion_png(np.zeros((1, 1), np.int64), ["cat"], tmp_path / "c.png", background=False)

    assert [path.name for path in tmp_path.glob("*lock")] == [in_use.name]


def test_importing_the_plots_imports_no_matplotlib():
    code = "import sys, taolite.report; print([m for m in ('matplotlib', 'torch', 'PIL', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
