"""Finding the pictures of a data set, whatever its folders are called.

Label files name their picture by path, by file name, by stem or not at all, and folders are moved. So every picture
below the root is listed once. A label file gets the nearest picture that fits its name: the one with the most leading
folders in common, then the most folder names in common (`labels/train` and `images/train`).

Files that operating systems leave behind are always ignored: names that begin with a dot (`._a.jpg`, `.DS_Store`) and
the folder `__MACOSX`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote

from taolite.errors import DataError, PathError, StreamError
from taolite.formats.findings import Findings
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS, read_size

__all__ = [
    "LABEL_FOLDERS",
    "Pictures",
    "exists",
    "files_below",
    "is_below",
    "is_file",
    "is_hidden",
    "label_texts",
    "allow_outside",
    "is_forbidden",
    "leads_outside",
    "outside_allowed",
    "measure",
    "named_picture",
    "stem_of",
]

LABEL_FOLDERS = ("annotations", "labels", "label_2", "label", "xml", "json")  # usual names of label folders
_OUTSIDE_VARIABLE = "TAOLITE_ALLOW_OUTSIDE"
_NO_LABELS = ("readme", "license", "requirements")  # first words of text files without labels that lie beside labels


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is ignored: it is hidden, or macOS adds it to archives."""
    return name.startswith(".") or name == "__MACOSX"


