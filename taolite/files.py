"""Files that appear whole or not at all: written beside the target, flushed to the disk, then renamed over it.

After a crash, a full disk or a Ctrl-C there is the old file or none, never half of a new one.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from taolite.errors import PathError, StorageError

__all__ = ["open_atomic", "storage_error", "write_bytes", "write_text"]


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it takes the place of an older file only when the block ends without an error.

    Missing parent folders are made. Raises StorageError where the disk is full or cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")  # pids are a machine's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            partial.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with open_atomic(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
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
