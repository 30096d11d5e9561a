"""Whence each model below a folder comes: data set -> run -> pruned -> retrained -> export -> engine.

It is put together from what the files tell without a key: manifests (data, start model, weights, what was pruned and
exported) and the JSON files beside engines. Things are joined by content hashes, so folders may be moved. A run that
started from a model which no hash tells, such as the best of a training, is joined by the path in its spec.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from taolite.workspace.catalog import RunRecord

__all__ = ["Kind", "Lineage", "Node", "lineage_of", "run_name"]

Kind = Literal["data", "run", "pruned", "export", "engine"]

_LARGEST = 1 << 20  # bytes of a sidecar
_DATA = re.compile(r'^\s*(?:tfrecords_path|train_dataset_path|image_directory_path|root): "(.*)"$', re.MULTILINE)
_START = re.compile(
    r'^\s*(?:pretrained_model_file|pretrained_model_path|pretrain_model_path|resume_model_path): "(.+)"$', re.MULTILINE
)


@dataclass(frozen=True)
class Node:
    """One thing. hash: of its content, 64 hex digits, "" if unknown; a run's is that of its weights. path: where it is,
    of a data set as its run's spec names it. there: False for a file that is gone. facts: JSON values by name, such as
    score, precision, parameters. parent: key of the node it was made of, "" for none; data: of its data set."""

    key: str
    kind: Kind
    name: str
    hash: str
    path: str
    there: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    data: str = ""


@dataclass(frozen=True)
class Lineage:
    """All nodes, each behind the one it was made of."""

    nodes: tuple[Node, ...]

    def below(self, key: str) -> list[Node]:
        """What was made of the node `key`; of "", what was made of nothing here."""
        keys = {node.key for node in self.nodes}
        return [node for node in self.nodes if (node.parent if node.parent in keys else "") == key]

    def about(self, wanted: Iterable[str]) -> Lineage:
        """Only the nodes `wanted` (keys), what they come from, and what was made of them."""
        by_key = {node.key: node for node in self.nodes}
        kept: set[str] = set()
        for key in wanted:
            up: str | None = key
            while up in by_key and up not in kept:
                kept.add(up)
                kept.update({by_key[up].data} & by_key.keys())
                up = by_key[up].parent
            down = [key]
            while down:
                inner = [node.key for node in self.below(down.pop())]
                kept.update(inner)
                down += inner
        return Lineage(tuple(node for node in self.nodes if node.key in kept))

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON value: one object a node."""
        return [{**vars(node), "facts": dict(node.facts)} for node in self.nodes]


def lineage_of(runs: Sequence[RunRecord], root: Path) -> Lineage:
    """The lineage of `runs`, and of the engines that lie below `root`."""
    made = [_made(run) for run in runs]
    files = [node for nodes in made for node in nodes]
    heads = _runs(runs, files, root)
    data: dict[str, Node] = {}
    for run, head in zip(runs, heads, strict=True):
        if head.data and head.data not in data:
            found = _DATA.search(run.spec)
            path = found[1] if found else ""
            data[head.data] = Node(head.data, "data", path or "data", head.data[5:], path)
    exports = {str(node.facts.get("onnx_sha256", "")): node.key for node in files if node.kind == "export"}
    everything = [*data.values(), *heads, *files, *_engines(root, exports)]
    return Lineage(tuple(_ordered(everything)))


def _runs(runs: Sequence[RunRecord], files: Sequence[Node], root: Path) -> list[Node]:
    """A node for each run, behind the model that it started from, else behind its data."""
    by_hash = {node.hash: node.key for node in files if node.kind == "pruned"}
    by_hash |= {weights: _key(run) for run in runs if (weights := str(run.manifest.get("weights_sha256", "")))}
    nodes = []
    for run in runs:
        parent, data_hash = str(run.run.get("parent", "")), str(run.run.get("data_hash", ""))
        data = f"data:{data_hash}" if data_hash else ""
        started = by_hash.get(parent, "") if parent else ""
        if parent and not started:
            started = _by_path(run, runs)
        facts: dict[str, Any] = {"task": run.task, "state": run.state, "metric": run.metric, "score": run.score}
        if isinstance(run.manifest.get("parameters"), int):
            facts["parameters"] = run.manifest["parameters"]
        if parent and not started:
            facts["started_from"] = {"hash": parent, "file": Path(_start_file(run)).name}
        if isinstance(of := run.manifest.get("rerun_of"), dict):
            facts["rerun_of"] = str(of.get("folder", ""))
        name = run_name(root, run.folder)
        weights = str(run.manifest.get("weights_sha256", ""))
        started = "" if started == _key(run) else started
        nodes.append(Node(_key(run), "run", name, weights, str(run.folder), True, facts, started or data, data))
    return nodes


