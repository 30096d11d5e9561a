"""The part of Open Images that shows some classes: pytorch-ssd's `open_images_downloader.py`, and what it lacks.

    ROOT/class-descriptions-boxable.csv                    600 classes, code and name
    ROOT/{train,validation,test}-annotations-bbox.csv      all boxes (train: 1.1 GB)
    ROOT/sub-{train,validation,test}-annotations-bbox.csv  those that were asked for, with `id` and `ClassName`
    ROOT/{train,validation,test}/<ImageID>.jpg             their pictures, about 350 KB each
    ROOT/SHA256SUMS                                        the checksums of what was downloaded (`checksums`)

Which images a limit keeps is a function of their ids alone: a later run with the same or a larger limit goes on with
the same ones (reference/jetson_workflows.md 4.3). Files that are there are kept.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from taolite.errors import DataError, UsageError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import open_atomic
from taolite.formats.checksums import Checksums
from taolite.formats.openimages import SPLITS
from taolite.formats.text import show
from taolite.formats.transfer import Outcome, fetch

__all__ = ["IMAGES_URL", "TABLES_URL", "Selection", "SplitReport", "download_images", "select"]

TABLES_URL = "https://storage.googleapis.com/openimages/2018_04"
IMAGES_URL = "https://open-images-dataset.s3.amazonaws.com"
_CLASSES = "class-descriptions-boxable.csv"
_COVERED = 0.5  # share of a box inside a group's, from which it counts as part of the group
_PROGRESS_EVERY = 20

Row = dict[str, str]


@dataclass(frozen=True)
class Selection:
    """What is asked for: the rows of each split, with `id` and `ClassName`, and the columns in the table's order."""

    rows: Mapping[str, Sequence[Row]]
    columns: Sequence[str]

    def images(self, split: str) -> list[str]:
        """The ids of its images, in the order of the table."""
        return list(dict.fromkeys(row["ImageID"] for row in self.rows[split]))

    def counts(self, split: str) -> dict[str, tuple[int, int]]:
        """(boxes, images) of each class, by name."""
        boxes = Counter(row["ClassName"] for row in self.rows[split])
        images = Counter(name for _, name in {(row["ImageID"], row["ClassName"]) for row in self.rows[split]})
        return {name: (boxes[name], images[name]) for name in sorted(boxes)}


@dataclass
class SplitReport:
    """What became of the pictures of one split: how many of each state, and the ids that did not come."""

    wanted: int
    kept: int = 0
    fetched: int = 0
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


Fetch = Callable[..., Outcome]


def select(
    root: Path,
    class_names: Sequence[str],
    *,
    include_depiction: bool = False,
    remove_overlapped: bool = False,
    max_images: int = -1,
    max_annotations_per_class: int = -1,
    tables_url: str = TABLES_URL,
    retries: int = 10,
    fetch: Fetch = fetch,
    listener: Listener = silent,
) -> Selection:
    """Fetch the tables, and choose the boxes.

    Args:
        root: where everything goes.
        class_names: in any case.
        include_depiction: whether drawings (`IsDepiction` 1) count.
        remove_overlapped: leave out boxes of which half or more lies in a group's box (`IsGroupOf` 1) of their class.
        max_images: at most so many images, shared out to the splits by their sizes; all where it is not above 0.
        max_annotations_per_class: at most so many boxes of a class in each split; all where it is not above 0.
        tables_url: holds `class-descriptions-boxable.csv` and `<split>/<split>-annotations-bbox.csv`.
        retries: of each transfer.
        fetch: brings one file, as `transfer.fetch`.
        listener: takes what is being fetched.

    Raises:
        UsageError: no class, or one that there is not, with the nearest names.
        DataError: a table that cannot be had or read, or a SHA256SUMS of another form.
        StorageError: the disk is full.
    """
    root.mkdir(parents=True, exist_ok=True)
    sums = Checksums(root)

    def table(name: str, place: str) -> Path:
        path = root / name
        if not path.is_file():
            listener(Notice(f"fetching {tables_url}/{place}"))
        outcome = fetch(f"{tables_url}/{place}", path, sha256=sums.needed(path), retries=retries)
        if outcome.state in ("missing", "failed"):
            raise DataError(f"{tables_url}/{place}: could not be fetched ({outcome.reason}); run it again to go on")
        if outcome.state == "fetched":
            sums.note(path, outcome.sha256)
            sums.save()
        return path

    names = _codes(table(_CLASSES, _CLASSES), class_names)
    rows: dict[str, list[Row]] = {}
    columns: list[str] = []
    for split in SPLITS:
        name = f"{split}-annotations-bbox.csv"
        columns, found = _read_rows(table(name, f"{split}/{name}"), names)
        found = [row for row in found if include_depiction or row["IsDepiction"] != "1"]
        found = _without_overlapped(found) if remove_overlapped else found
        rows[split] = _limit_boxes(found, max_annotations_per_class)
    return Selection(_limit_images(rows, max_images), [*columns, "id", "ClassName"])


