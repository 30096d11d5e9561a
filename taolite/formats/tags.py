"""Pictures with several labels, each on the whole of it: Pascal VOC's objects as tags, and NUS-WIDE's tables
(reference/jetson_workflows.md 2.2)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from taolite.errors import DataError
from taolite.events import Listener, Notice, silent
from taolite.formats.findings import SHOWN, Findings, problems_error
from taolite.formats.folders import whole_picture
from taolite.formats.guard import guarded
from taolite.formats.places import measure
from taolite.formats.reading import read
from taolite.formats.text import number, read_whole, show
from taolite.sample import Sample
from taolite.wording import counted

__all__ = ["VOC_CLASSES", "read_nuswide", "read_voc_tags", "tagged"]

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def tagged(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with each class once, on the whole picture, in the order of first mention; difficult objects, and a
    picture's boxes, are gone."""
    found = []
    for sample in samples:
        names = dict.fromkeys(label.name for label in sample.labels if not label.difficult)
        found.append(replace(sample, labels=tuple(whole_picture(name, sample.size_hw) for name in names)))
    return found


def read_voc_tags(
    root: Path | str, *, split: str, classes: Sequence[str] = VOC_CLASSES, listener: Listener = silent
) -> list[Sample]:
    """Pascal VOC's pictures of a list (`ImageSets/Main/<split>.txt`), with their objects as tags in lower case.

    Raises what `formats.read` raises, and DataError for a class that is none of `classes`.
    """
    samples = [
        replace(sample, labels=tuple(replace(label, name=label.name.lower()) for label in sample.labels))
        for sample in read(root, "voc", split=split, listener=listener)
    ]
    findings = Findings()
    for sample in samples:
        for label in sample.labels:
            if label.name not in classes:
                text = f"{show(label.name)} is not one of the {counted(len(classes), 'class', 'classes')}"
                findings.error("unknown-class", sample.source or sample.image, text, line=label.line)
    if findings.errors:
        raise problems_error(root, findings.errors)
    return tagged(samples)


def read_nuswide(
    root: Path | str,
    *,
    split: Literal["trainval", "test"],
    skip_corrupt: bool = False,
    listener: Listener = silent,
) -> tuple[list[Sample], tuple[str, ...]]:
    """NUS-WIDE's pictures with their tags, and its classes in the order of the table's columns.

    `classification_labels/classification_<split>.csv` has a header, then rows of a line's number (from 0) in
    `ImageList/TrainImagelist.txt` or `TestImagelist.txt`, and 1, 0 or -1 (which counts as 0) for each class. A line is
    `folder\\0001_2124494179.jpg`; its picture is the one in `images/` with that number between its first two
    underscores.

    Args:
        root: the folder that holds these three.
        split: which of the two tables.
        skip_corrupt: pictures that are missing or cannot be read are left out with a warning; otherwise an error.
        listener: takes the warnings.

    Raises:
        DataError: a table that is none, or all pictures that cannot be used.
    """
    root, findings = Path(root), Findings()
    lines = read_whole(root / "ImageList" / f"{'Train' if split == 'trainval' else 'Test'}Imagelist.txt").splitlines()
    pictures = {_number_of(path.name): path for path in sorted((root / "images").glob("*.[jJ][pP][gG]"))}
    table = root / "classification_labels" / f"classification_{split}.csv"
    text = read_whole(table)
    with guarded(table):
        header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    classes = tuple(name.strip() for name in header[1:])
    if not classes:
        raise DataError(f"{table}: no classes in its first line; it needs one column for rows, then one for each class")
    samples = []
    for place, row in enumerate(rows, start=2):
        values = [number(cell) for cell in row]
        if len(row) != len(header) or None in values or not _is_place(row[0], len(lines)):
            text = f"needs {len(header)} numbers, the first from 0 to {len(lines) - 1}"
            raise DataError(f"{table}:{place}: {text}")
        listed = lines[int(row[0])].replace("\\", "/").rsplit("/", 1)[-1]
        image = pictures.get(_number_of(listed))
        if image is None:
            findings.error("missing-image", table, f"no picture in images/ is {show(listed.strip())}", line=place)
            continue
        size_hw = measure(image, findings)
        if size_hw is not None:
            names = [name for name, value in zip(classes, values[1:], strict=True) if value and value > 0]
            samples.append(Sample(image, size_hw, tuple(whole_picture(name, size_hw) for name in names), source=table))
    if findings.errors and not skip_corrupt:
        raise problems_error(root, findings.errors)
    for finding in findings.errors[:SHOWN]:
        listener(Notice(str(finding), "warning"))
    if len(findings.errors) > SHOWN:
        listener(Notice(f"{root}: {len(findings.errors) - SHOWN} more like these", "warning"))
    if not samples:
        raise DataError(f"{table}: none of its pictures was found")
    return samples, classes


def _is_place(text: str, count: int) -> bool:
    return text.isdecimal() and len(text) < 10 and int(text) < count


def _number_of(name: str) -> str:
    """`0001_2124494179.jpg`, `12_2124494179_3.jpg` -> `2124494179`; "" for another name."""
    parts = name.strip().rsplit(".", 1)[0].split("_")
    return parts[1] if len(parts) > 1 else ""
