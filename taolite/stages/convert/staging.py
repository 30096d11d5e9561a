"""Files that are written one after the other and appear together: finished ones wait in a hidden folder beside their
place.

An interrupted run leaves the folder. The next run keeps each file whose receipt says that it was made of the same
inputs. The receipt is written after the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from taolite.files import open_atomic, storage_error, write_bytes, write_text
from taolite.formats.tfrecord import CONVERTING, MOVING
from taolite.partials import discard, sweep, sync

__all__ = ["Staging"]


class Staging:
    """The files of one prefix that are not in place yet."""

    def __init__(self, prefix: Path) -> None:
        self._place = prefix.parent
        self._is_new = not self._place.exists()
        self._folder = prefix.with_name(f".{prefix.name}{CONVERTING}")
        self._names: list[str] = []
        sweep(self._place)

    def begun(self, name: str) -> bool:
        """Whether an earlier run may have left this file finished."""
        return (self._folder / f"{name}.json").is_file()

    def kept(self, name: str, inputs: str) -> Any | None:
        """The value that `receive` stored for a file, if the file is whole and of the same `inputs`; else None."""
        try:
            receipt = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            size = (self._folder / name).stat().st_size
            whole = receipt["inputs"] == inputs and receipt["bytes"] == size
            told = receipt["told"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # not a valid receipt
            return None
        if not whole:
            return None
        self._names.append(name)
        return told

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file, part by part; it counts only once `receive` is called. Raises StorageError."""
        with open_atomic(self._folder / name) as stream:
            for part in parts:
                stream.write(part)

    def receive(self, name: str, inputs: str, told: Any) -> None:
        """Write the receipt of a file: the digest of its inputs, and `told`, a JSON value about its content."""
        receipt = {"inputs": inputs, "bytes": (self._folder / name).stat().st_size, "told": told}
        write_text(self._folder / f"{name}.json", json.dumps(receipt))
        self._names.append(name)

    def scratch(self) -> FileIO:
        """An unnamed, unbuffered file on the output disk, for data too large for memory. The caller closes it. Raises
        StorageError."""
        folder = next(one for one in (self._place, *self._place.parents) if one.is_dir())
        try:
            file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the caller closes it)
        except OSError as error:
            raise storage_error(folder, error) from error
        file.name = str(folder)  # named in the message about a full disk
        return file

    def finish(self) -> list[Path]:
        """Move every file to its place, in the order of writing, and remove the folder. Raises StorageError.

        From the first move until the last, some are old and some are new: readers refuse them (`tfrecord.matching`).
        """
        write_bytes(self._folder / MOVING, b"")
        try:
            for name in self._names:
                (self._folder / name).replace(self._place / name)
            sync(self._place)
        except OSError as error:
            raise storage_error(self._place, error) from error
        self._discard()
        return [self._place / name for name in self._names]

    def drop(self) -> None:
        """Delete all files that are not in place, and the output folder if it was made for them and is empty; but for
        those of a conversion that was ended while it moved them. Raises StorageError."""
        if not (self._folder / MOVING).exists():
            self._discard()

    def _discard(self) -> None:
        try:
            with suppress(FileNotFoundError):
                discard(self._folder)
            if self._is_new and self._place.is_dir() and not any(self._place.iterdir()):
                self._place.rmdir()
        except OSError as error:
            raise storage_error(self._folder, error) from error
