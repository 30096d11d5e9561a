"""TAO's data sources -> samples: folders of pictures and KITTI labels, or the records that `dataset_convert` made of
them (reference/tao_classification_ssd.md 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from taolite.data.examples import Source
from taolite.errors import DataError, PathError
from taolite.events import Notice
from taolite.formats import kitti, tfrecord
from taolite.formats.findings import Finding, Findings, problems_error
from taolite.formats.packed import PackedSamples, pack
from taolite.formats.places import is_hidden, measure
from taolite.formats.ranges import is_url, located
from taolite.formats.record_index import as_sample, record_samples
from taolite.formats.tar_listing import TarListing
from taolite.formats.tars import TarPictures, list_tars, names_tars, tar_files
from taolite.sample import Sample
from taolite.tasks.base import Resolve, Split
from taolite.tasks.ssd.spec import DatasetConfig, DataSource
from taolite.wording import counted

__all__ = ["class_lookup", "read_sources"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # of pictures that TAO reads, in lower case


def class_lookup(data: DatasetConfig) -> Callable[[str], int | None]:
    """A function from a label's name, in any case, to its class; None where the mapping does not have the name."""
    index = {name: position for position, name in enumerate(data.classes)}
    table = {source.lower(): index[target.lower()] for source, target in data.target_class_mapping.items()}
    return lambda name: table.get(name.lower())


def read_sources(data: DatasetConfig, split: Split, *, resolve: Resolve) -> tuple[Sequence[Source], Sequence[Notice]]:
    """The samples of a split, source by source, and notices about them. Consecutive sources whose pictures are files
    are joined into one. Objects that KITTI calls occluded are difficult. Raises PathError, DataError."""
    parts: list[Source] = []
    notices: list[str] = []
    for source in data.data_sources if split == "train" else data.validated:
        of_records = split == "train" and source.tfrecords_path
        found, said = (_of_records if of_records else _of_folders)(source, resolve)
        parts.append(found)
        notices += said
    sources = [
        Source(PackedSamples(block for part in group for block in pack(part.samples).blocks), pictures=pictures)
        for pictures, group in groupby(parts, key=lambda part: part.pictures)
    ]
    if not any(source.samples for source in sources):
        name = "data_sources" if split == "train" else "validation_data_sources"
        raise DataError(f"dataset_config.{name}: there is no picture with labels in them; correct the paths")
    return sources, [Notice(text, "warning") for text in notices]


def _with_difficult(sample: Sample) -> Sample:
    labels = tuple(replace(label, difficult=label.occluded != 0) for label in sample.labels)
    return replace(sample, labels=labels)


def _of_folders(source: DataSource, resolve: Resolve) -> tuple[Source, list[str]]:
    images, labels = located(source.image_directory_path, resolve), resolve(source.label_directory_path)
    in_tars = names_tars(images)
    for folder, name in ((images, "image_directory_path"), (labels, "label_directory_path")):
        if not Path(folder).is_dir() and not (in_tars and folder == images):
            raise PathError(f"{folder}: this folder is missing ({name}); correct the spec or a mount")
    listings = list_tars(tar_files(images, field="image_directory_path"), measured=True) if in_tars else []
    findings, alone = Findings(), []
    there = _in_tars(listings, findings) if in_tars else _in_folder(Path(images), findings)

    def labelled() -> Iterator[Sample]:
        for image, measured in there:
            path = labels / f"{image.stem}.txt"
            if not path.is_file():
                alone.append(image)
                continue
            size_hw, found = measured(), kitti.parse_labels(path, findings)
            if size_hw is not None and found is not None:
                yield _with_difficult(Sample(image, size_hw, found, source=path))

    samples = pack(labelled())
    if findings.errors:
        raise problems_error(labels, sorted(findings.errors))
    made = Source(samples, pictures=TarPictures(listings) if in_tars else None)
    if not alone:
        return made, []
    count = counted(len(alone), "picture")
    return made, [f"{images}: {count} without a label file in {labels} left out, e.g. {alone[0].name}"]


Measured = Callable[[], tuple[int, int] | None]
"""(height, width) of a picture; None where it has none, and the reason goes to the findings."""


def _in_folder(folder: Path, findings: Findings) -> Iterator[tuple[Path, Measured]]:
    for image in sorted(path for path in folder.iterdir() if path.suffix in EXTENSIONS and not is_hidden(path.name)):
        yield image, partial(measure, image, findings)


def _in_tars(listings: Sequence[TarListing], findings: Findings) -> Iterator[tuple[Path, Measured]]:
    for listing in listings:
        faults = {fault.path: fault for fault in listing.faults}
        for image, size_hw in listing.pictures(EXTENSIONS):
            if image.suffix in EXTENSIONS:
                yield image, partial(_told, size_hw, faults.get(image), findings)


def _told(size_hw: tuple[int, int] | None, fault: Finding | None, findings: Findings) -> tuple[int, int] | None:
    if fault is not None:
        findings.errors.append(fault)
    return size_hw


def _of_records(source: DataSource, resolve: Resolve) -> tuple[Source, list[str]]:
    pattern = located(source.tfrecords_path, resolve)
    files, foreign = tfrecord.matching(pattern, spelled=source.tfrecords_path)
    find = _Pictures(source, resolve)
    samples = pack(
        replace(sample, image=find(sample, file), source=None if is_url(file) else Path(file))
        for file in files
        for sample in record_samples(file, made=_of_record, kind="ssd")
    )
    notices = [f"{path}: matches tfrecords_path and is no TFRecord file; it is left out" for path in foreign]
    return Source(samples, pictures=find.tars), notices


def _of_record(record: tfrecord.Record) -> Sample:
    """A sample whose image is the record's frame id and whose source is the record's picture."""
    return _with_difficult(replace(as_sample(record), source=Path(record.picture) if record.picture else None))


class _Pictures:
    """Finds the pictures of a source's records: below its image folder, in its `tars`, or else where they were when the
    records were made."""

    def __init__(self, source: DataSource, resolve: Resolve) -> None:
        self._resolve = resolve
        place = located(source.image_directory_path, resolve) if source.image_directory_path else None
        self.tars: TarPictures | None = None
        if place is not None and names_tars(place):
            self.tars = TarPictures(list_tars(tar_files(place, field="image_directory_path")))
            place = ""
        self._folder = None if place is None else Path(place)
        if self._folder is not None and self.tars is None and not self._folder.is_dir():
            raise PathError(f"{self._folder}: this image folder is missing (image_directory_path); correct the spec")
        self._whole: bool | None = None  # whether whole frame ids are paths below the folder; set by the first record

    def __call__(self, sample: Sample, file: str) -> Path:
        """The picture of one sample that `_of_record` made from a record of `file`."""
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
            self._whole = str(whole) in self.tars if self.tars is not None else whole.is_file()
        return whole if self._whole else self._folder / name
