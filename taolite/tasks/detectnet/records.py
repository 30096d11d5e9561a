"""The spec's data sources -> samples: the TFRecords of each split, and the image folders (reference 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from taolite.data.examples import Source
from taolite.errors import DataError, PathError
from taolite.formats import tfrecord
from taolite.formats.packed import PackedSamples
from taolite.formats.ranges import located
from taolite.formats.record_index import record_samples
from taolite.formats.tars import TarPictures, list_tars, names_tars, tar_files

if TYPE_CHECKING:
    from taolite.tasks.detectnet.spec import DatasetConfig, DataSource

__all__ = ["class_lookup", "split_sources"]

Resolve = Callable[[str], Path]
Split = Literal["train", "val"]


def split_sources(dataset: DatasetConfig, split: Split, *, resolve: Resolve) -> tuple[list[Source], list[str]]:
    """The samples of a split, by source, in the order of files and records, and a list of warnings.

    A warning names a file that matches a pattern and is not a record file (reference 13.1 row 30). Empty shards have
    no samples.

    Raises:
        PathError: a pattern matches no record file, or an image folder is missing.
        DataError: a split has no record, or a record is damaged.
    """
    mark = None if dataset.validation_fold is None else f"fold-{dataset.validation_fold:03d}-of-"
    configs = dataset.data_sources
    if dataset.validation_data_source is not None and split == "val":
        configs, mark = (dataset.validation_data_source,), ""  # "" matches every path: all records are for validation
    sources, foreign = [], []
    for config in configs:
        records, others = tfrecord.matching(located(config.tfrecords_path, resolve), spelled=config.tfrecords_path)
        chosen = [path for path in records if _in_split(path, mark, split)]
        sources.append(_source(config, chosen, dataset.image_extension, resolve))
        foreign += others
    if not any(source.samples for source in sources):
        raise DataError(_nothing_in(dataset, split))
    return sources, [f"{path}: matches tfrecords_path and is no TFRecord file; it is left out" for path in foreign]


def class_lookup(mapping: Mapping[str, str], classes: Sequence[str]) -> Callable[[str], int | None]:
    """A function: label name -> class index, or None for a label that the spec does not use.

    Keys match in upper or lower case. A target class needs no entry (reference 13.1 rows 1 and 2).
    """
    index = {name: position for position, name in enumerate(classes)}
    table = {name.lower(): position for name, position in index.items()}
    table |= {source.lower(): index[target] for source, target in mapping.items() if target in index}
    return lambda name: table.get(name.lower())


def _in_split(path: str, mark: str | None, split: Split) -> bool:
    held_out = mark is not None and mark in path
    return held_out if split == "val" else not held_out


def _source(source: DataSource, files: Sequence[str], extension: str, resolve: Resolve) -> Source:
    spelled, suffix = source.image_directory_path, f".{extension.lstrip('.')}"
    samples = PackedSamples(block for path in files for block in record_samples(path).blocks)
    if names_tars(spelled):
        pictures = TarPictures(list_tars(tar_files(located(spelled, resolve), field="image_directory_path")))
        return Source(samples.placed(Path(), suffix), source.source_weight, pictures)
    folder = resolve(spelled)
    if files and not folder.is_dir():
        raise PathError(f"{folder}: this image folder is missing (image_directory_path: {spelled!r})")
    return Source(samples.placed(folder, suffix), source.source_weight)


def _nothing_in(dataset: DatasetConfig, split: str) -> str:
    patterns = ", ".join(source.tfrecords_path for source in dataset.data_sources)
    if split == "train":
        if dataset.validation_fold is None:
            return f"no training record in {patterns}: the files are empty; run dataset_convert again"
        return (
            f"no training record in {patterns}: every file belongs to validation_fold {dataset.validation_fold}; "
            "choose another fold, or convert with a smaller val_split"
        )
    if dataset.validation_fold is None and dataset.validation_data_source is None:
        return "dataset_config has neither validation_fold nor validation_data_source; set one of them"
    if dataset.validation_data_source is not None:
        return f"no validation record in {dataset.validation_data_source.tfrecords_path}; convert into it first"
    return (
        f"no validation record in {patterns}: no path holds 'fold-{dataset.validation_fold or 0:03d}-of-'; "
        "set validation_fold to a fold that was written, or convert with a val_split above 0"
    )
