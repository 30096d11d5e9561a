"""From labelled pictures to an experiment: the parts converted, the specs written, and the commands that follow.

Loads without torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite import formats
from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, silent
from taolite.files import write_text
from taolite.formats.alike import groups_alike
from taolite.formats.holdout import split_samples
from taolite.formats.split import parts_of, split_name
from taolite.sample import Sample
from taolite.tasks.proposal import Places
from taolite.wording import nearest

__all__ = ["NewExperiment", "Wanted", "new_experiment"]

_HELD_OUT = 20.0  # percent of the training pictures, where a data set has no validation part
_SEED = 0
_FEWEST = 8  # pictures for training


@dataclass(frozen=True)
class Wanted:
    """What the user asks for. format: of the labels, None to recognise it. classes: the ones to learn, None for all.
    train, val: names of parts, or list files; None: the data set's own. pretrained: weights to start from."""

    format: str | None = None
    classes: Sequence[str] | None = None
    train: str | None = None
    val: str | None = None
    pretrained: Path | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class NewExperiment:
    """What was written. parts: pictures of each part. held_out: the validation part was taken from the training part,
    with pictures that look alike on one side. files: the specs."""

    folder: Path
    parts: Mapping[str, int]
    held_out: bool
    classes: tuple[str, ...]
    files: tuple[Path, ...]


def new_experiment(
    data: Path, folder: Path, *, task: str, wanted: Wanted | None = None, listener: Listener = silent
) -> NewExperiment:
    """Write the data and the specs of a new experiment to `folder`, which must not exist or be empty.

    Raises:
        PathError, DataError, UsageError: no data, labels that cannot be used, no such part, or a folder in use.
    """
    wanted = wanted or Wanted()
    if folder.is_dir() and any(folder.iterdir()):
        raise PathError(f"{folder}: this folder is not empty; choose another one for the experiment")
    parts, held_out = _parts(data, wanted, listener)
    classes = _classes(parts["train"], wanted.classes)
    place = folder.absolute()
    for name, samples in parts.items():
        suffixes = {sample.image.suffix.lower() for sample in samples}
        formats.write(
            formats.choose_classes(samples, classes=classes, rename={}),
            folder / "data" / name,
            "kitti",
            extension=None if len(suffixes) == 1 else ".jpg",
            skip_bad=wanted.skip_bad,
            listener=listener,
        )
    propose: Callable[..., dict[str, str]] = importlib.import_module(f"taolite.tasks.{task}.propose").propose
    pretrained = str(wanted.pretrained.absolute()) if wanted.pretrained else ""
    written = formats.read(folder / "data" / "train", "kitti", listener=silent)
    texts = propose(
        written,
        parts=tuple(parts),
        classes=tuple(name.lower() for name in classes),
        places=Places(str(place), pretrained),
    )
    for name, text in texts.items():
        write_text(folder / name, text)
    counts = {name: len(samples) for name, samples in parts.items()}
    return NewExperiment(folder, counts, held_out, classes, tuple(folder / name for name in texts))


def _parts(data: Path, wanted: Wanted, listener: Listener) -> tuple[dict[str, list[Sample]], bool]:
    """The samples of train, val and, where the data set has one, test; and whether val was held out of train."""

    def read(split: str | None) -> list[Sample]:
        return formats.read(data, wanted.format, split=split, strict=not wanted.skip_bad, listener=listener)

    own: dict[str, list[Sample]] = {}
    if wanted.train is None or wanted.val is None:
        everything = read(None)
        own = parts_of(data, everything)
    train = read(wanted.train) if wanted.train else own.get("train", own.get("trainval", everything))
    val = read(wanted.val) if wanted.val else own.get("val")
    held_out = val is None
    if val is None:
        train, val = split_samples(train, percent=_HELD_OUT, seed=_SEED, groups=groups_alike(train))
    if len(train) < _FEWEST:
        raise DataError(f"{data}: {len(train)} labelled pictures are left for training; {_FEWEST} or more are needed")
    parts = {"train": train, "val": val}
    if "test" in own and split_name(wanted.val or "") != "test":
        parts["test"] = own["test"]
    return parts, held_out


def _classes(train: Sequence[Sample], asked: Sequence[str] | None) -> tuple[str, ...]:
    """The classes to learn. Raises UsageError for one that no label has, DataError where there is no label."""
    there = sorted({label.name for sample in train for label in sample.labels})
    for name in asked or ():
        if name not in there:
            raise UsageError(
                f"--classes: no label is called {name}{nearest(name, there)}; there are {', '.join(there)}"
            )
    if not there:
        raise DataError("no training picture has a label; draw some with `taolite annotate` or labelme")
    return tuple(asked or there)
