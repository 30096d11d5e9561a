"""The spec's data sources -> samples: which TFRecords a split reads, where the photographs lie (reference 4.1)."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from taolite.errors import DataError, PathError
from taolite.formats import tfrecord
from taolite.sample import Sample

if TYPE_CHECKING:
    from taolite.tasks.detectnet.spec import DatasetConfig, DataSource

__all__ = ["class_lookup", "split_samples"]

Resolve = Callable[[str], Path]


def split_samples(dataset: DatasetConfig, split: Literal["train", "val"], *, resolve: Resolve) -> list[Sample]:
    """The samples of a split, in the order of files and records.

    Raises:
        PathError: a pattern that matches no file, an image folder that is missing.
        DataError: a split without a record, a damaged record.
    """
    if dataset.validation_data_source is not None:
        sources = [dataset.validation_data_source] if split == "val" else list(dataset.data_sources)
        chosen = [(source, _record_files(source, resolve)) for source in sources]
    else:
        mark = None if dataset.validation_fold is None else f"fold-{dataset.validation_fold:03d}-of-"
        chosen = [
            (source, [path for path in _record_files(source, resolve) if _in_split(path, mark, split)])
            for source in dataset.data_sources
        ]
    samples = [
        sample
        for source, files in chosen
        for sample in _source_samples(source, files, dataset.image_extension, resolve)
    ]
    if not samples:
        raise DataError(_nothing_in(dataset, split))
    return samples


def class_lookup(mapping: Mapping[str, str], classes: Sequence[str]) -> Callable[[str], int | None]:
    """Label name -> class index, or None where the spec does not ask for it.

    Keys match in any case, and a target class needs no entry of its own (docs/compat.md; reference 13.1 1 and 2).
    """
    index = {name: position for position, name in enumerate(classes)}
    table = {name.lower(): position for name, position in index.items()}
    table |= {source.lower(): index[target] for source, target in mapping.items() if target in index}
    return lambda name: table.get(name.lower())


def _record_files(source: DataSource, resolve: Resolve) -> list[Path]:
    pattern = resolve(source.tfrecords_path)
    found = sorted(Path(name) for name in glob.glob(str(pattern)))  # noqa: PTH207  (the pattern may be absolute)
    files = [path for path in found if path.is_file() and path.suffix != ".json"]  # the converter's warning file
    if not files:
        raise PathError(
            f"{pattern}: no TFRecord file matches this pattern (tfrecords_path: {source.tfrecords_path!r}); "
            "run dataset_convert first, or mend the path"
        )
    return files


def _in_split(path: Path, mark: str | None, split: Literal["train", "val"]) -> bool:
    held_out = mark is not None and mark in path.name
    return held_out if split == "val" else not held_out


def _source_samples(source: DataSource, files: Sequence[Path], extension: str, resolve: Resolve) -> list[Sample]:
    folder = resolve(source.image_directory_path)
    if files and not folder.is_dir():
        raise PathError(
            f"{folder}: this image folder is missing (image_directory_path: {source.image_directory_path!r})"
        )
    suffix = extension.lstrip(".")
    return [
        Sample(folder / f"{record.frame_id}.{suffix}", record.size_hw, record.labels)
        for record in tfrecord.read_records(files)
    ]


def _nothing_in(dataset: DatasetConfig, split: str) -> str:
    patterns = ", ".join(source.tfrecords_path for source in dataset.data_sources)
    if split == "train":
        return (
            f"no training record in {patterns}: every file belongs to validation_fold {dataset.validation_fold}; "
            "choose another fold, or convert with a smaller val_split"
        )
    if dataset.validation_fold is None and dataset.validation_data_source is None:
        return "dataset_config has neither validation_fold nor validation_data_source; set one of them"
    return (
        f"no validation record in {patterns}: no file name holds 'fold-{dataset.validation_fold or 0:03d}-of-'; "
        "set validation_fold to a fold that was written, or convert with a val_split above 0"
    )