def files_below(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below `root` (or `root` itself) whose lower-case suffix is in `suffixes`, sorted, without hidden ones.

    Links to folders are followed, because large data sets often use them. No folder is read twice, and no folder that
    holds `root` is read.
    """
    if is_file(root):
        return [root] if root.suffix.lower() in suffixes else []
    return sorted(
        Path(folder, name)
        for folder, names in _walk(root)
        for name in names
        if not is_hidden(name) and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
    )


def exists(path: Path) -> bool:
    """Whether a file or folder of this name exists; False too for a name that no file system allows."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether a file of this name exists; False too for a name that no file system allows."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_below(path: Path, root: Path) -> bool:
    """Whether a path, with its `..` resolved, stays below the parent folder of `root`, the folder that the user gave.

    If that folder lies directly below `/`, the path must stay below the folder itself.
    """
    top = os.path.abspath(root if root.is_dir() else root.parent)  # noqa: PTH100  (links are not followed)
    parent = os.path.dirname(top)  # noqa: PTH120
    within = top if parent == os.path.dirname(parent) else parent  # noqa: PTH120
    return Path(os.path.abspath(path)).is_relative_to(within)  # noqa: PTH100


def leads_outside(name: str) -> bool:
    """Whether a relative name from a record or list leads outside its base folder and the parent of that folder.

    >>> [leads_outside(name) for name in ("images/a", "../images/a", "../../a", "a/../../../b", "/etc/a")]
    [False, False, True, True, True]
    """
    depth = lowest = 0
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for part in parts:
        depth += {"..": -1, ".": 0}.get(part, 1)
        lowest = min(lowest, depth)
    return lowest < -1 or (bool(parts) and re.fullmatch(r"//?|[A-Za-z]:", parts[0]) is not None)


def outside_allowed() -> bool:
    """Whether names in records and lists may lead outside: `--allow-outside`, or TAOLITE_ALLOW_OUTSIDE=1."""
    return os.environ.get(_OUTSIDE_VARIABLE) == "1"


def allow_outside() -> None:
    """Allow names that lead outside, in this process and those that it starts."""
    os.environ[_OUTSIDE_VARIABLE] = "1"


def is_forbidden(name: str) -> bool:
    """Whether a name from a record or list leads outside, and that is not allowed."""
    return leads_outside(name) and not outside_allowed()


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder and the names of its files; folders below `root` itself come before folders that are only linked.

    Pipes and devices are left out, because opening one may wait for ever.
    """
    above = {str(folder) for folder in root.resolve().parents}
    seen: set[str] = set()
    linked = [str(root)]
    for top in linked:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            place = os.path.realpath(folder)
            if place in seen or place in above:
                continue
            seen.add(place)
            names = []
            for entry in _entries(folder):
                if is_hidden(entry.name):
                    continue
                if _is_folder(entry):
                    (linked if entry.is_symlink() else waiting).append(entry.path)
                elif entry.is_symlink() or entry.is_file():
                    names.append(entry.name)
            yield folder, names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder, by name; none where the folder may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def stem_of(name: str) -> str:
    """The last part of a path as any system writes it, without a picture's extension: `a\\b\\cat.1.jpg` -> `cat.1`."""
    last = PurePosixPath(name.strip().replace("\\", "/")).name
    stem, dot, extension = last.rpartition(".")
    return stem if dot and f".{extension.lower()}" in EXTENSIONS else last


def label_texts(
    root: Path,
    looks_like: Callable[[Path], bool],
    pictures: Pictures,
    findings: Findings,
    *,
    wanted: Callable[[Path], bool],
    apart_from: tuple[str, ...] = (),
) -> list[Path]:
    """The text files below `root` that hold labels, of those that are `wanted`; `root` itself where it is a file.

    Label files are: every file that `looks_like` labels; in a folder with such a file, every empty file (a background
    image). For a picture without another label file, a text of the picture's name is one too if it is empty, or if its
    folder holds labels, so that its bad line is reported. Any other text that lies among labels or has a picture's name
    is noted as not read.
    """
    if root.is_file():
        return [root]
    files = [path for path in files_below(root, (".txt",)) if path.name not in apart_from and wanted(path)]
    likely = {path for path in files if looks_like(path)}
    folders = {path.parent for path in likely}
    likely |= {path for path in files if path.parent in folders and path.stat().st_size == 0}
    labelled = {pictures.find(path.stem, near=path) for path in likely}
    for path in files:
        if path in likely or path.name.lower().startswith(_NO_LABELS):
            continue
        image = pictures.find(path.stem, near=path)
        if image is not None and image in labelled:
            why = f"{image.name} has other labels"
        elif image is not None:
            why = f"the other files of {path.parent.name}/ hold no labels either"
        else:
            why = f"no picture is called {show(path.stem)}"
        if image is not None and image not in labelled and (path.parent in folders or not path.stat().st_size):
            likely.add(path)
        elif path.parent in folders or (image is not None and image not in labelled):
            findings.note("not-read", path, f"not read: its first line is no label, and {why}")
    return [path for path in files if path in likely]


class Pictures:
    """The pictures below one root, by stem."""

    def __init__(self, root: Path) -> None:
        top = root if root.is_dir() else root.parent
        if root.is_file() and top.name.lower() in LABEL_FOLDERS:
            top = top.parent
        self._by_stem: dict[str, list[Path]] = {}
        for path in files_below(top, EXTENSIONS):
            self._by_stem.setdefault(stem_of(path.name), []).append(path)

    def find(self, name: str, *, near: Path) -> Path | None:
        """The picture called `name` (a path, a file name or a stem) that lies nearest to the file `near`.

        A URL-encoded name (`my%20photo.jpg`) is decoded if no picture has the name as it stands.
        """
        candidates = self._by_stem.get(stem_of(name)) or self._by_stem.get(stem_of(unquote(name))) or []
        wanted = PurePosixPath(name.replace("\\", "/")).name
        return min(candidates, key=lambda path: _distance(path, near, wanted), default=None)

    def unlabelled(self, used: Iterable[Path], *, only: frozenset[str] | None) -> list[Path]:
        """Pictures that no label file names, in folders that hold labelled pictures; with `only`, just those of these
        stems."""
        taken = set(used)
        folders = {path.parent for path in taken}
        every = (path for paths in self._by_stem.values() for path in paths)
        return sorted(
            path
            for path in every
            if path not in taken and path.parent in folders and (only is None or stem_of(path.name) in only)
        )


def named_picture(
    name: str, *, root: Path, beside: Path, pictures: Pictures, outside: bool
) -> tuple[Path | None, Path | None]:
    """The picture that the label file `beside` names by path: (the picture, None), (None, None) where it is missing.

    (None, the path) where it lies outside `root` and its parent folder, is not found below `root` by its name, and
    `outside` does not allow it.
    """
    path = beside.parent / name.replace("\\", "/")
    for one in (path, beside.parent / unquote(name).replace("\\", "/")):
        if is_file(one) and (outside or is_below(one, root)):
            return one, None
    found = pictures.find(name, near=beside)
    return (found, None) if found is not None or not is_file(path) else (None, path)


def measure(image: Path, findings: Findings, stream: IO[bytes] | None = None) -> tuple[int, int] | None:
    """(height, width) of a picture from its header, or None where it has none; the reason goes to `findings`.

    With `stream` the bytes are read from it, and an error of its server is raised.
    """
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
