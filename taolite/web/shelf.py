"""The runs below a folder, kept in memory for a page that asks again and again.

A run is read again where one of its files has another time or size, or its lock came or went. Each folder is looked at
in a thread of its own, so one that hangs or cannot be read is a line with a message and holds up no other. Folders with
a dot, and links to folders, are left out; a file of a run that is a link out of the root is not followed.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from taolite.errors import PathError, TaoliteError, reading
from taolite.web.runs import Row, row_of
from taolite.workspace.catalog import RunRecord, read_run
from taolite.workspace.lineage import Lineage, Links, lineage_of, links_of
from taolite.workspace.lock import is_locked
from taolite.workspace.sidecars import EngineFile, EngineFiles

__all__ = ["FILES", "Entry", "Shelf", "inside"]

FILES = ("manifest.json", "status.json", "metrics.jsonl", "scores.json", "finds.json", "experiment_spec.txt")
"""The files of a run that are read, beside its plots."""

_THREADS = 16
_PATIENCE_S = 1.5  # a page waits no longer; what comes later is on the next one
_FRESH_S = 0.5  # pages that ask at the same time get the same answer
_WAITING = "it is still being read; its disk may be slow"

Stamp = tuple[object, ...]


@dataclass(frozen=True)
class Entry:
    """The folder of a run. name: below the root. links: what its lineage is drawn from. error: why it cannot be read,
    else ""."""

    id: str
    name: str
    folder: Path
    row: Row
    links: Links
    error: str = ""


@dataclass
class _Place:
    """What is known of a folder with a manifest.json."""

    entry: Entry | None = None
    stamp: Stamp = ()
    is_run: bool = True
    work: Future[None] | None = field(default=None, repr=False)


class Shelf:
    """The runs below `root`. All methods may be called from several threads."""

    def __init__(self, root: Path) -> None:
        """Raises PathError where `root` is no folder."""
        if not root.is_dir():
            raise PathError(f"{root}: there is no such folder; name a folder that holds runs")
        self.root = Path(os.path.abspath(root))  # noqa: PTH100  (links stay as the user wrote them)
        self.real = os.path.realpath(root)  # without links
        self._places: dict[Path, _Place] = {}
        self._search: Future[list[Path]] | None = None
        self._folders: list[Path] = []
        self._engines = EngineFiles(self.root)
        self._engine_search: Future[list[EngineFile]] | None = None
        self._found_engines: list[EngineFile] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="runs")
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._turn = threading.Lock()
        self._at, self._entries, self._is_complete = -_FRESH_S, list[Entry](), True

    def entries(self) -> tuple[list[Entry], bool]:
        """The runs by name, as their files are now; and whether the whole folder was searched."""
        with self._turn:
            if time.monotonic() - self._at >= _FRESH_S:
                self._entries, self._is_complete = self._looked(time.monotonic() + _PATIENCE_S)
                self._at = time.monotonic()
            return self._entries, self._is_complete

    def entry(self, name: str) -> Entry:
        """The run with this id. Raises PathError where there is none, or it cannot be read."""
        entry = next((one for one in self.entries()[0] if one.id == name), None)
        if entry is None:
            raise PathError("this run is not there any more; the list of runs shows those that are")
        if entry.error:
            raise PathError(entry.error)
        return entry

    def record(self, entry: Entry) -> RunRecord:
        """The files of a run as they are now. Raises PathError."""
        for name in FILES:
            inside(entry.folder / name, self.real)
        return read_run(entry.folder)

    def lineage(self) -> Lineage:
        """What came from what; engines that a slow disk has not shown yet are in the next answer."""
        entries, _ = self.entries()
        with self._turn:
            if self._engine_search is None:
                self._engine_search = self._searcher.submit(self._engines.found)
            with suppress(TimeoutError):
                self._found_engines = self._engine_search.result(_PATIENCE_S)
                self._engine_search = None
            engines = self._found_engines
        return lineage_of([one.links for one in entries], self.root, engines)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._searcher.shutdown(wait=False, cancel_futures=True)

    def _looked(self, until: float) -> tuple[list[Entry], bool]:
        complete = self._searched(until)
        runs = self._count_runs()
        self._look_at(self._folders, until)
        while complete and self._count_runs() < runs:  # a manifest of something else was read: runs may lie below
            complete = self._searched(until)
            runs = self._count_runs()
            self._look_at(self._folders, until)
        found = [(path, self._places[path]) for path in self._folders]
        entries = [
            place.entry or self._broken(path, _WAITING, state="waiting") for path, place in found if place.is_run
        ]
        return sorted(entries, key=lambda one: one.name), complete

    def _count_runs(self) -> int:
        return sum(self._places[path].is_run for path in self._folders)

    def _searched(self, until: float) -> bool:
        """Look for folders; whether that came to its end."""
        if self._search is None:
            self._search = self._searcher.submit(self._walk)
        with suppress(TimeoutError):
            self._folders = self._search.result(max(0.0, until - time.monotonic()))
            self._search = None
            self._places = {path: self._places.get(path) or _Place() for path in self._folders}
            return True
        return False

    def _walk(self) -> list[Path]:
        """Folders that have a manifest.json; below that of a run nothing is looked for."""
        found, left = [], [self.root]
        while left:
            folder = left.pop()
            inner, has_manifest = [], False
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name == "manifest.json":
                            has_manifest = entry.is_file()
                        elif not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                            inner.append(folder / entry.name)
            except OSError:  # not ours to read, or gone in the meantime: there is no run to be shown in it
                continue
            if has_manifest:
                found.append(folder)
                known = self._places.get(folder)
                if known is None or known.is_run:
                    continue
            left += inner
        return found

    def _look_at(self, folders: list[Path], until: float) -> None:
        for path in folders:
            place = self._places[path]
            if place.work is None:
                place.work = self._pool.submit(self._read, path, place)
        waiting = [place.work for path in folders if (place := self._places[path]).work is not None]
        wait(waiting, max(0.0, until - time.monotonic()))
        for path in folders:
            place = self._places[path]
            if place.work is not None and place.work.done():
                place.work.result()
                place.work = None

    def _read(self, folder: Path, place: _Place) -> None:
        """Look at one folder, and read it where it has changed."""
        stamp: Stamp = (*(_stamp(folder / name) for name in FILES), is_locked(folder))
        if place.stamp == stamp:
            return
        try:
            with reading(folder, PathError, found="this run cannot be read"):
                for name in FILES:
                    inside(folder / name, self.real)
                record = read_run(folder)
                name = self._name(folder)
                place.is_run = isinstance(record.manifest.get("run"), dict)
                place.entry = Entry(_id(name), name, folder, row_of(record), links_of(record))
        except TaoliteError as error:
            place.is_run = True
            place.entry = self._broken(folder, str(error))
        place.stamp = stamp

    def _broken(self, folder: Path, error: str, *, state: str = "unreadable") -> Entry:
        name = self._name(folder)
        return Entry(_id(name), name, folder, Row(state=state, message=error), Links(folder, state=state), error)

    def _name(self, folder: Path) -> str:
        return folder.name if folder == self.root else folder.relative_to(self.root).as_posix()


def inside(path: Path, root: str) -> Path:
    """The path itself. Raises PathError where it is a link that leads out of `root`, a path without links."""
    if path.is_symlink() or path.parent.is_symlink():
        real = os.path.realpath(path)
        if os.path.commonpath([real, root]) != root:
            raise PathError(f"{path}: this is a link out of the folder of the board; it is not followed")
    return path


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _id(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
