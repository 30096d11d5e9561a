"""`write`: samples in, a data set of any format out, whole or not at all.

    kitti     image_2/ label_2/
    voc       JPEGImages/ Annotations/ ImageSets/Main/<list>.txt labels.txt
    coco      images/ annotations.json
    yolo      images/ labels/ data.yaml
    labelme   pictures and JSON side by side

Everything is written beside the target and renamed at the end. Pictures keep their bytes where they can; one that asks
to be rotated (EXIF) is stored upright, because other tools, TAO among them, would read it sideways. Labels without
area are left out and reported, except by labelme, which can hold them. What else a format has no place for is said
once, with counts. Every picture is decoded first, and all broken ones are named at once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import whole_folder
from taolite.formats.findings import SHOWN, Findings, problems_error
from taolite.formats.layout import Target, Writing, class_names
from taolite.formats.losses import losses
from taolite.formats.photo import is_turned, photo_bytes, read_photo
from taolite.formats.places import stem_of
from taolite.formats.printing import is_control, printable
from taolite.formats.registry import find_format
from taolite.formats.shapes import is_without_area
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS
from taolite.preprocessing import resize
from taolite.sample import Label, Sample

__all__ = ["WriteReport", "choose_classes", "resize_labels", "write"]

_QUALITY = 95  # of a JPEG that has to be encoded again
_PROGRESS_EVERY = 20


@dataclass(frozen=True)
class WriteReport:
    """What was written: images, labels of each class, and how many labels had no area and were left out."""

    folder: Path
    images: int
    labels: Mapping[str, int]
    left_out: int


def write(
    samples: Sequence[Sample],
    folder: Path | str,
    format: str,
    *,
    images: Literal["copy", "link", "symlink"] = "copy",
    size_hw: tuple[int, int] | None = None,
    extension: str | None = None,
    lists: Mapping[str, Sequence[Sample]] | None = None,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    listener: Listener = silent,
) -> WriteReport:
    """Write a data set; `folder` appears when it is complete.

    Args:
        samples: at least one. Two pictures of one name get the names of their folders in front.
        folder: must not exist, or be empty.
        format: one of `formats.FORMATS`.
        images: copy the picture files, or link them (hard, copied across disks; or by symbolic link).
        size_hw: resize pictures and labels to this (height, width), the aspect not kept.
        extension: encode all pictures as this (`.jpg`, `.png`); a TAO spec knows one extension for all.
        lists: VOC's lists and which of the samples are in each; `trainval` is made of `train` and `val` where it is
            not given, and of all samples where nothing is.
        classes: VOC's `labels.txt`, in this order; the names of the labels, sorted, where it is None.
        skip_bad: leave out pictures that cannot be decoded, with a warning each; otherwise they are an error.
        listener: takes warnings and progress.

    Raises:
        UsageError: an unknown format or extension, or no samples.
        PathError: the folder holds something already.
        DataError: a class name that the format cannot hold, or all pictures that cannot be decoded, at once.
        StorageError: the disk is full or read-only; nothing is left behind.
    """
    folder = Path(folder)
    how = find_format(format, written=True).write
    assert how is not None, "only those that can be written were asked for"
    _require_sense(samples, folder, extension)
    _require_names(samples, how)
    usable, left_out = _leave_out(samples, how, listener)
    with whole_folder(folder) as partial:
        findings = Findings()
        named = _write_pictures(usable, partial / how.pictures, images, size_hw, extension, listener, findings)
        _tell_broken(folder, findings, len(named), skip_bad, listener)
        how.labels(named, Target(partial, folder.name, lists or {}, classes or class_names(named)))
    if how.one_extension:
        _tell_extensions([name for name, _ in named], listener)
    lost = losses(usable, how.keeps)
    if lost:
        listener(Notice(f"{folder}: {format} has no place for these, which are dropped: {', '.join(lost)}", "warning"))
    counts: dict[str, int] = {}
    for _, sample in named:
        for label in sample.labels:
            counts[label.name] = counts.get(label.name, 0) + 1
    return WriteReport(folder, len(named), dict(sorted(counts.items())), left_out)


def choose_classes(
    samples: Sequence[Sample], *, classes: Sequence[str] | None = None, rename: Mapping[str, str] | None = None
) -> list[Sample]:
    """The samples with classes renamed, then only `classes` kept (all where it is None); images stay.

    Raises UsageError for a name that no label has.
    """
    known = {label.name for sample in samples for label in sample.labels}
    names = rename or {}
    for name in names:
        if name not in known:
            raise UsageError(f"no label is called {show(name)}; the classes are {_listed(known)}")
    renamed = {names.get(name, name) for name in known}
    for name in classes or ():
        if name not in renamed:
            raise UsageError(f"no label is called {show(name)}; the classes are {_listed(renamed)}")

    def keep(sample: Sample) -> Sample:
        labels = (replace(label, name=names.get(label.name, label.name)) for label in sample.labels)
        return replace(sample, labels=tuple(label for label in labels if classes is None or label.name in classes))

    return [keep(sample) for sample in samples]


def resize_labels(sample: Sample, size_hw: tuple[int, int]) -> Sample:
    """The sample as it is after its picture was stretched to `size_hw`: boxes and outlines go along."""
    if size_hw == sample.size_hw:
        return sample
    scale_y, scale_x = size_hw[0] / sample.size_hw[0], size_hw[1] / sample.size_hw[1]

    def fit(label: Label) -> Label:
        x1, y1, x2, y2 = label.box
        box = (x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y)
        points = tuple((x * scale_x, y * scale_y) for x, y in label.points)
        odd = label.attributes.get("shape") in ("mask", "circle")  # a stretched circle is none
        attributes = {k: v for k, v in label.attributes.items() if not (odd and k in ("shape", "mask"))}
        return replace(label, box=box, points=points, attributes=attributes)

    return replace(sample, size_hw=size_hw, labels=tuple(fit(label) for label in sample.labels))


def _require_sense(samples: Sequence[Sample], folder: Path, extension: str | None) -> None:
    if not samples:
        raise UsageError(f"{folder}: there is no sample to write")
    if extension is not None and extension not in (".jpg", ".png"):
        raise UsageError(f"pictures can be encoded as .jpg or .png, not {show(extension)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PathError(f"{folder}: is not empty; choose another folder or remove it")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(printable, sorted(names)))


def _require_names(samples: Sequence[Sample], how: Writing) -> None:
    """Raises DataError for class names that no label file can hold."""
    first: dict[str, str] = {}
    for sample in samples:
        for label in sample.labels:
            first.setdefault(label.name, _where(sample, label))
    names = dict(sorted(first.items()))
    bad = [f"{show(name)} ({where})" for name, where in names.items() if any(map(is_control, name))]
    if bad:
        many = "class name holds" if len(bad) == 1 else "class names hold"
        raise DataError(
            f"{len(bad)} {many} control characters or line breaks: {', '.join(bad[:SHOWN])}; "
            "correct the labels, or rename with --rename OLD=NEW"
        )
    if how.require is not None:
        how.require(names)


def _where(sample: Sample, label: Label) -> str:
    """The label's file, and its line where it has one."""
    return f"{sample.source or sample.image}{f':{label.line}' if label.line else ''}"


