"""TAO's `dataset_convert`: KITTI or COCO labels into TFRecords, fold by fold (reference/detectnet_v2.md 3).

Same spec, same labels: same files, byte for byte, on any machine. As in TAO, the first `val_split` percent of the
names, in alphabetical order, become fold 0 (validation); only the order inside a fold is shuffled, seed 42; class
names are lower-cased; a box whose whole-number corners enclose nothing is dropped and listed in `PREFIX_warning.json`.
Unlike TAO, all problems are reported at once before anything is written, an empty fold keeps its number, and an empty
file is not written.

No photograph is copied: a record names it, and training finds it below the same root. No torch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taolite.errors import DataError, UsageError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import write_text
from taolite.formats import tfrecord
from taolite.formats.findings import Findings, problems_error
from taolite.stages.convert_sources import CocoSource, KittiSource, Resolve, Source
from taolite.stages.sample_modifier import SampleModifier
from taolite.tasks.detectnet.spec import DatasetExportSpec

__all__ = ["ConvertReport", "dataset_convert"]

_PROGRESS_EVERY = 50  # images


@dataclass(frozen=True)
class ConvertReport:
    """What was written.

    files: in the order of folds and shards. images: records of each fold. objects: number of each class, under the
    names in the records. class_map: name in the labels -> name in the records. dropped: objects left out because
    their box is empty, as the warning file lists them. warning_file: that file, where there are any.
    """

    files: tuple[Path, ...]
    images: tuple[int, ...]
    objects: Mapping[str, int]
    class_map: Mapping[str, str]
    dropped: Mapping[str, Sequence[int]] = field(default_factory=dict)
    warning_file: Path | None = None


@dataclass
class _Fold:
    """The records of one fold, serialized (they are small), and the names of the objects in each."""

    payloads: list[bytes] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)


def dataset_convert(
    spec: DatasetExportSpec,
    output_prefix: Path,
    *,
    resolve: Resolve = Path,
    listener: Listener = silent,
    validation_fold: int | None = None,
    pictures: bool = False,
) -> ConvertReport:
    """Write the TFRecords that `spec` asks for, as `<output_prefix>-fold-FFF-of-PPP-shard-SSSSS-of-NNNNN`.

    Args:
        spec: the file behind `-d`.
        output_prefix: the path behind `-o`; its folder is made.
        resolve: a path as the spec spells it -> the path on this machine.
        listener: takes TAO's console lines, warnings and progress.
        validation_fold: the fold that `sample_modifier_config` leaves as it is (`-f`).
        pictures: records say where their picture is, as the spec spells it, so that a training spec need not (SSD).

    Raises:
        UsageError: a setting that cannot work.
        PathError: a folder or file that the spec names is missing.
        DataError: labels or images that cannot be used, the first ten with file and line; nothing was written.
        StorageError: the disk is full or read-only.
    """
    source, folds_named, shards = _open(spec, resolve, listener)
    if validation_fold is not None and not 0 <= validation_fold < len(source.sizes):
        raise UsageError(f"-f {validation_fold}: the folds of this spec are 0 to {len(source.sizes) - 1}")
    modifier = SampleModifier(spec.sample_modifier_config, folds=len(source.sizes), validation_fold=validation_fold)
    folds = _encode(source, modifier, listener, pictures=pictures)
    files: list[Path] = []
    total: Counter[str] = Counter()
    for number, (fold, count) in enumerate(zip(folds, shards, strict=True)):
        counts = Counter(name for names in fold.names for name in names)
        begin = 0
        for shard, size in enumerate(tfrecord.shard_sizes(len(fold.payloads), count)):
            if size:
                name = tfrecord.shard_name(
                    output_prefix.name, fold=number, folds=folds_named, shard=shard, shards=count
                )
                listener(Notice(f"Writing partition {number}, shard {shard}"))
                files.append(output_prefix.with_name(name))
                tfrecord.write_payloads(files[-1], fold.payloads[begin : begin + size])
            begin += size
        if fold.payloads:
            listener(Notice(_count_text(counts)))
        total += counts
    _tell_totals(total, source.class_map, listener)
    warning_file = _write_warnings(output_prefix, source.dropped, listener)
    _warn_of_stale(output_prefix, files, listener)
    images = tuple(len(fold.payloads) for fold in folds)
    return ConvertReport(tuple(files), images, total, source.class_map, source.dropped, warning_file)


def _open(spec: DatasetExportSpec, resolve: Resolve, listener: Listener) -> tuple[Source, int, list[int]]:
    """The source, the number of folds in file names, and the number of shards of each fold."""
    source: Source
    if spec.kitti_config is not None:
        listener(Notice("Instantiating a kitti converter"))
        source = KittiSource(spec.kitti_config, resolve, listener)
        return source, spec.kitti_config.num_partitions, [spec.kitti_config.num_shards] * len(source.sizes)
    if spec.coco_config is not None:
        listener(Notice("Instantiating a coco converter"))
        source = CocoSource(spec.coco_config, resolve, listener)
        shards = list(spec.coco_config.num_shards) or [0]
        shards = shards * len(source.sizes) if len(shards) == 1 else shards
        return source, spec.coco_config.num_partitions, shards
    raise UsageError("the spec has neither kitti_config nor coco_config; it needs one of them")


def _encode(source: Source, modifier: SampleModifier, listener: Listener, *, pictures: bool) -> list[_Fold]:
    """Every fold, checked and serialized. Raises one DataError for the problems of all folds."""
    findings, folds = Findings(), [_Fold() for _ in source.sizes]
    done, total, dropped, added = 0, sum(source.sizes), 0, 0
    for number, fold in enumerate(folds):
        for record in source.records(number, findings):
            names = tuple(label.name for label in record.labels)
            copies = modifier.copies(names, fold=number)
            kept = record if pictures else record._replace(picture="")
            fold.payloads += [tfrecord.encode(kept)] * copies
            fold.names += [names] * copies
            dropped, added = dropped + (copies == 0), added + max(copies - 1, 0)
            done += 1
            if total and (done % _PROGRESS_EVERY == 0 or done == total):
                listener(Progress("dataset_convert", done, total))
    if findings.errors:
        raise problems_error(source.root, sorted(findings.errors))
    if dropped or added:
        listener(Notice(f"sample_modifier_config leaves out {dropped} of {done} images and adds {added} copies"))
    if not any(fold.payloads for fold in folds):
        raise DataError(f"{source.root}: no image is left to write; is sample_modifier_config too strict?")
    return folds


def _tell_totals(total: Counter[str], class_map: Mapping[str, str], listener: Listener) -> None:
    listener(Notice("Cumulative object statistics"))
    listener(Notice(_count_text(total)))
    rows = [f"{_as_tao(name)}: {_as_tao(written)}" for name, written in class_map.items()]
    listener(Notice("\n".join(["Class map. ", "Label in GT: Label in tfrecords file ", *rows])))
    text = (
        "For the dataset_config in the experiment_spec, please use labels in the tfrecords file, while writing the "
        "classmap."
    )
    listener(Notice(text))
    listener(Notice("Tfrecords generation complete."))


def _count_text(counts: Mapping[str, int]) -> str:
    rows = [f"{_as_tao(name)}: {count}" for name, count in counts.items()]
    return "\n".join(["", "Wrote the following numbers of objects:", *rows, ""])


def _as_tao(name: str) -> str:
    """A class name as TAO prints it, a Python bytes literal: b'cat'."""
    return repr(name.encode())


def _write_warnings(prefix: Path, dropped: Mapping[str, Sequence[int]], listener: Listener) -> Path | None:
    """TAO's list of dropped objects; one of an earlier run is removed where nothing was dropped now."""
    path = prefix.with_name(f"{prefix.name}_warning.json")
    if not dropped:
        path.unlink(missing_ok=True)
        return None
    write_text(path, json.dumps(dropped, indent=2, ensure_ascii=False) + "\n")
    count = f"{len(dropped)} object{'s' if len(dropped) != 1 else ''}"
    listener(Notice(f"{count} with an empty box left out; {path} lists them", "warning"))
    return path


def _warn_of_stale(prefix: Path, files: Sequence[Path], listener: Listener) -> None:
    """Records of an earlier run with other numbers match the same pattern in a training spec (reference 13.1 30)."""
    written = set(files)
    ours = re.compile(re.escape(prefix.name) + r"(-fold-\d+-of-\d+)?(-shard-\d+-of-\d+)?")
    stale = sorted(path for path in prefix.parent.iterdir() if ours.fullmatch(path.name) and path not in written)
    if stale:
        text = f"{len(stale)} file{'s' if len(stale) != 1 else ''} of an earlier run lie beside the new ones"
        listener(Notice(f"{text} and match the same patterns, e.g. {stale[0]}; delete what is not wanted", "warning"))
