"""YOLO text labels: `class x y width height`, centre and size as fractions of the image, one line an object.

Class names are in `data.yaml` (or `dataset.yaml`), or one a line in `classes.txt`, `obj.names` or `labels.txt`. A
sixth number is a score, an odd count from seven on is a polygon. A picture without a label file is background, as
YOLO's own trainers take it. Of YAML only what such files hold is read: `names` as a list or a numbered map.
"""

from __future__ import annotations

import re
from pathlib import Path

from taolite.errors import DataError
from taolite.formats.findings import Findings
from taolite.formats.places import Pictures, label_texts, measure, stem_of
from taolite.formats.shapes import Points, around
from taolite.formats.text import number, read_lines, read_whole, show
from taolite.sample import Label, Sample

__all__ = ["format_labels", "format_yaml", "looks_like", "read", "read_names"]

_YAML = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels.txt", "classes.names")


def looks_like(path: Path) -> bool:
    """Whether the first line of a text file is a class number and four or more numbers."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            fields = next((line.split() for line in stream if line.strip()), [])
    except UnicodeDecodeError:
        return False
    counts = len(fields) in (5, 6) or (len(fields) >= 7 and len(fields) % 2 == 1)
    return counts and fields[0].isdigit() and all(number(field) is not None for field in fields)


def read(root: Path, *, only: frozenset[str] | None, findings: Findings, split: str | None = None) -> list[Sample]:
    """Samples of every label file below `root`, by path, then the pictures without one.

    `split` keeps the files with a folder of that name in their path, where there are such (`labels/train`).
    Raises DataError where no file gives the class names.
    """
    names, pictures, samples = read_names(root), Pictures(root), []
    files = label_texts(root, looks_like, pictures, apart_from=_LISTS)
    folders = {path.parent for path in files}
    if split is not None and any(split in path.relative_to(root).parts[:-1] for path in files):
        files = [path for path in files if split in path.relative_to(root).parts[:-1]]
    for path in files:
        if only is not None and path.stem not in only:
            continue
        image = pictures.find(path.stem, near=path)
        if image is None:
            text = f"no image called {path.stem} for these labels; restore it or delete this file"
            findings.error("missing-image", path, text)
            continue
        size_hw = measure(image, findings)
        if size_hw is None:
            continue
        labels = _parse(path, names, size_hw, findings)
        if labels is not None:
            samples.append(Sample(image, size_hw, labels, source=path))
    bare = pictures.unlabelled((sample.image for sample in samples), only=only)
    for image in bare:
        labelled = any((folder / f"{stem_of(image.name)}.txt").exists() for folder in folders)
        size_hw = None if labelled else measure(image, findings)
        if size_hw is not None:
            findings.note("image-without-label", image, "no label file: taken as background, with nothing in it")
            samples.append(Sample(image, size_hw))
    return samples


def read_names(root: Path) -> list[str]:
    """The class names, by number, from the nearest of the files that hold them, at `root` or above its label folders.

    Raises DataError where there is none, or a YAML file whose `names` cannot be read.
    """
    top = root if root.is_dir() else root.parent
    folders = [top, *top.parents[:2], *sorted(path for path in top.iterdir() if path.is_dir())]
    for folder in folders:
        for name in _YAML:
            if (folder / name).is_file():
                return _names_of_yaml(folder / name)
        for name in _LISTS:
            if (folder / name).is_file():
                lines = read_whole(folder / name).splitlines()
                return [line.strip() for line in lines if line.strip()]
    raise DataError(f"{root}: YOLO labels are numbers, and neither data.yaml nor classes.txt names them; add one")


def format_labels(sample: Sample, ids: dict[str, int]) -> str:
    """The label file of one sample; six decimals, as the tools write them."""
    height, width = sample.size_hw
    rows = []
    for label in sample.labels:
        x1, y1, x2, y2 = label.box
        values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(" ".join([str(ids[label.name]), *(f"{value:.6f}" for value in values)]))
    return "".join(f"{row}\n" for row in rows)


def format_yaml(names: list[str]) -> str:
    """The data.yaml beside `images/` and `labels/`."""
    rows = [f"  {index}: '{name.replace(chr(39), chr(39) * 2)}'" for index, name in enumerate(names)]
    return "\n".join(["path: .", "train: images", "val: images", "names:", *rows, ""])


def _parse(path: Path, names: list[str], size_hw: tuple[int, int], findings: Findings) -> tuple[Label, ...] | None:
    lines = read_lines(path, findings)
    if lines is None:
        return None
    before = len(findings.errors)
    labels = []
    for line, text in enumerate(lines, start=1):
        label = _parse_line(text, path, line, names, size_hw, findings) if text.strip() else None
        if label is not None:
            labels.append(label)
    return tuple(labels) if len(findings.errors) == before else None


def _parse_line(
    text: str, path: Path, line: int, names: list[str], size_hw: tuple[int, int], findings: Findings
) -> Label | None:
    fields = text.split()
    values = [number(field) for field in fields]
    if None in values:
        bad = fields[values.index(None)]
        findings.error("bad-line", path, f"{show(bad)} needs to be a finite number", line=line)
        return None
    numbers = [value for value in values if value is not None]
    if len(numbers) < 5 or (len(numbers) > 6 and len(numbers) % 2 == 0):
        text = f"{len(numbers)} columns found; a YOLO label has 5, 6 with a score, or a class and polygon points"
        findings.error("bad-line", path, text, line=line)
        return None
    index = int(numbers[0])
    if index != numbers[0] or not 0 <= index < len(names):
        text = f"class {show(fields[0])} has no name; {len(names)} are named, numbered from 0"
        findings.error("unknown-class", path, text, line=line)
        return None
    height, width = size_hw
    if len(numbers) > 6:
        points: Points = tuple((x * width, y * height) for x, y in zip(numbers[1::2], numbers[2::2], strict=True))
        return Label(names[index], around(points), points=points, line=line)
    x, y, w, h = (value * side for value, side in zip(numbers[1:5], (width, height) * 2, strict=True))
    score = numbers[5] if len(numbers) == 6 else None
    return Label(names[index], (x - w / 2, y - h / 2, x + w / 2, y + h / 2), score=score, line=line)


def _names_of_yaml(path: Path) -> list[str]:
    text = re.sub(r"(?m)(^|\s)#.*$", "", read_whole(path))
    inline = re.search(r"(?m)^names:\s*\[([^\]]*)\]", text)
    if inline:
        found = [_unquote(name) for name in inline[1].split(",") if name.strip()]
    else:
        block = re.search(r"(?m)^names:[ \t]*\n((?:[ \t]+.*\n|- .*\n|[ \t]*\n)+)", text + "\n")
        rows = [row.strip() for row in block[1].splitlines() if row.strip()] if block else []
        listed = [_unquote(row[1:]) for row in rows if row.startswith("-")]
        numbered = {int(m[1]): _unquote(m[2]) for m in (re.match(r"(\d+)\s*:\s*(.+)$", row) for row in rows) if m}
        found = listed or [numbered[index] for index in sorted(numbered)]
        if numbered and sorted(numbered) != list(range(len(numbered))):
            raise DataError(f"{path}: `names` skips a number; classes are numbered 0, 1, 2 ...")
    if not found:
        raise DataError(f"{path}: no `names` found; it needs `names: [a, b]`, or one `  0: a` a line")
    return found


def _unquote(text: str) -> str:
    text = text.strip()
    return text[1:-1].replace("''", "'") if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
