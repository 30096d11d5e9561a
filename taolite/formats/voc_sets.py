"""Pascal VOC folders as trainers take them: which images train, which judge, and what the classes are.

    ROOT/Annotations/<id>.xml  JPEGImages/<id>.<ext>  ImageSets/Main/{trainval,test,train,val,default}.txt  labels.txt

pytorch-ssd trains on `trainval`, judges on `test`, and takes `default` (CVAT's list) for either (reference/
jetson_workflows.md 4.2). Sets in the wild have other names and places for all of these, so annotations and pictures are
found wherever they lie, and lists where `taolite.formats.split` looks. Where a list is missing:

    trains                                                       judges
    trainval, else train and val, else default or all others     test
    train, else trainval or all others, without val              val      where there is no test
    four fifths of trainval, train, default or all               the rest where there is neither

Classes come from `labels.txt`; without one they are the names found in all annotations, sorted, and never silently
VOC's twenty. Tools count pixels from 1 (VOC, labelImg) or from 0 (CVAT, camera-capture): a set in which more boxes
begin at 0 than at 1 counts from 0, because boxes that touch the picture's edge begin there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import DataError, PathError
from taolite.events import Notice
from taolite.formats import voc
from taolite.formats.findings import Findings, problems_error
from taolite.formats.folders import is_whole
from taolite.formats.part import BACKGROUND, DataPart, fit_labels, own_split, read_labels, summarise, tell
from taolite.formats.places import Pictures, files_below, stem_of
from taolite.formats.split import find_list, read_list, require_list
from taolite.formats.text import show
from taolite.sample import Sample

__all__ = ["read_voc_classes", "read_voc_set"]

_LISTS = ("trainval", "train", "val", "test", "default")


def read_voc_set(
    root: Path | str, *, split: str = "train", classes: Sequence[str] | None = None, skip_bad: bool = False
) -> DataPart:
    """One part of a VOC folder, ready to train on.

    Args:
        root: the folder that holds annotations and pictures.
        split: `train` for the images to train on and `test` for those that judge, from the lists above; any other
            word is a list of that name, or a list file.
        classes: the classes there are (those of a model); those of the data set where it is None.
        skip_bad: annotations and pictures that cannot be read are left out with a warning; otherwise an error.

    Returns:
        Samples by annotation file, boxes in pixels, cut to their picture; difficult ones are marked and stay, and
        pictures without labels stay as background. Classes without background. Notices: what was left out and why.

    Raises:
        PathError: no such folder.
        UsageError: no list of that name.
        DataError: no annotation, no class, no image left, or all files that cannot be read.
    """
    root, findings = Path(root), Findings()
    annotations = _parse_all(root, findings)
    names, notices = _find_classes(root, annotations.values()) if classes is None else (tuple(classes), [])
    choice = _choose(root, split, frozenset(annotations))
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
    samples = fit_labels(samples, names, findings)
    return DataPart(samples, names, (*notices, *summarise(root, findings.errors + findings.notes)))


def read_voc_classes(root: Path | str) -> tuple[tuple[str, ...], list[Notice]]:
    """The classes of a VOC folder without background, and what is to be said of them. No picture is read.

    Raises PathError for no such folder; DataError for no annotation and no class, and for annotations that cannot be
    read where there is no `labels.txt`.
    """
    root, findings = Path(root), Findings()
    annotations = {} if (root / "labels.txt").is_file() else _parse_all(root, findings)
    if findings.errors:
        raise problems_error(root, findings.errors)
    return _find_classes(root, annotations.values())


@dataclass(frozen=True)
class _Choice:
    """The images of a part by stem, as `source` lists them; with `halves` our own split takes its share of them."""

    source: Path
    stems: frozenset[str]
    halves: bool = False
    notices: tuple[Notice, ...] = ()


def _choose(root: Path, split: str, every: frozenset[str]) -> _Choice:
    paths = {name: path for name in _LISTS if (path := find_list(root, name)) is not None}
    if split not in ("train", "test") and not (split == "val" and "val" not in paths):
        path = require_list(root, split)
        return _Choice(path, read_list(path))
    lists = {name: read_list(path) for name, path in paths.items()}
    judging = next((name for name in ("test", "val") if name in lists), None)
    if judging is None:
        source = next((name for name in ("trainval", "train", "default") if name in lists), "")
        return _Choice(paths.get(source, root), lists.get(source, every), halves=True)
    names, training = _training(lists, judging, every)
    words = " and ".join(paths[name].name for name in names) or f"all annotations that {paths[judging].name} leaves"
    if split == "train":
        text = f"{root}: trains on {words}, {len(training)} images, and is judged on {paths[judging].name}"
        return _Choice(paths[names[0]] if names else root, training, notices=(Notice(text),))
    shared = training & lists[judging]
    text = (
        f"{paths[judging]}: {len(shared)} of its {len(lists[judging])} images are trained on as well ({words}), so the "
        "score says little about new pictures; take them out of one list"
    )
    return _Choice(paths[judging], lists[judging], notices=(Notice(text, "warning"),) if shared else ())


def _training(
    lists: Mapping[str, frozenset[str]], judging: str, every: frozenset[str]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The lists that train where `judging` judges, and their stems; one that holds all images gives up those."""
    if judging == "test" and "trainval" in lists:
        return ("trainval",), lists["trainval"]
    if judging == "test" and "train" in lists and "val" in lists:
        return ("train", "val"), lists["train"] | lists["val"]
    if "train" in lists:
        return ("train",), lists["train"]
    names = tuple(name for name in ("trainval", "default") if name in lists)[:1]
    return names, (lists[names[0]] if names else every) - lists[judging]


