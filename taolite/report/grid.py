"""The scores of a sweep's runs as a picture: a dot for each run, the best on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.report.paper import BLUE, FAINT, INK, drawing, dress

__all__ = ["grid_png"]

_MOST = 60  # rows


def grid_png(rows: Sequence[tuple[str, float, str]], path: Path) -> None:
    """Draw (name, score 0..1, metric) of each run, in this order, to the PNG `path`. Raises StorageError."""
    rows = rows[:_MOST]
    with drawing((9.0, 1.0 + 0.28 * len(rows)), path, [name for name, _, _ in rows]) as (figure, written):
        axes = figure.subplots()
        places, scores = range(len(rows)), [100 * score for _, score, _ in rows]
        axes.hlines(places, min(0.0, *scores, 0.0), scores, color=FAINT, linewidth=1.5)
        axes.plot(scores, places, "o", color=BLUE, markersize=6)
        for place, score in zip(places, scores, strict=True):
            axes.annotate(f"{score:.2f}", (score, place), (6, 0), textcoords="offset points", va="center", size=8)
        axes.set_yticks(places, [written[name] for name, _, _ in rows], color=INK, size=8)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 110)
        dress(axes, "", place=None)
        axes.set_xlabel(f"{rows[0][2]}, %", color=INK)
        figure.tight_layout()
