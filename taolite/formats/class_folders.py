"""Class folders as a label format: one split of them, or jetson-inference's `train/ val/ test/ labels.txt`.

What they hold is read by `taolite.formats.folders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from taolite.errors import DataError
from taolite.formats.findings import Findings
from taolite.formats.folders import (
    SPLIT_FOLDERS,
    TORCHVISION_EXTENSIONS,
    check_labels,
    class_names,
    collect_folders,
    subfolders,
)
from taolite.formats.guard import guarded
from taolite.formats.places import files_below, stem_of
from taolite.formats.split import split_name
from taolite.formats.text import show
from taolite.sample import Sample

__all__ = ["looks_like", "read", "splits"]

_NO_CLASSES = frozenset(("images", "image", "image_2", "jpegimages", "pictures", "photos", "labels", "annotations"))


def looks_like(root: Path) -> bool:
    """Whether a folder holds class folders, or splits of them (jetson-inference's `train/ val/ test/ labels.txt`).

    These are two or more folders with pictures in one of them, called neither as splits nor as folders for pictures.
    """
    if not root.is_dir() or any(path.suffix.lower() in TORCHVISION_EXTENSIONS for path in root.iterdir()):
        return False
    parts = _split_folders(root)
    if parts:
        return any(files_below(path, TORCHVISION_EXTENSIONS) for path in parts)
    folders = subfolders(root)
    names = {path.name.lower() for path in folders}
    return (
        len(folders) > 1
        and not names & (_NO_CLASSES | SPLIT_FOLDERS)
        and any(files_below(path, TORCHVISION_EXTENSIONS) for path in folders)
    )


def splits(root: Path) -> tuple[str, ...]:
    """The folders that hold class folders, as splits do."""
    return tuple(path.name for path in subfolders(root) if subfolders(path)) if root.is_dir() else ()


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of a folder of class folders, or of its splits (see `layout.Reader`).

    Class folders without a picture, splits with other classes, and a `labels.txt` that does not fit are notes.
    """
    parts = _split_folders(root)
    if split is not None:
        parts = [path for path in subfolders(root) if split_name(path.name) == split_name(split)]
    samples: list[Sample] = []
    classes: dict[Path, tuple[str, ...]] = {}
    for part in parts or [root]:
        with guarded(part, findings):
            classes[part] = class_names(part)
            found = collect_folders(part, findings=findings)
            full = {sample.labels[0].name for sample in found}
            for name in classes[part]:
                if name not in full:
                    findings.note("empty-class", part / name, "this class folder holds no picture")
            samples += found
    _compare_classes(root, classes, findings)
    return [sample for sample in samples if only is None or stem_of(sample.image.name) in only]


def _compare_classes(root: Path, classes: Mapping[Path, tuple[str, ...]], findings: Findings) -> None:
    """Note classes that only some splits have, and a `labels.txt` that does not name the classes in their order."""
    every = sorted({name for names in classes.values() for name in names})
    for part, names in classes.items():
        missing = [name for name in every if name not in names]
        if missing:
            findings.note(
                "missing-class", part, f"has no folder of {', '.join(map(show, missing))}, which another split has"
            )
    path = root / "labels.txt"
    if path.is_file() and every:
        try:
            check_labels(path, every)
        except DataError as error:
            findings.note("other-labels", path, str(error).removeprefix(f"{path}: "))


def _split_folders(root: Path) -> list[Path]:
    """The splits of a folder that holds nothing else, with class folders in one of them; none otherwise."""
    folders = subfolders(root)
    whole = bool(folders) and {path.name for path in folders} <= SPLIT_FOLDERS and any(map(subfolders, folders))
    return folders if whole else []
