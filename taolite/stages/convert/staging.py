"""Files that are made one after the other and appear together: whole ones wait in a hidden folder beside their place.

An interrupted run leaves the folder, and the next one keeps each file whose receipt, written behind it, says that it
was made of the same inputs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from taolite.files import open_atomic, storage_error, write_text

__all__ = ["Staging"]


class Staging:
    """The files of one prefix that are not in place yet."""

    def __init__(self, prefix: Path) -> None:
        self._place = prefix.parent
        self._is_new = not self._place.exists()
        self._folder = prefix.with_name(f".{prefix.name}.converting")
        self._names: list[str] = []

    def begun(self, name: str) -> bool:
        """Whether an earlier run may have left a whole file."""
        return (self._folder / f"{name}.json").is_file()

    def kept(self, name: str, inputs: str) -> Any | None:
        """What `receive` was told of a file, if that is whole and was made of the same `inputs`; else None."""
        try:
            receipt = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            size = (self._folder / name).stat().st_size
            whole = receipt["inputs"] == inputs and receipt["bytes"] == size
            told = receipt["told"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # a receipt that is none
            return None
        if not whole:
            return None
        self._names.append(name)
        return told

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file, part by part; `receive` makes it count. Raises StorageError."""
        with open_atomic(self._folder / name) as stream:
            for part in parts:
                stream.write(part)

    def receive(self, name: str, inputs: str, told: Any) -> None:
        """Say what a written file was made of, and what there is to tell of it (a JSON value)."""
        receipt = {"inputs": inputs, "bytes": (self._folder / name).stat().st_size, "told": told}
        write_text(self._folder / f"{name}.json", json.dumps(receipt))
        self._names.append(name)

    def scratch(self) -> FileIO:
        """An unbuffered file without a name on the disk the files go to, for what is too much to hold; the caller
        closes it. Raises StorageError."""
        folder = next(one for one in (self._place, *self._place.parents) if one.is_dir())
        try:
            file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (the caller's)
        except OSError as error:
            raise storage_error(folder, error) from error
        file.name = str(folder)  # for what is said of a full disk
        return file

    def finish(self) -> list[Path]:
        """Put every file in its place, in the order they came; the folder is gone."""
        for name in self._names:
            (self._folder / name).replace(self._place / name)
        self.drop()
        return [self._place / name for name in self._names]

    def drop(self) -> None:
        """Forget everything that is not in place, and the place itself where it was made for nothing."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)
        if self._is_new and self._place.is_dir() and not any(self._place.iterdir()):
            self._place.rmdir()
