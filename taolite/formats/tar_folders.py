"""Class folders in tar files, as `tar -cf train.tar cat/ dog/` or `tar -cf train.tar train/` makes them.

What `taolite.formats.folders` says of folders holds for them: the class of a picture is the first folder below those
that all pictures share, and sizes and damage are found when the tars are listed. The pictures of a class may lie in
any of the tars.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from taolite.events import Listener, silent
from taolite.formats.findings import Finding, Findings
from taolite.formats.folders import TORCHVISION_EXTENSIONS, check_class_names, settle, whole_picture
from taolite.formats.tar_listing import TarListing
from taolite.sample import Sample

__all__ = ["read_tar_folders", "tar_class_names"]

Pictures = Sequence[tuple[Path, tuple[int, int] | None]]
"""Name and (height, width); None for one that cannot be read."""


def tar_class_names(
    listings: Sequence[TarListing],
    *,
    spelled: str,
    extensions: tuple[str, ...] = TORCHVISION_EXTENSIONS,
    least: int = 1,
) -> tuple[str, ...]:
    """The classes of measured listings, in the order of their numbers; `spelled` is the pattern of the tars.

    Raises DataError where there are fewer than `least`, or the splits of a data set instead of classes.
    """
    return _class_names(_pictures(listings, extensions), spelled, least)


def read_tar_folders(
    listings: Sequence[TarListing],
    *,
    spelled: str,
    classes: Sequence[str] | None = None,
    leave_out_others: bool = False,
    extensions: tuple[str, ...] = TORCHVISION_EXTENSIONS,
    skip_corrupt: bool = False,
    listener: Listener = silent,
) -> list[Sample]:
    """Like `taolite.formats.folders.read_folders`, in the order of the tars and of what is in them."""
    pictures, place = _pictures(listings, extensions), Path(PurePosixPath(spelled).name)
    faults = {fault.path: fault for listing in listings for fault in listing.faults}
    strangers = sum(map(len, listings)) - len(pictures)
    return settle(
        spelled,
        _class_names(pictures, spelled, least=1),
        partial(_collect, pictures, faults, strangers, place),
        place=place,
        classes=classes,
        leave_out_others=leave_out_others,
        extensions=extensions,
        skip_corrupt=skip_corrupt,
        listener=listener,
    )


def _pictures(listings: Sequence[TarListing], extensions: tuple[str, ...]) -> Pictures:
    return [found for listing in listings for found in listing.pictures(extensions)]


def _class_names(pictures: Pictures, spelled: str, least: int) -> tuple[str, ...]:
    folders = {image.parent.parts for image, _ in pictures}
    depth = _depth(folders)
    names = sorted({parts[depth] for parts in folders if len(parts) > depth})
    deeper = any(len(parts) > depth + 1 for parts in folders)
    return check_class_names(spelled, names, deeper=deeper, least=least)


def _depth(folders: set[tuple[str, ...]]) -> int:
    """How many leading folders all pictures share that are no class: where they share all, the last one is it."""
    shared = 0
    while len({parts[: shared + 1] for parts in folders}) == 1 and shared < min(map(len, folders)):
        shared += 1
    return shared if any(len(parts) > shared for parts in folders) else max(shared - 1, 0)


def _collect(
    pictures: Pictures,
    faults: dict[Path, Finding],
    strangers: int,
    place: Path,
    *,
    without: Sequence[str],
    findings: Findings,
) -> list[Sample]:
    depth = _depth({image.parent.parts for image, _ in pictures})
    samples, beside = [], []
    for image, size_hw in pictures:
        folders = image.parent.parts
        if len(folders) <= depth:
            beside.append(image)
        elif folders[depth] in without:
            continue
        elif size_hw is None:
            findings.errors.append(faults[image])
        else:
            samples.append(Sample(image, size_hw, (whole_picture(folders[depth], size_hw),)))
    if beside:
        text = f"pictures outside the class folders, without a class: {len(beside)}, such as {min(beside)}"
        findings.note("no-class", place, text)
    if strangers:
        findings.note("no-picture", place, f"files that are not pictures: {strangers}")
    return samples
