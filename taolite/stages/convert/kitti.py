"""Folders of KITTI labels as a source of `dataset_convert`, split into folds (reference/detectnet_v2.md 3.1, 3.2)."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice
from taolite.formats import kitti
from taolite.formats.findings import SHOWN, Findings, problems_error
from taolite.formats.photo import decodes
from taolite.formats.places import is_file, is_forbidden, is_hidden, measure
from taolite.formats.text import read_json, read_whole, show
from taolite.formats.tfrecord import Record
from taolite.pictures import EXTENSIONS
from taolite.sample import Label
from taolite.stages.convert.sorted_names import Names, sorted_names
from taolite.stages.convert.sources import Fold, Frames, Reading, Resolve, digest, is_empty, stamp
from taolite.tasks.detectnet.spec import KITTIConfig

__all__ = ["KittiSource", "random_folds", "sequence_folds"]

_SEED = 42  # reference 3.2
_SPELLINGS = (*EXTENSIONS, *(extension.upper() for extension in EXTENSIONS))


def random_folds(names: Names, *, val_split: float) -> list[Names]:
    """[validation, training]: the first int(val_split / 100 * N) of the names are for validation.

    The caller sorts the names. Both folds are shuffled twice: TAO shuffles when it splits and again before it writes.
    """
    count = int(val_split / 100.0 * len(names))
    folds, rng = [names.part(0, count), names.part(count, len(names))], random.Random(_SEED)
    for fold in (*folds, *folds):
        fold.shuffle(rng)
    return folds


def sequence_folds(sequences: Mapping[str, Sequence[str]], *, partitions: int) -> list[list[str]]:
    """Whole sequences dealt round-robin, longest first, then by name; the folds reversed, then each shuffled."""
    folds: list[list[str]] = [[] for _ in range(max(partitions, 1))]
    ordered = list(sequences.items())
    if partitions > 1:
        ordered.sort(key=lambda item: (-len(item[1]), item[0]))
    for index, (_, frames) in enumerate(ordered):
        folds[index % len(folds)].extend(frames)
    folds.reverse()
    rng = random.Random(_SEED)
    for fold in folds:
        rng.shuffle(fold)
    return folds


class KittiSource:
    """A folder of images and a folder of labels; as in TAO, a label without an image is ignored.

    The names of the images are kept in `scratch`, an unbuffered file, unless the spec's own file of sequences has them.
    Raises UsageError, PathError or DataError for settings and folders that cannot work.
    """

    def __init__(self, config: KITTIConfig, resolve: Resolve, listener: Listener, scratch: FileIO) -> None:
        self._config, self._listener, self._scratch = config, listener, scratch
        self._extension = f".{(config.image_extension or 'png').lstrip('.')}"
        self.apart = True
        self.root = resolve(config.root_directory_path)
        self._images, self._labels = self.root / config.image_dir_name, self.root / config.label_dir_name
        for folder, name in ((self._images, "image_dir_name"), (self._labels, "label_dir_name")):
            if not folder.is_dir():
                raise PathError(f"{folder}: no such folder (kitti_config.{name}); correct the spec or a mount")
        if is_forbidden(config.image_dir_name):
            text = f"{config.image_dir_name!r}, which leads outside root_directory_path and its parent folder"
            raise UsageError(
                f"kitti_config.image_dir_name is {text}; choose a root_directory_path above the images, "
                "or add --allow-outside"
            )
        for name in ("point_clouds_dir", "calibrations_dir"):
            if getattr(config, name):
                listener(Notice(f"kitti_config.{name} is ignored: no network here takes point clouds", "warning"))
        self._folds = self._random() if config.partition_mode == "random" else self._sequences()
        self.num_folds = len(self._folds)

    def fold(self, number: int, findings: Findings) -> Fold:
        return _KittiFold(self._images, self._labels, self._config, self._extension, self._folds[number])

    def _random(self) -> Sequence[Names | Sequence[str]]:
        config = self._config
        if config.num_partitions != 2:
            raise UsageError(f"kitti_config.num_partitions is {config.num_partitions}; partition_mode random needs 2")
        if not 0 <= config.val_split < 100:
            raise UsageError(f"kitti_config.val_split is {config.val_split:g}; it needs to be 0 or more, and below 100")
        names, others = _list_names(self._images, self._extension, self._scratch)
        alike = [suffix for suffix in others if _one_spelling(suffix) == _one_spelling(self._extension)]
        if not len(names) and len(alike) == 1:
            self._take(alike[0])
            names, others = _list_names(self._images, self._extension, self._scratch)
        extension = self._extension
        listed = ", ".join(f"{n} {'ends' if n == 1 else 'end'} in {suffix}" for suffix, n in sorted(others.items()))
        if not len(names):
            found = f"of its pictures {listed}" if listed else "it holds no picture"
            text = f"no image ends in {extension} (kitti_config.image_extension is {config.image_extension!r})"
            raise DataError(f"{self._images}: {text}; {found}")
        if others:
            text = f"of its pictures {listed} and are left out; kitti_config.image_extension is {extension}"
            self._listener(Notice(f"{self._images}: {text}", "warning"))
        folds = random_folds(names, val_split=config.val_split)
        self._listener(Notice(f"Num images in\nTrain: {len(folds[1])}\tVal: {len(folds[0])}"))
        note = (
            "Validation data in partition 0. Hence, while choosing the validationset during training choose "
            "validation_fold 0."
        )
        self._listener(Notice(note if config.val_split else "Skipped validation data..."))
        return folds

    def _take(self, extension: str) -> None:
        """Use another spelling of the spec's extension (`.jpeg` for `jpg`), and say so."""
        text = f"kitti_config.image_extension is {self._config.image_extension!r}, and its images end in {extension}"
        way = f'that is taken; write image_extension: "{extension.lstrip(".")}" into the training spec'
        self._listener(Notice(f"{self._images}: {text}; {way}", "warning"))
        self._extension = extension

    def _sequences(self) -> Sequence[Names | Sequence[str]]:
        path = self.root / self._config.kitti_sequence_to_frames_file
        if not path.is_file():
            raise PathError(f"{path}: no such file (kitti_config.kitti_sequence_to_frames_file)")
        findings = Findings()
        table = read_json(path, read_whole(path), findings)
        if findings.errors:
            raise problems_error(path, findings.errors)
        if not _is_table_of_names(table):
            raise DataError(f'{path}: one object is needed, sequence -> frames, e.g. {{"0001": ["000000", "000001"]}}')
        frames = Counter(frame for names in table.values() for frame in names)
        if not frames:
            raise DataError(f"{path}: it names no frame")
        outside = [frame for frame in frames if is_forbidden(str(PurePosixPath(self._config.image_dir_name, frame)))]
        if outside:
            text = f"the frame {show(outside[0])} leads outside {self.root} and its parent folder"
            raise DataError(f"{path}: {text}; correct it, or add --allow-outside")
        first = next(iter(frames))
        if not is_file(self._images / f"{first}{self._extension}"):
            there = [suffix for suffix in _SPELLINGS if is_file(self._images / f"{first}{suffix}")]
            alike = [suffix for suffix in there if _one_spelling(suffix) == _one_spelling(self._extension)]
            if alike:
                self._take(alike[0])
        twice = [frame for frame, count in frames.items() if count > 1]
        if twice:
            listed = ", ".join(twice[:3]) + (f" and {len(twice) - 3} more" if len(twice) > 3 else "")
            text = f"{path}: named more than once, and so perhaps in two folds: {listed}"
            self._listener(Notice(text, "warning"))
        folds = sequence_folds(table, partitions=self._config.num_partitions)
        return [[f"{frame}{self._extension}" for frame in fold] for fold in folds]


