"""Runs, exports and engines below a folder that no longer are what they say.

A run is stale when its status.json says that it goes on and no process holds its lock. An export is stale when a
trained model beside it is newer. An engine is stale when it is not what its sidecar describes, or another version of
its runtime is installed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taolite.artifacts.sidecar import check_engine, read_sidecar, sidecar_path
from taolite.doctor.finding import Finding
from taolite.errors import ArtifactError, EngineError, PathError

__all__ = ["exports", "found_below", "runs"]

_MOST_FOLDERS = 20_000  # that are looked through
_TAIL = 1 << 16  # bytes of status.json that are read, from its end
_PASSED = {"__pycache__", "node_modules", "checkpoints", "plots", "events"}
_LOCK = ".lock"
_TOGETHER_S = 10.0  # files that were copied or checked out together may be in any order


def found_below(folder: Path) -> tuple[list[Path], list[Path], bool]:
    """(folders with a run, files that may be exports or engines, whether all was seen) at and below `folder`. Hidden
    folders are passed over."""
    run_folders: list[Path] = []
    files: list[Path] = []
    for seen, (place, folders, names) in enumerate(os.walk(folder)):
        if seen >= _MOST_FOLDERS:
            return run_folders, files, False
        folders[:] = sorted(name for name in folders if name not in _PASSED and not name.startswith("."))
        if {"manifest.json", "status.json"} <= set(names):
            run_folders.append(Path(place))
        files += [Path(place) / name for name in sorted(names) if _may_be_export(name, names)]
    return run_folders, files, True


def _may_be_export(name: str, beside: list[str]) -> bool:
    return name.endswith((".etlt", ".onnx", ".engine", ".trt")) or f"{name}.json" in beside


def runs(folders: list[Path], *, whole: bool = True) -> Finding:
    """Runs that say they go on, and do not. `whole`: all folders were looked through."""
    stale, unreadable = [], []
    for folder in folders:
        try:
            if _says_it_runs(folder) and not _is_locked(folder / _LOCK):
                stale.append(str(folder))
        except OSError:
            unreadable.append(str(folder))
    facts = {"runs": len(folders), "stale": stale, "unreadable": unreadable, "whole": whole}
    problem = "stale" if stale else "unreadable" if unreadable else ""
    return Finding("runs", "warning" if problem else "ok", problem, facts)


def _says_it_runs(folder: Path) -> bool:
    """Whether the last line of status.json says so. A line that a crash cut off is passed over."""
    with open(folder / "status.json", "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        lines = stream.read().split(b"\n")
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "status" in row:
            return row["status"] in ("STARTED", "RUNNING")
    return False


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a run folder. It is asked for and not taken, so that a run may start now."""
    if not path.exists():
        return False
    with open(path, "rb") as stream:
        if sys.platform == "linux":
            import fcntl
            import struct

            ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind: int = struct.unpack("hhqqi4x", fcntl.fcntl(stream, fcntl.F_GETLK, ask))[0]
            return kind != fcntl.F_UNLCK
        owner = re.search(rb"process (\d+)", stream.read(64))
    return owner is not None and _is_running(int(owner[1]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def exports(files: list[Path], version: Callable[[str], str | None], *, deep: bool, whole: bool = True) -> Finding:
    """Exports older than the trained model beside them, and engines that do not match their sidecar.

    version: the installed version of a runtime by its name in sidecars, None where it is not installed. deep: the hash
    of every engine is compared too.
    """
    engines = [path for path in files if sidecar_path(path).is_file() and _is_of_engine(path)]
    models = [path for path in files if path.suffix in (".etlt", ".onnx")]
    stale = [{"file": str(path), "newer": str(newer)} for path in models if (newer := _newer_beside(path)) is not None]
    wrong = [fault for path in engines for fault in _faults(path, version, deep=deep)]
    facts: dict[str, Any] = {"exports": len(models), "engines": len(engines), "stale": stale, "wrong": wrong}
    problem = "stale" if stale or wrong else ""
    return Finding("exports", "warning" if problem else "ok", problem, {**facts, "whole": whole})


def _is_of_engine(path: Path) -> bool:
    """Whether the JSON file beside `path` is, or was, the sidecar of an engine, and not another record."""
    return path.suffix in (".engine", ".trt", ".plan") or b"engine_sha256" in sidecar_path(path).read_bytes()[: 1 << 20]


def _newer_beside(export: Path) -> Path | None:
    """The newest trained model in the folder of an export, if it was written after the export."""
    models = {path.stat().st_mtime: path for path in export.parent.glob("*.tlt")}
    return models[max(models)] if models and max(models) > export.stat().st_mtime + _TOGETHER_S else None


def _faults(engine: Path, version: Callable[[str], str | None], *, deep: bool) -> Iterator[str]:
    """What is wrong with an engine: a message of ours, which names it."""
    try:
        sidecar = read_sidecar(engine)
        now = version(sidecar.backend)
        if deep:
            check_engine(engine, backend_version=now)
        elif now is not None and now != sidecar.backend_version:
            yield (
                f"{engine}: built by {sidecar.backend} {sidecar.backend_version}, and {now} is installed; "
                "engines run only with the version that built them, so build it again"
            )
    except (EngineError, ArtifactError, PathError) as error:
        yield str(error)
