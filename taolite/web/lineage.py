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
        self._makers.update((one.links.weights, one.id) for one in entries if one.links.weights)
        for one in entries:
            for name, facts in one.links.pruned.items():
                made = _text(facts, "weights_sha256")
                if made:
                    self._makers.setdefault(made, f"{one.id} pruned {name}")
        for one in entries:
            self._run(one)
        for one in entries:
            for name, facts in one.links.pruned.items():
                count = facts.get("parameters") if isinstance(facts, dict) else None
                self._made(one, "pruned", name, facts, f"{count:,} parameters" if isinstance(count, int) else "")
            for name, facts in one.links.exports.items():
                self._made(one, "export", name, facts, _text(facts, "precision"))

    def to_json(self) -> dict[str, Any]:
        return {"nodes": list(self._nodes.values()), "edges": [list(edge) for edge in self._edges]}

    def _run(self, one: Entry) -> None:
        links = one.links
        self._node(one.id, "run", one.name, _line(one), run=one.id)
        if links.data:
            self._node(f"data {links.data}", "data", f"data {links.data[:_SHORT]}", links.data_path)
            self._edge(f"data {links.data}", one.id)
        self._from_weights(links.parent, one.id, links.start)
        self._from_weights(links.teacher, one.id, "")

    def _made(self, one: Entry, kind: str, name: str, facts: Any, line: str) -> None:
        """What was made of a model of this run: of the run's own, or of one that was pruned before."""
        node = f"{one.id} {kind} {name}"
        self._node(node, kind, name, line)
        before = self._makers.get(_text(facts, "parent_weights"), one.id)
        self._edge(one.id if before == node else before, node)

    def _from_weights(self, weights: str, to: str, path: str) -> None:
        """An edge from what made the weights that a run began with; from themselves where no run here did."""
        if not weights:
            return
        node = self._makers.get(weights)
        if node is None:
            node = f"weights {weights}"
            self._node(node, "weights", f"weights {weights[:_SHORT]}", path)
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


def _text(facts: Any, name: str) -> str:
    value = facts.get(name) if isinstance(facts, dict) else None
    return value if isinstance(value, str) else ""
