"""The runs below a folder, as their own files tell them: manifest.json, status.json, metrics.jsonl, scores.json.

The files are the truth: nothing is kept beside them, and reading a run changes nothing in it, not even its lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from taolite.errors import PathError
from taolite.workspace.lock import is_locked
from taolite.workspace.manifest import read_manifest
from taolite.workspace.status import MetricsFile, read_status

__all__ = ["RunRecord", "State", "find_runs", "read_run", "time_of"]

State = Literal["running", "finished", "failed", "stopped"]

_METRICS = ("mAP", "accuracy")  # main metric of a run whose manifest does not name one


@dataclass(frozen=True)
class RunRecord:
    """One run.

    folder: absolute. manifest, status: the JSON of manifest.json and the lines of status.json, oldest first. state:
    `running` while a process holds the folder's lock, `finished` once its model is written, `failed` where the last
    line says so, `stopped` otherwise (killed, or told to stop: the same command goes on with it).
    """

    folder: Path
    manifest: Mapping[str, Any]
    status: tuple[Mapping[str, Any], ...]
    state: State

    @property
    def run(self) -> Mapping[str, Any]:
        """The identity: task, spec, classes, data_hash, parent (`weights_hash`), teacher."""
        found = self.manifest.get("run")
        return found if isinstance(found, dict) else {}

    @property
    def task(self) -> str:
        """Name of the task, "" if unknown."""
        return str(self.run.get("task", ""))

    @property
    def spec(self) -> str:
        """Text of the resolved spec."""
        return str(self.run.get("spec", ""))

    @property
    def started(self) -> datetime | None:
        """When it was first started, local time; None if unknown."""
        return time_of(self.status[0]) if self.status else None

    @property
    def updated(self) -> datetime | None:
        """When it last wrote to its status, local time; None if unknown."""
        return time_of(self.status[-1]) if self.status else None

    @property
    def scores(self) -> Mapping[str, Any]:
        """Scores of the final validation, 0..1 by name; those of a class in a mapping. Empty before the end."""
        found = self.manifest.get("metrics")
        return found if isinstance(found, dict) else {}

    @cached_property
    def metric(self) -> str:
        """Short name of the main metric, as "mAP"; "" where nothing was validated yet."""
        named = self.manifest.get("metric")
        if isinstance(named, str):
            return named
        known = set(self.scores).union(*self.rows)
        return next((name for name in _METRICS if name in known), "")

    @property
    def score(self) -> float | None:
        """The main metric of the final validation or, before the end, of the newest one; None before the first."""
        value = self.scores.get(self.metric)
        if not isinstance(value, (int, float)):
            newest = (row[self.metric] for row in reversed(self.rows) if isinstance(row.get(self.metric), (int, float)))
            value = next(newest, None)
        return None if value is None else float(value)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, oldest first."""
        return MetricsFile(self.folder / "metrics.jsonl").read()

    @property
    def epoch(self) -> tuple[int, int]:
        """The newest finished epoch, and the number of epochs; zeros if unknown."""
        lines = (line for line in reversed(self.status) if isinstance(line.get("max_epoch"), int))
        found: Mapping[str, Any] = next(lines, {})
        return int(found.get("epoch", 0)), int(found.get("max_epoch", 0))

    @property
    def weights(self) -> Path:
        """The finished model, which is there once the run has finished."""
        name = str(self.manifest.get("name") or "model")
        return self.folder / "weights" / (name if name.endswith(".tlt") else f"{name}.tlt")

    @property
    def scorecard(self) -> Mapping[str, Any] | None:
        """scores.json of the final validation (see `taolite.scorecard`); None if there is none."""
        path = self.folder / "scores.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise PathError(f"{path}: cannot be read as JSON ({error}); run evaluate again to write it anew") from error
        return found if isinstance(found, dict) else None


def read_run(folder: Path) -> RunRecord:
    """The run in a folder. Raises PathError where the folder holds none, or a file of it cannot be read."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (links stay as the user wrote them)
    if not (folder / "manifest.json").is_file():
        raise PathError(f"{folder}: this folder holds no run (it has no manifest.json); name the results of a training")
    manifest = read_manifest(folder / "manifest.json")
    status = tuple(read_status(folder / "status.json"))
    return RunRecord(folder, manifest, status, _state(folder, manifest, status))


def find_runs(root: Path, *, damaged: Callable[[PathError], None] | None = None) -> list[RunRecord]:
    """The runs in a folder and below it, oldest first, then by folder. Folders with a dot, and links, are left out.

    damaged: is told of each run whose files cannot be read, and the others are found.

    Raises PathError where `root` is no folder, or (without `damaged`) a run's files cannot be read.
    """
    if not root.is_dir():
        raise PathError(f"{root}: there is no such folder; name a folder that holds runs")
    found = []
    for folder in _folders(Path(os.path.abspath(root))):  # noqa: PTH100
        try:
            found.append(read_run(folder))
        except PathError as error:
            if damaged is None:
                raise
            damaged(error)
    return sorted(found, key=lambda run: (run.started or datetime.max, run.folder))


def _folders(root: Path) -> Iterator[Path]:
    """Folders whose manifest.json is that of a run; what lies in the folder of a run is not searched."""
    inner = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name == "manifest.json" and _is_of_a_run(root / entry.name):
                yield root
                return
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
    for name in sorted(inner):
        yield from _folders(root / name)


def _is_of_a_run(path: Path) -> bool:
    """Whether a manifest is that of a run; one that cannot be read may be."""
    try:
        return isinstance(read_manifest(path).get("run"), dict)
    except PathError:
        return True


def _state(folder: Path, manifest: Mapping[str, Any], status: tuple[Mapping[str, Any], ...]) -> State:
    if is_locked(folder):
        return "running"
    last = status[-1] if status else {}
    if last.get("status") == "SUCCESS":
        return "finished"
    return "failed" if last.get("status") == "FAILURE" and not last.get("stopped") else "stopped"


def time_of(line: Mapping[str, Any]) -> datetime | None:
    """When a line of status.json was written, local time; None if it does not say so."""
    try:
        return datetime.strptime(f"{line.get('date')} {line.get('time')}", "%m/%d/%Y %H:%M:%S")
    except ValueError:
        return None