def _parse_all(root: Path, findings: Findings) -> dict[str, voc.Annotation]:
    """Every annotation by stem: those of the folder `Annotations` where there is one, else all below the root."""
    if not root.is_dir():
        raise PathError(f"{root}: there is no such folder; it needs to hold Annotations/ and JPEGImages/")
    folder = next((path for path in sorted(root.iterdir()) if path.name.lower() == "annotations"), root)
    found: dict[str, voc.Annotation] = {}
    for path in files_below(folder, (".xml",)):
        if folder == root and not voc.looks_like(path):
            continue
        annotation = voc.parse(path, findings)
        if annotation is not None and path.stem in found:
            text = f"annotates the same image as {found[path.stem].path}; it is left out"
            findings.note("duplicate", path, text)
        elif annotation is not None:
            found[path.stem] = annotation
    if not found and not findings.errors:
        raise DataError(f"{root}: no annotation (Annotations/*.xml) lies here; is this the folder that holds them?")
    return found


def _find_classes(root: Path, annotations: Collection[voc.Annotation]) -> tuple[tuple[str, ...], list[Notice]]:
    path = root / "labels.txt"
    if path.is_file():
        return read_labels(path)
    found = {drawn.name for annotation in annotations for drawn in annotation.objects}
    names = tuple(sorted(name for name in found if name.upper() != BACKGROUND))
    if not names:
        raise DataError(f"{root}: no annotation holds an object, and there is no labels.txt; there is nothing to learn")
    text = f"{root}: no labels.txt; the classes are those that its annotations name: {', '.join(names)}"
    return names, [Notice(text, "warning")]


def _find_pictures(
    root: Path, annotations: Mapping[str, voc.Annotation], choice: _Choice, findings: Findings
) -> tuple[list[Sample], list[Notice]]:
    """The samples of the chosen images, and how many have no annotation, no picture, no object."""
    pictures = Pictures(root)
    from_zero, notices = _counts_from_zero(root, annotations.values())
    samples, without = [], []
    for stem in sorted(choice.stems & annotations.keys()):
        annotation = annotations[stem]
        image = _find_picture(annotation, pictures)
        if image is None:
            without.append(stem)
            continue
        sample = voc.to_sample(annotation, image, findings, from_zero=from_zero)
        if sample is not None and is_whole(image, findings):
            samples.append(sample)
    unread = {finding.path.stem for finding in findings.errors}
    absent = sorted(choice.stems - annotations.keys() - unread)
    empty = [sample.image.name for sample in samples if not sample.labels]
    count = len(choice.stems)
    notices += tell(choice.source, absent, count, "have no annotation and are left out")
    notices += tell(choice.source, without, count, "have no picture and are left out")
    notices += tell(choice.source, empty, count, "have no object and stay as background", level="info")
    return samples, notices


def _find_picture(annotation: voc.Annotation, pictures: Pictures) -> Path | None:
    """The picture named as the annotation is, as trainers find it; else the one that its `<filename>` names."""
    stem, named = annotation.path.stem, annotation.filename
    name = named if stem_of(named) == stem else stem
    return pictures.find(name, near=annotation.path) or (pictures.find(named, near=annotation.path) if named else None)


def _counts_from_zero(root: Path, annotations: Collection[voc.Annotation]) -> tuple[bool, list[Notice]]:
    lows = [low for annotation in annotations for drawn in annotation.objects for low in drawn.corners[:2]]
    zeros, ones = lows.count(0), lows.count(1)
    if zeros <= ones:
        return False, []
    text = f"{root}: boxes begin at 0 ({zeros} times, at 1 {ones} times), so its pixels are counted from 0, not from 1"
    return True, [Notice(text)]
