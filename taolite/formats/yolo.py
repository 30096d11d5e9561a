"""YOLO text labels: `class x y width height`, centre and size as fractions of the image, one line an object.

Class names come from `taolite.formats.yolo_names`. Numbers may be in any notation: `0`, `0.000000` and `0e0` are class
0. A picture without a label file is background, as YOLO's own trainers take it. What the other columns mean is decided
for the whole data set, because one line alone does not tell:

    class x y w h                           box
    class x y w h score                     box with its score, 0 to 1
    class x y w h track                     box; a whole number above 1 somewhere in the column (a tracker's output)
    class x y w h score track               box with its score; likewise
    class x1 y1 ... xn yn                   polygon or turned box (OBB) of three or more corners: the box around it
    class x y w h keypoints                 box, where data.yaml has `kpt_shape`

Everything else is refused by file and line: names instead of numbers, pixels, DOTA's lines, angles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.layout import Named, Target, Writing, class_names, put
from taolite.formats.places import Pictures, label_texts, measure, stem_of
from taolite.formats.shapes import Points, around
from taolite.formats.split import in_split
from taolite.formats.text import first_line, number, read_lines, show
from taolite.formats.yolo_names import LISTS, YoloNames, read_yolo_names
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = ["WRITING", "format_labels", "format_yaml", "looks_like", "read"]

_FARTHEST = 1.5  # a fraction beyond this, or below 1 minus it, is no fraction
_LEAST_POSES = 3  # lines that all look like a box and keypoints before polygons are doubted
_SLACK = 0.02  # of the picture, by which a keypoint may lie outside its box
_NEEDED = "a YOLO label has 5 columns, 6 with a score, or a class and polygon points"


def looks_like(path: Path) -> bool:
    """Whether the first line of a text file is a class and four or more numbers.

    A name in the place of the class, and DOTA's lines, are taken too: they are refused when they are read, in words of
    their own. Fifteen or sixteen columns are KITTI's unless all are fractions.
    """
    fields = first_line(path).split()
    values = [number(field) for field in fields]
    if len(fields) >= 9 and None not in values[:8] and values[8] is None:
        return True
    if len(fields) < 5 or None in values[1:]:
        return False
    if values[0] is None:
        return len(fields) in (5, 6)
    return len(fields) not in (15, 16) or all(abs(value or 0) <= _FARTHEST for value in values[1:])


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of every label file below `root`, by path, then the pictures without one (see `layout.Reader`).

    Raises DataError where no file gives the class names.
    """
    named, pictures = read_yolo_names(root), Pictures(root)

    def wanted(path: Path) -> bool:
        return in_split(path, root, split)

    files = label_texts(root, looks_like, pictures, findings, wanted=wanted, apart_from=LISTS)
    rows = {}
    for path in files:
        if only is None or path.stem in only:
            with guarded(path, findings):
                rows[path] = _read_rows(path, findings)
    dialect = _dialect([row for found in rows.values() for row in found or ()], named)
    if dialect.tracks:
        findings.note("not-kept", root, "the last column holds numbers of tracks; they are not kept")
    samples = []
    for path, found in rows.items():
        with guarded(path, findings):
            sample = _to_sample(path, found, named.names, dialect, pictures, findings)
            if sample is not None:
                samples.append(sample)
    return samples + _background(samples, files, only, pictures, findings)


def format_labels(sample: Sample, ids: Mapping[str, int]) -> str:
    """The label file of one sample; six decimals, as the tools write them."""
    height, width = sample.size_hw
    rows = []
    for label in sample.labels:
        x1, y1, x2, y2 = label.box
        values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(" ".join([str(ids[label.name]), *(f"{value:.6f}" for value in values)]))
    return "".join(f"{row}\n" for row in rows)


def format_yaml(names: Sequence[str]) -> str:
    """The data.yaml beside `images/` and `labels/`."""
    rows = [f"  {index}: '{name.replace(chr(39), chr(39) * 2)}'" for index, name in enumerate(names)]
    return "\n".join(["path: .", "train: images", "val: images", "names:", *rows, ""])


def _write(named: Named, target: Target) -> None:
    names = class_names(named)
    ids = {name: index for index, name in enumerate(names)}
    put(target.root / "data.yaml", format_yaml(names))
    for name, sample in named:
        put(target.root / "labels" / f"{stem_of(name)}.txt", format_labels(sample, ids))


@dataclass(frozen=True)
class _Row:
    """One line of numbers; `first` is the class as it is written."""

    line: int
    first: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Dialect:
    """tracks: how many columns the lines have whose last one is the number of a track. keypoints: how many columns
    the lines have that end in keypoints. poses: how many the lines have that look so without `kpt_shape`."""

    tracks: frozenset[int] = frozenset()
    keypoints: int = 0
    poses: int = 0


def _dialect(rows: Sequence[_Row], named: YoloNames) -> _Dialect:
    def is_tracks(count: int) -> bool:
        last = [row.values[-1] for row in rows if len(row.values) == count]
        return any(value > 1 for value in last) and all(value >= 0 and value.is_integer() for value in last)

    tracks = frozenset(filter(is_tracks, (6, 7)))
    if named.keypoint_values:
        return _Dialect(tracks, keypoints=5 + named.keypoint_values)
    long = [row.values for row in rows if len(row.values) > 7]
    counts = {len(values) for values in long}
    are_poses = len(counts) == 1 and len(long) >= _LEAST_POSES and all(map(_is_pose, long))
    return _Dialect(tracks, poses=counts.pop() if are_poses else 0)


