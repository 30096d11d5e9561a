"""TAO's `dataset_convert`: KITTI or COCO labels into TFRecords, fold by fold (reference/detectnet_v2.md 3).

The same spec and labels give the same files, byte for byte, on any machine. As in TAO, the first `val_split` percent
of the names, in alphabetical order, become fold 0 (validation); only the order inside a fold is shuffled, seed 42;
class names are lower-cased; a box that is empty once its corners are whole numbers is dropped and listed in
`PREFIX_warning.json`. Unlike TAO, all problems are reported at once before anything is written, an empty fold keeps
its number, and an empty file is not written.

Several processes read the labels, a hundred images at a time. Image names are kept in a file, so memory does not grow
with the data set (docs/scale.md). Finished files wait in `.PREFIX.converting` until all are finished. An interrupted
run continues after them, unless the size or time of an image or label file has changed.

No image is copied: a record holds the image's name, and training looks for it below the same root. No torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path

from taolite.cores import usable
from taolite.errors import DataError, UsageError
from taolite.events import Listener, Notice, Progress, silent
from taolite.files import remove, write_text
from taolite.formats import tfrecord
from taolite.formats.findings import SHOWN, problems_error
from taolite.stages.convert.coco import CocoSource
from taolite.stages.convert.kitti import KittiSource
from taolite.stages.convert.processes import Processes
from taolite.stages.convert.sample_modifier import SampleModifier
from taolite.stages.convert.sources import Fold, Frames, Reading, Resolve, Source
from taolite.stages.convert.staging import Staging
from taolite.tasks.detectnet.spec import DatasetExportSpec
from taolite.wording import counted

__all__ = ["ConvertReport", "dataset_convert"]

_AT_ONCE = 100  # images that a process reads before it returns them
_WORTH_PROCESSES = 2000  # images; fewer are read in one process
_VERSION = 2  # of the receipts, and of the files that the same labels give


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


def dataset_convert(
    spec: DatasetExportSpec,
    output_prefix: Path,
    *,
    resolve: Resolve = Path,
    listener: Listener = silent,
    validation_fold: int | None = None,
    pictures: bool = False,
    workers: int | None = None,
) -> ConvertReport:
    """Write the TFRecords that `spec` asks for, as `<output_prefix>-fold-FFF-of-PPP-shard-SSSSS-of-NNNNN`.

    Args:
        spec: the file given by `-d`.
        output_prefix: the path given by `-o`; its folder is created.
        resolve: a path as the spec spells it -> the path on this machine.
        listener: gets TAO's console lines, warnings and progress.
        validation_fold: the fold that `sample_modifier_config` does not change (`-f`).
        pictures: store each picture's path, as the spec spells it, so that a training spec need not give it (SSD).
        workers: processes that read labels; None is the number of processors, 8 at most.

    Raises:
        UsageError: a setting that cannot work.
        PathError: a folder or file that the spec names is missing.
        DataError: labels or images that cannot be used, the first ten with file and line; nothing was written.
        StorageError: the disk is full or read-only.
        StoppedError: a process was ended from outside.
    """
    staging = Staging(output_prefix)
    with staging.scratch() as scratch:
        source, folds_named, shards = _open(spec, resolve, listener, scratch)
        if validation_fold is not None and not 0 <= validation_fold < source.num_folds:
            raise UsageError(f"-f {validation_fold}: the folds of this spec are 0 to {source.num_folds - 1}")
        modifier = SampleModifier(spec.sample_modifier_config, folds=source.num_folds, validation_fold=validation_fold)
        conversion = _Conversion(source, staging, listener, pictures=pictures)
        folds = [source.fold(number, conversion.met.findings) for number in range(source.num_folds)]
        with Processes(_count(source, folds, workers)) as processes:
            chosen = _chosen(folds, modifier, processes, conversion)
            conversion.total = sum(map(len, chosen))
            for number, (fold, places, shard_count) in enumerate(zip(folds, chosen, shards, strict=True)):
                named = partial(tfrecord.shard_name, output_prefix.name, fold=number, folds=folds_named)
                conversion.write_fold(number, fold, places, named=named, shards=shard_count, processes=processes)
    files = conversion.finish()
    if conversion.met.scored > SHOWN:
        listener(Notice(f"{conversion.met.scored} label files have 16 columns; their scores are not stored", "warning"))
    met, dropped = conversion.met, _dropped_names(conversion.met)
    _tell_totals(met.names, met.class_map, listener)
    warning_file = _write_warnings(output_prefix, dropped, listener)
    _warn_of_stale(output_prefix, files, listener)
    return ConvertReport(tuple(files), tuple(map(len, chosen)), met.names, met.class_map, dropped, warning_file)


class _Conversion:
    """The conversion of `total` images, as far as it has come."""

    def __init__(self, source: Source, staging: Staging, listener: Listener, *, pictures: bool) -> None:
        self.met = Reading()
        self.total = 0
        self._source, self._staging, self._listen, self._pictures = source, staging, listener, pictures

    def write_fold(
        self,
        number: int,
        fold: Fold,
        places: Sequence[int],
        *,
        named: Callable[..., str],
        shards: int,
        processes: Processes,
    ) -> None:
        """Write the files of the frames at `places`; `named(shard=, shards=)` gives each file's name."""
        begin, before = 0, self.met.names.copy()
        for shard, size in enumerate(tfrecord.shard_sizes(len(places), shards)):
            if size:
                self.tell(f"Writing partition {number}, shard {shard}")
                self._write(named(shard=shard, shards=shards), fold, places[begin : begin + size], processes)
            begin += size
        if len(places):
            self.tell(_count_text(self.met.names - before))

    def _write(self, name: str, fold: Fold, places: Sequence[int], processes: Processes) -> None:
        """Write one file, unless an earlier run has written it."""
        if self._staging.begun(name):
            states = self._begun()
            for state in processes.ordered(piece.state for piece in _pieces(fold, places)):
                states.update(state.encode())
            if (saved := self._staging.kept(name, states.hexdigest())) is not None:
                self.hear(Reading.restored(saved))
                return
        whole, states = Reading(), self._begun()

        def records() -> Iterator[bytes]:
            for state, some, reading in processes.ordered(
                partial(_convert, piece, self._pictures) for piece in _pieces(fold, places)
            ):
                states.update(state.encode())
                whole.add(reading)
                self.hear(reading)
                yield some

        self._staging.write(name, records())
        if not whole.findings.errors:
            self._staging.receive(name, states.hexdigest(), whole.saved())

    def hear(self, reading: Reading) -> None:
        """Add the findings of `reading` to the totals, and report them."""
        of_empty, of_scores = (SHOWN - len(texts) for texts in (self.met.of_empty, self.met.of_scores))
        for text in (*reading.of_empty[:of_empty], *reading.of_scores[:of_scores]):
            self._listen(Notice(text, "warning"))
        self.met.add(reading)
        if reading.images:
            self._listen(Progress("dataset_convert", self.met.images, self.total))

    def tell(self, text: str) -> None:
        """Report one line about the whole conversion."""
        self._listen(Notice(text))

    def finish(self) -> list[Path]:
        """Move the files to their place. Raises one DataError for all problems; then nothing is written."""
        self.check()
        if not self.met.images:
            raise DataError(f"{self._source.root}: no image is left to write; is sample_modifier_config too strict?")
        return self._staging.finish()

    def check(self) -> None:
        """Raises one DataError for all problems found."""
        if self.met.findings.errors:
            self._staging.drop()
            errors, unlisted = sorted(self.met.findings.errors), self.met.findings.unlisted
            raise problems_error(self._source.root, errors, unlisted=unlisted)

    def _begun(self) -> hashlib._Hash:
        """The digest of a file's inputs, before the states of its frames are added."""
        return hashlib.sha256(f"{_VERSION} {self._pictures}".encode())


