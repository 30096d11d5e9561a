"""A run as JSON for the board: its line in the table, and all that its page shows.

Times are seconds since 1970. Everything comes from files, so nothing here is trusted: numbers that JSON does not have
are null, and texts stay texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from taolite.errors import PathError
from taolite.workspace.catalog import RunRecord, time_of
from taolite.workspace.status import finite

__all__ = ["PLOTS", "Row", "page_of", "plots_of", "row_of"]

PLOTS = ("curves.png", "f1.png", "precision_recall.png", "confusion.png", "worst.png", "first_batch.png")
"""The order of the plots; others follow by name."""

_MOST_PLOTS = 40
_MOST_LINES = 200  # of status.json that the page shows
_DURATION = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d)(\.\d+)?")
_FACTS = ("name", "seed", "batch_size", "parameters", "device", "hardware", "versions", "weights_sha256")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    epoch, epochs: finished, and wanted; 0 if unknown. ends: when a running one will have trained all its epochs.
    trained_s: seconds of its epochs, without pauses. score: 0..1.
    """

    state: str
    task: str = ""
    message: str = ""
    epoch: int = 0
    epochs: int = 0
    ends: float | None = None
    trained_s: float | None = None
    started: float | None = None
    updated: float | None = None
    metric: str = ""
    score: float | None = None


def row_of(record: RunRecord) -> Row:
    """The line of a run. Raises what a damaged file may raise."""
    last = record.status[-1] if record.status else {}
    lines = [line for line in record.status if isinstance(line.get("epoch"), int)]
    times = {line["epoch"]: _duration(line.get("time_per_epoch")) for line in lines}  # the newest of an epoch
    epoch, epochs = record.epoch
    return Row(
        state=record.state,
        task=record.task,
        message=str(last.get("message", "")) if record.state == "failed" else "",
        epoch=epoch,
        epochs=epochs,
        ends=_end(record.status) if record.state == "running" else None,
        trained_s=sum(filter(None, times.values())) or None,
        metric=record.metric,
        score=finite(record.score),
        started=_seconds(record.started),
        updated=_seconds(record.updated),
    )


def page_of(record: RunRecord, plots: list[Path]) -> dict[str, Any]:
    """What the page of a run shows beside its line. Raises PathError for a file that cannot be read."""
    manifest = {name: value for name, value in record.manifest.items() if name != "run"}
    manifest["run"] = {name: value for name, value in record.run.items() if name != "spec"}
    lines = [{"status": row.get("status"), "at": _at(row), "message": row.get("message")} for row in record.status]
    try:
        scorecard, problem = record.scorecard, ""
    except PathError as error:
        scorecard, problem = None, str(error)
    made: dict[str, Any] = {
        "folder": str(record.folder),
        "facts": {name: record.manifest[name] for name in _FACTS if name in record.manifest},
        "manifest": manifest,
        "spec": record.spec,
        "rows": record.rows,
        "scores": record.scores,
        "scorecard": scorecard,
        "problem": problem,
        "plots": [path.name for path in plots],
        "status": lines[-_MOST_LINES:],
        "hasFinds": (record.folder / "finds.json").is_file(),
    }
    found: dict[str, Any] = finite(made)
    return found


def plots_of(folder: Path) -> list[Path]:
    """The pictures in the plots of a run, those that every run has first; links are left out."""
    place = folder / "plots"
    if place.is_symlink() or not place.is_dir():
        return []
    found = {path.name: path for path in place.glob("*.png") if path.is_file() and not path.is_symlink()}
    order = [name for name in PLOTS if name in found] + sorted(set(found) - set(PLOTS))
    return [found[name] for name in order[:_MOST_PLOTS]]


def _at(line: Any) -> str:
    return f"{line.get('date', '')} {line.get('time', '')}"


def _end(status: Sequence[Mapping[str, Any]]) -> float | None:
    """When the last epoch will end, as the newest epoch since the last start says; None before the first."""
    for line in reversed(status):
        left, at = _duration(line.get("eta")), _seconds(time_of(line))
        if line.get("status") == "STARTED":
            return None
        if left is not None and at is not None:
            return at + left
    return None


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _duration(text: Any) -> float | None:
    """Seconds of a duration as Python writes it: 1:02:03.5, or 2 days, 1:02:03."""
    found = re.fullmatch(
        r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d)(\.\d+)?", text if isinstance(text, str) else ""
    )
    if found is None:
        return None
    days, hours, minutes, seconds, part = found.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(part or 0)