@dataclass(frozen=True)
class _KittiFold:
    images: Path
    labels: Path
    config: KITTIConfig
    extension: str
    names: Names | Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def frames(self, places: Sequence[int]) -> Frames:
        stems = [self.names[at].removesuffix(self.extension) for at in places]
        return _KittiFrames(self.images, self.labels, self.config, self.extension, stems)


@dataclass(frozen=True)
class _KittiFrames:
    images: Path
    labels: Path
    config: KITTIConfig
    extension: str
    stems: Sequence[str]

    @cached_property
    def _files(self) -> list[tuple[Path, Path]]:
        """The picture and the label file of each frame."""
        return [(self.images / f"{stem}{self.extension}", self.labels / f"{stem}.txt") for stem in self.stems]

    def state(self) -> str:
        stamps = (stamp(path) for pair in self._files for path in pair)
        return digest([str(self.images), str(self.labels), *stamps])

    def records(self, reading: Reading) -> Iterator[Record]:
        root, folder = PurePosixPath(self.config.root_directory_path), PurePosixPath(self.config.image_dir_name)
        for stem, (image, path) in zip(self.stems, self._files, strict=True):
            size_hw = measure(image, reading.findings)
            if not path.is_file():
                text = f"its label file {path} is missing; restore it, or make it empty if the image shows nothing"
                reading.findings.error("missing-label", image, text)
                continue
            labels = kitti.parse_labels(path, reading.findings)
            if size_hw is not None and labels is not None and decodes(image, reading.findings):
                usable, frame_id = tuple(_usable_kitti(labels, path, reading)), str(folder / stem)
                yield Record(frame_id, size_hw, usable, str(root / f"{frame_id}{self.extension}"))


def _usable_kitti(labels: Sequence[Label], path: Path, reading: Reading) -> Iterator[Label]:
    """Labels whose box is not empty, lower-cased. TAO names a dropped label by its position in the file."""
    for index, label in enumerate(labels):
        if is_empty(label):
            reading.dropped[f"{path}_{index}", str(path)] = [int(value) for value in label.box]
            if len(reading.of_empty) < SHOWN:
                reading.of_empty.append(f"{path}:{label.line}: {label.name} has an empty box and is left out")
            continue
        name = label.name.lower()
        reading.class_map[label.name] = name
        yield label if label.name == name else replace(label, name=name)
    if any(label.score is not None for label in labels):
        reading.scored += 1
        if len(reading.of_scores) < SHOWN:
            reading.of_scores.append(f"{path}: 16 columns, as predictions have; their scores are not stored")


def _list_names(folder: Path, extension: str, scratch: FileIO) -> tuple[Names, Counter[str]]:
    """The sorted names of the files that end in `extension`, and the number of other pictures by extension."""
    others: Counter[str] = Counter()

    def wanted() -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.name.endswith(extension):
                    if entry.is_file():
                        yield entry.name
                elif (suffix := Path(entry.name).suffix).lower() in EXTENSIONS and entry.is_file():
                    others[suffix] += 1

    return sorted_names(wanted(), scratch), others


def _one_spelling(extension: str) -> str:
    """`.JPEG`, `.jpg` -> `.jpg`."""
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(extension.lower(), extension.lower())


def _is_table_of_names(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(frames, list) and all(isinstance(frame, str) for frame in frames) for frames in value.values()
    )
