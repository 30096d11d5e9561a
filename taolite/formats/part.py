"""One part of a detection data set, ready for training: samples, classes, and notices for the user.

The readers of whole trainer layouts (`voc_sets`, `openimages`) share this code. Labels of other classes, and labels
without area inside their picture, are left out and reported by file and line. A picture with no label left stays, as
background.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from taolite.errors import DataError, UsageError
from taolite.events import Notice
from taolite.formats.findings import SHOWN, Finding, Findings, count_by_kind
from taolite.formats.holdout import split_samples
from taolite.formats.text import plain, read_whole, show
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = ["BACKGROUND", "DataPart", "fit_labels", "own_split", "read_labels", "strangers", "summarise", "tell"]

BACKGROUND = "BACKGROUND"  # pytorch-ssd's name of class 0, which no label has
_SHOWN = 3  # findings of one kind that are reported one by one
_PERCENT, _SEED = 20, 42  # % of the samples for validation, and random seed, of our own split


class DataPart(NamedTuple):
    """Samples; classes without background, in the order of their numbers; notices for the user; and the label names
    that are not among the classes, with the number of labels of each."""

    samples: list[Sample]
    classes: tuple[str, ...]
    notices: tuple[Notice, ...]
    strangers: Mapping[str, int]


def fit_labels(samples: Sequence[Sample], classes: Sequence[str], findings: Findings) -> list[Sample]:
    """The samples with the labels that can be trained on: labels of `classes`, cut to their picture, with an area
    there.

    A name that differs from a class only in case counts as that class. Labels left out go to `findings` as notes.
    """
    return [replace(sample, labels=tuple(_fit_labels(sample, classes, findings))) for sample in samples]


def strangers(samples: Sequence[Sample], classes: Sequence[str]) -> Mapping[str, int]:
    """The names for which `fit_labels` finds no class, and how many labels have each."""
    names = Counter(label.name for sample in samples for label in sample.labels)
    return {name: count for name, count in sorted(names.items()) if _class_of(name, classes) is None}


def read_labels(path: Path) -> tuple[tuple[str, ...], list[Notice]]:
    """The classes of a `labels.txt`, one a line, without background. Blank lines, a line BACKGROUND and repeated names
    are ignored and reported. Raises DataError where no class is left."""
    lines = [line.strip() for line in read_whole(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    names: list[str] = []
    notices = []
    for number, line in enumerate(lines, start=1):
        if line and line.upper() != BACKGROUND and line not in names:
            names.append(line)
            continue
        what = "is blank" if not line else f"is {show(line)}{' a second time' if line in names else ''}"
        notices.append(Notice(f"{path}:{number}: this line {what}; it is ignored", "warning"))
    if not names:
        raise DataError(f"{path}: no class names found; write one name a line, without {BACKGROUND}")
    return tuple(names), notices


def own_split(root: Path, split: str, samples: Sequence[Sample]) -> tuple[list[Sample], list[Notice]]:
    """Four fifths of the samples for `train`, the rest for any other word; the same at every call, with a warning.

    Raises DataError for fewer than two samples.
    """
    if len(samples) < 2:
        many = counted(len(samples), "image")
        raise DataError(f"{root}: {many} cannot be split into training and validation; add images")
    try:
        train, held = split_samples(samples, percent=_PERCENT, seed=_SEED)
    except UsageError as error:
        text = (
            "pictures are the same, and the same picture must not train and validate; add a list of images to validate"
        )
        raise DataError(f"{root}: too many of its {len(samples)} {text}") from error
    many = counted(len(train), "image")
    text = f"no split lists found: using a fixed split, {many} for training, {len(held)} for validation"
    return (train if split == "train" else held), [Notice(f"{root}: {text}", "warning")]


def tell(
    source: Path, names: Sequence[str], of: int, what: str, *, level: Literal["info", "warning"] = "warning"
) -> list[Notice]:
    """One notice on the images `names` of the `of` images of `source`, with the first ten names; no notice if `names`
    is empty."""
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    some = ", ".join(show(name) for name in names[:SHOWN])
    return [Notice(f"{source}: {len(names)} of {of} images {what}: {some}{more}", level)]


def summarise(root: Path, findings: Sequence[Finding]) -> list[Notice]:
    """Warnings for the first three findings of each kind, and the number of further findings of that kind."""
    notices = []
    for kind, count in count_by_kind(findings).items():
        shown = [finding for finding in findings if finding.kind == kind][:_SHOWN]
        notices += [Notice(str(finding), "warning") for finding in shown]
        if count > _SHOWN:
            text = f"{root}: {count - _SHOWN} more like this ({kind}); `taolite dataset check {root}` lists them"
            notices.append(Notice(text, "warning"))
    return notices


def _fit_labels(sample: Sample, classes: Sequence[str], findings: Findings) -> Iterator[Label]:
    path = sample.source or sample.image
    for label in sample.labels:
        name = _class_of(label.name, classes)
        if name is None:
            near = difflib.get_close_matches(label.name, classes, n=1)
            hint = f"; did you mean {show(near[0])}?" if near else ""
            text = f"{show(label.name)} is not one of the classes ({', '.join(classes)}) and is left out{hint}"
            findings.note("unknown-class", path, text, line=label.line)
            continue
        if name != label.name:
            text = f"{show(label.name)} is read as the class {show(name)}"
            findings.note("other-case", path, text, line=label.line)
        box = _cut(label, sample.size_hw)
        if box is None:
            corners, (height, width) = ", ".join(map(plain, label.box)), sample.size_hw
            text = f"{show(label.name)} at ({corners}) has no area inside the {width}x{height} picture; it is left out"
            findings.note("no-area", path, text, line=label.line)
            continue
        yield replace(label, name=name, box=box)


def _class_of(name: str, classes: Sequence[str]) -> str | None:
    if name in classes:
        return name
    alike = [one for one in classes if one.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _cut(label: Label, size_hw: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """The part of a box that lies in the picture; None where no part does."""
    x1, y1, x2, y2 = label.box
    height, width = size_hw
    cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    return cut if cut[0] < cut[2] and cut[1] < cut[3] else None
