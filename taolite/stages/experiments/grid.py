"""A sweep: the product of some fields' values, a name for each run, and what is known of the sweep so far.

`sweep.json` in the sweep's folder says which runs belong to it, so that the same command goes on, and another is told.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taolite.errors import PathError, TrainingError, UsageError
from taolite.files import write_text
from taolite.stages.experiments.compare import seconds_of
from taolite.workspace.catalog import RunRecord, read_run

__all__ = ["Point", "ResultRow", "grid_of", "open_sweep", "results_of"]

_MOST = 10_000  # runs
_SUMMARY = "sweep.json"


@dataclass(frozen=True)
class Point:
    """One run of a sweep. name: of its folder. values: field path -> value, as texts."""

    name: str
    values: Mapping[str, str]

    @property
    def settings(self) -> list[str]:
        """`PATH=VALUE`, as `--set` takes them."""
        return [f"{path}={value}" for path, value in self.values.items()]


@dataclass(frozen=True)
class ResultRow:
    """A run of a sweep and what came of it; run is None before it began."""

    point: Point
    run: RunRecord | None

    @property
    def state(self) -> str:
        """That of the run, or "not begun"."""
        return self.run.state if self.run else "not begun"

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        run = self.run
        return {
            "name": self.point.name,
            "values": dict(self.point.values),
            "state": self.state,
            "metric": run.metric if run else "",
            "score": run.score if run else None,
            "seconds": seconds_of(run) if run else None,
        }


def grid_of(settings: Sequence[str]) -> list[Point]:
    """The runs of a sweep: every combination of the values, the last field's changing first.

    Args:
        settings: `PATH=VALUE`, or `PATH={VALUE,VALUE,...}` for several.

    Raises UsageError for a word without `=`, a field given twice, an empty or too large product.

    >>> [point.name for point in grid_of(["training_config.batch_size_per_gpu={4,8}", "random_seed=1"])]
    ['batch_size_per_gpu-4_random_seed-1', 'batch_size_per_gpu-8_random_seed-1']
    """
    fields: dict[str, list[str]] = {}
    for word in settings:
        path, equals, value = word.partition("=")
        if not equals or not path.strip():
            raise UsageError(f"--set {word}: needs PATH=VALUE, or PATH={{VALUE,VALUE}} for several")
        if path.strip() in fields:
            raise UsageError(f"--set {word}: {path.strip()} is set twice; give all its values in one --set, as {{A,B}}")
        fields[path.strip()] = _values(word, value.strip())
    if not fields:
        raise UsageError("a sweep needs a field to change: --set PATH={VALUE,VALUE}")
    count = 1
    for values in fields.values():
        count *= len(values)
    if count > _MOST:
        raise UsageError(f"this sweep would have {count:,} runs; {_MOST:,} are the most")
    short = _short(list(fields))
    points: list[Point] = []
    names: set[str] = set()
    for chosen in itertools.product(*fields.values()):
        values_of = dict(zip(fields, chosen, strict=True))
        name = "_".join(f"{short[path]}-{value.strip(chr(34))}" for path, value in values_of.items())
        name = re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:180]
        if name in names:
            name = f"{name}-{len(names) + 1}"
        names.add(name)
        points.append(Point(name, values_of))
    return points


def open_sweep(folder: Path, points: Sequence[Point], *, task: str, spec: str) -> None:
    """Record a sweep in its folder, or check that it is the one that is there. spec: its text, before the changes.

    Raises TrainingError where the folder has a sweep of another spec or task; PathError, StorageError.
    """
    path = folder / _SUMMARY
    found = _read(path) if path.is_file() else {"task": task, "spec": spec}
    if (found.get("task"), found.get("spec")) != (task, spec):
        raise TrainingError(
            f"{folder}: this folder has a sweep of another spec, or of this one before it was changed; choose another "
            "folder (-r)"
        )
    _write(path, task, spec, [ResultRow(point, None) for point in points])


def results_of(folder: Path, points: Sequence[Point]) -> list[ResultRow]:
    """What came of each run so far, in the order of the points; also written to sweep.json."""
    rows = []
    for point in points:
        place = folder / point.name
        rows.append(ResultRow(point, read_run(place) if (place / "manifest.json").is_file() else None))
    before = _read(folder / _SUMMARY)
    _write(folder / _SUMMARY, str(before.get("task", "")), str(before.get("spec", "")), rows)
    return rows


def _values(word: str, text: str) -> list[str]:
    """The values of a field; `{ name: value }` is one, a whole block."""
    if not (text.startswith("{") and text.endswith("}")) or ":" in text:
        return [text]
    values = [value.strip() for value in text[1:-1].split(",")]
    if not all(values):
        raise UsageError(f"--set {word}: a value between the commas is missing")
    if len(set(values)) != len(values):
        raise UsageError(f"--set {word}: a value is there twice")
    return values


def _short(paths: Sequence[str]) -> dict[str, str]:
    """The last part of each path; of paths that end alike, the last two."""
    ends = [path.rsplit(".", 1)[-1] for path in paths]
    return {
        path: end if ends.count(end) == 1 else ".".join(path.split(".")[-2:])
        for path, end in zip(paths, ends, strict=True)
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PathError(f"{path}: cannot be read ({error}); remove it, and the same command writes it anew") from error
    return found if isinstance(found, dict) else {}


def _write(path: Path, task: str, spec: str, rows: Sequence[ResultRow]) -> None:
    record = {"version": 1, "task": task, "spec": spec, "runs": [row.to_json() for row in rows]}
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
