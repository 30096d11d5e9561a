"""KITTI object labels: one text file an image, one line an object, columns separated by blanks.

    type truncated occluded alpha left top right bottom height width length x y z rotation_y [score]

Pixels count from 0 and edges are taken as continuous, as TAO does: columns 5 to 8 are our box as they stand. The 3-D
columns (metres, radians) are kept in `Label.attributes` under the names of `WORLD`, where one of them is not 0. A 16th
column is a score: TAO refuses it, we read it. Lines stay in file order; `DontCare` is a class like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from taolite.errors import DataError
from taolite.formats.attributes import WORLD
from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.layout import Named, Target, Writing, put
from taolite.formats.places import Pictures, label_texts, measure, stem_of
from taolite.formats.split import in_split
from taolite.formats.text import LARGEST, first_line, number, read_lines, show
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = [
    "WORLD",
    "WRITING",
    "format_label",
    "format_labels",
    "looks_like",
    "parse_labels",
    "read",
    "require_writable",
]

_COLUMNS = 15
_FRACTION = 1.5  # fractions of a picture are not beyond this


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of every label file below `root`, by name (see `layout.Reader`).

    Folders may be called anything (`image_2` and `label_2`, `images` and `labels`, one folder for both). An empty
    label file is a background image.
    """
    pictures, samples = Pictures(root), []

    def wanted(path: Path) -> bool:
        return in_split(path, root, split)

    for path in label_texts(root, looks_like, pictures, findings, wanted=wanted):
        if only is not None and path.stem not in only:
            continue
        with guarded(path, findings):
            labels = parse_labels(path, findings)
            image = pictures.find(path.stem, near=path)
            if image is None:
                text = f"no image is called {show(path.stem)}; restore it or delete this label file"
                findings.error("missing-image", path, text)
                continue
            size_hw = measure(image, findings)
            if size_hw is not None and labels is not None:
                samples.append(Sample(image, size_hw, labels, source=path))
    return samples


def looks_like(path: Path) -> bool:
    """Whether the first line of a text file has KITTI's columns: a name, then 14 or 15 numbers.

    A line that is all fractions is a polygon of YOLO's.
    """
    fields = first_line(path).split()
    numbers = [number(field) for field in fields[-14:]]
    if len(fields) not in range(_COLUMNS, _COLUMNS + 4) or None in numbers:
        return False
    return number(fields[0]) is None or any(abs(value or 0) > _FRACTION for value in numbers)


def parse_labels(path: Path, findings: Findings) -> tuple[Label, ...] | None:
    """The labels of one file, in file order, each with its line; None where the file cannot be used.

    Every bad line of the file is an error in `findings`. Boxes are given as written, also swapped or empty ones.
    """
    lines = read_lines(path, findings)
    if lines is None:
        return None
    before = len(findings.errors)
    labels = []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        label = _parse_line(text, path, line, findings)
        if label is not None:
            labels.append(label)
    return tuple(labels) if len(findings.errors) == before else None


def require_writable(names: Mapping[str, str]) -> None:
    """Raise one DataError for all class names with a blank in them, which no KITTI reader can tell from a column.

    names: where each stands first, as FILE:LINE.
    """
    bad = [name for name in names if name.split() != [name]]
    if bad:
        flags = " ".join(f'--rename "{name}={"_".join(name.split()) or "NAME"}"' for name in bad)
        listed = ", ".join(f"{show(name)} ({names[name]})" for name in bad)
        raise DataError(
            f"class name{'s' if len(bad) > 1 else ''} {listed} cannot stand in a KITTI file, "
            f"whose columns are separated by blanks; rename with {flags}"
        )


def _write(named: Named, target: Target) -> None:
    for name, sample in named:
        put(target.root / "label_2" / f"{stem_of(name)}.txt", format_labels(sample.labels))


def format_label(label: Label) -> str:
    """One KITTI line, two decimals as in the benchmark; a 16th column where the label has a score.

    The class name must have passed `require_writable`.
    """
    numbers = [label.alpha, *label.box, *(float(label.attributes.get(name, 0)) for name in WORLD)]
    columns = [label.name, f"{label.truncated:.2f}", str(label.occluded), *(f"{value:.2f}" for value in numbers)]
    return " ".join(columns if label.score is None else [*columns, f"{label.score:.3f}"])


def format_labels(labels: Sequence[Label]) -> str:
    """A whole label file; empty for a background image."""
    return "".join(f"{format_label(label)}\n" for label in labels)


def _parse_line(text: str, path: Path, line: int, findings: Findings) -> Label | None:
    fields = text.split()
    numbers = _numbers(fields[1:])
    if numbers is None or len(fields) not in (_COLUMNS, _COLUMNS + 1):
        findings.error("bad-line", path, _problem(fields), line=line)
        return None
    truncated, occluded, alpha, x1, y1, x2, y2, *world = numbers[: _COLUMNS - 1]
    attributes = {name: repr(value) for name, value in zip(WORLD, world, strict=True)} if any(world) else {}
    score = numbers[_COLUMNS - 1] if len(fields) > _COLUMNS else None
    box = (x1, y1, x2, y2)
    return Label(fields[0], box, truncated, int(occluded), alpha, score=score, attributes=attributes, line=line)


def _numbers(fields: Sequence[str]) -> list[float] | None:
    """All of a line's numbers, or None where one of them cannot be meant."""
    try:
        numbers = list(map(float, fields))
    except ValueError:
        return None
    return numbers if all(abs(value) <= LARGEST for value in numbers) else None  # not a number is not less either


def _problem(fields: Sequence[str]) -> str:
    """What is wrong with a line."""
    values = [number(field) for field in fields[1:]]
    bad = next((i for i, value in enumerate(values) if value is None), None)
    if bad == 0 and len(fields) > _COLUMNS:
        name = " ".join(fields[: len(fields) - _COLUMNS + 1])
        return f"class name {show(name)} holds a blank, and blanks separate columns; rename it"
    if len(fields) not in (_COLUMNS, _COLUMNS + 1):
        found = counted(len(fields), "column")
        return f"{found} found; a KITTI label has 15, or 16 with a score"
    if bad is not None:
        return f"column {bad + 2} is {show(fields[bad + 1])}; it needs to be a finite number"
    return f"a value beyond {LARGEST:.0e} is neither pixel nor metre"


WRITING = Writing(_write, "image_2", keeps=frozenset({"score"}), one_extension=True, require=require_writable)
