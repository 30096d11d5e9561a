"""status.json as TAO writes it, and our metrics.jsonl. Both have one JSON object a line, flushed when it is written.

status.json (reference/detectnet_v2.md 2.3) is for TAO's dashboards: after they are set once, `kpi`, `graphical` and
`categorical` are repeated on later lines. metrics.jsonl is for plots: one object an epoch, in order; when a run resumes
from an earlier epoch, the later lines are removed. Numbers that are not finite are null, because JSON has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from taolite.errors import PathError, StorageError
from taolite.files import open_file, write_bytes

__all__ = ["MetricsFile", "Status", "StatusFile", "finite", "last_status", "read_status"]

_TAIL = 1 << 16  # bytes at the end of status.json that hold its last line

Status = Literal["STARTED", "RUNNING", "SUCCESS", "FAILURE", "SKIPPED"]


class StatusFile:
    """Writes one status.json. Lines are added to those of earlier runs."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = datetime.now) -> None:
        self.path = path
        self._clock = clock
        self._lasting: dict[str, Any] = {}

    def write(
        self,
        message: str,
        *,
        status: Status = "RUNNING",
        verbosity: str = "INFO",
        kpi: Mapping[str, Any] | None = None,
        graphical: Mapping[str, Any] | None = None,
        categorical: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Append one line.

        Args:
            message: e.g. "Evaluation metrics generated."; never a key.
            status: STARTED, RUNNING, SUCCESS, FAILURE or SKIPPED.
            verbosity: the name of a logging level.
            kpi, graphical, categorical: numbers by name, repeated on later lines.
            fields: further top-level fields, e.g. epoch=3, max_epoch=120, time_per_epoch="0:00:12", eta="0:23:24".

        Raises StorageError if the disk is full or the folder cannot be written to.
        """
        now = self._clock()
        lasting = {"categorical": categorical, "graphical": graphical, "kpi": kpi}
        self._lasting.update({name: dict(value) for name, value in lasting.items() if value is not None})
        line = {
            **fields,
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": verbosity,
            "message": message,
            **self._lasting,
        }
        _append(self.path, line)


class MetricsFile:
    """Writes and reads one metrics.jsonl: one object a line, with "epoch" counted from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Append the values of one epoch. Raises StorageError."""
        _append(self.path, {"epoch": epoch, **values})

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first, without lines that a crash truncated and lines that have no epoch.

        Raises PathError if the file cannot be read.
        """
        return [row for row in _read(self.path) if isinstance(row.get("epoch"), int)]

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace all lines with `rows`, atomically. A resumed run removes the epochs that it will repeat."""
        write_bytes(self.path, "".join(_line(row) for row in rows).encode())


def read_status(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a status.json, oldest first; none where there is no file. Raises PathError."""
    return _read(path)


def last_status(path: Path) -> dict[str, Any] | None:
    """The newest whole line of a status.json; None if there is none. Raises PathError if the file cannot be read."""
    if not path.exists():
        return None
    with open_file(path) as stream:
        stream.seek(max(0, stream.seek(0, 2) - _TAIL))
        lines = stream.read().splitlines()
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a line that a crash cut off
            continue
        if isinstance(row, dict):
            return row
    return None


def _read(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file's lines, but for those that a crash cut off."""
    if not path.exists():
        return []
    with open_file(path) as stream:
        lines = stream.read().split(b"\n")[:-1]
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # a line that a crash cut off, closed by the next run
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _append(path: Path, value: Mapping[str, Any]) -> None:
    """Append one JSON line. If a crash truncated the last line, that line is ended first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as stream:
            if stream.tell():
                stream.seek(-1, 2)
                torn = stream.read(1) != b"\n"
            else:
                torn = False
            stream.write((("\n" if torn else "") + _line(value)).encode())
    except (NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise PathError(f"{path}: a file is where a folder should be, or the reverse; move it") from error
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); free some disk space, or choose another folder"
        ) from error


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The same JSON value, with None for nan and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
