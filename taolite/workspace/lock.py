"""The lock of a run's folder: the system's, so it is released when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from taolite.errors import TrainingError
from taolite.files import storage_error

__all__ = ["drop_lock", "is_locked", "take_lock"]

_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, process
_locks: dict[
    Path, IO[str]
] = {}  # of this process: the system's lock is per process, and is released with the open file


def take_lock(root: Path) -> None:
    """Lock the folder of a run.

    Raises:
        TrainingError: this process, or another one, has it. StorageError: the folder cannot be written to.
    """
    if root in _locks:
        raise TrainingError(f"{root}: this process already has a run open in this folder; close that run first")
    path = root / ".lock"
    try:
        stream = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (open until the run is closed)
    except OSError as error:
        raise storage_error(root, error) from error
    try:
        _lock_file(stream)
    except (BlockingIOError, PermissionError) as error:
        stream.seek(0)
        owner = stream.read().strip() or "unknown"
        stream.close()
        raise TrainingError(
            f"{root}: another process ({owner}) is using this folder; wait for it to finish, or choose another folder "
            "(-r, --model-dir)"
        ) from error
    try:
        os.ftruncate(stream.fileno(), 0)
        os.write(stream.fileno(), f"process {os.getpid()}".encode())
    except OSError as error:
        stream.close()
        raise storage_error(root, error) from error
    _locks[root] = stream


def drop_lock(root: Path) -> None:
    """Release the lock of `take_lock`; nothing where there is none."""
    stream = _locks.pop(root, None)
    if stream is not None:
        with suppress(OSError):  # a full or read-only disk: the lock goes with the open file, its text tells only who
            stream.truncate(0)
        stream.close()


def is_locked(root: Path) -> bool:
    """Whether a process uses the folder. Nothing is locked or changed to find it.

    False where it cannot be known: not on Linux, or on a network disk without locks.
    """
    if root in _locks:
        return True  # and the file is not opened: closing it would release the lock
    path = root / ".lock"
    if sys.platform != "linux" or not path.is_file():
        return False
    import fcntl

    ask = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with open(path, "rb") as stream:
            answer = fcntl.fcntl(stream, fcntl.F_GETLK, ask)
    except OSError:  # no locks on this disk, or the file is not ours to read
        return False
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _lock_file(stream: IO[str]) -> None:
    """Lock the file, or raise BlockingIOError or PermissionError at once. Child processes do not inherit the lock.

    On a network disk without locks the file is not locked, and nothing is raised.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
