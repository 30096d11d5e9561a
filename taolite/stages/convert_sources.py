"""Where `dataset_convert` takes its records from: folders of KITTI labels, or COCO files, dealt into folds
(reference/detectnet_v2.md 3.1, 3.2, 3.5). A source opens label files and image headers, and writes nothing.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from taolite.errors import DataError, PathError, UsageError
from taolite.events import Listener, Notice
from taolite.formats import coco, kitti
from taolite.formats.findings import SHOWN, Findings
from taolite.formats.places import measure
from taolite.formats.text import show
from taolite.formats.tfrecord import Record
from taolite.pictures import EXTENSIONS
from taolite.sample import Label
from taolite.tasks.detectnet.spec import COCOConfig, KITTIConfig

__all__ = ["CocoSource", "KittiSource", "Resolve", "Source", "random_folds", "sequence_folds"]

Resolve = Callable[[str], Path]
_SEED = 42  # reference 3.2


class Source(Protocol):
    """Records by fold. `class_map` and `dropped` fill up as records are taken."""

    root: Path
    sizes: tuple[int, ...]  # frames of each fold
    class_map: dict[str, str]  # name in the labels -> name in the records
    dropped: dict[str, list[int]]  # objects with an empty box, under TAO's name for them -> its whole-number corners

    def records(self, fold: int, findings: Findings) -> Iterator[Record]:
        """The usable records of a fold, in writing order; what cannot be used goes to `findings`."""
        ...


def random_folds(stems: Sequence[str], *, val_split: float) -> list[list[str]]:
    """[validation, training]: of the stems, sorted by the caller, the first int(val_split / 100 * N) validate.

    Both are shuffled, twice, because TAO shuffles when it splits and again before it writes.
    """
    count = int(val_split / 100.0 * len(stems))
    folds, rng = [list(stems[:count]), list(stems[count:])], random.Random(_SEED)
    for fold in (*folds, *folds):
        rng.shuffle(fold)
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
    """A folder of images and a folder of labels; a label without an image is not looked at, as in TAO.

    Raises UsageError, PathError or DataError for settings and folders that cannot work.
    """

    def __init__(self, config: KITTIConfig, resolve: Resolve, listener: Listener) -> None:
        self._config, self._listener = config, listener
        self._extension = config.image_extension or ".png"
        self.root = resolve(config.root_directory_path)
        self._images, self._labels = self.root / config.image_dir_name, self.root / config.label_dir_name
        for folder, name in ((self._images, "image_dir_name"), (self._labels, "label_dir_name")):
            if not folder.is_dir():
                raise PathError(f"{folder}: this folder is missing (kitti_config.{name}); correct the spec or a mount")
        for name in ("point_clouds_dir", "calibrations_dir"):
            if getattr(config, name):
                listener(Notice(f"kitti_config.{name} is ignored: no network here takes point clouds", "warning"))
        self._folds = self._random() if config.partition_mode == "random" else self._sequences()
        self.sizes = tuple(map(len, self._folds))
        self.class_map: dict[str, str] = {}
        self.dropped: dict[str, list[int]] = {}

    def records(self, fold: int, findings: Findings) -> Iterator[Record]:
        for stem in self._folds[fold]:
            image, path = self._images / f"{stem}{self._extension}", self._labels / f"{stem}.txt"
            size_hw = measure(image, findings)
            if not path.is_file():
                text = f"its label file {path} is missing; restore it, or make it empty if the image shows nothing"
                findings.error("missing-label", image, text)
                continue
            labels = kitti.parse_labels(path, findings)
            if size_hw is not None and labels is not None:
                name = PurePosixPath(self._config.image_dir_name, f"{stem}{self._extension}")
                picture = str(PurePosixPath(self._config.root_directory_path, name))
                frame_id = str(PurePosixPath(self._config.image_dir_name, stem))
                yield Record(frame_id, size_hw, tuple(self._usable(labels, path)), picture)

    def _usable(self, labels: Sequence[Label], path: Path) -> Iterator[Label]:
        """Labels whose box encloses something, lower-cased. TAO's name of a dropped one counts the file's objects."""
        for index, label in enumerate(labels):
            if is_empty(label):
                self.dropped[f"{path}_{index}"] = [int(value) for value in label.box]
                self._warn(f"{path}:{label.line}: {label.name} has an empty box and is left out")
                continue
            self.class_map[label.name] = label.name.lower()
            yield replace(label, name=label.name.lower())
        if any(label.score is not None for label in labels):
            self._listener(Notice(f"{path}: 16 columns, as predictions have; their scores are not stored", "warning"))

    def _warn(self, text: str) -> None:
        if len(self.dropped) <= SHOWN:
            self._listener(Notice(text, "warning"))

    def _random(self) -> list[list[str]]:
        config, extension = self._config, self._extension
        if config.num_partitions != 2:
            raise UsageError(f"kitti_config.num_partitions is {config.num_partitions}; partition_mode random needs 2")
        if not 0 <= config.val_split < 100:
            raise UsageError(f"kitti_config.val_split is {config.val_split:g}; it needs to be 0 or more, and below 100")
        names = sorted(path.name for path in self._images.iterdir() if path.is_file())
        stems = [name.removesuffix(extension) for name in names if name.endswith(extension)]
        others = Counter(Path(name).suffix for name in names if not name.endswith(extension))
        others = Counter({suffix: count for suffix, count in others.items() if suffix.lower() in EXTENSIONS})
        listed = ", ".join(f"{count} end in {suffix}" for suffix, count in sorted(others.items()))
        if not stems:
            found = f"of its pictures {listed}" if listed else "it holds no picture"
            raise DataError(f"{self._images}: no name ends in {extension} (kitti_config.image_extension); {found}")
        if others:
            text = f"{self._images}: {listed} and are left out; kitti_config.image_extension is {extension}"
            self._listener(Notice(text, "warning"))
        folds = random_folds(stems, val_split=config.val_split)
        self._listener(Notice(f"Num images in\nTrain: {len(folds[1])}\tVal: {len(folds[0])}"))
        note = (
            "Validation data in partition 0. Hence, while choosing the validationset during training choose "
            "validation_fold 0."
        )
        self._listener(Notice(note if config.val_split else "Skipped validation data..."))
        return folds

    def _sequences(self) -> list[list[str]]:
        path = self.root / self._config.kitti_sequence_to_frames_file
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise PathError(f"{path}: this file is missing (kitti_config.kitti_sequence_to_frames_file)") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path}: not JSON ({error})") from error
        if not _is_table_of_names(table):
            raise DataError(f'{path}: one object is needed, sequence -> frames, e.g. {{"0001": ["000000", "000001"]}}')
        frames = Counter(frame for names in table.values() for frame in names)
        if not frames:
            raise DataError(f"{path}: it names no frame")
        twice = [frame for frame, count in frames.items() if count > 1]
        if twice:
            listed = ", ".join(twice[:3]) + (f" and {len(twice) - 3} more" if len(twice) > 3 else "")
            text = f"{path}: named more than once, and so perhaps in two folds: {listed}"
            self._listener(Notice(text, "warning"))
        return sequence_folds(table, partitions=self._config.num_partitions)


class CocoSource:
    """One annotation file for each fold, in its own order; images are not opened, as in TAO.

    Raises PathError for a missing annotation file; what it holds is checked as records are taken.
    """

    def __init__(self, config: COCOConfig, resolve: Resolve, listener: Listener) -> None:
        self._listener = listener
        self._categories: tuple[Path, set[str]] | None = None  # of the first file
        self._root_as_spelled = config.root_directory_path
        self.root = resolve(config.root_directory_path)
        self._folds = [
            (folder, self.root / name)
            for folder, name in zip(config.img_dir_names, config.annotation_files, strict=True)
        ]
        for _, path in self._folds:
            if not path.is_file():
                raise PathError(f"{path}: this file is missing (coco_config.annotation_files); correct the spec")
        self.sizes = (0,) * len(self._folds)  # not known before the files are read
        self.class_map: dict[str, str] = {}
        self.dropped: dict[str, list[int]] = {}

    def records(self, fold: int, findings: Findings) -> Iterator[Record]:
        folder, path = self._folds[fold]
        dataset = coco.load(path, findings)
        if dataset is None:
            return
        if not any(dataset.labels.values()):
            text = "it has no annotation: of background alone nothing is learned; take its fold out of coco_config"
            findings.error("unreadable-label", path, text)
        self._compare(dataset)
        for image_id, entry in dataset.images.items():
            height, width = entry.get("height"), entry.get("width")
            if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
                text = f"image {image_id} needs `height` and `width`, whole numbers of pixels above 0"
                findings.error("bad-image", path, text)
                continue
            name = PurePosixPath(folder, str(entry["file_name"]))
            picture = str(PurePosixPath(self._root_as_spelled, name))
            labels = tuple(self._usable(dataset.labels[image_id], path))
            yield Record(str(name.with_suffix("")), (height, width), labels, picture)

    def _compare(self, dataset: coco.CocoFile) -> None:
        """Warn of image extensions that a training spec cannot name at once, and of classes that only one file has."""
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

    def _usable(self, labels: Sequence[Label], path: Path) -> Iterator[Label]:
        """Labels whose box encloses something. TAO names a dropped one by its id, which two files may share."""
        for label in labels:
            if is_empty(label):
                name = label.attributes["id"]
                name = f"{path}_{name}" if name in self.dropped else name
                self.dropped[name] = [int(value) for value in label.box]
                continue
            name = label.name.replace(" ", "")
            self.class_map[name] = name.lower()
            yield replace(label, name=name.lower())


def is_empty(label: Label) -> bool:
    """TAO's test of a box, on its corners cut to whole numbers (reference 3.1): 10.2 to 10.9 is nothing wide."""
    x1, y1, x2, y2 = (int(value) for value in label.box)
    return not (x1 < x2 and y1 < y2)


def _is_table_of_names(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(frames, list) and all(isinstance(frame, str) for frame in frames) for frames in value.values()
    )