def _count(source: Source, folds: Sequence[Fold], workers: int | None) -> int:
    """How many processes to start."""
    if not source.apart or sum(map(len, folds)) < _WORTH_PROCESSES:
        return 1
    return min(usable(), 8) if workers is None else workers


def _pieces(fold: Fold, places: Sequence[int]) -> Iterator[Frames]:
    return (fold.frames(places[at : at + _AT_ONCE]) for at in range(0, len(places), _AT_ONCE))


def _convert(frames: Frames, pictures: bool) -> tuple[str, bytes, Reading]:
    """The state of the frames before they are read, their encoded records, and the findings."""
    state, reading, payload, names = frames.state(), Reading(), bytearray(), []
    for record in frames.records(reading):
        kept = record if pictures else record._replace(picture="")
        payload += tfrecord.framed(tfrecord.encode(kept))
        names += [label.name for label in record.labels]
        reading.images += 1
    reading.names.update(names)
    return state, bytes(payload), reading


def _names(frames: Frames) -> tuple[list[tuple[str, ...]], Reading]:
    """The class names of the objects of each frame."""
    reading = Reading()
    return [tuple(label.name for label in record.labels) for record in frames.records(reading)], reading


def _chosen(
    folds: Sequence[Fold], modifier: SampleModifier, processes: Processes, conversion: _Conversion
) -> list[Sequence[int]]:
    """The frames of each fold that are written, in order. A sample modifier needs one more pass over the labels."""
    if modifier.changes_nothing:
        return [range(len(fold)) for fold in folds]
    chosen: list[Sequence[int]] = []
    dropped = added = 0
    for number, fold in enumerate(folds):
        places, seen = array("L"), 0
        for names_of_frames, reading in processes.ordered(
            partial(_names, piece) for piece in _pieces(fold, range(len(fold)))
        ):
            conversion.met.findings.add_errors(reading.findings)
            for at, names in enumerate(names_of_frames, start=seen):
                copies = modifier.copies(names, fold=number)
                places.extend([at] * copies)
                dropped, added = dropped + (copies == 0), added + max(copies - 1, 0)
            seen += len(names_of_frames)
        chosen.append(places)
    conversion.check()
    if dropped or added:
        done = sum(map(len, folds))
        conversion.tell(f"sample_modifier_config leaves out {dropped} of {done} images and adds {added} copies")
    return chosen