def download_images(
    selection: Selection,
    root: Path,
    *,
    images_url: str = IMAGES_URL,
    num_workers: int = 10,
    retries: int = 10,
    fetch: Fetch = fetch,
    listener: Listener = silent,
) -> dict[str, SplitReport]:
    """Write the tables of the selection and bring its pictures, `num_workers` at a time; a report of each split.

    A picture that the server has not, or that fails `retries` times, is reported and does not stop the others.
    Raises StorageError where the disk is full.
    """
    reports, sums = {split: SplitReport(len(selection.images(split))) for split in SPLITS}, Checksums(root)
    for split in SPLITS:
        _write_rows(root / f"sub-{split}-annotations-bbox.csv", selection.rows[split], selection.columns)
        (root / split).mkdir(exist_ok=True)
    wanted = [(split, image) for split in SPLITS for image in selection.images(split)]
    with ThreadPoolExecutor(max_workers=num_workers) as pool:
        bring = partial(_bring, root, images_url, sums, partial(fetch, retries=retries))
        running = {pool.submit(bring, split, image): (split, image) for split, image in wanted}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                split, image = running[future]
                _note(reports[split], image, future.result())
                if done % _PROGRESS_EVERY == 0 or done == len(wanted):
                    listener(Progress("download", done, len(wanted)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            sums.save()
    for report in reports.values():
        report.missing.sort()
        report.failed.sort()
    return reports


def _bring(root: Path, images_url: str, sums: Checksums, fetch: Fetch, split: str, image: str) -> Outcome:
    path = root / split / f"{image}.jpg"
    outcome = fetch(f"{images_url}/{split}/{image}.jpg", path, sha256=sums.needed(path))
    if outcome.state == "fetched":
        sums.note(path, outcome.sha256)
    return outcome


def _note(report: SplitReport, image: str, outcome: Outcome) -> None:
    if outcome.state == "kept":
        report.kept += 1
    elif outcome.state == "fetched":
        report.fetched += 1
    else:
        (report.missing if outcome.state == "missing" else report.failed).append(image)
        report.reasons[image] = outcome.reason


def _codes(path: Path, class_names: Sequence[str]) -> dict[str, str]:
    """Name by code of the classes that are asked for."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        known = {row[1]: row[0] for row in csv.reader(stream) if len(row) == 2}
    by_lower = {name.lower(): name for name in known}
    wanted = [name.strip() for name in class_names if name.strip()]
    problems = []
    for name in wanted:
        if name.lower() not in by_lower:
            near = difflib.get_close_matches(name.lower(), by_lower, n=3)
            hint = f"; did you mean {' or '.join(show(by_lower[one]) for one in near)}?" if near else ""
            problems.append(f"{show(name)}{hint}")
    if problems:
        raise UsageError(f"Open Images has no class {', nor '.join(problems)} ({len(known)} classes are in {path})")
    if not wanted:
        raise UsageError("--class-names is empty; it needs names of classes, such as Apple,Banana")
    return {known[by_lower[name.lower()]]: by_lower[name.lower()] for name in wanted}


def _read_rows(path: Path, names: Mapping[str, str]) -> tuple[list[str], list[Row]]:
    """The columns of a table, and its rows of these classes; the others are passed over without a copy."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        columns = next(reader, [])
        absent = [name for name in ("ImageID", "LabelName", "IsDepiction", "IsGroupOf") if name not in columns]
        if absent:
            raise DataError(f"{path}: no column {', '.join(absent)}; remove this file so that it is fetched again")
        place = columns.index("LabelName")
        rows = []
        for values in reader:
            if len(values) != len(columns):
                text = f"{len(values)} columns, {len(columns)} are needed; remove this file so that it is fetched again"
                raise DataError(f"{path}:{reader.line_num}: {text}")
            code = values[place]
            if code in names:
                rows.append({**dict(zip(columns, values, strict=True)), "id": code, "ClassName": names[code]})
    return columns, rows


def _write_rows(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    with open_atomic(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text.flush()
        text.detach()


def _without_overlapped(rows: Sequence[Row]) -> list[Row]:
    """The rows without single boxes that lie in a group's box of the same class and image."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["IsGroupOf"] == "1":
            groups.setdefault((row["ImageID"], row["LabelName"]), []).append(row)

    def is_covered(row: Row) -> bool:
        around = groups.get((row["ImageID"], row["LabelName"]), ())
        return row["IsGroupOf"] != "1" and any(_share_inside(row, group) >= _COVERED for group in around)

    return [row for row in rows if not is_covered(row)]


def _share_inside(row: Row, group: Row) -> float:
    """The share of a row's area that lies in the group's box."""

    def overlap(low: str, high: str) -> float:
        return max(0.0, min(float(row[high]), float(group[high])) - max(float(row[low]), float(group[low])))

    area = (float(row["XMax"]) - float(row["XMin"])) * (float(row["YMax"]) - float(row["YMin"]))
    return overlap("XMin", "XMax") * overlap("YMin", "YMax") / area if area > 0 else 0.0


def _limit_boxes(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` rows of each class, image by image in the order of `_rank`."""
    if limit <= 0:
        return list(rows)
    left = Counter({row["LabelName"]: limit for row in rows})
    kept = set()
    for index in sorted(range(len(rows)), key=lambda index: _rank(rows[index]["ImageID"])):
        if left[rows[index]["LabelName"]]:
            left[rows[index]["LabelName"]] -= 1
            kept.add(index)
    return [row for index, row in enumerate(rows) if index in kept]


def _limit_images(rows: Mapping[str, Sequence[Row]], limit: int) -> Mapping[str, Sequence[Row]]:
    """At most `limit` images of all splits together, each split its share."""
    images = {split: {row["ImageID"] for row in found} for split, found in rows.items()}
    total = sum(map(len, images.values()))
    if limit <= 0 or total <= limit:
        return rows
    kept = {split: set(sorted(found, key=_rank)[: int(limit * len(found) / total)]) for split, found in images.items()}
    return {split: [row for row in found if row["ImageID"] in kept[split]] for split, found in rows.items()}


def _rank(image: str) -> bytes:
    """A place in an order that is as good as random, and always the same."""
    return hashlib.sha256(image.encode()).digest()
