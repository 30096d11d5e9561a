"""Pascal VOC folders for training: the images to train on, the images to validate on, and the classes.

    ROOT/Annotations/<id>.xml  JPEGImages/<id>.<ext>  ImageSets/Main/{trainval,test,train,val,default}.txt  labels.txt

pytorch-ssd trains on `trainval`, validates on `test`, and takes `default` (CVAT's list) for either (reference/
jetson_workflows.md 4.2). Many data sets use other names and folders, so annotations and pictures are found in any
folder, and lists where `taolite.formats.split` looks. Where a list is missing:

    training                                                     validation
    trainval, else train and val, else default or all others     test
    train, else trainval or all others, without val              val      where there is no test
    the folder train/                                            valid/ or val/, else test/, where there is no list
    four fifths of trainval, train, default or all               the rest where there is none of these

Classes come from `labels.txt`. Without it they are the names found in all annotations, sorted; VOC's twenty classes are
never assumed. Tools count pixels from 1 (VOC, labelImg) or from 0 (CVAT, camera-capture). A data set counts from 0 if
more of its boxes begin at 0 than at 1, because boxes that touch the picture's edge begin at the first pixel.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import DataError, PathError
from taolite.events import Notice
from taolite.formats import voc
from taolite.formats.findings import Findings, problems_error
from taolite.formats.folders import is_whole
from taolite.formats.guard import guarded
from taolite.formats.part import BACKGROUND, DataPart, fit_labels, own_split, read_labels, strangers, summarise, tell
from taolite.formats.places import Pictures, files_below, stem_of
from taolite.formats.printing import printable
from taolite.formats.split import find_list, in_split, read_list, split_name, unknown_split
from taolite.formats.strangers import find_stranger
from taolite.formats.text import show
from taolite.sample import Sample
from taolite.wording import counted

__all__ = ["read_voc_classes", "read_voc_set"]

_LISTS = ("trainval", "train", "val", "test", "default")


def read_voc_set(
    root: Path | str, *, split: str = "train", classes: Sequence[str] | None = None, skip_bad: bool = False
) -> DataPart:
    """One part of a VOC folder, ready for training.

    Args:
        root: the folder that holds annotations and pictures.
        split: `train` for the images to train on and `test` for those to validate on, from the lists and folders above;
            any other word is the name of a list or folder, or a list file.
        classes: the classes of an existing model; None for those of the data set.
        skip_bad: leave out annotations and pictures that cannot be read, with a warning; otherwise they are an error.

    Returns:
        Samples by annotation file, with boxes in pixels, cut to their picture. Difficult boxes are marked and stay;
        pictures without labels stay as background. Classes without background. Notices: what was left out and why.

    Raises:
        PathError: no such folder.
        UsageError: no list or folder of that name.
        DataError: no annotation, no class or no image is left, or files cannot be read (all of them are listed).
    """
    root, findings = Path(root), Findings()
    annotations = _parse_all(root, findings)
    names, notices = _find_classes(root, annotations.values()) if classes is None else (tuple(classes), [])
    choice = _choose(root, split, annotations)
    samples, told = _find_pictures(root, annotations, choice, findings)
    if findings.errors and not skip_bad:
        raise problems_error(root, findings.errors)
    notices += [*choice.notices, *told]
    if choice.halves:
        samples, told = own_split(root, split, samples)
        notices += told
    if not samples:
        why = f"; {notices[-1].text}" if notices else ""
        raise DataError(f"{root}: no image is left in {show(split)}{why}")
    fitted = fit_labels(samples, names, findings)
    told = summarise(root, findings.errors + findings.notes)
    return DataPart(fitted, names, (*notices, *told), strangers(samples, names))


def read_voc_classes(root: Path | str) -> tuple[tuple[str, ...], list[Notice]]:
    """The classes of a VOC folder without background, and notices about them. No picture is read.

    Raises PathError if the folder does not exist; DataError if there is no annotation and no class, and for annotations
    that cannot be read if there is no `labels.txt`.
    """
    root, findings = Path(root), Findings()
    path = root / "labels.txt"
    if path.is_file():
        listed = read_labels(path)
        if not any(len(_parts(name)) > 1 for name in listed[0]):
            return listed
    annotations = _parse_all(root, findings)
    if findings.errors and not path.is_file():
        raise problems_error(root, findings.errors)
    return _find_classes(root, annotations.values())


@dataclass(frozen=True)
class _Choice:
    """The images of a part by key (see `_parse_all`), as `source` lists them. `halves`: our own split divides them."""

    source: Path
    stems: frozenset[str]
    halves: bool = False
    notices: tuple[Notice, ...] = ()


def _choose(root: Path, split: str, annotations: Mapping[str, voc.Annotation]) -> _Choice:
    every = frozenset(annotations)
    paths = {name: path for name in _LISTS if (path := find_list(root, name)) is not None}
    folders = {} if paths else _folders(root, annotations)
    word = split_name(split)
    if word not in ("train", "test") and not (word == "val" and "val" not in {*paths, *folders}):
        if word in folders:
            return _Choice(root, folders[word])
        path = find_list(root, split)
        if path is None:
            raise unknown_split(root, split, folders)
        return _Choice(path, read_list(path, every))
    if "train" in folders and len(folders) > 1:
        return _choose_folder(root, word, folders)
    lists = {name: read_list(path, every) for name, path in paths.items()}
    judging = next((name for name in ("test", "val") if name in lists), None)
    if judging is None:
        source = next((name for name in ("trainval", "train", "default") if name in lists), "")
        return _Choice(paths.get(source, root), lists.get(source, every), halves=True)
    names, training = _training(lists, judging, every)
    words = " and ".join(paths[name].name for name in names) or f"all annotations that {paths[judging].name} leaves"
    if word == "train":
        text = f"{root}: training on {words}, {counted(len(training), 'image')}; validating on {paths[judging].name}"
        return _Choice(paths[names[0]] if names else root, training, notices=(Notice(text),))
    shared = training & lists[judging]
    text = (
        f"{paths[judging]}: {len(shared)} of its {counted(len(lists[judging]), 'image')} are used for training as well "
        f"({words}), so the score says little about new pictures; take them out of one list"
    )
    return _Choice(paths[judging], lists[judging], notices=(Notice(text, "warning"),) if shared else ())


def _folders(root: Path, annotations: Mapping[str, voc.Annotation]) -> dict[str, frozenset[str]]:
    """The keys of the annotations in each of the split folders train/, valid/ (or val/) and test/."""
    found = {
        name: frozenset(key for key, one in annotations.items() if in_split(one.path, root, name))
        for name in ("train", "val", "test")
    }
    return {name: keys for name, keys in found.items() if keys}


def _choose_folder(root: Path, word: str, folders: Mapping[str, frozenset[str]]) -> _Choice:
    judging = "val" if "val" in folders else "test"
    if word != "train":
        return _Choice(root, folders[judging])
    counts = (
        f"{counted(len(folders['train']), 'image')} for training, {len(folders[judging])} for validation ({judging})"
    )
    return _Choice(root, folders["train"], notices=(Notice(f"{root}: using its split folders: {counts}"),))


def _training(
    lists: Mapping[str, frozenset[str]], judging: str, every: frozenset[str]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The training lists to use when `judging` validates, and their keys; a list of all images loses the keys of
    `judging`."""
    if judging == "test" and "trainval" in lists:
        return ("trainval",), lists["trainval"]
    if judging == "test" and "train" in lists and "val" in lists:
        return ("train", "val"), lists["train"] | lists["val"]
    if "train" in lists:
        return ("train",), lists["train"]
    names = tuple(name for name in ("trainval", "default") if name in lists)[:1]
    return names, (lists[names[0]] if names else every) - lists[judging]