def _start_file(run: RunRecord) -> str:
    """The start model as the spec, or the flag of the training, names it; "" for none."""
    found = _START.search(run.spec)
    return str(run.manifest.get("start_model") or (found[1] if found else ""))


def _by_path(run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """Key of the run whose folder has the start model, as the spec names it; "" where there is none."""
    if not (named := _start_file(run)):
        return ""
    path = os.path.normpath(os.path.join(str(run.manifest.get("started_in", "")), named))  # noqa: PTH118
    return next((_key(other) for other in runs if other is not run and path.startswith(f"{other.folder}{os.sep}")), "")


def _made(run: RunRecord) -> list[Node]:
    """What was pruned and exported of a run's models, as its notes tell."""
    kinds: tuple[tuple[str, Kind], ...] = (("pruned", "pruned"), ("exports", "export"))
    nodes = []
    pruned: dict[str, str] = {}
    for kind, name in kinds:
        notes = run.manifest.get(kind)
        for label, facts in notes.items() if isinstance(notes, dict) else ():
            if not isinstance(facts, dict):
                continue
            key = f"{name}:{run.folder}:{label}"
            path = os.path.normpath(run.folder / facts["file"]) if isinstance(facts.get("file"), str) else ""
            digest = str(facts.get("weights_sha256" if kind == "pruned" else "sha256", ""))
            shown = {fact: facts[fact] for fact in _SHOWN if fact in facts}
            parent = str(facts.get("parent_weights", ""))
            parent = pruned.get(parent, _key(run))
            there = not path or Path(path).is_file()
            nodes.append(Node(key, name, Path(label).name, digest, path, there, shown, parent))
            if kind == "pruned":
                pruned[digest] = key
    return nodes


_SHOWN = ("precision", "onnx_sha256", "parameters", "metric", "exported", "passed")


def _engines(root: Path, exports: Mapping[str, str]) -> Iterator[Node]:
    """The engines below `root`, each behind the export that it was built from."""
    for path in sorted(root.rglob("*.json")):
        engine = path.with_suffix("")
        if path.name.startswith(".") or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        with suppress(OSError, ValueError, RecursionError):  # some other JSON file
            found = json.loads(path.read_bytes())
            if not isinstance(found, dict) or not {"onnx_sha256", "engine_sha256", "backend"} <= found.keys():
                continue
            facts = {name: found.get(name) for name in ("backend", "backend_version", "precision", "onnx_sha256")}
            parent = exports.get(str(found["onnx_sha256"]), "")
            digest = str(found["engine_sha256"])
            yield Node(f"engine:{engine}", "engine", engine.name, digest, str(engine), engine.exists(), facts, parent)


def _ordered(nodes: Sequence[Node]) -> Iterator[Node]:
    """Each node behind its parent; those of a circle, which only a forged manifest makes, are left out."""
    inner: dict[str, list[Node]] = {}
    keys = {node.key for node in nodes}
    for node in nodes:
        inner.setdefault(node.parent if node.parent in keys else "", []).append(node)
    queue = list(inner.get("", ()))
    while queue:
        node = queue.pop(0)
        yield node
        queue = [*inner.get(node.key, ()), *queue]


def _key(run: RunRecord) -> str:
    return f"run:{run.folder}"


def run_name(root: Path, folder: Path) -> str:
    """A run's folder as seen from `root`; its own name where it lies elsewhere."""
    root = Path(os.path.abspath(root))  # noqa: PTH100
    return folder.relative_to(root).as_posix() if folder != root and folder.is_relative_to(root) else folder.name
