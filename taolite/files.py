"""Reading regular files, and writing files atomically.

A file is written under a temporary name, flushed to the disk, then renamed: after a crash, a full disk or a Ctrl-C the
old file is there, or none, never half of a new one. A folder of files appears the same way, whole or not at all. The
temporary files of processes that were killed are removed by the next process that writes to the folder
(`taolite.partials`).

Only regular files are opened for reading: a pipe without a writer or an endless device is refused at once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from taolite.errors import PathError, StorageError, UsageError
from taolite.partials import Partial, sweep, sync, sync_disk

__all__ = [
    "open_atomic",
    "open_file",
    "refuse_replacing",
    "remove",
    "storage_error",
    "sweep",
    "sync_folder",
    "whole_file",
    "whole_folder",
    "write_bytes",
    "write_text",
]

_READING = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_NOT_FILES = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))


def open_file(path: Path) -> IO[bytes]:
    """A regular file, open for reading. Raises PathError for a missing file, a folder, a pipe or a device."""
    try:
        handle = os.open(path, _READING)
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
        raise PathError(f"{path}: this is a {kind}; a file is needed")
    return os.fdopen(handle, "rb")


@contextmanager
def open_atomic(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open `path` for writing. The file appears, or replaces an older one, only if the block ends without an error.

    Missing parent folders are made. With `durable` False the file is not flushed to the disk: it survives a crash of
    this process, but survives a power cut only after `sync_folder`. Use that for the many files of one folder.
    A device, a pipe and a descriptor (/dev/null, /dev/stdout) are written to as they are.
    Raises StorageError if the disk is full or cannot be written to, PathError if a folder or a file is in the way, and
    BrokenPipeError where the reader of a pipe has gone.
    """
    try:
        stream = _open_device(path)
        if stream is not None:
            with stream:
                yield stream
            return
    except BrokenPipeError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error
    with _becoming(path, durable=durable) as partial:
        assert partial.stream is not None, "this is a file"
        yield partial.stream


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """`open_atomic` for a library that opens its file by name: yields the name of an empty file to write to."""
    with _becoming(path) as partial:
        yield partial.path


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder to write into. It becomes `folder` if the block ends without an error, and is removed else.

    `folder` must not exist, or be empty. All files are flushed to the disk before. Raises as `open_atomic`.
    """
    with _becoming(folder, is_folder=True) as partial:
        yield partial.path
        _sync_all(partial.path)


@contextmanager
def _becoming(target: Path, *, is_folder: bool = False, durable: bool = True) -> Iterator[Partial]:
    """A `Partial` that takes the name `target` if the block ends without an error."""
    partial = None
    try:
        partial = Partial(target, is_folder=is_folder)
        yield partial
        partial.keep(durable=durable)
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        if partial is not None:
            partial.drop()
    try:
        if durable:
            sync(target.parent)
    except OSError as error:
        raise StorageError(
            f"{target}: written, but the disk did not confirm it ({error.strerror}); free some space or choose another "
            "folder, and run it again"
        ) from error


def _open_device(path: Path) -> IO[bytes] | None:
    """`path`, open for writing as it is, where a rename would replace a device, a pipe or a name in /proc. Or None."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # a new file, or a name that the caller hears of when it is made
        return None
    end = path
    while end.is_symlink():
        folder = os.path.realpath(end.parent)
        if folder == f"/proc/{os.getpid()}/fd" and end.name.isdecimal():
            return os.fdopen(os.dup(int(end.name)), "wb")  # /dev/stdout, going on where it is
        if folder.startswith("/proc/"):
            return open(path, "wb")
        end = end.parent / os.readlink(end)  # noqa: PTH115
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if not stat.S_ISFIFO(mode):
        return open(path, "wb")
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # ENXIO where nobody reads it, which would be waited for
    os.set_blocking(handle, True)
    return os.fdopen(handle, "wb")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with open_atomic(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` to `path` as UTF-8, atomically; `durable` as of `open_atomic`."""
    with open_atomic(path, durable=durable) as stream:
        stream.write(text.encode())


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises StorageError, PathError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


def sync_folder(folder: Path) -> None:
    """Flush all files below `folder`, and the folders themselves, to the disk: Linux flushes the whole disk, in
    a fiftieth of the time of one file after the other. Raises StorageError."""
    try:
        if folder.is_dir() and not sync_disk(folder):
            _sync_all(folder)
    except OSError as error:
        raise storage_error(folder, error) from error


def _sync_all(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            if not os.path.islink(path := os.path.join(root, name)):  # noqa: PTH114, PTH118
                sync(Path(path))
        sync(Path(root))


def refuse_replacing(source: Path, target: Path) -> None:
    """Raise UsageError if `target` is the same file as `source`, so that writing would replace the input."""
    same = False
    with suppress(OSError, ValueError):  # one of them does not exist
        same = source.samefile(target)
    if same:
        raise UsageError(f"{target}: this is the input model, and it would be replaced; choose another output")


def storage_error(path: Path, error: OSError) -> StorageError | PathError:
    """The error for a failed write to `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{path}: the disk is full; nothing was replaced. Free some space and run it again")
    if error.errno == errno.EROFS:
        return StorageError(f"{path}: this disk is mounted read-only; choose another folder, or mount it for writing")
    if error.errno == errno.ENXIO:
        return StorageError(f"{path}: nobody reads this pipe; start its reader first, or choose a file")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StorageError(f"{path}: this folder cannot be written to; change its permissions or choose another")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return PathError(f"{path}: a file is where a folder should be, or the reverse; move it or choose another path")
    return StorageError(f"{path}: {error.strerror or error}; nothing was replaced")
