"""A file that arrives in pieces, over several runs if need be: `.NAME.part` until it is whole, then NAME, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from taolite.errors import UsageError
from taolite.files import storage_error
from taolite.partials import sync

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

__all__ = ["Part", "open_part", "part_path"]


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
            sync(path.parent)
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
