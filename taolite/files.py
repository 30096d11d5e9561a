"""Files read from other programs, and files that appear whole or not at all.

A file is written beside its target, flushed to the disk, then renamed over it: after a crash, a full disk or a Ctrl-C
there is the old file or none, never half of a new one. What a process that died has left half written is removed by the
next one that writes into the folder. A writer holds a lock on its file, so that the two are told apart, on a disk that
several machines share too.

Only regular files are opened for reading: a pipe without a writer and an endless device are refused at once.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from taolite.errors import PathError, StorageError

try:
    import fcntl
except ImportError:  # Windows has no such locks; nothing is removed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["open_atomic", "open_file", "storage_error", "sweep", "sync_folder", "write_bytes", "write_text"]

_NAME = 40  # characters of the target's name; a file's whole name has 255 bytes at most
_PARTIAL = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.partial", re.DOTALL)
_swept: set[str] = set()  # folders this process has swept; a folder of a million labels is listed once
_NOT_FILES = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))


def open_file(path: Path) -> IO[bytes]:
    """A regular file, open for reading. Raises PathError for a missing file, a folder, a pipe or a device."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError as error:
        raise PathError(f"{path}: no such file") from error
    except OSError as error:
        raise PathError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise PathError(f"{str(path)!r}: no file can have this name ({error})") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = next((name for test, name in _NOT_FILES if test(mode)), "device")
        raise PathError(f"{path}: this is a {kind}, and a file is needed")
    return os.fdopen(handle, "rb")


@contextmanager
def open_atomic(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it takes the place of an older file only when the block ends without an error.

    Missing parent folders are made. Not `durable`: the file survives a crash of this process, and a power cut only
    after `sync_folder`; for the many files of a folder that is written as one.
    Raises StorageError where the disk is full or cannot be written to, PathError where a file is in the way.
    """
    partial = path.with_name(f".{path.name[:_NAME]}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with _new_file(partial) as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
            if fcntl is not None:
                partial.replace(path)  # before the lock goes with the open file
        if fcntl is None:
            partial.replace(path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):  # a folder that cannot be changed any more; the error under way says why
            partial.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with open_atomic(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Bring every file below `folder`, and the folders themselves, to the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root, name))
        _sync(Path(root))


def sweep(folder: Path) -> None:
    """Remove what processes that have died left half written in `folder`; once a process and folder."""
    place = os.path.abspath(folder)  # noqa: PTH100  (links stay as they are)
    if fcntl is None or place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _PARTIAL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_left(Path(entry.path))


def _new_file(partial: Path) -> IO[bytes]:
    """A new file, locked. Another process may have swept it away before the lock was there; then it is made again."""
    while True:
        stream = open(partial, "wb")  # noqa: SIM115  (closed by the caller)
        if fcntl is None:
            return stream
        with suppress(OSError):  # a disk without locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        if partial.exists():
            return stream
        stream.close()


def _remove_if_left(partial: Path) -> None:
    """Remove the file unless its writer is alive and has it locked."""
    with suppress(OSError), open(partial, "rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, where the system lets it be opened."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def storage_error(path: Path, error: OSError) -> StorageError | PathError:
    """What a failed write to `path` means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{path}: the disk is full; nothing was replaced. Free some space and run it again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path}: this folder cannot be written to; change its permissions or choose another")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return PathError(f"{path}: a file stands where a folder is needed (or the reverse); move it or choose another")
    return StorageError(f"{path}: {error.strerror or error}; nothing was replaced")
