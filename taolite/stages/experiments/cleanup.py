"""What can be deleted of the runs below a folder: found first, deleted on request, and never while a process uses it.

Only files that a run writes are deleted, by their names: a run may have been put into a folder with other things.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taolite.files import remove
from taolite.partials import clear, leftovers
from taolite.workspace.catalog import RunRecord
from taolite.workspace.lock import drop_lock, take_lock

__all__ = ["Garbage", "Reason", "delete", "find_garbage"]

Reason = Literal["checkpoints of a finished run", "left by a process that was killed", "failed run without a model"]

_OWN = (
    *("manifest.json", "status.json", "metrics.jsonl", "experiment_spec.txt", "report.html"),
    *(f"{name}.json" for name in ("scores", "finds", "labels", "curves", "pictures")),
)
_FOLDERS = ("checkpoints", "plots", "events", "weights")


@dataclass(frozen=True)
class Garbage:
    """Files that go together. place: the run, or the folder, that they are in. size: of all, bytes."""

    reason: Reason
    place: Path
    files: tuple[Path, ...]
    size: int

    @property
    def can_resume(self) -> bool:
        """Whether the same command could go on with this failed run from a checkpoint."""
        return self.reason == "failed run without a model" and any(path.suffix == ".ckpt" for path in self.files)


def find_garbage(runs: Sequence[RunRecord], root: Path) -> list[Garbage]:
    """What can be deleted of `runs` and below `root`. Runs that a process uses are left out; links are not followed."""
    found: list[Garbage] = []
    for run in runs:
        if run.state == "finished":
            checkpoints = [*_inside(run.folder / "checkpoints", (".ckpt", ".damaged"))]
            found += _garbage("checkpoints of a finished run", run.folder, checkpoints)
        elif run.state == "failed" and not any(_inside(run.folder / "weights", (".tlt",))):
            found += _garbage("failed run without a model", run.folder, _own_files(run.folder))
    for folder, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += _garbage("left by a process that was killed", Path(folder), leftovers(Path(folder)))
    return found


def delete(garbage: Garbage) -> None:
    """Delete it, with the folders of a run that are empty then.

    Raises TrainingError where a process has begun to use the run; StorageError, PathError.
    """
    if garbage.reason == "left by a process that was killed":
        for path in garbage.files:
            clear(path)
        return
    take_lock(garbage.place)
    try:
        for path in garbage.files:
            remove(path)
    finally:
        drop_lock(garbage.place)
    if garbage.reason == "failed run without a model":
        remove(garbage.place / ".lock")
        for folder in (*(garbage.place / name for name in _FOLDERS), garbage.place):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()


def _garbage(reason: Reason, place: Path, files: Sequence[Path]) -> Iterator[Garbage]:
    if files:
        yield Garbage(reason, place, tuple(files), sum(map(_size, files)))


def _own_files(folder: Path) -> list[Path]:
    """The files that a run writes; those of folders that hold other things too are told by their names."""
    top = [folder / name for name in _OWN if (folder / name).is_file()]
    return [*top, *(path for name in _FOLDERS for path in _inside(folder / name, (".ckpt", ".damaged", ".png", ".0")))]


def _inside(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Files of a folder, not of those inside it, with one of the endings."""
    if folder.is_dir() and not folder.is_symlink():
        yield from (path for path in sorted(folder.iterdir()) if path.name.endswith(endings) and not path.is_symlink())


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(inner) for inner in path.iterdir() if not inner.is_symlink())
    return path.lstat().st_size
