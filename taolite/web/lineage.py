"""The lineage as a graph of boxes: data and weights -> run -> pruned model -> run -> export -> engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taolite.workspace.lineage import Lineage, Node

__all__ = ["graph"]

_SHORT = 8  # digits of a hash that are shown


def graph(lineage: Lineage, runs: Mapping[str, str]) -> dict[str, Any]:
    """Nodes and edges; an edge leads from what there was to what was made of it.

    A node has an id, a kind (data, weights, run, pruned, export, engine), a title and a line below it; that of a run
    also has its id as `run`. Weights are a start model or a teacher that no run here made.

    Args:
        runs: ids of the runs by their folder.
    """
    nodes: dict[str, dict[str, str]] = {}
    edges: dict[tuple[str, str], None] = {}

    def add(key: str, kind: str, title: str, line: str, run: str = "") -> None:
        nodes.setdefault(key, {"id": key, "kind": kind, "title": title, "line": line, "run": run})

    ids = {node.key: runs.get(node.path, node.key) if node.kind == "run" else node.key for node in lineage.nodes}
    for node in lineage.nodes:
        made = ids[node.key]
        title = node.name if node.kind != "data" else f"data {node.hash[:_SHORT]}"
        add(made, node.kind, title, _line(node), made if node.kind == "run" else "")
        edges.update(((ids[before], made), None) for before in (node.data, node.parent, node.teacher) if before in ids)
        for fact in ("started_from", "taught_by"):
            if weights := node.facts.get(fact):
                key = f"weights:{weights['hash']}"
                add(key, "weights", f"weights {weights['hash'][:_SHORT]}", weights.get("path", ""))
                edges[key, made] = None
    return {"nodes": list(nodes.values()), "edges": [list(edge) for edge in edges]}


def _line(node: Node) -> str:
    """What is said below the title."""
    facts = node.facts
    if node.kind == "data":
        return node.path
    if node.kind == "run":
        return facts["state"] if facts["score"] is None else f"{facts['metric']} {facts['score']:.4f}"
    words = [str(facts[name]) for name in ("backend", "backend_version", "precision") if facts.get(name)]
    if isinstance(facts.get("parameters"), int) and node.kind == "pruned":
        words.append(f"{facts['parameters']:,} parameters")
    return ", ".join([*words, *(() if node.there else ("the file is gone",))])
