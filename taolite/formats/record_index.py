"""A record file's samples, packed; those of a large file, and of any behind an address, are kept in an index and
mapped from there, so that a training starts without parsing a record.

The index of a file is bound to a digest of its bytes, which are read for it at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from taolite.formats import tfrecord
from taolite.formats.index_file import (
    Put,
    SavedColumns,
    bound_to,
    index_path,
    is_rising,
    read_index,
    write_index,
)
from taolite.formats.packed import BLOCK, Block, PackedSamples, packed_blocks
from taolite.formats.places import outside_allowed
from taolite.formats.ranges import is_url
from taolite.formats.record_rows import read_rows, row_blocks
from taolite.formats.tfrecord import Record
from taolite.sample import Sample

__all__ = ["as_sample", "record_samples"]


def as_sample(record: Record) -> Sample:
    """The image is the record's `frame_id`."""
    return Sample(Path(record.frame_id), record.size_hw, record.labels)


def record_samples(name: Path | str, *, made: Callable[[Record], Sample] = as_sample, kind: str = "") -> PackedSamples:
    """The samples of one record file or address, each `made` of its record. Another `made` than the usual has a `kind`
    of index for itself, and so have records whose names may lead outside. Raises PathError, DataError."""
    kind = f"{kind}-outside" if outside_allowed() else kind
    bound, target = bound_to(str(name), with_content=_may_have_index(name, kind)), index_path(str(name), kind=kind)
    kept = read_index(target, bound, _samples)
    if kept is not None:
        return kept

    def read() -> Iterator[Block]:
        if made is as_sample:
            return row_blocks(read_rows(name))
        return packed_blocks(made(record) for record in tfrecord.read_records(name))

    blocks, remote = read(), is_url(str(name))
    held = list(blocks if remote else islice(blocks, 1))  # what came over a network is not asked for again
    if not remote and sum(map(len, held)) < BLOCK:
        return PackedSamples(held)
    if not remote and not bound.content:
        before, bound = bound, bound_to(str(name), with_content=True)
        if (before.version, before.changed) != (bound.version, bound.changed):  # while it was read
            return PackedSamples(chain(held, blocks))
    write_index(target, bound, lambda put: {"blocks": [_saved(block, put) for block in chain(held, blocks)]})
    kept = read_index(target, bound, _samples)
    if kept is not None:
        return kept
    return PackedSamples(held if remote else read())


def _may_have_index(name: Path | str, kind: str) -> bool:
    return not is_url(str(name)) and index_path(str(name), kind=kind).exists()


def _saved(block: Block, put: Put) -> dict[str, Any]:
    return {
        "images": put(block.images),
        "sources": put(block.sources),
        "names": block.names,
        "columns": {name: put(column) for name, column in block.columns.items()},
        "digest": block.digest,
    }


def _samples(kept: SavedColumns) -> PackedSamples:
    return PackedSamples([_block(kept, saved) for saved in kept.contents["blocks"]])


def _block(kept: SavedColumns, saved: dict[str, Any]) -> Block:
    """A block of an index. Raises ValueError for columns that do not go together."""
    columns = {name: kept.column(column) for name, column in saved["columns"].items()}
    sources = kept.texts(saved["sources"]) if saved["sources"] else None
    images, names = kept.texts(saved["images"]), tuple(saved["names"])
    block = Block(images, sources, names, columns, known_digest=saved["digest"])
    count, objects = len(columns["heights_n"]), len(columns["kinds_l"])
    shapes = {name: column.shape for name, column in columns.items()}
    wanted = {
        "heights_n": (count,),
        "widths_n": (count,),
        "label_ends_n": (count + 1,),
        "kinds_l": (objects,),
        "boxes_l4": (objects, 4),
        "difficult_l": (objects,),
        "lines_l": (objects,),
    }
    texts = [images] if sources is None else [images, sources]
    whole = (
        count <= BLOCK
        and shapes == wanted
        and is_rising(columns["label_ends_n"], objects)
        and all(len(one.ends_n) == count + 1 for one in texts)
        and all(isinstance(name, str) for name in names)
        and isinstance(block.known_digest, str)
        and (not objects or 0 <= int(columns["kinds_l"].min()) <= int(columns["kinds_l"].max()) < len(names))
    )
    if not whole:
        raise ValueError("columns that do not go together")
    return block
