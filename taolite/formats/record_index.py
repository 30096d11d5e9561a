"""A record file's samples, packed; of a large file kept beside it in `.NAME.index` and mapped from there.

Mapped, an index takes no memory of its own: processes that train from the same records share the system's copy, and
a training starts without reading a record. It is a cache: it holds the size and time of the record file, and one that
does not fit, is damaged or cannot be written is done without. `docs/FORMAT.md` 7 gives it byte by byte.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from taolite.errors import PathError, StorageError
from taolite.files import open_atomic
from taolite.formats import tfrecord
from taolite.formats.packed import BLOCK, Block, Column, PackedSamples, Texts, pack, packed_blocks
from taolite.sample import Sample

__all__ = ["index_path", "record_samples"]

_MAGIC, _VERSION = b"TAOINDEX", 1
_TAIL = struct.Struct("<IIQ8s")  # version, masked CRC32C of the JSON before it, length of that, magic
_ALIGNED = 64  # bytes, for every column


def record_samples(path: Path) -> PackedSamples:
    """The samples of one record file: the image is the record's `frame_id`. Raises PathError, DataError."""
    kept = _read(index_path(path), path)
    if kept is not None:
        return kept
    state, blocks = _state(path), packed_blocks(_samples(path))
    first = next(blocks, None)
    if first is None or len(first) < BLOCK:
        return PackedSamples([first] if first else [])
    with suppress(StorageError, PathError):
        _write(index_path(path), chain([first], blocks), state)
    return _read(index_path(path), path) or pack(_samples(path))


def _samples(path: Path) -> Iterator[Sample]:
    for record in tfrecord.read_records(path):
        yield Sample(Path(record.frame_id), record.size_hw, record.labels)


def index_path(path: Path) -> Path:
    """Where the index of a record file is kept: hidden, so that patterns of record files pass it over."""
    return path.with_name(f".{path.name}.index")


def _state(path: Path) -> list[int]:
    """Size in bytes and time of the last change in ns; nothing for a missing file."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _write(target: Path, blocks: Iterable[Block], state: list[int]) -> None:
    """Write blocks as they come, so that one is in memory at a time."""
    with open_atomic(target) as stream:

        def place(column: Column) -> list[Any]:
            """Write a column; its type, shape, offset, and whether all its rows are the one that is there."""
            repeats = len(column) > 1 and column.strides[0] == 0
            stored = column[:1] if repeats else column
            stream.write(bytes(-stream.tell() % _ALIGNED))
            offset, kind = stream.tell(), column.dtype.newbyteorder("<")
            stream.write(np.ascontiguousarray(stored, dtype=kind).tobytes())
            return [kind.str, list(column.shape), offset, repeats]

        def texts(found: Texts | None) -> list[Any] | None:
            return [found.shared, place(found.bytes_b), place(found.ends_n)] if found else None

        contents = [
            {
                "images": texts(block.images),
                "sources": texts(block.sources),
                "names": block.names,
                "columns": {name: place(column) for name, column in block.columns.items()},
                "digest": block.digest,
            }
            for block in blocks
        ]
        text = json.dumps({"records": state, "length": stream.tell(), "blocks": contents}).encode()
        stream.write(text + _TAIL.pack(_VERSION, tfrecord.masked_crc(text), len(text), _MAGIC))


def _read(target: Path, records: Path) -> PackedSamples | None:
    """The samples of an index that fits its record file, mapped; None where there is none."""
    try:
        with open(target, "rb") as stream:
            raw = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except (OSError, ValueError):
        return None
    if len(raw) < _TAIL.size:
        return None
    version, checksum, length, magic = _TAIL.unpack(raw[-_TAIL.size :].tobytes())
    begin = len(raw) - _TAIL.size - length
    if (magic, version) != (_MAGIC, _VERSION) or begin < 0:
        return None
    text = raw[begin : begin + length].tobytes()
    if tfrecord.masked_crc(text) != checksum:
        return None
    header = json.loads(text)
    if header["records"] != _state(records) or header["length"] != begin:
        return None
    return PackedSamples(_block(found, raw) for found in header["blocks"])


def _block(found: Mapping[str, Any], raw: Column) -> Block:
    def column(kind: str, shape: list[int], offset: int, repeats: bool) -> Column:
        stored = [1, *shape[1:]] if repeats else shape
        count = int(np.prod(stored))
        values = raw[offset : offset + count * np.dtype(kind).itemsize].view(kind).reshape(stored)
        return np.broadcast_to(values, shape)

    def texts(saved: list[Any] | None) -> Texts | None:
        return Texts(saved[0], column(*saved[1]), column(*saved[2])) if saved else None

    images = texts(found["images"])
    assert images is not None, "every block has them"
    columns = {name: column(*saved) for name, saved in found["columns"].items()}
    return Block(images, texts(found["sources"]), tuple(found["names"]), columns, known_digest=found["digest"])
