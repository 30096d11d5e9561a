"""`check`: everything wrong with a data set, by file and line, before a training run finds out.

Problems: labels or pictures that cannot be read, images without labels and labels without images, sizes that
contradict the picture, boxes that are swapped, empty or outside the image, classes nobody expects, pictures that occur
twice, pictures that training and validation share. Notes: points and lines (no area), and nearly identical boxes of
one class, which may be meant. Every picture is decoded whole, so a truncated one is found; pictures are compared by
their pixels, so a copy in another file format is one too.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taolite.boxes import iou_matrix
from taolite.errors import DataError
from taolite.events import Listener, Progress, silent
from taolite.formats.findings import HARMLESS, Finding, Findings
from taolite.formats.photo import read_photo
from taolite.formats.printing import is_control
from taolite.formats.reading import collect, detect
from taolite.formats.registry import find_format
from taolite.formats.shapes import WITHOUT_AREA
from taolite.formats.split import parts_of
from taolite.formats.text import plain, show
from taolite.sample import Label, Sample

__all__ = ["CheckReport", "check"]

_TOLERANCE = 0.1  # pixels a box may leave the image by: the rounding of text formats, not a mistake
_SAME_BOX = 0.7  # IoU of two boxes of one class from which they may be one object labelled twice
_DISJOINT = (("train", "val"), ("train", "test"), ("val", "test"), ("trainval", "test"))
_PROGRESS_EVERY = 20


@dataclass(frozen=True)
class CheckReport:
    """What was looked at and what was found; `problems` and `notes` are sorted by file and line."""

    path: Path
    format: str
    images: int
    labels: int
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def check(
    path: Path,
    format: str | None = None,
    *,
    splits: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    against: Path | None = None,
    outside: bool = False,
    listener: Listener = silent,
) -> CheckReport:
    """Look at a whole data set.

    Args:
        path: a folder or label file.
        format: recognised where it is None.
        splits: splits (see `formats.read`); only these images are checked, and no two splits may share one. Without,
            the lists or split folders of the data set are compared.
        classes: the names that labels may have; None allows all.
        against: another data set that must share no picture with this one.
        outside: allow pictures that label files name outside `path` and its parent folder.
        listener: takes progress.

    Raises PathError, UsageError or DataError only where there is nothing to check.
    """
    format = find_format(detect(path) if format is None else format).name
    findings = Findings()
    parts: dict[str, list[Sample]] = {}
    for split in dict.fromkeys(splits):
        parts[split] = collect(path, format, split=split, outside=outside, findings=findings)
    if splits:
        samples = list({(one.image, one.source): one for part in parts.values() for one in part}.values())
    else:
        samples = collect(path, format, outside=outside, findings=findings)
        parts = parts_of(path, samples)
    notes = [finding for finding in findings.notes if finding.kind in HARMLESS]
    problems = findings.errors + [finding for finding in findings.notes if finding.kind not in HARMLESS]
    for sample in samples:
        problems += _check_boxes(sample, classes)
        notes += _check_doubles(sample)
    problems += _check_names(samples)
    prints = _fingerprints(samples, problems, listener)
    problems += _check_copies(samples, prints)
    members = {name: frozenset(sample.image for sample in part) for name, part in parts.items()}
    problems += _check_leaks(samples, prints, members, declared=bool(splits))
    if against is not None:
        problems += _check_against(samples, prints, against)
    labels = sum(len(sample.labels) for sample in samples)
    return CheckReport(path, format, len(samples), labels, tuple(sorted(set(problems))), tuple(sorted(set(notes))))


def _check_names(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Class names with control characters or line breaks: where each stands first."""
    first: dict[str, tuple[Sample, Label]] = {}
    for sample in samples:
        for label in sample.labels:
            first.setdefault(label.name, (sample, label))
    for name, (sample, label) in first.items():
        if any(map(is_control, name)):
            text = f"{_who(label)}class name {show(name)} holds control characters or line breaks; rename it"
            yield Finding(sample.source or sample.image, label.line, "control-character", text)
        elif not name.strip():
            text = f"{_who(label)}a class name is empty; name it"
            yield Finding(sample.source or sample.image, label.line, "empty-name", text)


def _check_boxes(sample: Sample, classes: Sequence[str] | None) -> Iterator[Finding]:
    height, width = sample.size_hw
    path = sample.source or sample.image
    for label in sample.labels:
        who = f"{_who(label)}{label.name}"
        x1, y1, x2, y2 = label.box
        box = f"({', '.join(map(plain, label.box))})"
        if classes is not None and label.name not in classes:
            near = difflib.get_close_matches(label.name, classes, n=1)
            hint = f"did you mean {show(near[0])}?" if near else f"the classes are {', '.join(classes)}"
            yield Finding(
                path, label.line, "unknown-class", f"{_who(label)}class {show(label.name)} is unknown; {hint}"
            )
        if label.attributes.get("shape") in WITHOUT_AREA:
            continue
        if x1 > x2 or y1 > y2:
            text = f"{who} has swapped corners {box}; it needs x1 < x2 and y1 < y2"
            yield Finding(path, label.line, "swapped", text)
        elif x1 == x2 or y1 == y2:
            side = "no width" if x1 == x2 else "no height"
            side = "no width and no height" if x1 == x2 and y1 == y2 else side
            yield Finding(path, label.line, "zero-size", f"{who} has {side} {box}; draw it again or remove it")
        else:
            beyond = max(-x1, -y1, x2 - width, y2 - height)
            if beyond > _TOLERANCE:
                text = f"{who} {box} leaves the {width}x{height} image by {plain(beyond)} pixels"
                yield Finding(path, label.line, "outside", text)