def _parse_all(root: Path, findings: Findings) -> dict[str, voc.Annotation]:
    """Every annotation: those of the folder `Annotations` where there is one, else all below the root.

    The key is the file's stem; where another split folder has the same stem, the key is the folder and the stem.
    """
    if not root.is_dir():
        raise PathError(f"{root}: no such folder; it needs to hold Annotations/ and JPEGImages/")
    folder = next((path for path in sorted(root.iterdir()) if path.name.lower() == "annotations"), root)
    found: dict[str, voc.Annotation] = {}
    for path in files_below(folder, (".xml",)):
        with guarded(path, findings):
            if folder == root and not voc.looks_like(path):
                continue
            annotation = voc.parse(path, findings)
            key = path.stem
            if key in found and _part_of(path, root) != _part_of(found[key].path, root):
                key = f"{_part_of(path, root)}/{path.stem}"
            if annotation is not None and key in found:
                findings.note("duplicate", path, f"annotates the same image as {found[key].path}; it is left out")
            elif annotation is not None:
                found[key] = annotation
    if not found and not findings.errors:
        stranger = find_stranger(root)
        hint = f"{root}: no annotation (Annotations/*.xml) found; is this the right folder?"
        raise DataError(hint if stranger is None else str(stranger))
    return found


def _part_of(path: Path, root: Path) -> str:
    return next((name for name in ("train", "val", "test") if in_split(path, root, name)), "")


