"""From labelled pictures to an experiment: the parts written, and the specs.

Loads without torch; a classifier's pretrained weights are read with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite import formats
from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice, silent
from taolite.files import write_text
from taolite.formats.alike import groups_alike
from taolite.formats.folder_writing import write_folders
from taolite.formats.holdout import split_by_class, split_samples
from taolite.formats.split import parts_of, split_name
from taolite.sample import Sample
from taolite.tasks.proposal import Labels, Places
from taolite.wording import counted, nearest

__all__ = ["NewExperiment", "Wanted", "new_experiment"]

_HELD_OUT = 20.0  # percent of the training pictures, where a data set has no validation part
_SEED = 0
_FEWEST = 8  # pictures for training
_NO_OBJECTS = ("dontcare", "__ignore__")
"""Names that KITTI and labelme give to places nobody may be judged by, in small letters."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for. format: of the labels, None to recognise it. classes: the ones to learn, None for all
    but KITTI's `DontCare` and labelme's `__ignore__`. train, val: names of parts, or list files; None: the data set's
    own. pretrained: weights to start from."""

    format: str | None = None
    classes: Sequence[str] | None = None
    train: str | None = None
    val: str | None = None
    pretrained: Path | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class NewExperiment:
    """What was written. parts: pictures of each part. held_out: the validation part was taken from the training part,
    with pictures that look alike on one side. files: the specs. alike: of the data set's own val and test, the pictures
    that look like one for training, with which a score is too good. pretrained: weights to start from. arch:
    torchvision's name of a classifier, "" for TAO's."""

    task: str
    folder: Path
    parts: Mapping[str, int]
    held_out: bool
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    alike: Mapping[str, int]
    pretrained: Path | None = None
    arch: str = ""


def new_experiment(
    data: Path, folder: Path, *, task: str, wanted: Wanted | None = None, listener: Listener = silent
) -> NewExperiment:
    """Write the data and the specs of a new experiment to `folder`, which must not exist or be empty.

    Args:
        data: labelled pictures: boxes of any format for a detector, class folders for a classifier.
        task: a task with a `propose` module.

    Raises:
        PathError, DataError, UsageError: no data, labels that cannot be used, no such part, or a folder in use.
    """
    wanted = wanted or Wanted()
    if folder.is_dir() and any(folder.iterdir()):
        raise PathError(f"{folder}: this folder is not empty; choose another one for the experiment")
    if wanted.pretrained and not wanted.pretrained.is_file():
        raise PathError(f"{wanted.pretrained}: no such file; --pretrained needs weights, such as resnet18.pth")
    proposal = importlib.import_module(f"taolite.tasks.{task}.propose")
    propose: Callable[..., dict[str, str]] = proposal.propose
    labels: Labels = proposal.LABELS
    arch = _arch(wanted.pretrained) if wanted.pretrained and labels == "folders" else ""
    found = wanted.format or formats.detect(data)
    _check_labels(data, found, labels)
    parts, held_out = _parts(data, found, wanted, labels, listener)
    classes = _classes(parts["train"], wanted.classes, labels, listener)
    if labels == "folders":
        parts = {name: _of_classes(samples, classes) for name, samples in parts.items()}
    write = _write_folders if labels == "folders" else _write_boxes
    for name, samples in parts.items():
        write(samples, folder / "data" / name, classes, wanted, listener)
    written = formats.read(folder / "data" / "train", "folders" if labels == "folders" else "kitti", listener=silent)
    texts = propose(
        written,
        parts=tuple(parts),
        classes=classes if labels == "folders" else tuple(dict.fromkeys(map(str.lower, classes))),
        places=Places(str(folder.absolute()), str(wanted.pretrained.absolute()) if wanted.pretrained else "", arch),
    )
    for name, text in texts.items():
        write_text(folder / name, text)
    counts = {name: len(samples) for name, samples in parts.items()}
    files = tuple(folder / name for name in texts)
    alike = _alike(parts, ("test",) if held_out else ("val", "test"))
    return NewExperiment(task, folder, counts, held_out, classes, files, alike, wanted.pretrained, arch)


def _arch(weights: Path) -> str:
    """torchvision's name of the ResNet that has these weights, "" for other weights."""
    from taolite.nn.state_dict import holds_state_dict, read_state_dict
    from taolite.nn.torchvision_network import arch_of

    arch = arch_of(read_state_dict(weights)) if holds_state_dict(weights) else ""
    return arch if arch.startswith("resnet") else ""


def _check_labels(data: Path, found: str, labels: Labels) -> None:
    """Raises UsageError where the labels are not of the kind that the task needs."""
    if labels == "folders" and found != "folders":
        raise UsageError(
            f"{data}: has labels of {found}, and a classifier needs a folder of pictures for each class; "
            "`taolite spec new detectnet` learns boxes"
        )
    if labels == "boxes" and found == "folders":
        raise UsageError(
            f"{data}: has class folders, and a detector needs boxes; draw some with `taolite annotate`, or learn whole "
            "pictures with `taolite spec new classification`"
        )


