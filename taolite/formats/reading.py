"""`read`: any format in, samples out; and how a format is recognised.

A folder is recognised by its shallowest label files. Problems of a strict read come together in one DataError;
what else is odd (a picture without labels, a size that contradicts it) goes to the listener as warnings.
"""

from __future__ import annotations

from pathlib import Path

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice, silent
from taolite.formats.findings import SHOWN, Finding, Findings, problems_error
from taolite.formats.guard import guarded
from taolite.formats.places import Pictures, exists, files_below, is_file, stem_of
from taolite.formats.registry import ROWS, Format, find_format, format_names
from taolite.formats.split import find_list, has_flags, read_list, split_name, stems_below, unknown_split
from taolite.formats.strangers import find_stranger
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS
from taolite.sample import Sample

__all__ = ["collect", "detect", "read"]

_PROBED = 20  # files of one folder and suffix that are opened to recognise a format


def read(
    path: Path | str,
    format: str | None = None,
    *,
    split: str | None = None,
    strict: bool = True,
    outside: bool = False,
    listener: Listener = silent,
) -> list[Sample]:
    """The samples of a data set.

    Args:
        path: a folder, or one label file.
        format: a name of `formats.format_names()`; recognised from the files where it is None.
        split: a list file (stems, names, paths, VOC's, or a CSV with `filename`), or the name of a split: of a list
            that the data set brings along (`train` -> `ImageSets/Main/train.txt`, `train.txt`), of folders
            (`train/`, `images/train/`), or of a COCO file. `val`, `valid` and `validation` are one.
        strict: whether a bad line or missing picture stops the read. Otherwise that sample is left out, and a
            warning says so.
        outside: allow pictures that label files name outside `path` and its parent folder.
        listener: takes the warnings.

    Returns:
        Samples ordered by label file; boxes in pixels of the upright photo, also degenerate ones, exactly as labelled.

    Raises:
        PathError: `path` does not exist.
        UsageError: the format cannot be recognised or is not known, or the data set has no such split.
        DataError: nothing there, or (strict) everything that cannot be used, the first ten problems listed.
    """
    findings = Findings()
    samples = collect(Path(path), format, split=split, outside=outside, findings=findings)
    if strict and findings.errors:
        raise problems_error(path, findings.errors)
    notes = findings.errors + [note for note in findings.notes if note.kind != "no-area"]  # writers tell of those
    for finding in notes[:SHOWN]:
        listener(Notice(str(finding), "warning"))
    if len(notes) > SHOWN:
        more = f"{path}: {len(notes) - SHOWN} more like these; `taolite dataset check {path}` lists them all"
        listener(Notice(more, "warning"))
    if not samples:
        raise DataError(f"{path}: no labelled image is left{f' in split {show(split)}' if split else ''}")
    return samples


def collect(
    path: Path,
    format: str | None,
    *,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Like `read`, but everything wrong goes to `findings`; raises only where there is nothing to read."""
    if not exists(path):
        raise PathError(f"{path}: no such file or folder")
    row = find_format(detect(path) if format is None else format)
    listed = find_list(path, split) if split is not None else None
    only = None if listed is None else read_list(listed, stems_below(path) if has_flags(listed) else ())
    word = split if listed is None else None
    if word is not None:
        _require_split(path, row, word)
    samples: list[Sample] = []
    with guarded(path, findings):
        samples = row.read(path, only=only, split=word, outside=outside, findings=findings)
    if not samples and not findings.errors and split is None:
        stranger = find_stranger(path)
        nothing = Finding(path, 0, "no-labels", f"no labels of the format {row.name} found; is this the right folder?")
        findings.errors.append(stranger or nothing)
    _note_absent(path, samples, only, listed, findings)
    return samples


def _require_split(path: Path, row: Format, split: str) -> None:
    there = row.splits(path)
    if split_name(split) not in map(split_name, there):
        raise unknown_split(path, split, there)


def _note_absent(
    path: Path, samples: list[Sample], only: frozenset[str] | None, listed: Path | None, findings: Findings
) -> None:
    """Pictures without labels, and names of a list that nothing belongs to."""
    known = {stem_of(finding.path.name) for finding in (*findings.errors, *findings.notes)}
    known |= {finding.path.stem for finding in (*findings.errors, *findings.notes)}
    if path.is_dir():
        taken = {sample.image for sample in samples}
        for image in Pictures(path).unlabelled(taken, only=only):
            if stem_of(image.name) not in known:
                findings.note("image-without-label", image, "no labels for this image; it is left out")
                known.add(stem_of(image.name))
    known |= {stem_of(sample.image.name) for sample in samples}
    for stem in sorted((only or frozenset()) - known):
        findings.note("missing-label", listed or path, f"image {show(stem)} of the list is not there")


def detect(path: Path) -> str:
    """The format of a file or folder.

    Raises PathError where it does not exist; UsageError where no format is found, or more than one.
    """
    if not exists(path):
        raise PathError(f"{path}: no such file or folder")
    levels: dict[int, set[str]] = {}
    probed: dict[tuple[Path, str], int] = {}
    for file in files_below(path, tuple({suffix for row in ROWS.values() for suffix in row.suffixes})):
        key = (file.parent, file.suffix.lower())
        probed[key] = probed.get(key, 0) + 1
        depth = len(file.relative_to(path).parts)
        if probed[key] > _PROBED or min(levels, default=depth) < depth:
            continue
        found = {row.name for row in ROWS.values() if key[1] in row.suffixes and _looks_like(row, file)}
        if found:
            levels.setdefault(depth, set()).update(found)
    if levels:
        names = sorted(levels[min(levels)])
        if len(names) > 1:
            raise UsageError(f"{path}: labels of {' and '.join(names)} lie side by side; say which with --from")
        return names[0]
    whole = next((row.name for row in ROWS.values() if not row.suffixes and _looks_like(row, path)), None)
    if whole is not None:
        return whole
    stranger = find_stranger(path)
    raise UsageError(_nothing_found(path) if stranger is None else str(stranger))


def _looks_like(row: Format, path: Path) -> bool:
    """A file that cannot be read looks like nothing."""
    findings = Findings()
    with guarded(path, findings):
        return row.looks_like(path)
    return False


def _nothing_found(path: Path) -> str:
    hint = " Where each folder of pictures is a class, say --from folders" if files_below(path, EXTENSIONS) else ""
    if is_file(path):
        return f"{path}: no label file of {', '.join(format_names())}"
    return f"{path}: no labels of {', '.join(format_names())} found; is this the folder that holds them?{hint}"
