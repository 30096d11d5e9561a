"""Pictures of a detector's scores: precision, recall and F1 over the threshold, and the pictures with most mistakes.

matplotlib and Pillow are imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taolite.files import open_atomic
from taolite.media.overlay import USUAL, Overlay, draw_detections, palette
from taolite.media.sheet import contact_sheet
from taolite.preprocessing import resize
from taolite.report.paper import INK, drawing, dress, on_paper
from taolite.sample import Detection
from taolite.scorecard import ScoreCard, Tally
from taolite.wording import counted

__all__ = ["Shown", "f1_png", "worst_png"]

_CELL_HW = (330, 440)  # of one picture; a pair takes twice the width
_GAP = 6  # pixels between the two pictures of a pair
_LABELS = Overlay(frozenset({"lines", "labels"}))  # labels have no score


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of the sheet: its pixels (H, W, 3) uint8 RGB, its labelled objects and its finds in pixels of it."""

    image_hwc: NDArray[np.uint8]
    name: str
    tally: Tally
    labelled: Sequence[Detection]
    found: Sequence[Detection]


def f1_png(card: ScoreCard, path: Path) -> None:
    """F1, precision and recall of every class over the threshold on the score, one under the other; a ring marks the
    threshold with the best F1.

    Args:
        card: a score card with `sweeps` and `best`.
        path: the PNG to write. Raises StorageError where writing fails.
    """
    colours = dict(zip(card.objects, palette(len(card.objects)), strict=True))
    with drawing((8.0, 8.4), path, card.objects) as (figure, written):
        panels = figure.subplots(3, 1, sharex=True, height_ratios=(1.6, 1, 1))
        figure.subplots_adjust(left=0.09, right=0.975, top=0.95, bottom=0.065, hspace=0.1)
        for name, sweep in card.sweeps.items():
            colour, point = on_paper(colours[name]), card.best.get(name)
            label = written[name] + (f"  {point.f1:.3f} at {point.threshold:.3f}" if point else "")
            for axes, values in zip(panels, (sweep.f1, sweep.precision, sweep.recall), strict=True):
                axes.plot(sweep.thresholds, values, color=colour, linewidth=1.6, label=label)
            if point:
                panels[0].plot(
                    [point.threshold], [point.f1], marker="o", markersize=9, fillstyle="none", color=colour, zorder=3
                )
        for axes, title in zip(panels, ("F1", "precision", "recall"), strict=True):
            axes.set_ylim(0, 1.03)
            dress(axes, title, place="lower left" if axes is panels[-1] and card.sweeps else None)
        panels[-1].set_xlim(left=0)
        panels[-1].set_xlabel("threshold on the score (boxes match at an IoU of 0.5)")
        many = counted(card.images, "picture")
        panels[0].set_title(
            f"ring: the best F1 of a class, on {many}" if card.best else f"nothing is found in {many}",
            color=INK,
            size=11,
        )


def worst_png(pictures: Sequence[Shown], classes: Sequence[str], path: Path) -> None:
    """A sheet of pairs: on the left a picture with its labels, on the right the same picture with its finds.

    Args:
        pictures: in the order of the sheet, at least one.
        classes: names, for their colours.
        path: the PNG to write. Raises StorageError where writing fails.
    """
    from PIL import Image

    sheet = contact_sheet(
        [_pair(one, classes) for one in pictures],
        columns=2,
        titles=[_title(one) for one in pictures],
        heading="Pictures with the most mistakes. Left: labels. Right: finds at the best threshold.",
        cell_hw=(_CELL_HW[0], 2 * _CELL_HW[1] + _GAP),
    )
    with open_atomic(path) as stream:
        Image.fromarray(sheet).save(stream, "PNG")


def _title(one: Shown) -> str:
    tally = one.tally
    return f"{one.name}: F1 {tally.f1:.2f}, {tally.right} of {tally.objects} found, {tally.finds - tally.right} wrong"


def _pair(one: Shown, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Labels and finds side by side, at sheet size; boxes are drawn after resizing, so that lines stay sharp."""
    height, width = one.image_hwc.shape[:2]
    scale = min(_CELL_HW[0] / height, _CELL_HW[1] / width)
    hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    image, colours = resize(one.image_hwc, hw), dict(zip(classes, palette(len(classes)), strict=True))
    sides = [
        draw_detections(image, [_scaled(box, hw[1] / width, hw[0] / height) for box in boxes], colours, overlay=overlay)
        for boxes, overlay in ((one.labelled, _LABELS), (one.found, USUAL))
    ]
    return np.hstack([sides[0], np.full((hw[0], _GAP, 3), 250, np.uint8), sides[1]])


def _scaled(one: Detection, across: float, down: float) -> Detection:
    assert one.box is not None, "a detector's"
    x1, y1, x2, y2 = one.box
    return replace(one, box=(x1 * across, y1 * down, x2 * across, y2 * down))
