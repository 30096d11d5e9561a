"""`SHA256SUMS` of a folder of downloads: what `sha256sum -c SHA256SUMS` checks.

A file that was downloaded is listed. One that is listed, is not there and is downloaded again has to have its checksum:
whoever gets such a list from somebody else gets the same files.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from taolite.errors import DataError, PathError
from taolite.files import write_text

__all__ = ["FILE", "Checksums"]

FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Checksums:
    """The checksums of the files below a folder. Threads may use it at once. Raises DataError for a list of another
    form, PathError for one that cannot be read."""

    def __init__(self, root: Path) -> None:
        self._root, self._path = root, root / FILE
        self._sums: dict[str, str] = {}
        self._writing = threading.Lock()
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        except (OSError, UnicodeDecodeError) as error:
            raise PathError(f"{self._path}: cannot be read ({error}); correct it or remove it") from error
        for number, line in enumerate(lines, start=1):
            found = _LINE.fullmatch(line)
            if found is None:
                raise DataError(
                    f"{self._path}:{number}: not a line of sha256sum (SHA-256, two spaces, file); remove it"
                )
            self._sums[found[2]] = found[1]
        self._is_saved = True

    def needed(self, path: Path) -> str:
        """The SHA-256 that a download to `path` has to have; "" for any, and for a file that is there."""
        return "" if path.is_file() else self._sums.get(path.relative_to(self._root).as_posix(), "")

    def note(self, path: Path, sha256: str) -> None:
        """List a file that was downloaded."""
        with self._writing:
            self._sums[path.relative_to(self._root).as_posix()] = sha256
            self._is_saved = False

    def save(self) -> None:
        """Write the list, sorted by name, if it has changed."""
        with self._writing:
            if not self._is_saved:
                write_text(self._path, "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(self._sums.items())))
                self._is_saved = True