def _is_pose(values: Sequence[float]) -> bool:
    """Whether all points behind the first four numbers lie in the box that those are, as keypoints do."""
    _, x, y, width, height, *points = values
    pairs = zip(points[::2], points[1::2], strict=False)
    return all(
        (u, v) == (0, 0) or (abs(u - x) <= width / 2 + _SLACK and abs(v - y) <= height / 2 + _SLACK) for u, v in pairs
    )


def _read_rows(path: Path, findings: Findings) -> list[_Row] | None:
    """The lines of a label file as numbers, or None where one of them is none."""
    lines = read_lines(path, findings)
    if lines is None:
        return None
    before, rows = len(findings.errors), []
    for line, text in enumerate(lines, start=1):
        fields = text.split()
        values = [number(field) for field in fields]
        if None in values:
            findings.error("bad-line", path, _no_number(fields, values.index(None)), line=line)
        elif fields:
            rows.append(_Row(line, fields[0], tuple(value for value in values if value is not None)))
    return rows if len(findings.errors) == before else None


def _no_number(fields: Sequence[str], at: int) -> str:
    if at == 0 and not fields[0].isdecimal() and fields[0].lower().lstrip("+-") not in ("nan", "inf", "infinity"):
        return f"begins with the name {show(fields[0])}; YOLO's lines begin with the class number, 0 for the first name"
    if at == 8 and len(fields) >= 9:
        return f"a line of DOTA (eight corners, then the name {show(fields[8])}); export as YOLO or YOLO OBB"
    return f"{show(fields[at])} needs to be a finite number"


def _to_sample(
    path: Path,
    rows: Sequence[_Row] | None,
    names: Sequence[str],
    dialect: _Dialect,
    pictures: Pictures,
    findings: Findings,
) -> Sample | None:
    image = pictures.find(path.stem, near=path)
    if image is None:
        text = f"no image is called {show(path.stem)}; restore it or delete this label file"
        findings.error("missing-image", path, text)
        return None
    size_hw = measure(image, findings)
    if size_hw is None or rows is None:
        return None
    before = len(findings.errors)
    found = [_to_label(row, path, names, dialect, size_hw, findings) for row in rows]
    labels = tuple(label for label in found if label is not None)
    return Sample(image, size_hw, labels, source=path) if len(findings.errors) == before else None


def _to_label(
    row: _Row, path: Path, names: Sequence[str], dialect: _Dialect, size_hw: tuple[int, int], findings: Findings
) -> Label | None:
    values, problem = row.values, _problem(row, dialect)
    if problem:
        findings.error("bad-line", path, problem, line=row.line)
        return None
    if not values[0].is_integer() or not 0 <= values[0] < len(names):
        many = f"{len(names)} {'is' if len(names) == 1 else 'are'} named"
        text = f"class {show(row.first)} has no name; {many}, numbered from 0"
        findings.error("unknown-class", path, text, line=row.line)
        return None
    name, (height, width) = names[int(values[0])], size_hw
    if len(values) > 6 and len(values) not in dialect.tracks and len(values) != dialect.keypoints:
        points: Points = tuple((x * width, y * height) for x, y in zip(values[1::2], values[2::2], strict=True))
        return Label(name, around(points), points=points, line=row.line)
    x, y, w, h = (value * side for value, side in zip(values[1:5], (width, height) * 2, strict=True))
    has_score = len(values) in (6, 7) and not (len(values) == 6 and 6 in dialect.tracks)
    score = values[5] if has_score and len(values) != dialect.keypoints else None
    return Label(name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), score=score, line=row.line)


def _problem(row: _Row, dialect: _Dialect) -> str:
    """Why a line cannot be used; "" for one that can."""
    values, count = row.values, len(row.values)
    if count == dialect.keypoints:
        fractions = values[1:5]
    elif count == dialect.poses:
        return f"{count} columns, which look like a box and keypoints; data.yaml needs `kpt_shape`, e.g. [17, 2]"
    elif count < 5 or (count > 6 and count % 2 == 0):
        hint = "; for keypoints data.yaml needs `kpt_shape`" if count > 6 else ""
        return f"{counted(count, 'column')} found; {_NEEDED}{hint}"
    elif count in (6, 7) and (count in dialect.tracks or count == 6):
        fractions = values[1:5]
        score = values[5]
        if not (count == 6 and 6 in dialect.tracks) and not 0 <= score <= 1:
            return f"column 6 is {score:g}, which is no score from 0 to 1 (an angle, or another dialect?); {_NEEDED}"
    else:
        fractions = values[1:]
    far = next((value for value in fractions if not 1 - _FARTHEST <= value <= _FARTHEST), None)
    if far is not None:
        return f"{far:g} is no fraction of the picture; YOLO's values are 0 to 1 (for pixels: divide by the size)"
    return ""


def _background(
    samples: Sequence[Sample],
    files: Sequence[Path],
    only: frozenset[str] | None,
    pictures: Pictures,
    findings: Findings,
) -> list[Sample]:
    """The pictures without a label file, in folders with labelled ones."""
    folders, found = {path.parent for path in files}, []
    for image in pictures.unlabelled((sample.image for sample in samples), only=only):
        labelled = any((folder / f"{stem_of(image.name)}.txt").exists() for folder in folders)
        size_hw = None if labelled else measure(image, findings)
        if size_hw is not None:
            findings.note("image-without-label", image, "no label file: taken as background, with nothing in it")
            found.append(Sample(image, size_hw))
    return found


WRITING = Writing(_write, "images", cut=True)