def _write_boxes(
    samples: Sequence[Sample], folder: Path, classes: Sequence[str], wanted: Wanted, listener: Listener
) -> None:
    """Write KITTI folders; a TAO spec knows one extension, so pictures of several become JPEG."""
    suffixes = {sample.image.suffix.lower() for sample in samples}
    formats.write(
        formats.choose_classes(samples, classes=[name for name in classes if _has(samples, name)], rename={}),
        folder,
        "kitti",
        extension=None if len(suffixes) == 1 else ".jpg",
        skip_bad=wanted.skip_bad,
        listener=listener,
    )


def _write_folders(
    samples: Sequence[Sample], folder: Path, classes: Sequence[str], wanted: Wanted, listener: Listener
) -> None:
    write_folders(samples, folder, classes=classes, listener=listener)


def _has(samples: Sequence[Sample], name: str) -> bool:
    return any(label.name == name for sample in samples for label in sample.labels)


def _of_classes(samples: Sequence[Sample], classes: Sequence[str]) -> list[Sample]:
    return [sample for sample in samples if sample.labels[0].name in classes]


def _parts(
    data: Path, found: str, wanted: Wanted, labels: Labels, listener: Listener
) -> tuple[dict[str, list[Sample]], bool]:
    """The samples of train, val and, where the data set has one, test; and whether val was held out of train.

    Pictures of the data set's own val and test are not for training, unless the training part is named and has them.
    """

    def read(split: str | None) -> list[Sample]:
        return formats.read(data, found, split=split, strict=not wanted.skip_bad, listener=listener)

    own: dict[str, list[Sample]] = {}
    if wanted.train is None or wanted.val is None:
        everything = read(None)
        own = parts_of(data, everything)
    if wanted.train:
        train = read(wanted.train)
    else:
        elsewhere = {sample.image for name in ("val", "test") for sample in own.get(name, ())}
        train = own.get("train", own.get("trainval", [one for one in everything if one.image not in elsewhere]))
    val = read(wanted.val) if wanted.val else own.get("val")
    if val is not None and not wanted.val and {one.image for one in val} & {one.image for one in train}:
        val = None  # trainval contains val
    held_out = val is None
    if val is None:
        train, val = _held_out(data, train, labels)
    if len(train) < _FEWEST:
        left = f"{counted(len(train), 'labelled picture')} {'is' if len(train) == 1 else 'are'} left for training"
        raise DataError(f"{data}: {left}; {_FEWEST} or more are needed")
    parts = {"train": train, "val": val}
    if "test" in own and split_name(wanted.val or "") != "test":
        parts["test"] = own["test"]
    return parts, held_out


def _alike(parts: Mapping[str, Sequence[Sample]], names: Sequence[str]) -> dict[str, int]:
    """For each of the parts `names` that has any, how many of its pictures look like one of the training part."""
    there = {name: parts[name] for name in names if name in parts}
    owners = [name for name, samples in {"train": parts["train"], **there}.items() for _ in samples]
    if not there:
        return {}
    groups = groups_alike([sample for name in ("train", *there) for sample in parts[name]])
    leaked = [owners[index] for group in groups if any(owners[one] == "train" for one in group) for index in group]
    return {name: leaked.count(name) for name in there if name in leaked}


def _held_out(data: Path, train: Sequence[Sample], labels: Labels) -> tuple[list[Sample], list[Sample]]:
    """The training pictures without a fifth of them, and that fifth; those that look alike are on one side."""
    hold_out = split_by_class if labels == "folders" else split_samples
    try:
        return hold_out(train, percent=_HELD_OUT, seed=_SEED, groups=groups_alike(train))
    except UsageError as error:
        raise DataError(
            f"{data}: a fifth of {counted(len(train), 'picture')} cannot be held out for validation, because too many "
            "of them look alike; name the validation part with --val"
        ) from error


def _classes(
    train: Sequence[Sample], asked: Sequence[str] | None, labels: Labels, listener: Listener
) -> tuple[str, ...]:
    """The classes to learn. Raises UsageError for one that no label has, DataError where there are too few."""
    there = sorted({label.name for sample in train for label in sample.labels})
    if labels == "boxes" and not asked:
        marks = [name for name in there if name.lower() in _NO_OBJECTS]
        there = [name for name in there if name not in marks]
        if marks:
            names = ", ".join(marks)
            listener(Notice(f"not learned, as they mark places to ignore: {names} (--classes names what to learn)"))
    for name in asked or ():
        if name not in there:
            raise UsageError(
                f"--classes: no label is called {name}{nearest(name, there)}; there are {', '.join(there)}"
            )
    if not there:
        raise DataError("no training picture has a label; draw some with `taolite annotate` or labelme")
    chosen = tuple(asked or there)
    if labels == "folders" and len(chosen) < 2:
        raise DataError(f"{chosen[0]} is the only class; a classifier needs two or more")
    return tuple(sorted(chosen)) if labels == "folders" else chosen
