"""What came from what, as a graph: data -> run -> pruned model -> run -> export. From manifests alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taolite.web.shelf import Entry

__all__ = ["graph"]

_SHORT = 8  # digits of a hash that are shown


def graph(entries: Sequence[Entry]) -> dict[str, Any]:
    """Nodes and edges; an edge leads from what there was to what was made of it.

    A node has an id, a kind (data, weights, run, pruned, export), a title and a line below it; that of a run has `run`,
    the run's id.
    """
    return _Graph(entries).to_json()


class _Graph:
    def __init__(self, entries: Sequence[Entry]) -> None:
        self._nodes: dict[str, dict[str, Any]] = {}
        self._edges: dict[tuple[str, str], None] = {}
        self._makers: dict[str, str] = {}  # hash of weights -> the node that made them
        for one in entries:
            for name, made in one.links.pruned.items():
                self._pruned(one, name, made if isinstance(made, dict) else {})
            if one.links.weights:
                self._makers[one.links.weights] = one.id
        for one in entries:
            links = one.links
            self._node(one.id, "run", one.name, _line(one), run=one.id)
            if links.data:
                self._node(f"data {links.data}", "data", f"data {links.data[:_SHORT]}", "")
                self._edge(f"data {links.data}", one.id)
            for weights in filter(None, (links.parent, links.teacher)):
                self._from_weights(weights, one.id)
            for name, facts in links.exports.items():
                node = f"{one.id} export {name}"
                precision = facts.get("precision", "") if isinstance(facts, dict) else ""
                self._node(node, "export", name, str(precision))
                self._edge(one.id, node)

    def to_json(self) -> dict[str, Any]:
        return {"nodes": list(self._nodes.values()), "edges": [list(edge) for edge in self._edges]}

    def _pruned(self, one: Entry, name: str, facts: dict[str, Any]) -> None:
        node, made = f"{one.id} pruned {name}", facts.get("weights_sha256")
        count = facts.get("parameters")
        self._node(node, "pruned", name, f"{count:,} parameters" if isinstance(count, int) else "pruned")
        self._edge(one.id, node)
        if isinstance(made, str) and made:
            self._makers[made] = node

    def _from_weights(self, weights: str, to: str) -> None:
        node = self._makers.get(weights)
        if node is None:
            node = f"weights {weights}"
            self._node(node, "weights", f"weights {weights[:_SHORT]}", "of no run here")
        if node != to:
            self._edge(node, to)

    def _node(self, node: str, kind: str, title: str, line: str, run: str = "") -> None:
        self._nodes.setdefault(node, {"id": node, "kind": kind, "title": title, "line": line, "run": run})

    def _edge(self, first: str, second: str) -> None:
        self._edges[first, second] = None


def _line(one: Entry) -> str:
    if one.row.score is None:
        return one.row.state
    return f"{one.row.metric} {one.row.score:.4f}"
