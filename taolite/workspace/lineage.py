"""Whence each model below a folder comes: data set -> run -> pruned -> retrained -> export -> engine.

It is put together from what the files tell without a key: manifests (data, start model, weights, what was pruned and
exported) and the JSON files beside engines. Things are joined by content hashes, so folders may be moved. A run that
started from a model which no hash tells, such as the best of a training, is joined by the path in its spec.

`links_of` takes from a run what its lineage needs, so that a page which asks again and again keeps little in memory.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from taolite.workspace.catalog import RunRecord
from taolite.workspace.sidecars import EngineFile

__all__ = ["Kind", "Lineage", "Links", "Made", "Node", "lineage_of", "links_of", "run_name"]

Kind = Literal["data", "run", "pruned", "export", "engine"]

_DATA = re.compile(r'^\s*(?:tfrecords_path|train_dataset_path|image_directory_path|root): "(.*)"$', re.MULTILINE)
_START = re.compile(
    r'^\s*(?:pretrained_model_file|pretrained_model_path|pretrain_model_path|resume_model_path): "(.+)"$', re.MULTILINE
)
_SHOWN = ("precision", "onnx_sha256", "parameters", "metric", "exported", "passed")


@dataclass(frozen=True)
class Made:
    """A file that was made of a run's model. hash: of its weights if pruned, of the file if exported. path: "" if the
    manifest does not tell it. parent: hash of the weights it was made of."""

    kind: Literal["pruned", "export"]
    name: str
    hash: str
    path: str
    parent: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Links:
    """What the lineage of a run is drawn from.

    data, parent, teacher, weights: hashes of the data, and of the weights that it began with, learned from, and made.
    data_path, start: where its spec, or a flag, has the data and the start model. started_in: the folder it was started
    in. rerun_of: the folder of the run that it repeats. "" for what is unknown.
    """

    folder: Path
    task: str = ""
    state: str = ""
    metric: str = ""
    score: float | None = None
    parameters: int | None = None
    data: str = ""
    data_path: str = ""
    parent: str = ""
    start: str = ""
    started_in: str = ""
    teacher: str = ""
    weights: str = ""
    rerun_of: str = ""
    made: tuple[Made, ...] = ()


@dataclass(frozen=True)
class Node:
    """One thing. hash: of its content, 64 hex digits, "" if unknown; a run's is that of its weights. path: where it is,
    of a data set as its run's spec names it. there: False for a file that is gone. facts: JSON values by name, such as
    score, precision, parameters. parent: key of the node it was made of, "" for none; data: of its data set; teacher:
    of what it learned from."""

    key: str
    kind: Kind
    name: str
    hash: str
    path: str
    there: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    data: str = ""
    teacher: str = ""


@dataclass(frozen=True)
class Lineage:
    """All nodes, each behind the one it was made of."""

    nodes: tuple[Node, ...]

    def below(self, key: str) -> Sequence[Node]:
        """What was made of the node `key`; of "", what was made of nothing here."""
        return self._inner.get(key, ())

    def about(self, wanted: Iterable[str]) -> Lineage:
        """Only the nodes `wanted` (keys), what they come from, and what was made of them."""
        by_key = {node.key: node for node in self.nodes}
        kept: set[str] = set()
        for key in wanted:
            up: str | None = key
            while up in by_key and up not in kept:
                kept.add(up)
                kept.update({by_key[up].data, by_key[up].teacher} & by_key.keys())
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

    @cached_property
    def _inner(self) -> Mapping[str, Sequence[Node]]:
        return _by_parent(self.nodes)


def links_of(run: RunRecord) -> Links:
    """The links of a run; what is of another type than it should be is left out."""
    manifest, parameters = run.manifest, run.manifest.get("parameters")
    rerun_of = manifest.get("rerun_of")
    return Links(
        run.folder,
        run.task,
        run.state,
        run.metric,
        run.score,
        parameters if isinstance(parameters, int) else None,
        data=_text(run.run, "data_hash"),
        data_path=_named(_DATA, run.spec),
        parent=_text(run.run, "parent"),
        start=_text(manifest, "start_model") or _named(_START, run.spec),
        started_in=_text(manifest, "started_in"),
        teacher=_text(run.run, "teacher"),
        weights=_text(manifest, "weights_sha256"),
        rerun_of=_text(rerun_of, "folder"),
        made=(*_made(run, "pruned", "pruned"), *_made(run, "exports", "export")),
    )


def _made(run: RunRecord, notes: str, kind: Literal["pruned", "export"]) -> Iterator[Made]:
    """What was pruned or exported of a run's models, as its notes tell."""
    found = run.manifest.get(notes)
    for label, facts in found.items() if isinstance(found, dict) else ():
        if isinstance(facts, dict):
            path = os.path.normpath(run.folder / facts["file"]) if isinstance(facts.get("file"), str) else ""
            digest = _text(facts, "weights_sha256" if kind == "pruned" else "sha256")
            shown = {fact: facts[fact] for fact in _SHOWN if fact in facts}
            yield Made(kind, label, digest, path, _text(facts, "parent_weights"), shown)


