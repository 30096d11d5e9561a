"""The runs below a folder as rows of a table, with what each has that the runs beside it do not have.

Runs are neighbours where they lie in one folder and are of one task. Their specs are compared as texts
(`taolite.spec.flat.flatten_text`), because reading a thousand specs as models takes ten seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from taolite.spec.flat import flatten_text
from taolite.workspace.catalog import RunRecord, State
from taolite.workspace.lineage import run_name

__all__ = ["ORDERS", "Row", "rows_of", "to_json"]

ORDERS = ("started", "name", "score")

_PATH = {"data_hash": "data", "parent": "start model"}


@dataclass(frozen=True)
class Row:
    """One run. name: its folder as seen from the root. differs: value of each field in which it is not like the most of
    its neighbours (where no value is that of the most, it is in all rows), by the shortest end of the field's path that
    names no other of these fields."""

    run: RunRecord
    name: str
    differs: Mapping[str, str]


def rows_of(
    runs: Sequence[RunRecord],
    root: Path,
    *,
    task: str | None = None,
    state: State | None = None,
    order: str = "started",
) -> list[Row]:
    """The runs of a task and in a state (None: any), sorted: by start, oldest first; by name; or by score, the best
    first. What differs is among all runs, shown or not."""
    groups: dict[tuple[Path, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        groups[run.folder.parent, run.task].append(run)
    flat = cache(flatten_text)
    differs: dict[Path, Mapping[str, str]] = {}
    for group in groups.values():
        differs.update(_varying({run.folder: {**flat(run.spec), **_hashes(run)} for run in group}))
    rows = [
        Row(run, run_name(root, run.folder), differs[run.folder])
        for run in runs
        if task in (None, run.task) and state in (None, run.state)
    ]
    keys: Mapping[str, Any] = {
        "started": lambda row: (row.run.started or datetime.max, row.name),
        "name": lambda row: row.name,
        "score": lambda row: (row.run.score is None, -(row.run.score or 0.0), row.name),
    }
    return sorted(rows, key=keys[order])


def to_json(row: Row) -> dict[str, Any]:
    """The row as a JSON value."""
    run = row.run
    epoch, epochs = run.epoch
    return {
        "name": row.name,
        "folder": str(run.folder),
        "task": run.task,
        "state": run.state,
        "epoch": epoch,
        "epochs": epochs,
        "metric": run.metric,
        "score": run.score,
        "started": run.started.isoformat() if run.started else None,
        "differs": dict(row.differs),
    }


def _hashes(run: RunRecord) -> dict[str, str]:
    return {shown: str(run.run.get(name, ""))[:8] for name, shown in _PATH.items() if run.run.get(name)}


def _varying(group: Mapping[Path, Mapping[str, str]]) -> dict[Path, Mapping[str, str]]:
    """For each run its fields that most of the others do not have with this value; `-` where it has none."""
    specs = list(group.values())
    common = set(specs[0].items()).intersection(*(set(spec.items()) for spec in specs[1:]))
    same = {path for path, _ in common}
    paths = list(dict.fromkeys(path for spec in specs for path in spec if path not in same))
    short = _short_names(paths)
    usual = {}
    for path in paths:
        value, count = Counter(spec.get(path, "-") for spec in specs).most_common(1)[0]
        usual[path] = value if 2 * count > len(specs) else None
    return {
        folder: {short[path]: value for path in paths if (value := spec.get(path, "-")) != usual[path]}
        for folder, spec in group.items()
    }


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path, or as many of the last as tell it from the others."""
    found = {}
    for path in paths:
        parts = path.split(".")
        for count in range(1, len(parts) + 1):
            end = ".".join(parts[-count:])
            if sum(other == end or other.endswith(f".{end}") for other in paths) == 1:
                break
        found[path] = end
    return found