def _dropped_names(met: Reading) -> dict[str, list[int]]:
    """TAO's list of dropped objects. Where two files share a name, the second one is prefixed with its file."""
    names: dict[str, list[int]] = {}
    for (name, file), corners in met.dropped.items():
        names[f"{file}_{name}" if name in names else name] = corners
    return names


def _open(
    spec: DatasetExportSpec, resolve: Resolve, listener: Listener, scratch: FileIO
) -> tuple[Source, int, list[int]]:
    """The source, the number of folds in file names, and the number of shards of each fold."""
    source: Source
    if spec.kitti_config is not None:
        listener(Notice("Instantiating a kitti converter"))
        source = KittiSource(spec.kitti_config, resolve, listener, scratch)
        return source, spec.kitti_config.num_partitions, [spec.kitti_config.num_shards] * source.num_folds
    if spec.coco_config is not None:
        listener(Notice("Instantiating a coco converter"))
        source = CocoSource(spec.coco_config, resolve, listener)
        shards = list(spec.coco_config.num_shards) or [0]
        shards = shards * source.num_folds if len(shards) == 1 else shards
        return source, spec.coco_config.num_partitions, shards
    raise UsageError("the spec has neither kitti_config nor coco_config; it needs one of them")


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
    """Write TAO's list of dropped objects; where nothing was dropped, remove the list of an earlier run."""
    path = prefix.with_name(f"{prefix.name}_warning.json")
    if not dropped:
        remove(path)
        return None
    write_text(path, json.dumps(dropped, indent=2, ensure_ascii=False) + "\n")
    count = counted(len(dropped), "object")
    listener(Notice(f"{count} with an empty box left out; {path} lists them", "warning"))
    return path


def _warn_of_stale(prefix: Path, files: Sequence[Path], listener: Listener) -> None:
    """Warn of records of an earlier run with other numbers: a training spec's pattern matches them too (reference 13.1
    row 30)."""
    written = set(files)
    ours = re.compile(re.escape(prefix.name) + r"(-fold-\d+-of-\d+)?(-shard-\d+-of-\d+)?")
    stale = sorted(path for path in prefix.parent.iterdir() if ours.fullmatch(path.name) and path not in written)
    if stale:
        text = f"{counted(len(stale), 'file')} of an earlier run lie beside the new ones"
        listener(Notice(f"{text} and match the same patterns, e.g. {stale[0]}; delete what is not wanted", "warning"))
