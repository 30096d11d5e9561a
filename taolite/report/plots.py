"""Pictures of a run: its first batch, its curves, its scores. PNG files, written whole or not at all.

matplotlib and Pillow are imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import scale_boxes
from taolite.files import open_atomic
from taolite.media.overlay import Colour, draw_boxes, palette
from taolite.media.sheet import contact_sheet
from taolite.preprocessing import resize
from taolite.report.paper import BLUE, FAINT, GREY, INK, ORANGE, PURPLE, drawing, dress, line, on_paper
from taolite.sample import Truth
from taolite.scorecard import AP, ScoreCard, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_png", "curves_png", "first_batch_png", "precision_recall_png", "tags_png"]

_SHOWN = 12  # examples of a first batch
_CELL_AREA = 480 * 360  # pixels an example takes on the sheet
_TINT = 0.55  # opacity of full coverage
_COUNTED = 20  # classes up to which a confusion matrix has its counts written in


class TrainingExample(Protocol):
    """One training example: pixels (H, W, C) uint8, truth in those pixels, targets float32 by name."""

    @property
    def pixels(self) -> NDArray[np.uint8]: ...
    @property
    def truth(self) -> Truth: ...
    @property
    def targets(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def name(self) -> str: ...


def curves_png(rows: Sequence[Mapping[str, Any]], path: Path, *, words: Words = AP) -> None:
    """Loss and penalty, the task's metric and the learning rate over the epochs, one under the other.

    Args:
        rows: lines of metrics.jsonl: "epoch" (from 1) and any of "loss" (of the data), "penalty" (of the regulariser;
            rows of older runs have none), "learning_rate", "validation_cost", the metric (0..1) and that of each class
            (0..1 by class). A null is a gap. Without any epoch the figure says so.
        path: the PNG to write. Raises StorageError where writing fails.
        words: what the metric is called.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.get(words.of_class) or {}))
    with drawing((9.0, 8.0), path, names) as (figure, written):
        loss_axes, metric_axes, rate_axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
        figure.subplots_adjust(left=0.09, right=0.975, top=0.955, bottom=0.07, hspace=0.12)
        _draw_losses(loss_axes, rows)
        _draw_metric(metric_axes, rows, words, written)
        line(rate_axes, _column(rows, "learning_rate"), GREY, "", number="")
        dress(rate_axes, "learning rate", place=None)
        rate_axes.set_xlabel("epoch")
        rate_axes.locator_params(axis="x", integer=True)
        rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        last = max((row["epoch"] for row in rows), default=0)
        loss_axes.set_title(f"epoch {last}" if last else "no epoch has ended yet", color=INK, size=11)


