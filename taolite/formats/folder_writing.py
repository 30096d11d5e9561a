"""Class folders written from samples whose one label covers the picture: `<folder>/<class>/<picture>`, whole or not
at all. Picture files keep their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.errors import PathError
from taolite.events import Listener, Progress, silent
from taolite.files import whole_folder
from taolite.formats.photo import photo_bytes
from taolite.sample import Sample

__all__ = ["write_folders"]

_PROGRESS_EVERY = 20


def write_folders(
    samples: Sequence[Sample], folder: Path, *, classes: Sequence[str], listener: Listener = silent
) -> None:
    """Write a folder for each class, also for one without a picture. Of two pictures with one name in a class the
    second gets its folder's name in front, then numbers.

    Args:
        samples: each with one label, a name of `classes`.
        folder: must not exist.

    Raises:
        PathError: the folder exists. DataError: a picture is missing. StorageError: the disk is full or read-only.
    """
    if folder.exists():
        raise PathError(f"{folder}: this folder exists already; choose another one")
    with whole_folder(folder) as partial:
        for name in classes:
            (partial / name).mkdir(parents=True)
        for number, sample in enumerate(samples, start=1):
            target = _free(partial / sample.labels[0].name, sample.image)
            target.write_bytes(photo_bytes(sample))
            if number % _PROGRESS_EVERY == 0 or number == len(samples):
                listener(Progress("convert", number, len(samples)))


def _free(folder: Path, image: Path) -> Path:
    """A path in `folder` for a picture, whose name is not taken there."""
    names = [image.name, f"{image.parent.name}__{image.name}"]
    target = next((folder / name for name in names if not (folder / name).exists()), None)
    number = 2
    while target is None:
        name = folder / f"{image.stem}_{number}{image.suffix}"
        target = None if name.exists() else name
        number += 1
    return target
