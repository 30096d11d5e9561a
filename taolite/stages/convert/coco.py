"""COCO files as a source of `dataset_convert`; each file is one fold (reference/detectnet_v2.md 3.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from taolite.errors import PathError
from taolite.events import Listener, Notice
from taolite.formats import coco
from taolite.formats.findings import Findings
from taolite.formats.photo import decodes
from taolite.formats.places import is_file, is_forbidden
from taolite.formats.text import show
from taolite.formats.tfrecord import Record
from taolite.sample import Label
from taolite.stages.convert.sources import Fold, Frames, Reading, Resolve, digest, is_empty, stamp
from taolite.tasks.detectnet.spec import COCOConfig

__all__ = ["CocoSource"]


class CocoSource:
    """One annotation file for each fold, in its own order. Unlike TAO, it checks that images exist and can be decoded.

    Raises PathError for a missing annotation file. The file's content is checked when records are read.
    """

    def __init__(self, config: COCOConfig, resolve: Resolve, listener: Listener) -> None:
        self._listener = listener
        self._categories: tuple[Path, set[str]] | None = None  # path and classes of the first file
        self._root_as_spelled = config.root_directory_path
        self.apart = False  # sending a whole file to another process costs too much
        self.root = resolve(config.root_directory_path)
        self._folds = [
            (folder, self.root / name)
            for folder, name in zip(config.img_dir_names, config.annotation_files, strict=True)
        ]
        for _, path in self._folds:
            if not path.is_file():
                raise PathError(f"{path}: no such file (coco_config.annotation_files); correct the spec")
        self.num_folds = len(self._folds)

    def fold(self, number: int, findings: Findings) -> Fold:
        folder, path = self._folds[number]
        dataset = coco.load(path, findings)
        if dataset is None:
            return _CocoFold(folder, path, self._root_as_spelled, {}, {}, self.root)
        if not any(dataset.labels.values()):
            text = "it has no annotations: training needs objects; remove its fold from coco_config"
            findings.error("unreadable-label", path, text)
        self._compare(dataset)
        return _CocoFold(folder, path, self._root_as_spelled, dataset.images, dataset.labels, self.root)

    def _compare(self, dataset: coco.CocoFile) -> None:
        """Warn of image extensions that one training spec cannot name, and of classes that only one file has."""
        suffixes = Counter(PurePosixPath(str(entry["file_name"])).suffix for entry in dataset.images.values())
        if len(suffixes) > 1:
            listed = ", ".join(f"{count} in {suffix or 'nothing'}" for suffix, count in sorted(suffixes.items()))
            text = f"{dataset.path}: file names end {listed}; a training spec takes one image_extension"
            self._listener(Notice(text, "warning"))
        names = set(dataset.names.values())
        first, known = self._categories = self._categories or (dataset.path, names)
        if names != known:
            listed = ", ".join(show(name) for name in sorted(names ^ known))
            text = f"{dataset.path}: its categories are not those of {first}; only one of the two has {listed}"
            self._listener(Notice(text, "warning"))


@dataclass(frozen=True)
class _CocoFold:
    folder: str
    path: Path
    root_as_spelled: str
    images: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Sequence[Label]]
    root: Path

    @cached_property
    def _ids(self) -> list[str]:
        return list(self.images)

    @cached_property
    def stamp(self) -> str:
        """Size and modification time of the annotation file."""
        return stamp(self.path)

    def __len__(self) -> int:
        return len(self.images)

    def frames(self, places: Sequence[int]) -> Frames:
        return _CocoFrames(self, [self._ids[at] for at in places])


@dataclass(frozen=True)
class _CocoFrames:
    fold: _CocoFold
    ids: Sequence[str]

    def state(self) -> str:
        return digest([str(self.fold.path), self.fold.stamp, *map(str, self.ids)])

    def records(self, reading: Reading) -> Iterator[Record]:
        fold = self.fold
        for image_id in self.ids:
            entry = fold.images[image_id]
            height, width = entry.get("height"), entry.get("width")
            if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
                text = f"image {image_id} needs `height` and `width`, whole numbers of pixels above 0"
                reading.findings.error("bad-image", fold.path, text)
                continue
            name = self._name_of(str(entry["file_name"]), image_id, reading.findings)
            if name is None or not decodes(fold.root / name, reading.findings):
                continue
            picture = str(PurePosixPath(fold.root_as_spelled, name))
            labels = tuple(_usable_coco(fold.labels[image_id], fold.path, reading))
            yield Record(str(name.with_suffix("")), (height, width), labels, picture)

    def _name_of(self, file_name: str, image_id: str, findings: Findings) -> PurePosixPath | None:
        """The path of an image below the root. `%20` and the like are decoded where a file of the decoded name exists.
        None where the image is missing or outside the root."""
        fold = self.fold
        if is_forbidden(str(PurePosixPath(fold.folder, file_name))):
            text = f"image {show(file_name)} (id {image_id}) leads outside {fold.root} and its parent folder"
            findings.error("outside-path", fold.path, f"{text}; move it, or add --allow-outside")
            return None
        for spelled in dict.fromkeys((file_name, unquote(file_name))):
            name = PurePosixPath(fold.folder, spelled)
            if is_file(fold.root / name):
                return name
        text = f"image {show(file_name)} (id {image_id}) is missing in {fold.root / fold.folder}; restore it"
        findings.error("missing-image", fold.path, text)
        return None


def _usable_coco(labels: Sequence[Label], path: Path, reading: Reading) -> Iterator[Label]:
    """Labels whose box is not empty. TAO names a dropped label by its id, which two files may share."""
    for label in labels:
        if is_empty(label):
            reading.dropped[label.attributes["id"], str(path)] = [int(value) for value in label.box]
            continue
        name = label.name.replace(" ", "")
        reading.class_map[name] = name.lower()
        yield replace(label, name=name.lower())