def _draw_losses(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Training loss, penalty and validation cost; on a logarithmic scale where they spread widely."""
    losses, costs = _column(rows, "loss"), _column(rows, "validation_cost")
    penalties = [(epoch, value) for epoch, value in _column(rows, "penalty") if value]  # 0 without a regulariser
    line(axes, losses, BLUE, "training loss", number="{:.3g}")
    line(axes, penalties, PURPLE, "penalty (regularisation)", number="{:.3g}")
    line(axes, costs, ORANGE, "validation loss", number="{:.3g}", dots=True)
    values = [value for _, value in [*losses, *penalties, *costs]]
    if values and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
    dress(axes, "loss", place="upper right")


def _draw_metric(axes: Axes, rows: Sequence[Mapping[str, Any]], words: Words, written: Mapping[str, str]) -> None:
    """The metric of every class and their mean, the best mean ringed."""
    of_class = [(row["epoch"], row.get(words.of_class) or {}) for row in rows]
    for (name, text), colour in zip(written.items(), palette(len(written)), strict=True):
        points = [(epoch, values[name]) for epoch, values in of_class if values.get(name) is not None]
        if len(written) > 1:
            line(axes, points, on_paper(colour), text, number="{:.3f}", dots=True, width=1.3)
    means = _column(rows, words.short)
    only = next(iter(written.values()), "mean") if len(written) == 1 else "mean"
    line(axes, means, INK, only, number="{:.3f}", dots=True)
    if means:
        epoch, best = max(means, key=lambda point: point[1])
        axes.plot([epoch], [best], marker="o", markersize=10, fillstyle="none", color=INK, linestyle="none")
        axes.annotate(
            f"best {best:.3f}", (epoch, best), (0, 9), textcoords="offset points", ha="center", color=INK, size=8
        )
    axes.set_ylim(0, 1.1)
    dress(axes, words.of_class_long, place="lower right")


def precision_recall_png(card: ScoreCard, path: Path) -> None:
    """Precision over recall of every class, its AP in the legend. Faint lines: as measured; bold ones: their envelope.

    Args:
        card: a score card with `curves`.
        path: the PNG to write. Raises StorageError where writing fails.
    """
    with drawing((6.6, 6.0), path, card.curves) as (figure, written):
        axes = figure.subplots()
        figure.subplots_adjust(left=0.1, right=0.97, top=0.93, bottom=0.09)
        for (name, curve), colour in zip(card.curves.items(), palette(len(card.curves)), strict=True):
            value = card.main.per_class.get(name, 0.0)
            label = written[name] + (f"  {value:.3f}" if card.objects[name] else "  (no objects)")
            recall = np.array([0.0, *curve.recall])
            precision = np.array([*curve.precision[:1], *curve.precision]) if curve.precision else np.zeros(1)
            best = np.maximum.accumulate(precision[::-1])[::-1]
            axes.plot(recall, precision, color=on_paper(colour), linewidth=0.8, alpha=0.35)
            axes.plot(recall, best, color=on_paper(colour), linewidth=2.0, drawstyle="steps-pre", label=label)
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall: share of the objects that are found")
        dress(axes, "precision: share of the detections that are right", place="lower left")
        axes.set_title(f"{card.main.words.long} {card.main.value:.3f}", color=INK, size=11)


def confusion_png(
    confusion_kk: NDArray[np.int64], names: Sequence[str], path: Path, *, background: bool = False
) -> None:
    """The confusion matrix: rows are the true classes, columns the predicted ones; dark is a large share of its row.
    Right answers are blue, mistakes orange, so that a few mistakes are seen beside a dark diagonal.

    Args:
        confusion_kk: (K, K) counts, K at least 1. They are written into the cells of up to 20 classes.
        names: of the K classes; beyond 60, only every second, third ... is written.
        path: the PNG to write. Raises StorageError where writing fails.
        background: the last class is a detector's background (`taolite.metrics.confusion`).
    """
    classes = len(names)
    row_shares_kk = confusion_kk / np.maximum(confusion_kk.sum(axis=1, keepdims=True), 1)
    right = np.eye(classes, dtype=bool)
    ink = np.where(right[:, :, None], np.array(_shares(BLUE)), np.array(_shares(ORANGE)))
    # a root lifts the few mistakes of a good classifier above what the eye takes for white
    image = 1 - np.sqrt(row_shares_kk)[:, :, None] * (1 - ink)
    with drawing((1.0, 1.0), path, names) as (figure, written):
        longest = max(len(text) for text in written.values())
        side = min(max(3.2, 0.34 * classes), 13.0) + min(0.075 * longest, 2.4)
        figure.set_size_inches(side + 0.4, side + 0.5)
        axes = figure.subplots()
        axes.imshow(image, interpolation="nearest", aspect="equal")
        every = -(-classes // 60)
        ticks = list(range(0, classes, every))
        size = 9 if classes <= 20 else 7 if classes <= 40 else 5.5
        axes.set_xticks(
            ticks, [written[names[k]] for k in ticks], rotation=0 if longest * classes <= 24 else 90, size=size
        )
        axes.set_yticks(ticks, [written[names[k]] for k in ticks], size=size)
        axes.tick_params(colors=INK, length=0)
        for edge in axes.spines.values():
            edge.set_color(FAINT)
        if classes <= _COUNTED:
            axes.set_xticks(np.arange(1, classes) - 0.5, minor=True)
            axes.set_yticks(np.arange(1, classes) - 0.5, minor=True)
            axes.grid(which="minor", color=FAINT, linewidth=0.6)
            axes.tick_params(which="minor", length=0)
            for row, column in zip(*np.nonzero(confusion_kk), strict=True):
                colour = "white" if row_shares_kk[row, column] > 0.4 else INK
                axes.text(column, row, str(confusion_kk[row, column]), ha="center", va="center", color=colour, size=8)
        axes.set_xlabel("predicted class", color=INK)
        axes.set_ylabel("true class", color=INK)
        axes.set_title(_share_right(confusion_kk, background), color=INK, size=11)
        figure.tight_layout()


def _share_right(confusion_kk: NDArray[np.int64], background: bool) -> str:
    """The heading of a confusion matrix."""
    hits, wrong = int(np.trace(confusion_kk)), int(confusion_kk[-1].sum()) if background else 0
    total = int(confusion_kk.sum()) - wrong
    if not total:
        return "no objects" if background else "no pictures"
    return (
        f"{hits} of {total} found\n{wrong} wrong finds"
        if background
        else (f"accuracy {100 * hits / total:.2f} % ({hits} of {total})")
    )


def tags_png(precision: Mapping[str, float], pictures: Mapping[str, int], path: Path) -> None:
    """The average precision of each tag as a bar, the best on top, with the number of pictures that have the tag.

    Args:
        precision: 0..1 by tag; tags that no picture has may be missing.
        pictures: how many have the tag, in the order of the classes.
        path: the PNG to write. Raises StorageError where writing fails.
    """
    tags = sorted(pictures, key=lambda tag: precision.get(tag, -1.0))  # drawn from the bottom up
    values = [precision.get(tag, 0.0) for tag in tags]
    with drawing((7.0, min(1.4 + 0.26 * len(tags), 24.0)), path, tags) as (figure, written):
        axes = figure.subplots()
        axes.barh(range(len(tags)), values, color=BLUE, height=0.7)
        axes.set_yticks(range(len(tags)), [written[tag] for tag in tags], color=INK)
        for place, (tag, value) in enumerate(zip(tags, values, strict=True)):
            text = f"{value:.3f}  of {pictures[tag]}" if tag in precision else "no pictures"
            axes.text(value + 0.01, place, text, va="center", color=INK, size=8)
        axes.set_xlim(0, 1.2)
        axes.set_xticks(np.linspace(0, 1, 6))
        mean = f"{np.mean(list(precision.values())):.3f}" if precision else "unknown"
        axes.set_title(f"mean average precision of tags: {mean}", color=INK, size=11)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
        axes.tick_params(colors=INK, length=0)
        figure.tight_layout()


def first_batch_png(examples: Sequence[TrainingExample], names: Sequence[str], path: Path) -> None:
    """A sheet of the first training batch: augmented pictures, their labels as frames, and a tint over the grid cells
    that are trained to detect an object.

    Where frames miss their objects, the labels are wrong or do not fit the size; where no tint lies under a frame, the
    rasterizer leaves that object out.

    Args:
        examples: a batch; the first 12 are shown. Targets called "cov" (K, h, w), 0..1, become tints.
        names: the K classes' names.
        path: the PNG to write. Raises StorageError where writing fails.
    """
    from PIL import Image

    colours = palette(len(names))
    shown = examples[:_SHOWN]
    cell_hw = _cell(shown[0].pixels.shape[:2]) if shown else (360, 480)
    most = max(1, min(4, round(1900 / cell_hw[1])))
    columns = -(-len(shown) // -(-len(shown) // most)) if shown else 1  # as few rows, as evenly filled
    heading = "First training batch as the network sees it. Frames: labels."
    if any("cov" in example.targets for example in shown):
        heading += " Tint: grid cells trained to detect it."
    sheet = contact_sheet(
        [_annotated(one, names, colours, cell_hw) for one in shown] or [np.full((*cell_hw, 3), 255, np.uint8)],
        columns=columns,
        titles=[Path(one.name).name for one in shown] or ["no examples"],
        heading=heading,
        cell_hw=cell_hw,
    )
    with open_atomic(path) as stream:
        Image.fromarray(sheet).save(stream, "PNG")


def _annotated(
    example: TrainingExample, names: Sequence[str], colours: Sequence[Colour], hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """One example at sheet size. Boxes are drawn after resizing, so that lines and letters stay sharp."""
    pixels = example.pixels if example.pixels.shape[2] == 3 else example.pixels.repeat(3, axis=2)
    image = resize(pixels, hw).astype(np.float32)
    for cov_hw, colour in zip(example.targets.get("cov", ()), colours, strict=False):
        rows = (np.arange(hw[0]) * cov_hw.shape[0]) // hw[0]
        columns = (np.arange(hw[1]) * cov_hw.shape[1]) // hw[1]
        opacity = _TINT * cov_hw[rows][:, columns, None]
        image = image * (1 - opacity) + np.array(colour, np.float32) * opacity
    truth = example.truth
    return draw_boxes(
        image.round().astype(np.uint8),
        scale_boxes(truth.boxes_n4, from_hw=(pixels.shape[0], pixels.shape[1]), to_hw=hw),
        [names[kind] for kind in truth.classes_n],
        [colours[kind] for kind in truth.classes_n],
    )


def _cell(hw: Sequence[int]) -> tuple[int, int]:
    """(height, width) on the sheet for pictures of size `hw`: the same shape, `_CELL_AREA` pixels."""
    scale = (_CELL_AREA / (hw[0] * hw[1])) ** 0.5
    return max(1, round(hw[0] * scale)), max(1, round(hw[1] * scale))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """(epoch, value) of the rows that have a value."""
    return [(row["epoch"], float(row[name])) for row in rows if row.get(name) is not None]


def _shares(colour: str) -> tuple[float, ...]:
    """`#0072b2` as three shares 0..1."""
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