def lineage_of(runs: Sequence[Links], root: Path, engines: Iterable[EngineFile] = ()) -> Lineage:
    """The lineage of `runs` and of `engines`. root: runs are named as seen from it."""
    makers: dict[str, str] = {}  # hash of weights -> the node that made them, the first where there are several
    for run in runs:
        if run.weights:
            makers.setdefault(run.weights, _key(run))
    for run in runs:
        for one in run.made:
            if one.kind == "pruned" and one.hash:
                makers.setdefault(one.hash, _made_key(run, one))
    by_folder = {str(run.folder): _key(run) for run in runs}
    data: dict[str, Node] = {}
    for run in runs:
        if run.data and run.data not in data:
            data[run.data] = Node(f"data:{run.data}", "data", run.data_path or "data", run.data, run.data_path)
    heads = [_run_node(run, root, makers, by_folder) for run in runs]
    files = [_file_node(run, one, makers) for run in runs for one in run.made]
    exports = {str(node.facts.get("onnx_sha256", "")): node.key for node in files if node.kind == "export"}
    built = [_engine_node(engine, exports) for engine in engines]
    return Lineage(tuple(_ordered([*data.values(), *heads, *files, *built])))


def _run_node(run: Links, root: Path, makers: Mapping[str, str], by_folder: Mapping[str, str]) -> Node:
    """A run, behind the model that it started from, else behind its data."""
    key, data = _key(run), f"data:{run.data}" if run.data else ""
    started = ""
    if run.parent:
        started = makers.get(run.parent, "") or _by_path(run, by_folder)
    facts: dict[str, Any] = {"task": run.task, "state": run.state, "metric": run.metric, "score": run.score}
    if run.parameters is not None:
        facts["parameters"] = run.parameters
    if run.parent and not started:
        facts["started_from"] = {"hash": run.parent, "file": Path(run.start).name, "path": run.start}
    teacher = makers.get(run.teacher, "")
    if run.teacher and not teacher:
        facts["taught_by"] = {"hash": run.teacher}
    if run.rerun_of:
        facts["rerun_of"] = run.rerun_of
    parent = started if started != key else ""
    return Node(
        key, "run", run_name(root, run.folder), run.weights, str(run.folder), True, facts, parent or data, data,
        teacher if teacher != key else "",
    )  # fmt: skip


def _by_path(run: Links, by_folder: Mapping[str, str]) -> str:
    """Key of the run whose folder has the start model, as the spec names it; "" where there is none."""
    if not run.start:
        return ""
    path = Path(os.path.normpath(os.path.join(run.started_in, run.start)))  # noqa: PTH118
    found = (by_folder[folder] for folder in map(str, path.parents) if folder in by_folder)
    return next((key for key in found if key != _key(run)), "")


def _file_node(run: Links, one: Made, makers: Mapping[str, str]) -> Node:
    """A file, behind what made the weights it was made of: its own run, where those are the run's."""
    key = _made_key(run, one)
    parent = _key(run) if one.parent == run.weights else makers.get(one.parent, _key(run))
    there = not one.path or Path(one.path).is_file()
    name = Path(one.name).name
    return Node(key, one.kind, name, one.hash, one.path, there, one.facts, parent if parent != key else _key(run))


def _engine_node(engine: EngineFile, exports: Mapping[str, str]) -> Node:
    path = str(engine.path)
    parent = exports.get(str(engine.facts["onnx_sha256"]), "")
    return Node(
        f"engine:{path}", "engine", engine.path.name, engine.sha256, path, engine.path.exists(), engine.facts, parent
    )


def _by_parent(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    keys = {node.key for node in nodes}
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.parent if node.parent in keys else "", []).append(node)
    return found


def _ordered(nodes: Sequence[Node]) -> Iterator[Node]:
    """Each node behind its parent. Of a circle, which only a forged manifest makes, the first loses its parent."""
    inner, keys, done = _by_parent(nodes), {node.key for node in nodes}, set[str]()
    for first in (*inner.get("", ()), *nodes):
        if first.key in done:
            continue
        queue = deque([replace(first, parent=first.data) if first.parent in keys else first])
        while queue:
            node = queue.popleft()
            if node.key not in done:
                done.add(node.key)
                yield node
                queue.extendleft(reversed(inner.get(node.key, ())))


def _key(run: Links) -> str:
    return f"run:{run.folder}"


def _made_key(run: Links, one: Made) -> str:
    return f"{one.kind}:{run.folder}:{one.name}"


def _text(values: object, name: str) -> str:
    value = values.get(name) if isinstance(values, Mapping) else None
    return value if isinstance(value, str) else ""


def _named(pattern: re.Pattern[str], spec: str) -> str:
    found = pattern.search(spec)
    return found[1] if found else ""


def run_name(root: Path, folder: Path) -> str:
    """A run's folder as seen from `root`; its own name where it lies elsewhere."""
    root = Path(os.path.abspath(root))  # noqa: PTH100
    return folder.relative_to(root).as_posix() if folder != root and folder.is_relative_to(root) else folder.name
