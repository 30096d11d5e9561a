"""Which images belong to a part of a data set: the lists and folders that came with it.

A list has one image a line: a stem, a file name or a path (of the picture or its XML), or VOC's `stem -1`; a `.csv`
has a column `filename` (or `image`). Folders are those that files lie in (`train/`, `images/validation/`). `val`,
`valid` and `validation` are one split. A split of our own is made by `taolite.formats.holdout`.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from taolite.errors import DataError, UsageError
from taolite.formats.guard import guarded
from taolite.formats.places import LABEL_FOLDERS, files_below, is_file, stem_of
from taolite.formats.text import read_whole, show
from taolite.pictures import EXTENSIONS
from taolite.sample import Sample

__all__ = [
    "find_list",
    "folder_names",
    "has_flags",
    "in_split",
    "lists_below",
    "parts_of",
    "read_list",
    "split_name",
    "stems_below",
    "unknown_split",
]

_LIST_FOLDERS = ("ImageSets/Main", "Main", "ImageSets", ".", "splits", "split", "data")
_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "trainval": "trainval", "test": "test"}
_FLAGS = ("-1", "0", "1")  # VOC's marks behind the stems of a class's list
_LABELS = (".xml", ".json", ".txt")


def split_name(word: str) -> str:
    """The one name of a split: `valid`, `Validation` -> `val`; any other word as it is."""
    return _PARTS.get(word.lower(), word)


def find_list(root: Path, split: str) -> Path | None:
    """The list that `split` names: a file as such, else `ImageSets/Main/<split>.txt`, `<split>.txt` and the like, or
    `<split>_labels.csv` as the makers of TensorFlow records leave it."""
    top = root if root.is_dir() else root.parent
    words = [split, *(word for word, name in _PARTS.items() if name == split_name(split) and word != split)]
    candidates = [Path(split), top / split]
    for word in words:
        candidates += [top / folder / f"{word}.txt" for folder in _LIST_FOLDERS]
        candidates += [top / folder / f"{word}_labels.csv" for folder in _LIST_FOLDERS]
    return next((path for path in candidates if is_file(path)), None)


def unknown_split(root: Path, split: str, folders: Iterable[str] = ()) -> UsageError:
    """The error for a split that a data set does not have, with the lists and `folders` it has."""
    top = root if root.is_dir() else root.parent
    lists = {path.stem for folder in ("ImageSets/Main", "Main") for path in (top / folder).glob("*.txt")}
    there = sorted({*lists, *lists_below(root), *map(split_name, folders)})
    near = difflib.get_close_matches(split_name(split), there, n=1)
    hint = f"did you mean {show(near[0])}? " if near else ""
    found = f"its splits are {', '.join(there[:20])}" if there else "it has no lists and no split folders"
    return UsageError(f"{root}: no split is called {show(split)}; {hint}{found}; a list file can be named too")


def lists_below(root: Path) -> dict[str, Path]:
    """The lists a data set brings along, by their usual names: train, val, trainval, test."""
    found = {name: find_list(root, name) for name in ("train", "val", "trainval", "test")}
    return {name: path for name, path in found.items() if path is not None}


def read_list(path: Path, known: Collection[str] = ()) -> frozenset[str]:
    """The stems a list names. VOC's flag is cut off a line unless the whole line is one of the `known` stems.

    Raises DataError where the list names nothing or cannot be read.
    """
    text = read_whole(path)
    if path.suffix.lower() == ".csv":
        with guarded(path):
            rows = list(csv.DictReader(io.StringIO(text)))
        column = next((name for name in ("filename", "image", "file_name") if rows and name in rows[0]), None)
        if column is None:
            raise DataError(f"{path}: a list in CSV needs a column `filename`")
        stems = [_stem(row[column] or "") for row in rows]
    else:
        stems = [_listed(line, known) for line in text.split("\n") if line.strip()]
    if not stems:
        raise DataError(f"{path}: this list is empty")
    return frozenset(stems)


def has_flags(path: Path) -> bool:
    """Whether a list has lines that may end in VOC's flag, so that `read_list` needs the known stems."""
    return path.suffix.lower() != ".csv" and any(_without_flag(line) != line.strip() for line in _lines(path))


def stems_below(root: Path) -> frozenset[str]:
    """The stems of all pictures and label files of a data set."""
    top = root if root.is_dir() else root.parent
    return frozenset(_stem(path.name) for path in files_below(top, (*EXTENSIONS, *_LABELS)))


def folder_names(root: Path, suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """The folders below `root` that files with one of these suffixes lie in; the usual splits alone where there are
    any."""
    folders = {part for path in files_below(root, suffixes) for part in _folders(root, path)}
    folders = {part for part in folders if part.lower() not in LABEL_FOLDERS}
    usual = {part for part in folders if part.lower() in _PARTS}
    return tuple(sorted(usual or folders))


def in_split(path: Path, root: Path, split: str | None) -> bool:
    """Whether a file lies in a folder of this split, or `split` is None."""
    wanted = None if split is None else split_name(split)
    return wanted is None or any(split_name(part) == wanted for part in _folders(root, path))


def parts_of(root: Path, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The parts that a data set brings along, train, val, trainval and test, as far as it has them.

    They are its lists; without, the folders its pictures lie in (`train/`, `images/validation/`); without those, what
    the name of a sample's label file says (`sub-train-annotations-bbox.csv`).
    """
    known = {stem_of(sample.image.name) for sample in samples}
    lists = {name: read_list(path, known) for name, path in lists_below(root).items()}
    parts = {
        name: [sample for sample in samples if stem_of(sample.image.name) in stems] for name, stems in lists.items()
    }
    if any(parts.values()):
        return {name: part for name, part in parts.items() if part}
    for words_of in (lambda sample: [word.lower() for word in _folders(root, sample.image)], _words):
        found: dict[str, list[Sample]] = {}
        for sample in samples:
            name = next((_PARTS[word] for word in words_of(sample) if word in _PARTS), None)
            if name is not None:
                found.setdefault(name, []).append(sample)
        if found:
            return found
    return {}


def _folders(root: Path, path: Path) -> tuple[str, ...]:
    """The folders between `root` and a file below it."""
    return path.relative_to(root).parts[:-1] if root.is_dir() and path.is_relative_to(root) else ()


def _words(sample: Sample) -> list[str]:
    return re.split(r"[^a-z]+", sample.source.stem.lower()) if sample.source is not None else []


def _lines(path: Path) -> list[str]:
    return [line for line in read_whole(path).split("\n") if line.strip()]


def _stem(name: str) -> str:
    name = name.strip()
    return stem_of(next((name[: -len(ending)] for ending in _LABELS if name.lower().endswith(ending)), name))


def _listed(line: str, known: Collection[str]) -> str:
    whole = _stem(line)
    return whole if whole in known else _stem(_without_flag(line))


def _without_flag(line: str) -> str:
    head, _, flag = line.strip().rpartition(" ")
    return head.strip() if head and flag in _FLAGS else line.strip()