def _leave_out(samples: Sequence[Sample], how: Writing, listener: Listener) -> tuple[list[Sample], int]:
    """The samples with the labels that the format can hold, and how many labels it cannot; those are told."""
    usable: list[Sample] = []
    gone: list[str] = []
    for sample in samples:
        labels = []
        for label in sample.labels:
            fitted = _fit(label, sample, how)
            if fitted is not None:
                labels.append(fitted)
                continue
            where = _where(sample, label)
            shape = label.attributes.get("shape")
            what = f"a {shape} has no area" if shape else "its box has no width or height"
            gone.append(printable(f"{where}: {label.name} is left out, {what}"))
        usable.append(replace(sample, labels=tuple(labels)))
    for text in gone[:SHOWN]:
        listener(Notice(text, "warning"))
    if len(gone) > SHOWN:
        listener(Notice(f"{len(gone) - SHOWN} more labels without area are left out", "warning"))
    return usable, len(gone)


def _fit(label: Label, sample: Sample, how: Writing) -> Label | None:
    """The label as the format can hold it, or None. YOLO's trainers refuse fractions outside 0..1: cut there."""
    if "no-area" in how.keeps:
        return label
    if how.cut:
        (x1, y1, x2, y2), (height, width) = label.box, sample.size_hw
        label = replace(label, box=(max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))))
    return None if is_without_area(label) else label


