"""A record file's samples, packed; those of a large file, and of any behind an address, are kept in an index and
mapped from there, so that a training starts without reading a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from taolite.formats import tfrecord
from taolite.formats.index_file import Put, SavedColumns, index_path, read_index, write_index
from taolite.formats.packed import BLOCK, Block, PackedSamples, packed_blocks
from taolite.formats.ranges import is_url, version_of
from taolite.formats.tfrecord import Record
from taolite.sample import Sample

__all__ = ["as_sample", "record_samples"]


def as_sample(record: Record) -> Sample:
    """The image is the record's `frame_id`."""
    return Sample(Path(record.frame_id), record.size_hw, record.labels)


def record_samples(name: Path | str, *, made: Callable[[Record], Sample] = as_sample, kind: str = "") -> PackedSamples:
    """The samples of one record file or address, each `made` of its record. Another `made` than the usual has a `kind`
    of index for itself. Raises PathError, DataError."""
    version, target = version_of(str(name)), index_path(str(name), kind=kind)
    kept = read_index(target, version)
    if kept is not None:
        return _samples(kept)

    def read() -> Iterator[Block]:
        return packed_blocks(made(record) for record in tfrecord.read_records(name))

    blocks, remote = read(), is_url(str(name))
    held = list(blocks if remote else islice(blocks, 1))  # what came over a network is not asked for again
    if not remote and sum(map(len, held)) < BLOCK:
        return PackedSamples(held)
    write_index(target, version, lambda put: {"blocks": [_saved(block, put) for block in chain(held, blocks)]})
    kept = read_index(target, version)
    if kept is not None:
        return _samples(kept)
    return PackedSamples(held if remote else read())


def _saved(block: Block, put: Put) -> dict[str, Any]:
    return {
        "images": put(block.images),
        "sources": put(block.sources),
        "names": block.names,
        "columns": {name: put(column) for name, column in block.columns.items()},
        "digest": block.digest,
    }


def _samples(kept: SavedColumns) -> PackedSamples:
    def block(saved: dict[str, Any]) -> Block:
        columns = {name: kept.column(column) for name, column in saved["columns"].items()}
        sources = kept.texts(saved["sources"]) if saved["sources"] else None
        names = tuple(saved["names"])
        return Block(kept.texts(saved["images"]), sources, names, columns, known_digest=saved["digest"])

    return PackedSamples(map(block, kept.contents["blocks"]))