def _check_doubles(sample: Sample) -> Iterator[Finding]:
    """Pairs of one class that cover nearly the same place."""
    overlap = np.triu(iou_matrix(sample.boxes_n4, sample.boxes_n4), k=1)
    for first, second in np.argwhere(overlap > _SAME_BOX):
        label, other = sample.labels[first], sample.labels[second]
        if label.name == other.name and label.attributes.get("group") == other.attributes.get("group"):
            where = f"the one of line {label.line}" if label.line else "another one"
            text = (
                f"{_who(other)}{other.name} covers nearly the same place as {where} (IoU {overlap[first, second]:.2f})"
            )
            yield Finding(sample.source or sample.image, other.line, "double", text)


def _who(label: Label) -> str:
    """COCO's annotations have an id where other formats have a line."""
    return f"annotation {label.attributes['id']}: " if "id" in label.attributes else ""


def _fingerprints(samples: Sequence[Sample], problems: list[Finding], listener: Listener) -> list[bytes | None]:
    """A hash of each picture's size and pixels; None for a damaged one, which becomes a problem."""
    prints: list[bytes | None] = []
    for index, sample in enumerate(samples, start=1):
        try:
            photo = read_photo(sample)
            prints.append(hashlib.blake2b(photo.tobytes() + str(photo.shape).encode(), digest_size=16).digest())
        except DataError as error:
            prints.append(None)
            text = str(error).removeprefix(f"{sample.image}: ").removeprefix(f"{sample.source}: ")
            problems.append(Finding(sample.image, 0, "unreadable-image", text))
        if index % _PROGRESS_EVERY == 0 or index == len(samples):
            listener(Progress("check", index, len(samples)))
    return prints


def _by_print(samples: Sequence[Sample], prints: Sequence[bytes | None]) -> dict[bytes, list[Sample]]:
    groups: dict[bytes, list[Sample]] = {}
    for sample, mark in zip(samples, prints, strict=True):
        if mark is not None:
            groups.setdefault(mark, []).append(sample)
    return groups


def _check_copies(samples: Sequence[Sample], prints: Sequence[bytes | None]) -> Iterator[Finding]:
    for group in _by_print(samples, prints).values():
        first = group[0]
        for sample in group[1:]:
            if sample.image == first.image:
                yield Finding(sample.source or sample.image, 0, "duplicate", f"labels {first.image} a second time")
                continue
            same = _without_places(sample) == _without_places(first)
            labels = "the same labels" if same else "other labels"
            text = f"the same picture as {first.image}, with {labels}; keep one of them"
            yield Finding(sample.image, 0, "duplicate", text)


def _without_places(sample: Sample) -> list[tuple[str, tuple[float, ...]]]:
    return sorted((label.name, label.box) for label in sample.labels)


def _check_leaks(
    samples: Sequence[Sample], prints: Sequence[bytes | None], parts: Mapping[str, frozenset[Path]], *, declared: bool
) -> Iterator[Finding]:
    """Pictures that two parts share, by name or by pixels. `declared` parts are all meant to be apart."""
    pairs = (
        itertools.combinations(parts, 2) if declared else ((a, b) for a, b in _DISJOINT if a in parts and b in parts)
    )
    groups = _by_print(samples, prints)
    for first, second in ((a, b) for a, b in pairs if a in parts and b in parts):
        for group in groups.values():
            left = [sample for sample in group if sample.image in parts[first]]
            right = [sample for sample in group if sample.image in parts[second]]
            for sample in right:
                if sample in left:
                    yield Finding(sample.image, 0, "leak", f"is in {first} and in {second}; take it out of one")
                elif left:
                    text = f"is in {second}, and the same picture is in {first} as {left[0].image}; take one out"
                    yield Finding(sample.image, 0, "leak", text)


def _check_against(samples: Sequence[Sample], prints: Sequence[bytes | None], against: Path) -> Iterator[Finding]:
    others = collect(against, None, findings=Findings())
    theirs = _by_print(others, _fingerprints(others, [], silent))
    for sample, mark in zip(samples, prints, strict=True):
        if mark is not None and mark in theirs:
            text = f"the same picture as {theirs[mark][0].image}; training and validation must not share it"
            yield Finding(sample.image, 0, "leak", text)
