"""The lineage of models as a picture: a column for each step from the data to the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taolite.report.paper import BLUE, GREY, INK, ORANGE, PURPLE, drawing
from taolite.workspace.lineage import Lineage, Node

__all__ = ["draw_lineage"]

_COLOURS = {"data": GREY, "run": BLUE, "pruned": ORANGE, "export": PURPLE, "engine": "#009e73"}
_ROW, _COLUMN = 0.62, 3.1  # inches
_LETTERS = 38  # of a line in a box
_MOST = 300  # nodes; more would not be readable


def draw_lineage(lineage: Lineage, path: Path, *, text: Callable[[Node], str]) -> None:
    """Draw it to `path`, a .png or .svg.

    Args:
        text: a node in one line, `KIND NAME  FACTS`.

    Raises UsageError for another ending, StorageError where writing fails.
    """
    places: dict[str, tuple[int, int]] = {}
    rows = 0

    def place(above: str, column: int) -> None:
        nonlocal rows
        for node in lineage.below(above):
            places[node.key] = (column, rows)
            before = rows
            place(node.key, column + 1)
            rows = max(rows, before + 1)

    shown = Lineage(lineage.nodes[:_MOST])
    lineage = shown
    place("", 0)
    deepest = max((column for column, _ in places.values()), default=0)
    texts = {node.key: text(node) for node in shown.nodes}
    inches = (_COLUMN * (deepest + 1) + 0.3, _ROW * max(1, rows) + 0.3)
    with drawing(inches, path, texts.values()) as (figure, written):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(-0.1, deepest + 1)
        axes.set_ylim(max(1, rows), -0.25)
        axes.axis("off")
        for node in shown.nodes:
            column, row = places[node.key]
            if node.parent in places:
                from_column, from_row = places[node.parent]
                x, y = from_column + 0.05, from_row + 0.28
                axes.plot([x, x, column - 0.02], [y, row, row], color=GREY, linewidth=1.0)
            name, _, facts = written[texts[node.key]].partition("  ")
            colour = _COLOURS[node.kind] if node.there else GREY
            axes.plot(column + 0.02, row, "o", color=colour, markersize=7)
            axes.text(column + 0.09, row - 0.12, _cut(name), color=INK, size=8.5, va="center", weight="bold")
            axes.text(column + 0.09, row + 0.17, _cut(facts), color=GREY, size=7, va="center")


def _cut(line: str) -> str:
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"
