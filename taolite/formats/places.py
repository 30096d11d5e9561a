"""Where the pictures of a data set lie, whatever its folders are called.

Label files name their picture by path, by file name, by stem or not at all, and folders move. So every picture
below the root is listed once, and a label file gets the one that fits its name and lies nearest to it: most leading
folders in common, then most folder names in common (`labels/train` and `images/train`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from taolite.errors import DataError, PathError, StreamError
from taolite.formats.findings import Findings
from taolite.pictures import EXTENSIONS, read_size

__all__ = ["Pictures", "files_below", "label_texts", "measure", "stem_of"]

_LABEL_FOLDERS = ("annotations", "labels", "label_2", "label", "xml", "json")


def files_below(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below `root` (or `root` itself) whose lower-case suffix is in `suffixes`, sorted; hidden ones are not.

    Links to folders are followed, as large sets are linked, but no folder comes twice and none that holds `root`.
    """
    if root.is_file():
        return [root] if root.suffix.lower() in suffixes else []
    return sorted(
        Path(folder, name)
        for folder, names in _walk(root)
        for name in names
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
    )


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder and the names of its files; what lies below `root` itself comes before what is only linked."""
    above = {str(folder) for folder in root.resolve().parents}
    met: set[str] = set()
    tops = [str(root)]
    for top in tops:
        for folder, folders, names in os.walk(top):
            place = os.path.realpath(folder)
            if place in met or place in above:
                folders.clear()
                continue
            met.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            paths = (os.path.join(folder, name) for name in folders)  # noqa: PTH118
            tops += [path for path in paths if os.path.islink(path)]  # noqa: PTH114
            yield folder, names


def stem_of(name: str) -> str:
    """The last part of a path as any system writes it, without a picture's extension: `a\\b\\cat.1.jpg` -> `cat.1`."""
    last = PurePosixPath(name.strip().replace("\\", "/")).name
    stem, dot, extension = last.rpartition(".")
    return stem if dot and f".{extension.lower()}" in EXTENSIONS else last


def label_texts(
    root: Path, looks_like: Callable[[Path], bool], pictures: Pictures, *, apart_from: tuple[str, ...] = ()
) -> list[Path]:
    """The text files below `root` that hold labels; `root` itself where it is a file.

    In a folder where one file `looks_like` labels these are: every file that does, every empty one (a background
    image), and every one that is named as a picture is (whatever it holds, so that its bad line is reported).
    """
    if root.is_file():
        return [root]
    files = [path for path in files_below(root, (".txt",)) if path.name not in apart_from]
    likely = {path for path in files if looks_like(path)}
    folders = {path.parent for path in likely}
    return [
        path
        for path in files
        if path in likely
        or (path.parent in folders and (path.stat().st_size == 0 or pictures.find(path.stem, near=path)))
    ]


class Pictures:
    """The pictures below one root, by stem."""

    def __init__(self, root: Path) -> None:
        top = root if root.is_dir() else root.parent
        if root.is_file() and top.name.lower() in _LABEL_FOLDERS:
            top = top.parent
        self._by_stem: dict[str, list[Path]] = {}
        for path in files_below(top, EXTENSIONS):
            self._by_stem.setdefault(stem_of(path.name), []).append(path)

    def find(self, name: str, *, near: Path) -> Path | None:
        """The picture called `name` (a path, a file name or a stem) that lies nearest to the file `near`."""
        candidates = self._by_stem.get(stem_of(name), [])
        wanted = PurePosixPath(name.replace("\\", "/")).name
        return min(candidates, key=lambda path: _distance(path, near, wanted), default=None)

    def unlabelled(self, used: Iterable[Path], *, only: frozenset[str] | None) -> list[Path]:
        """Pictures that no label file speaks of, in folders that hold labelled ones, among the stems of `only`."""
        taken = set(used)
        folders = {path.parent for path in taken}
        every = (path for paths in self._by_stem.values() for path in paths)
        return sorted(
            path
            for path in every
            if path not in taken and path.parent in folders and (only is None or stem_of(path.name) in only)
        )


def measure(image: Path, findings: Findings, stream: IO[bytes] | None = None) -> tuple[int, int] | None:
    """(height, width) of a picture from its header, or None where it has none; the reason goes to `findings`. With
    `stream` the file's bytes come from there, and where that fails it is raised."""
    try:
        return read_size(image, stream=stream)
    except StreamError:
        raise
    except PathError:
        findings.error("missing-image", image, "this image is missing; restore it or remove its label")
    except DataError as error:
        findings.error("unreadable-image", image, str(error).removeprefix(f"{image}: "))
    return None


def _distance(path: Path, near: Path, wanted: str) -> tuple[bool, int, int, int, str]:
    here, there = path.parent.parts, near.parent.parts
    leading = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there)))
    shared = len(set(here[leading:]) & set(there[leading:]))
    return (path.name != wanted, -leading, -shared, len(here), str(path))
