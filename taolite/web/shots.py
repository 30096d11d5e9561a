"""One shot is what one press of a button writes: a picture, its labels, its place in the lists. All of it, or nothing.

A write that fails takes back what the same shot wrote before it. Undo takes back the newest shot: new files are
removed, changed ones get the content they had. A file that somebody else has changed since is left as it is.
Shots are remembered as long as the server runs, so that undo works after a reload of the page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from taolite.errors import PathError, TaoliteError, UsageError
from taolite.files import remove, write_bytes

__all__ = ["Shot", "Shots", "free_stem", "listed"]

_REMEMBERED = 500  # shots that can be undone


def free_stem(is_taken: Callable[[str], bool], *, now: datetime) -> str:
    """A file name for a new picture, without extension: the date and time, to a thousandth of a second.

    >>> free_stem(lambda stem: not stem.endswith("-2"), now=datetime(2026, 11, 30, 9, 5, 7, 45000))
    '20261130-090507-045-2'
    """
    first = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
    stem, number = first, 1
    while is_taken(stem):
        number += 1
        stem = f"{first}-{number}"
    return stem


def listed(path: Path) -> list[str]:
    """The lines of a list of pictures without blank ones; none where there is no such file. Raises PathError."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise PathError(f"{path}: this list cannot be read ({error}); correct or remove it") from error


class Shot:
    """The files that one shot wrote. what: its name on the page, such as `train/cat/20261130-090507-045.jpg`."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._files: list[tuple[Path, bytes | None, bytes]] = []  # with the content before, and a hash of the new one
        self._lists: list[tuple[Path, str, bool]] = []  # with the name, and whether it was in the list before

    def write(self, path: Path, data: bytes) -> None:
        """Write a file, atomically. Raises StorageError, PathError."""
        before = path.read_bytes() if path.is_file() else None
        if before == data:
            return
        write_bytes(path, data)
        self._files.append((path, before, hashlib.sha256(data).digest()))

    def enlist(self, path: Path, name: str, wanted: bool) -> None:
        """Put a name into a list, once, or take it out. Raises StorageError, PathError."""
        was = name in listed(path)
        if was != wanted:
            _relist(path, name, wanted)
            self._lists.append((path, name, was))

    def take_back(self) -> None:
        """Undo the shot, the last write first. What has been taken back already is not tried again after an error."""
        while self._lists:
            path, name, was = self._lists[-1]
            _relist(path, name, was)
            self._lists.pop()
        while self._files:
            path, before, written = self._files[-1]
            if _hash(path) not in (written, None):
                self._files.pop()
                raise PathError(f"{path}: this file was changed after it was saved here, so it is left as it is")
            remove(path) if before is None else write_bytes(path, before)
            self._files.pop()


class Shots:
    """The shots of this start of the server, the newest last."""

    def __init__(self) -> None:
        self._done: list[Shot] = []

    @property
    def last(self) -> Shot | None:
        """The shot that undo takes back."""
        return self._done[-1] if self._done else None

    @contextmanager
    def shot(self, what: str) -> Iterator[Shot]:
        """One shot, written in the block; an error in the block takes it back."""
        shot = Shot(what)
        try:
            yield shot
        except BaseException as error:
            try:
                shot.take_back()
            except TaoliteError as second:
                raise type(second)(f"{error}; and what was written before could not be taken back: {second}") from error
            raise
        self._done = [*self._done[-_REMEMBERED + 1 :], shot]

    def undo(self) -> Shot:
        """Take back the newest shot; the shot. Raises UsageError where there is none; StorageError where the disk
        refuses, and the shot stays the newest; PathError for a file that was changed since."""
        if not self._done:
            raise UsageError("there is nothing to undo: nothing was saved since taolite was started")
        shot = self._done[-1]
        try:
            shot.take_back()
        except PathError:
            self._done.pop()
            raise
        self._done.pop()
        return shot


def _relist(path: Path, name: str, wanted: bool) -> None:
    """Write a list with or without `name`; a list that holds nothing more is removed."""
    lines = [line for line in listed(path) if line != name] + ([name] if wanted else [])
    if lines:
        write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
        return
    remove(path)


def _hash(path: Path) -> bytes | None:
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
