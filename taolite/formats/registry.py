"""The label formats: one row each. To add one, write its module and add its row; nothing else changes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import UsageError
from taolite.formats import (
    ccpd,
    class_folders,
    coco,
    kitti,
    labelme,
    labelme_writing,
    openimages,
    voc,
    voc_writing,
    yolo,
)
from taolite.formats.layout import Reader, Writing
from taolite.formats.split import folder_names
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS

__all__ = ["ROWS", "Format", "find_format", "format_names"]


@dataclass(frozen=True)
class Format:
    """One label format.

    name: the value for `--from` and `--to`.
    suffixes: suffixes of its label files, in lower case; none if the format has only pictures.
    looks_like: whether a label file (without suffixes: the whole folder) is of this format.
    read: gives the samples.
    splits: the splits that a data set has without a list.
    write: None if the format can only be read.
    """

    name: str
    suffixes: tuple[str, ...]
    looks_like: Callable[[Path], bool]
    read: Reader
    splits: Callable[[Path], Sequence[str]]
    write: Writing | None = None


def _in_folders(*suffixes: str) -> Callable[[Path], Sequence[str]]:
    """The splits of a format whose label files lie in folders named after their split."""
    return lambda root: folder_names(root, suffixes)


ROWS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("labelme", (".json",), labelme.looks_like, labelme.read, _in_folders(".json"), labelme_writing.WRITING),
        Format("kitti", (".txt",), kitti.looks_like, kitti.read, _in_folders(".txt"), kitti.WRITING),
        Format("voc", (".xml",), voc.looks_like, voc.read, _in_folders(".xml"), voc_writing.WRITING),
        Format("coco", (".json",), coco.looks_like, coco.read, coco.splits, coco.WRITING),
        Format("yolo", (".txt",), yolo.looks_like, yolo.read, _in_folders(".txt"), yolo.WRITING),
        Format("openimages", (".csv",), openimages.looks_like, openimages.read, openimages.splits),
        Format("ccpd", (), ccpd.looks_like, ccpd.read, _in_folders(*EXTENSIONS)),
        Format("folders", (), class_folders.looks_like, class_folders.read, class_folders.splits),
    )
}


def format_names(*, written: bool = False) -> tuple[str, ...]:
    """The names of all formats, or with `written` of those that can be written."""
    return tuple(name for name, row in ROWS.items() if row.write is not None or not written)


def find_format(name: str, *, written: bool = False) -> Format:
    """The row of a format. Raises UsageError, with the nearest name, for a format that does not exist or cannot be
    written."""
    row = ROWS.get(name)
    if row is not None and (row.write is not None or not written):
        return row
    names = format_names(written=written)
    if row is not None:
        raise UsageError(f"format {show(name)} can be read and not written; formats to write: {', '.join(names)}")
    near = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {show(near[0])}? " if near else ""
    raise UsageError(f"no format is called {show(name)}; {hint}formats: {', '.join(names)}")
