"""The classes that can be chosen: `labels.txt`, one name a line, or what the data set holds already."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from taolite.errors import UsageError
from taolite.events import Listener, silent
from taolite.files import write_text
from taolite.formats.part import BACKGROUND, read_labels
from taolite.formats.printing import is_control
from taolite.formats.text import read_whole, show

__all__ = ["ClassList", "refuse_name"]

_LONGEST = 200  # bytes; a file name has 255, and a set may be copied to a disk that adds to it
_NOT_IN_FOLDERS = re.compile(r'[/\\<>:"|?*]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def refuse_name(name: str, *, folder: bool) -> None:
    """Raise UsageError for a class name that no label file, or with `folder` no folder of every system, can have."""
    who, why = f"class name {show(name)}", ""
    if not name.strip():
        who, why = "a class name", "is empty"
    elif any(map(is_control, name)):
        why = "holds control characters or line breaks"
    elif name != name.strip():
        why = "begins or ends with a blank"
    elif name.upper() == BACKGROUND:
        why = "means a picture without an object"
    elif len(name.encode(errors="replace")) > _LONGEST:
        why = f"is longer than {_LONGEST} bytes"
    elif folder and (found := _NOT_IN_FOLDERS.search(name)):
        why = f"cannot be the name of a folder: it holds {found[0]}"
    elif folder and (name.startswith(".") or name.endswith(".") or _RESERVED.fullmatch(name)):
        why = "cannot be the name of a folder on every system"
    if why:
        raise UsageError(f"{who} {why}; choose another name")


class ClassList:
    """The classes of one data set, in order.

    path: the `labels.txt`. found: gives the names that the data set holds, for a set without that file.
    folders: the classes are folders, so names are checked as such, and the list is kept sorted.
    """

    def __init__(
        self, path: Path, *, found: Callable[[], Sequence[str]], folders: bool, listener: Listener = silent
    ) -> None:
        """Raises what `names` raises."""
        self.path, self._found, self._folders, self._listener = path, found, folders, listener
        self._mark: tuple[int, int] | None = None
        self._listed: tuple[str, ...] = ()
        self._read()

    @property
    def is_written(self) -> bool:
        """Whether there is a `labels.txt` with a name in it."""
        return bool(self._read())

    @property
    def names(self) -> tuple[str, ...]:
        """The classes: those of `labels.txt`; without it, those that the data set holds.

        Raises DataError where `labels.txt` cannot be read, UsageError for a name that no folder can have.
        """
        return self._read() or tuple(self._found())

    def add(self, names: Sequence[str]) -> None:
        """Add classes, and write `labels.txt`. Raises UsageError for a name that cannot be used, StorageError."""
        known = list(self.names)
        for name in names:
            refuse_name(name, folder=self._folders)
            same = next((one for one in known if one.lower() == name.lower()), None)
            if same is not None:
                raise UsageError(f"there is a class {show(same)} already; choose another name than {show(name)}")
            known.append(name)
        if self._folders:
            known.sort()  # folders are numbered in this order
        write_text(self.path, "".join(f"{name}\n" for name in known))

    def _read(self) -> tuple[str, ...]:
        """The names in the file, which is read again where it changed."""
        try:
            stat = self.path.stat()
        except OSError:
            self._mark, self._listed = None, ()
            return ()
        mark = (stat.st_mtime_ns, stat.st_size)
        if mark != self._mark:
            names: tuple[str, ...] = ()
            if read_whole(self.path).strip():
                names, notices = read_labels(self.path)
                for notice in notices:
                    self._listener(notice)
            for name in names:
                refuse_name(name, folder=self._folders)
            self._mark, self._listed = mark, names
        return self._listed