def _write_pictures(
    samples: Sequence[Sample],
    folder: Path,
    images: str,
    size_hw: tuple[int, int] | None,
    extension: str | None,
    listener: Listener,
    findings: Findings,
) -> list[tuple[str, Sample]]:
    """(file name, sample as written) of each whose picture is in `folder`; pictures that cannot be decoded go to
    `findings`."""
    folder.mkdir(exist_ok=True)
    named = []
    for index, (stem, sample) in enumerate(zip(_stems(samples), samples, strict=True), start=1):
        suffix = sample.image.suffix if sample.image.suffix.lower() in EXTENSIONS else ".jpg"
        target = folder / f"{stem}{extension or suffix}"
        try:
            _write_picture(sample, target, images, size_hw)
        except (DataError, PathError) as error:
            findings.error("unreadable-image", sample.image, _without_place(str(error), sample))
        else:
            named.append((target.name, sample if size_hw is None else resize_labels(sample, size_hw)))
        if index % _PROGRESS_EVERY == 0 or index == len(samples):
            listener(Progress("convert", index, len(samples)))
    return named


def _tell_broken(folder: Path, findings: Findings, left: int, skip_bad: bool, listener: Listener) -> None:
    """Raises one DataError for all pictures that could not be decoded, or warns of each with `skip_bad`."""
    if not findings.errors:
        return
    if not skip_bad or not left:
        raise problems_error(folder, findings.errors)
    for error in findings.errors[:SHOWN]:
        listener(Notice(f"{error}; it is left out", "warning"))
    if len(findings.errors) > SHOWN:
        text = f"{folder}: {len(findings.errors) - SHOWN} more pictures that cannot be decoded are left out"
        listener(Notice(text, "warning"))


def _without_place(text: str, sample: Sample) -> str:
    return text.removeprefix(f"{sample.image}: ").removeprefix(f"{sample.source}: ")


def _write_picture(sample: Sample, target: Path, images: str, size_hw: tuple[int, int] | None) -> None:
    photo = read_photo(sample)  # also where its bytes are copied: a broken one is to be told now
    data = photo_bytes(sample)
    same_kind = target.suffix.lower() == sample.image.suffix.lower()
    turned = is_turned(data, path=sample.image)
    if (size_hw is not None and size_hw != sample.size_hw) or turned or not same_kind:
        from PIL import Image

        photo = photo if size_hw is None else resize(photo, size_hw)
        Image.fromarray(photo).save(target, quality=_QUALITY)
    elif images == "symlink" and sample.image.is_file():
        target.symlink_to(sample.image.resolve())
    elif images == "link" and sample.image.is_file():
        _link(sample.image, target)
    else:
        target.write_bytes(data)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a system without hard links
        shutil.copyfile(source, target)


def _stems(samples: Sequence[Sample]) -> list[str]:
    """A file name for each, without extension: the picture's own, with its folders in front where two would clash."""
    stems = [stem_of(sample.image.name) for sample in samples]
    depth = 0
    while True:
        counts: dict[str, int] = {}
        for stem in stems:
            counts[stem.lower()] = counts.get(stem.lower(), 0) + 1
        clashes = [index for index, stem in enumerate(stems) if counts[stem.lower()] > 1]
        if not clashes:
            return stems
        depth += 1
        for position, index in enumerate(clashes):
            parents = [part for part in samples[index].image.parent.parts if part not in ("/", "..")]
            front = parents[-depth] if depth <= len(parents) else str(position)
            stems[index] = f"{front}__{stems[index]}"


def _tell_extensions(names: Sequence[str], listener: Listener) -> None:
    counts: dict[str, int] = {}
    for name in names:
        counts[Path(name).suffix] = counts.get(Path(name).suffix, 0) + 1
    if len(counts) > 1:
        found = ", ".join(f"{suffix} {count}" for suffix, count in sorted(counts.items()))
        text = f"the pictures are of several kinds ({found}), and a TAO spec names one image_extension"
        listener(Notice(f"{text}; convert with --image-format jpg to have one", "warning"))
