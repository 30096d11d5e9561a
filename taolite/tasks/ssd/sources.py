"""TAO's data sources -> samples: pictures with KITTI labels folder by folder, or the records that `dataset_convert`
made of them (reference/tao_classification_ssd.md 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from taolite.errors import DataError, PathError
from taolite.events import Notice
from taolite.formats import kitti, tfrecord
from taolite.formats.findings import Findings, problems_error
from taolite.formats.packed import PackedSamples, pack
from taolite.formats.places import measure
from taolite.formats.ranges import is_url, located
from taolite.formats.record_index import as_sample, record_samples
from taolite.sample import Sample
from taolite.tasks.base import Resolve, Split
from taolite.tasks.ssd.spec import DatasetConfig, DataSource

__all__ = ["class_lookup", "read_samples"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # of pictures that TAO looks at, in lower case


def class_lookup(data: DatasetConfig) -> Callable[[str], int | None]:
    """A label's name, in any case -> its class, None where the mapping does not have it."""
    index = {name: position for position, name in enumerate(data.classes)}
    table = {source.lower(): index[target.lower()] for source, target in data.target_class_mapping.items()}
    return lambda name: table.get(name.lower())


def read_samples(data: DatasetConfig, split: Split, *, resolve: Resolve) -> tuple[Sequence[Sample], Sequence[Notice]]:
    """The samples of a split, source by source, and what is to be said of them. Objects that KITTI calls occluded are
    difficult. Raises PathError, DataError."""
    parts: list[PackedSamples] = []
    notices: list[str] = []
    for source in data.data_sources if split == "train" else data.validated:
        of_records = split == "train" and source.tfrecords_path
        found, said = (_of_records if of_records else _of_folders)(source, resolve)
        parts.append(found)
        notices += said
    samples = PackedSamples(block for part in parts for block in part.blocks)
    if not samples:
        name = "data_sources" if split == "train" else "validation_data_sources"
        raise DataError(f"dataset_config.{name}: there is no picture with labels in them; correct the paths")
    return samples, [Notice(text, "warning") for text in notices]


def _with_difficult(sample: Sample) -> Sample:
    labels = tuple(replace(label, difficult=label.occluded != 0) for label in sample.labels)
    return replace(sample, labels=labels)


def _of_folders(source: DataSource, resolve: Resolve) -> tuple[PackedSamples, list[str]]:
    images, labels = resolve(source.image_directory_path), resolve(source.label_directory_path)
    for folder, name in ((images, "image_directory_path"), (labels, "label_directory_path")):
        if not folder.is_dir():
            raise PathError(f"{folder}: this folder is missing ({name}); correct the spec or a mount")
    findings, alone = Findings(), []

    def labelled() -> Iterator[Sample]:
        for image in sorted(path for path in images.iterdir() if path.suffix in EXTENSIONS):
            path = labels / f"{image.stem}.txt"
            if not path.is_file():
                alone.append(image)
                continue
            size_hw, found = measure(image, findings), kitti.parse_labels(path, findings)
            if size_hw is not None and found is not None:
                yield _with_difficult(Sample(image, size_hw, found, source=path))

    samples = pack(labelled())
    if findings.errors:
        raise problems_error(labels, sorted(findings.errors))
    if not alone:
        return samples, []
    count = f"{len(alone)} picture{'s' if len(alone) != 1 else ''}"
    return samples, [f"{images}: {count} without a label file in {labels} left out, e.g. {alone[0].name}"]


def _of_records(source: DataSource, resolve: Resolve) -> tuple[PackedSamples, list[str]]:
    pattern = located(source.tfrecords_path, resolve)
    files, foreign = tfrecord.matching(pattern, spelled=source.tfrecords_path)
    find = _Pictures(source, resolve)
    samples = pack(
        replace(sample, image=find(sample, file), source=None if is_url(file) else Path(file))
        for file in files
        for sample in record_samples(file, made=_of_record, kind="ssd")
    )
    return samples, [f"{path}: matches tfrecords_path and is no TFRecord file; it is left out" for path in foreign]


def _of_record(record: tfrecord.Record) -> Sample:
    """A sample that has the record's frame id for an image and its picture for a source."""
    return _with_difficult(replace(as_sample(record), source=Path(record.picture) if record.picture else None))


class _Pictures:
    """Where the pictures of a source's records lie: below its image folder, or else where they were when the records
    were made."""

    def __init__(self, source: DataSource, resolve: Resolve) -> None:
        self._resolve = resolve
        self._folder = resolve(source.image_directory_path) if source.image_directory_path else None
        if self._folder is not None and not self._folder.is_dir():
            raise PathError(f"{self._folder}: this image folder is missing (image_directory_path); correct the spec")
        self._whole: bool | None = None  # whether frame ids are below the folder whole; the first record tells

    def __call__(self, sample: Sample, file: str) -> Path:
        """The picture of one sample `_of_record` of `file`."""
        if sample.source is None:
            raise DataError(
                f"{file}: its records do not say where their pictures are; convert them again with "
                "`taolite ssd dataset_convert`"
            )
        if self._folder is None:
            return self._resolve(str(sample.source))
        name = sample.source.name
        whole = self._folder / sample.image.parent / name
        if self._whole is None:
            self._whole = whole.is_file()
        return whole if self._whole else self._folder / name