def _find_classes(root: Path, annotations: Collection[voc.Annotation]) -> tuple[tuple[str, ...], list[Notice]]:
    path = root / "labels.txt"
    found = {drawn.name for annotation in annotations for drawn in annotation.objects}
    if path.is_file():
        names, notices = read_labels(path)
        _refuse_one_line(path, names, found)
        return names, notices
    names = tuple(sorted(name for name in found if name.upper() != BACKGROUND))
    if not names:
        raise DataError(f"{root}: no annotation holds an object, and there is no labels.txt; there is nothing to learn")
    text = f"{root}: no labels.txt; the classes are those that its annotations name: {', '.join(map(printable, names))}"
    return names, [Notice(text, "warning")]


def _refuse_one_line(path: Path, names: Sequence[str], found: Collection[str]) -> None:
    """Raises DataError where a line of `labels.txt` is no class of the annotations, but the parts of the line are."""
    for name in names:
        parts = _parts(name)
        if name not in found and len(parts) > 1 and any(part in found for part in parts):
            raise DataError(f"{path}: {show(name)} stands on one line; put one class name a line: {', '.join(parts)}")


def _parts(line: str) -> list[str]:
    """The line split at commas, semicolons, tabs and spaces."""
    return [part for part in re.split(r"[,;\t ]+", line) if part]


def _find_pictures(
    root: Path, annotations: Mapping[str, voc.Annotation], choice: _Choice, findings: Findings
) -> tuple[list[Sample], list[Notice]]:
    """The samples of the chosen images, and how many images have no annotation, no picture or no object."""
    pictures = Pictures(root)
    from_zero, notices = _counts_from_zero(root, annotations.values())
    samples, without = [], []
    keys = sorted(choice.stems & annotations.keys(), key=lambda key: key.rpartition("/")[2])
    chosen = [annotations[key] for key in keys]
    voc.note_corners(root, chosen, findings)
    for annotation in chosen:
        image = _find_picture(annotation, pictures)
        if image is None:
            without.append(annotation.path.stem)
            continue
        sample = voc.to_sample(annotation, image, findings, from_zero=from_zero)
        if sample is not None and is_whole(image, findings):
            samples.append(sample)
    unread = {finding.path.stem for finding in findings.errors}
    absent = sorted(choice.stems - annotations.keys() - unread)
    empty = [sample.image.name for sample in samples if not sample.labels]
    count = len(choice.stems)
    notices += tell(choice.source, absent, count, "left out, no annotation")
    notices += tell(choice.source, without, count, "left out, no picture")
    notices += tell(choice.source, empty, count, "without an object, kept as background", level="info")
    return samples, notices


def _find_picture(annotation: voc.Annotation, pictures: Pictures) -> Path | None:
    """The picture with the annotation's name, which trainers use; else the picture that its `<filename>` names."""
    stem, named = annotation.path.stem, annotation.filename
    name = named if stem_of(named) == stem else stem
    return pictures.find(name, near=annotation.path) or (pictures.find(named, near=annotation.path) if named else None)


def _counts_from_zero(root: Path, annotations: Collection[voc.Annotation]) -> tuple[bool, list[Notice]]:
    whole = [annotation for annotation in annotations if annotation.corners_are == "pixels"]
    lows = [low for annotation in whole for drawn in annotation.objects for low in drawn.corners[:2]]
    zeros, ones = lows.count(0), lows.count(1)
    if zeros <= ones:
        return False, []
    text = f"{root}: boxes begin at 0 ({zeros} times, at 1 {ones} times), so its pixels are counted from 0, not from 1"
    return True, [Notice(text)]
