"""Open Images in pytorch-ssd's layout: a table of boxes for each split, and pictures by id.

    ROOT/sub-{train,validation,test}-annotations-bbox.csv      (or train-annotations-bbox.csv, oidv6-train-...)
    ROOT/{train,validation,test}/<ImageID>.jpg                 (or images/<split>/..., or wherever ImageID says)
    ROOT/class-descriptions*.csv                               names of LabelName, where a table has no ClassName

Columns are found by name. Coordinates are fractions of the picture, edges continuous. All splits share one sorted list
of classes; pytorch-ssd numbers the classes of each table separately (reference/jetson_workflows.md 4.3).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Notice
from taolite.formats.findings import Findings, problems_error
from taolite.formats.folders import is_whole
from taolite.formats.guard import guarded
from taolite.formats.part import BACKGROUND, DataPart, fit_labels, own_split, strangers, summarise, tell
from taolite.formats.places import Pictures, files_below, measure, stem_of
from taolite.formats.split import split_name
from taolite.formats.text import number, read_text, read_whole, show
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = ["SPLITS", "looks_like", "read", "read_openimages_classes", "read_openimages_set", "splits"]

SPLITS = ("train", "validation", "test")
_WORDS = {"val": "validation", "valid": "validation"}
_TABLES = ("sub-{}-annotations-bbox.csv", "{}-annotations-bbox.csv", "oidv6-{}-annotations-bbox.csv")
_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_MARKS = {
    "IsTruncated": "",
    "IsOccluded": "",
    "IsGroupOf": "group_of",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}
_WORD = "class-descriptions"
_FARTHEST = 1.0  # picture sizes that a box may reach beyond its picture; farther boxes are in pixels


def read_openimages_set(
    root: Path | str,
    *,
    split: str = "train",
    classes: Sequence[str] | None = None,
    depictions: bool = True,
    groups: bool = True,
    skip_bad: bool = False,
) -> DataPart:
    """One part of an Open Images folder, ready for training.

    Args:
        root: the folder that holds the tables.
        split: `train`, `test` or `validation`. `test` gives the images to validate on: those of `validation` where the
            test table is missing or empty, and a fifth of `train` where both are.
        classes: the classes of an existing model; None for the names of all tables, sorted.
        depictions: whether drawings of an object (`IsDepiction` 1) count.
        groups: whether boxes around a group (`IsGroupOf` 1) count.
        skip_bad: leave out rows and pictures that cannot be read, with a warning; otherwise they are an error.

    Returns:
        Samples in the order of the table, boxes in pixels, cut to their picture. Images whose picture is missing are
        left out and reported.

    Raises:
        PathError: no such folder.
        UsageError: another split.
        DataError: the split has no table, no class or no image is left, or rows or pictures cannot be read (all of them
            are listed).
    """
    part = _WORDS.get(split, split)
    if part not in SPLITS:
        raise UsageError(f"split {show(split)} is not one of {', '.join(SPLITS)}")
    root, findings = _folder(root), Findings()
    tables = _read_tables(root, findings)
    if findings.errors and not (skip_bad and tables):
        raise problems_error(root, findings.errors)
    filled = [table for table in tables if table.rows]
    table = _choose(root, part, filled)
    named, notices = _class_names(root, filled)
    names = _sorted_names(named) if classes is None else tuple(classes)
    if not (depictions and groups):
        table, told = _without(table, depictions, groups)
        notices += told
    samples, missing = _to_samples(root, table, named, findings)
    if findings.errors and not skip_bad:
        raise problems_error(root, findings.errors)
    notices += tell(table.path, missing, len(table.rows), "left out, no picture")
    if not samples:
        place = root / table.split
        raise DataError(f"{table.path}: no picture of its images was found; put them into {place}/")
    if [table.split for table in filled] == ["train"]:
        samples, told = own_split(root, part, samples)
        notices += told
    elif table.split != part:
        notices.append(Notice(f"{root}: no boxes for {part}; validating on {table.split} instead", "warning"))
    fitted = fit_labels(samples, names, findings)
    told = summarise(root, findings.errors + findings.notes)
    return DataPart(fitted, names, (*notices, *told), strangers(samples, names))


def read_openimages_classes(root: Path | str) -> tuple[tuple[str, ...], list[Notice]]:
    """The names of all tables of an Open Images folder, sorted, and notices about them. No picture is read.

    Raises PathError if the folder does not exist; DataError for tables that cannot be read, for no training table, and
    for no class.
    """
    root, findings = _folder(root), Findings()
    tables = _read_tables(root, findings)
    if findings.errors:
        raise problems_error(root, findings.errors)
    filled = [table for table in tables if table.rows]
    table = _choose(root, "train", filled)
    named, notices = _class_names(root, filled)
    names = _sorted_names(named)
    if not names:
        raise DataError(f"{table.path}: no row names a class other than {BACKGROUND}; there is nothing to learn")
    return names, notices


def _folder(root: Path | str) -> Path:
    root = Path(root)
    if not root.is_dir():
        raise PathError(f"{root}: no such folder; it needs to hold {_TABLES[0].format('train')}")
    return root


def _sorted_names(named: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in set(named.values()) if name.upper() != BACKGROUND))


def looks_like(path: Path) -> bool:
    """Whether a CSV file is an Open Images table of boxes."""
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline().strip().split(",")
    return {"ImageID", *_CORNERS} <= set(header)


def splits(root: Path) -> tuple[str, ...]:
    """The splits that have a table."""
    return tuple(table.split for table in _read_tables(root, Findings()))


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """The samples of every table at or below `root`, or of the table of `split` (see `layout.Reader`)."""
    tables = [
        table for table in _read_tables(root, findings) if split is None or split_name(split) == split_name(table.split)
    ]
    named, _ = _class_names(root, tables)
    samples = []
    for table in tables:
        found, missing = _to_samples(root, table, named, findings, only=only)
        samples += found
        for name in missing:
            line = table.rows[name][0].line
            text = f"no picture is called {show(name)}, which this row names"
            findings.error("missing-image", table.path, text, line=line)
    return samples


@dataclass(frozen=True)
class _Row:
    """One box: fractions of the picture (x1, y1, x2, y2), and `name` as the table spells it."""

    name: str
    box: tuple[float, float, float, float]
    line: int
    marks: frozenset[str]  # those of IsOccluded, IsTruncated, IsGroupOf, IsDepiction, IsInside that are 1


@dataclass(frozen=True)
class _Table:
    """The boxes of one split by image; `coded` if boxes have only a LabelName."""

    path: Path
    split: str
    rows: dict[str, list[_Row]]
    coded: bool


def _choose(root: Path, part: str, filled: Sequence[_Table]) -> _Table:
    order = {"train": ("train",), "validation": ("validation",), "test": ("test", "validation", "train")}[part]
    for split in order:
        for table in filled:
            if table.split == split:
                return table
    wanted = _TABLES[0].format(part)
    found = f"there are those of {', '.join(table.split for table in filled)}" if filled else "nor any other"
    raise DataError(f"{root}: no boxes for {part} ({wanted}, there or in annotations/); {found}")


def _read_tables(root: Path, findings: Findings) -> list[_Table]:
    """The tables of the splits, in the order of the splits; one a split, the subset table (`sub-`) where there are
    several."""
    if root.is_file():
        split = next((split for split in SPLITS if split in root.name), "train")
        return [table] if (table := _read_table(root, split, findings)) else []
    files = {path.name: path for path in reversed(files_below(root, (".csv",)))}
    tables = []
    for split in SPLITS:
        path = next((files[name] for form in _TABLES if (name := form.format(split)) in files), None)
        if path is not None and (table := _read_table(path, split, findings)):
            tables.append(table)
    return tables


def _read_table(path: Path, split: str, findings: Findings) -> _Table | None:
    text = read_text(path, findings)
    if text is None:
        return None
    table: _Table | None = None
    with guarded(path, findings):
        table = _parse_table(path, split, text, findings)
    return table


def _parse_table(path: Path, split: str, text: str, findings: Findings) -> _Table | None:
    reader = csv.DictReader(io.StringIO(text))
    columns = [name.strip() for name in reader.fieldnames or ()]
    absent = [name for name in ("ImageID", *_CORNERS) if name not in columns]
    absent += [] if {"ClassName", "LabelName"} & set(columns) else ["ClassName"]
    if absent:
        findings.error("unreadable-label", path, f"no column {', '.join(absent)} in its first line", line=1)
        return None
    reader.fieldnames = columns
    coded = "ClassName" not in columns
    rows: dict[str, list[_Row]] = {}
    for values in reader:
        row = _read_row(values, path, reader.line_num, "LabelName" if coded else "ClassName", findings)
        if row is not None:
            rows.setdefault((values["ImageID"] or "").strip(), []).append(row)
    return _Table(path, split, rows, coded)


def _read_row(values: Mapping[str, str | None], path: Path, line: int, column: str, findings: Findings) -> _Row | None:
    name = (values[column] or "").strip()
    corners = [number(values[corner] or "") for corner in _CORNERS]
    x1, y1, x2, y2 = (math.nan if value is None else value for value in corners)
    if not name or not (values["ImageID"] or "").strip() or None in corners:
        needed = f"an ImageID, a {column} and numbers for {', '.join(_CORNERS)}"
        findings.error("bad-row", path, f"this row needs {needed}", line=line)
        return None
    if min(x1, y1, x2, y2) < -_FARTHEST or max(x1, y1, x2, y2) > 1 + _FARTHEST:
        text = f"{show(name)} at ({x1:g}, {y1:g}, {x2:g}, {y2:g}): corners are fractions of the picture, from 0 to 1"
        findings.error("bad-row", path, text, line=line)
        return None
    marks = frozenset(mark for mark in _MARKS if (values.get(mark) or "").strip() == "1")
    return _Row(name, (x1, y1, x2, y2), line, marks)


def _without(table: _Table, depictions: bool, groups: bool) -> tuple[_Table, list[Notice]]:
    unwanted = {*(() if depictions else ("IsDepiction",)), *(() if groups else ("IsGroupOf",))}
    kept = {image: [row for row in rows if not row.marks & unwanted] for image, rows in table.rows.items()}
    gone = sum(map(len, table.rows.values())) - sum(map(len, kept.values()))
    text = f"{table.path}: {counted(gone, 'box', 'boxes')} left out ({' and '.join(sorted(unwanted))})"
    return replace(table, rows={image: rows for image, rows in kept.items() if rows}), [Notice(text)] if gone else []


def _class_names(root: Path, tables: Sequence[_Table]) -> tuple[dict[str, str], list[Notice]]:
    """The class of each name in the tables; codes (`/m/01g317`) are looked up in the class descriptions."""
    found = {row.name for table in tables if not table.coded for rows in table.rows.values() for row in rows}
    codes = {row.name for table in tables if table.coded for rows in table.rows.values() for row in rows}
    described = _descriptions(root) if codes else {}
    unknown = sorted(codes - described.keys())
    text = f"{root}: no class description names {', '.join(map(show, unknown))}; the code is used as the class name"
    notices = [Notice(text, "warning")] if unknown else []
    return {name: name for name in found} | {code: described.get(code, code) for code in codes}, notices


def _descriptions(root: Path) -> dict[str, str]:
    """Names by code from `*class-descriptions*.csv`, with or without a header."""
    files = [path for path in files_below(root if root.is_dir() else root.parent, (".csv",)) if _WORD in path.name]
    names: dict[str, str] = {}
    for path in files:
        text = read_whole(path)
        with guarded(path):
            names |= {row[0].strip(): row[1].strip() for row in csv.reader(io.StringIO(text)) if len(row) == 2}
    return names


def _to_samples(
    root: Path, table: _Table, named: Mapping[str, str], findings: Findings, *, only: frozenset[str] | None = None
) -> tuple[list[Sample], list[str]]:
    """The samples of a table, and the images without a picture."""
    pictures, top = Pictures(root), root if root.is_dir() else root.parent
    samples, missing = [], []
    for name, rows in table.rows.items():
        if only is not None and stem_of(name) not in only:
            continue
        near = top / table.split / name if "/" not in name else top / name
        image = pictures.find(name, near=near) or pictures.find(unquote(name), near=near)
        if image is None:
            missing.append(name)
            continue
        size_hw = measure(image, findings)
        if size_hw is not None and is_whole(image, findings):
            labels = tuple(_to_label(row, named[row.name], size_hw) for row in rows)
            samples.append(Sample(image, size_hw, labels, source=table.path))
    return samples, missing


def _to_label(row: _Row, name: str, size_hw: tuple[int, int]) -> Label:
    (x1, y1, x2, y2), (height, width) = row.box, size_hw
    return Label(
        name,
        (x1 * width, y1 * height, x2 * width, y2 * height),
        truncated=float("IsTruncated" in row.marks),
        occluded=int("IsOccluded" in row.marks),
        attributes={_MARKS[mark]: "1" for mark in sorted(row.marks) if _MARKS[mark]},
        line=row.line,
    )
