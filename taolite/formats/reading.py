"""`read`: any format in, samples out; and how a format is recognised.

A folder is recognised by its shallowest label files. Problems of a strict read come together in one DataError;
what else is odd (a picture nobody labelled, a size that contradicts it) goes to the listener as warnings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice, silent
from taolite.formats import ccpd, coco, kitti, labelme, openimages, voc, yolo
from taolite.formats.findings import SHOWN, Findings, problems_error
from taolite.formats.folders import collect_folders
from taolite.formats.places import Pictures, files_below, stem_of
from taolite.formats.split import find_list, read_list, require_list
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS
from taolite.sample import Sample

__all__ = ["CLASS_FOLDERS", "FORMATS", "READ_ONLY", "collect", "detect", "read"]

FORMATS = ("labelme", "kitti", "voc", "coco", "yolo")
CLASS_FOLDERS = "folders"  # read, where it is named, and not written
READ_ONLY = ("openimages", "ccpd", CLASS_FOLDERS)
_LOOKS = {
    ".json": {"coco": coco.looks_like, "labelme": labelme.looks_like},
    ".xml": {"voc": voc.looks_like},
    ".txt": {"kitti": kitti.looks_like, "yolo": yolo.looks_like},
    ".csv": {"openimages": openimages.looks_like},
}
_BY_SPLIT: dict[str, Callable[..., list[Sample]]] = {  # readers that know splits without a list
    "coco": coco.read,
    "yolo": yolo.read,
    "openimages": openimages.read,
    "ccpd": ccpd.read,
}
_PROBED = 20  # files of one folder and suffix that are opened to recognise a format


def read(
    path: Path | str,
    format: str | None = None,
    *,
    split: str | None = None,
    strict: bool = True,
    listener: Listener = silent,
) -> list[Sample]:
    """The samples of a data set.

    Args:
        path: a folder, or one label file.
        format: one of `FORMATS`, `openimages` or `ccpd`, recognised from the files where it is None; or `folders`, one
            folder a class.
        split: a list file (stems, names, paths, VOC's, or a CSV with `filename`), or the name of one that the data
            set brings along (`train` -> `ImageSets/Main/train.txt`, `train.txt`), of a folder (YOLO, class folders)
            or of a COCO file.
        strict: whether a bad line or missing picture stops the read. Otherwise that sample is left out, and a
            warning says so.
        listener: takes the warnings.

    Returns:
        Samples ordered by label file; boxes in pixels of the upright photo, also degenerate ones, exactly as labelled.

    Raises:
        PathError: `path` does not exist.
        UsageError: the format cannot be told, or is not one of ours.
        DataError: nothing there, or (strict) everything that cannot be used, the first ten problems listed.
    """
    findings = Findings()
    samples = collect(Path(path), format, split=split, findings=findings)
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
    only: frozenset[str] | None = None,
    findings: Findings,
) -> list[Sample]:
    """Like `read`, but everything wrong goes to `findings` and nothing is raised for it.

    `only` keeps the images of these stems; `split` makes it from a list.
    """
    if not path.exists():
        raise PathError(f"{path}: no such file or folder")
    name = detect(path) if format is None else format
    if name == CLASS_FOLDERS:
        return collect_folders(path / (split or ""), findings=findings)
    if name not in (*FORMATS, *READ_ONLY):
        raise UsageError(f"format {show(name)} is not one of {', '.join((*FORMATS, *READ_ONLY))}")
    listed = find_list(path, split) if split is not None else None
    if listed is not None:
        only = read_list(listed)
    word = split if listed is None else None
    if name in _BY_SPLIT:
        samples = _BY_SPLIT[name](path, only=only, findings=findings, split=word)
    else:
        if word is not None:
            require_list(path, word)
        reader = {"labelme": labelme.read, "kitti": kitti.read, "voc": voc.read}[name]
        samples = reader(path, only=only, findings=findings)
    _note_absent(path, samples, only, listed, findings)
    return samples


def _note_absent(
    path: Path, samples: list[Sample], only: frozenset[str] | None, listed: Path | None, findings: Findings
) -> None:
    """Pictures without labels, and names of a list that nothing belongs to."""
    known = {stem_of(finding.path.name) for finding in findings.errors}
    known |= {finding.path.stem for finding in findings.errors}
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
    """The format of a file or folder. Raises UsageError where there is none, or more than one."""
    levels: dict[int, set[str]] = {}
    probed: dict[tuple[Path, str], int] = {}
    for file in files_below(path, tuple(_LOOKS)):
        key = (file.parent, file.suffix.lower())
        probed[key] = probed.get(key, 0) + 1
        depth = len(file.relative_to(path).parts)
        if probed[key] > _PROBED or min(levels, default=depth) < depth:
            continue
        levels.setdefault(depth, set()).update(name for name, looks in _LOOKS[key[1]].items() if looks(file))
        if not levels[depth]:
            del levels[depth]
    if not levels and ccpd.looks_like(path):
        return "ccpd"
    if not levels:
        hint = " Where each folder of pictures is a class, say --from folders" if files_below(path, EXTENSIONS) else ""
        text = f"{path}: no labels of {', '.join(FORMATS)} found; is this the folder that holds them?{hint}"
        raise UsageError(text)
    found = sorted(levels[min(levels)])
    if len(found) > 1:
        raise UsageError(f"{path}: labels of {' and '.join(found)} lie side by side; say which with --from")
    return found[0]
