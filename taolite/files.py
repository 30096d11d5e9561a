"""Reading regular files, and writing files atomically.

A file is written under a temporary name, flushed to the disk, then renamed: after a crash, a full disk or a Ctrl-C the
old file is there, or none, never half of a new one. The temporary files of processes that died are removed by the next
process that writes to the folder. A writer holds a lock on its temporary file, also on a disk that several machines
share, so that the files of running processes are kept.

Only regular files are opened for reading: a pipe without a writer or an endless device is refused at once.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from taolite.errors import PathError, StorageError, UsageError

try:
    import fcntl
except ImportError:  # Windows has no such locks; nothing is removed there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Part",
    "open_atomic",
    "open_file",
    "open_part",
    "part_path",
    "refuse_replacing",
    "storage_error",
    "sweep",
    "sync_folder",
    "write_bytes",
    "write_text",
]

_NAME = 40  # characters of the target's name; a file's whole name has 255 bytes at most
_PARTIAL = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.partial", re.DOTALL)
_READING = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_swept: set[str] = set()  # folders that this process has swept: each is listed once, also one of a million labels
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
    Raises StorageError if the disk is full or cannot be written to, PathError if a file is in the way.
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
                partial.replace(path)  # before the file is closed, which releases its lock
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


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` to `path` as UTF-8, atomically; `durable` as of `open_atomic`."""
    with open_atomic(path, durable=durable) as stream:
        stream.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Flush all files below `folder`, and the folders themselves, to the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            if not os.path.islink(path := os.path.join(root, name)):  # noqa: PTH114, PTH118
                _sync(Path(path))
        _sync(Path(root))


def sweep(folder: Path) -> None:
    """Remove temporary files of processes that died from `folder`. A process does this once for each folder."""
    place = os.path.abspath(folder)  # noqa: PTH100  (links stay as they are)
    if fcntl is None or place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _PARTIAL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_left(Path(entry.path))


def _new_file(partial: Path) -> IO[bytes]:
    """A new file, locked. If another process swept it away before it was locked, it is made again."""
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
    """Remove the file unless its writer is running, and so has it locked."""
    with suppress(OSError), open(partial, "rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()


@dataclass
class Part:
    """The beginning of a file that arrives in pieces: its stream, and whether it `is_whole`, which its writer sets."""

    stream: IO[bytes]
    is_whole: bool = False


@contextmanager
def open_part(path: Path) -> Iterator[Part]:
    """Open `.NAME.part`, the beginning of the file `path`, for reading and writing, at its first byte.

    Where the writer has set `is_whole`, it is flushed to the disk and gets its name when the block ends; else it stays,
    also after an error, unless it is empty, and a later run can go on with it. It is locked for this process. Missing
    parent folders are made. Raises StorageError and PathError as `open_atomic`, UsageError where another process has
    the part.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked_part(path) as stream:
            part = Part(stream)
            try:
                yield part
            finally:
                if not part.is_whole and not stream.seek(0, os.SEEK_END):
                    part_path(path).unlink(missing_ok=True)
            if part.is_whole:
                stream.flush()
                os.fsync(stream.fileno())
                if fcntl is not None:
                    part_path(path).replace(path)  # before the file is closed, which releases its lock
        if part.is_whole:
            if fcntl is None:
                part_path(path).replace(path)
            _sync(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def part_path(path: Path) -> Path:
    """Where the beginning of the file `path` is kept."""
    return path.with_name(f".{path.name}.part")


def _locked_part(path: Path) -> IO[bytes]:
    """The part, made where it is missing. If its writer published it before it was locked, it is made again."""
    while True:
        stream = open(part_path(path), "r+b", opener=_making)  # noqa: SIM115  (closed by the caller)
        try:
            if fcntl is None:
                return stream
            with suppress(OSError):  # a disk without locks
                _lock(stream, path)
            if part_path(path).exists() and os.path.samestat(os.fstat(stream.fileno()), part_path(path).stat()):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()


def _making(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CREAT, 0o666)


def _lock(stream: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{path}: another process is downloading this file; wait for it to end") from error


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, if the system can open it."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path}: this folder cannot be written to; change its permissions or choose another")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return PathError(f"{path}: a file is where a folder should be, or the reverse; move it or choose another path")
    return StorageError(f"{path}: {error.strerror or error}; nothing was replaced")
