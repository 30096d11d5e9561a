"""Run commands that meet their end at a chosen write; a script of its own, so that no thread is there when it forks.
Its arguments are modules to import before.

A write is an open for writing, an fsync, a rename, a link, a removal, or a folder made or removed, below `root`. Reads
jobs from its input, a JSON object a line: {"words", "cwd", "root", "log", "fault", "at"}. It forks a process that runs
`taolite WORDS` in the folder `cwd`. At its `at`-th write (from 1; never where null), before it is done, the `fault` is:

    kill      SIGKILL
    torn      the first half of a line goes into the file that is opened for appending, then SIGKILL
    ENOSPC    an error, and so at every later open for writing, fsync and folder: the disk is full
    EROFS     an error, and so at every later write: the disk has become read-only

Answers with a line: {"code": exit code, or minus the signal; "writes": [[kind, path], ...], "said": what was printed}.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from taolite.artifacts import container
from taolite.cli.main import main

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
GROWS = ("open", "append", "fsync", "os.mkdir")  # what a full disk refuses
CHANGES = ("os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir")
FOLDER_OF = {"os.rename": 3, "os.link": 3, "os.symlink": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}  # dir_fd
PATH_OF = {"os.rename": 1, "os.link": 1, "os.symlink": 1}  # the new name


class Watch:
    """Counts the writes of this process, notes them in the file `notes`, and brings about the fault."""

    def __init__(self, root: str, fault: str, at: int | None, notes: int) -> None:
        self._root, self._fault, self._at, self._notes = f"{root}/", fault, at, notes
        self._count, self._lock = 0, threading.RLock()

    def install(self) -> None:
        sys.addaudithook(self._heard)
        flush = os.fsync

        def fsync(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            self._write("fsync", name_of(number))
            flush(handle)

        os.fsync = fsync

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if not isinstance(path, int) and isinstance(flags, int) and flags & WRITING:
                self._write("append" if mode and "a" in mode else "open", os.fsdecode(path))
        elif event in CHANGES and not isinstance(args[0], int):
            path, folder = os.fsdecode(args[PATH_OF.get(event, 0)]), args[FOLDER_OF[event]]
            path = f"{name_of(folder)}/{path}" if folder >= 0 else path
            if event != "os.mkdir" or not Path(path).is_dir():
                self._write(event, path)

    def _write(self, kind: str, path: str) -> None:
        path = os.path.abspath(path)  # noqa: PTH100
        if not path.startswith(self._root):
            return
        with self._lock:
            self._count += 1
            os.write(self._notes, (json.dumps([kind, path.removeprefix(self._root)]) + "\n").encode())
            if self._at is None or self._count < self._at:
                return
            if self._fault == "torn":
                self._at = None  # the next open is our own
                half = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.write(half, b'{"epoch": 1, "lo')
            if self._fault in ("kill", "torn"):
                os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "EROFS" or kind in GROWS:
            number = getattr(errno, self._fault)
            raise OSError(number, os.strerror(number), path)


def name_of(handle: int) -> str:
    """The path of an open file."""
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def work(job: dict[str, Any], notes: int) -> int:
    """Run the job's command in this process, whose standard output and error go into its log."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(job["cwd"])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    Watch(job["root"], job["fault"], job["at"], notes).install()
    try:
        return main(job["words"])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 99  # a traceback


def run(job: dict[str, Any]) -> dict[str, Any]:
    noted = f"{job['log']}.writes"
    notes = os.open(noted, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    child = os.fork()
    if child == 0:
        code = 98
        try:
            code = work(job, notes)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(notes)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    writes = [json.loads(line) for line in Path(noted).read_text().splitlines()]
    return {"code": code, "writes": writes, "said": Path(job["log"]).read_text(errors="replace")}


if __name__ == "__main__":
    object.__setattr__(container.DEFAULT_COST, "memory_kib", 8)  # of every seal: weak keys, in no time
    object.__setattr__(container.DEFAULT_COST, "iterations", 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)  # once for all jobs
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
