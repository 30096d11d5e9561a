"""Pictures for a classifier: `ROOT/<set>/<class>/<date and time>.jpg`, and `ROOT/labels.txt`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from taolite.errors import StorageError, UsageError
from taolite.events import Listener, silent
from taolite.files import storage_error
from taolite.formats.folders import TORCHVISION_EXTENSIONS, subfolders
from taolite.formats.places import is_hidden
from taolite.formats.text import show
from taolite.web.classes import ClassList
from taolite.web.shots import Shots, free_stem

__all__ = ["SETS", "ClassFolders", "Tally", "require_set"]

SETS = ("train", "val", "test")


class Tally(NamedTuple):
    """What a data set holds: by class and set the number of pictures, or of boxes; and by set the number of pictures.
    The set is "" where a data set has no sets."""

    classes: Mapping[str, Mapping[str, int]]
    pictures: Mapping[str, int]


def require_set(name: str) -> str:
    """`name`, if it is one of `SETS`. Raises UsageError."""
    if name not in SETS:
        raise UsageError(f"no set is called {show(name)}; the sets are {', '.join(SETS)}")
    return name


class ClassFolders:
    """A data set of class folders that grows picture by picture. Raises DataError, UsageError for a wrong
    `labels.txt`."""

    sets = SETS

    def __init__(self, root: Path, shots: Shots, *, listener: Listener = silent) -> None:
        self.root, self._shots = root, shots
        self.classes = ClassList(root / "labels.txt", found=self._found, folders=True, listener=listener)

    def take(self, jpeg: bytes, *, to: str, name: str) -> Path:
        """Save a picture of class `name` in set `to`; the file. Raises UsageError, StorageError, PathError."""
        require_set(to)
        if name not in self.classes.names:
            raise UsageError(f"{show(name)} is not one of the classes; choose one, or add it")
        self._make_folders(self.root / to)
        folder = self.root / to / name
        stem = free_stem(lambda stem: any(folder.glob(f"{stem}.*")), now=datetime.now())
        path = folder / f"{stem}.jpg"
        with self._shots.shot(f"{to}/{name}/{path.name}") as shot:
            shot.write(path, jpeg)
        return path

    def tally(self) -> Tally:
        """The number of pictures of each class in each set."""
        classes = {name: {one: _pictures(self.root / one / name) for one in SETS} for name in self.classes.names}
        return Tally(classes, {one: sum(row[one] for row in classes.values()) for one in SETS})

    def _make_folders(self, folder: Path) -> None:
        """Make the folders of all classes, so that no set lacks one: trainers number classes by their folders."""
        for name in self.classes.names:
            try:
                (folder / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(folder / name, error) from error

    def _found(self) -> list[str]:
        folders = (self.root / one for one in SETS)
        return sorted({path.name for folder in folders if folder.is_dir() for path in subfolders(folder)})


def _pictures(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror})") from error
    return sum(not is_hidden(name) and os.path.splitext(name)[1].lower() in TORCHVISION_EXTENSIONS for name in names)  # noqa: PTH122
