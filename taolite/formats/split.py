"""Which images belong to a part of a data set: lists that came with it, or a split of our own.

A list has one image a line: a stem, a file name or a path (of the picture or its XML), or VOC's `stem -1`; a `.csv`
has a column `filename` (or `image`). Our own split is a function of the seed and the stems alone, and keeps identical
pictures on one side.
"""

from __future__ import annotations

import csv
import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path

from taolite.errors import DataError, UsageError
from taolite.formats.photo import photo_bytes
from taolite.formats.places import stem_of
from taolite.formats.text import read_whole, show
from taolite.sample import Sample

__all__ = ["find_list", "lists_below", "read_list", "require_list", "parts_of", "split_samples"]

_LIST_FOLDERS = ("ImageSets/Main", "Main", "ImageSets", ".", "splits", "split", "data")
_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "trainval": "trainval", "test": "test"}


def find_list(root: Path, split: str) -> Path | None:
    """The list that `split` names: a file as such, else `ImageSets/Main/<split>.txt`, `<split>.txt` and the like, or
    `<split>_labels.csv` as the makers of TensorFlow records leave it."""
    top = root if root.is_dir() else root.parent
    candidates = [Path(split), top / split]
    candidates += [top / folder / f"{split}.txt" for folder in _LIST_FOLDERS]
    candidates += [top / folder / f"{split}_labels.csv" for folder in _LIST_FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def require_list(root: Path, split: str) -> Path:
    """Like `find_list`; raises UsageError where there is none."""
    path = find_list(root, split)
    if path is None:
        raise UsageError(f"{root}: no list called {show(split)} (ImageSets/Main/{split}.txt, {split}.txt or a path)")
    return path


def lists_below(root: Path) -> dict[str, Path]:
    """The lists a data set brings along, by their usual names: train, val, trainval, test."""
    found = {name: find_list(root, name) for name in ("train", "val", "trainval", "test")}
    return {name: path for name, path in found.items() if path is not None}


def read_list(path: Path) -> frozenset[str]:
    """The stems a list names. Raises DataError where it names none or cannot be read."""
    text = read_whole(path)
    if path.suffix.lower() == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        column = next((name for name in ("filename", "image", "file_name") if rows and name in rows[0]), None)
        if column is None:
            raise DataError(f"{path}: a list in CSV needs a column `filename`")
        names = [row[column] for row in rows]
    else:
        names = [_without_flag(line) for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f"{path}: this list is empty")
    return frozenset(stem_of(name.strip().removesuffix(".xml")) for name in names)


def parts_of(root: Path, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The parts that a data set brings along, train, val, trainval and test, as far as it has them.

    They are its lists; without, the folders its pictures lie in (`train/`, `images/validation/`); without those, what
    the name of a sample's label file says (`sub-train-annotations-bbox.csv`).
    """
    lists = {name: read_list(path) for name, path in lists_below(root).items()}
    parts = {
        name: [sample for sample in samples if stem_of(sample.image.name) in stems] for name, stems in lists.items()
    }
    if any(parts.values()):
        return {name: part for name, part in parts.items() if part}
    for words_of in (lambda sample: _folders(root, sample), _words):
        found: dict[str, list[Sample]] = {}
        for sample in samples:
            name = next((_PARTS[word] for word in words_of(sample) if word in _PARTS), None)
            if name is not None:
                found.setdefault(name, []).append(sample)
        if found:
            return found
    return {}


def split_samples(samples: Sequence[Sample], *, percent: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(training, validation), each in the order given; `percent` (0 to 100, exclusive) of the images validate.

    Raises UsageError for another percentage, or where one side would be empty.
    """
    if not 0 < percent < 100:
        raise UsageError(f"--val-split is {percent:g}; it needs to be between 0 and 100, for example 20")
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(_content(sample), []).append(index)
    order = sorted(groups.values(), key=lambda group: samples[group[0]].image.name)
    random.Random(seed).shuffle(order)
    wanted = max(1, round(percent / 100 * len(samples)))
    held: set[int] = set()
    for group in order:
        if len(held) + len(group) <= wanted:
            held.update(group)
    train = [sample for index, sample in enumerate(samples) if index not in held]
    if not held or not train:
        raise UsageError(f"--val-split {percent:g} of {len(samples)} images leaves one side empty; use more images")
    return train, [sample for index, sample in enumerate(samples) if index in held]


def _folders(root: Path, sample: Sample) -> list[str]:
    inside = root.is_dir() and sample.image.is_relative_to(root)
    return [part.lower() for part in sample.image.relative_to(root).parts[:-1]] if inside else []


def _words(sample: Sample) -> list[str]:
    return re.split(r"[^a-z]+", sample.source.stem.lower()) if sample.source is not None else []


def _content(sample: Sample) -> str:
    return hashlib.sha256(photo_bytes(sample)).hexdigest()


def _without_flag(line: str) -> str:
    head, _, flag = line.strip().rpartition(" ")
    return head.strip() if head and flag in ("-1", "0", "1") else line.strip()
