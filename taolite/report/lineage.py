"""The lineage of models as a picture: a row for each thing, below and to the right of what it was made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taolite.report.paper import BLUE, GREY, INK, ORANGE, PURPLE, drawing
from taolite.workspace.lineage import Lineage, Node

__all__ = ["draw_lineage"]

_COLOURS = {"data": GREY, "run": BLUE, "pruned": ORANGE, "export": PURPLE, "engine": "#009e73"}
_ROW, _STEP, _LETTER = 0.3, 0.4, 0.078  # inches: height of a row, indent of a step, width of a letter
_MOST = 400  # rows; more could not be read


def draw_lineage(lineage: Lineage, path: Path, *, text: Callable[[Node], str]) -> None:
    """Draw it to `path`, a .png or .svg; no more than the first 400 things.

    Args:
        text: a node in one line, `KIND NAME  FACTS`.

    Raises StorageError where writing fails.
    """
    nodes = lineage.nodes[:_MOST]
    rows = {node.key: row for row, node in enumerate(nodes)}
    depth: dict[str, int] = {}
    for node in nodes:  # each stands behind the one it was made of
        depth[node.key] = depth.get(node.parent, -1) + 1
    texts = {node.key: text(node) for node in nodes}
    width = max((_STEP * depth[node.key] + _LETTER * len(texts[node.key]) for node in nodes), default=1.0) + 0.6
    height = _ROW * (len(nodes) + 0.6)
    with drawing((max(4.0, width), max(1.0, height)), path, texts.values()) as (figure, written):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(-0.2, max(4.0, width) - 0.2)
        axes.set_ylim(max(1.0, height) - 0.8 * _ROW, -0.8 * _ROW)
        axes.axis("off")
        for node in nodes:
            x, y = _STEP * depth[node.key], _ROW * rows[node.key]
            if node.parent in rows:
                above = x - _STEP
                axes.plot([above, above, x], [_ROW * rows[node.parent], y, y], color=GREY, linewidth=0.8, zorder=1)
            axes.plot(
                x, y, "o", color=_COLOURS[node.kind] if node.there else "white", markeredgecolor=GREY, markersize=7
            )
            axes.text(x + 0.14, y, written[texts[node.key]], color=INK if node.there else GREY, size=8.5, va="center")
