"""Records as rows: what is packed of a record (name, size, labels' names and boxes), without an object for each label.

A record of the usual form is read the quick way: each feature of the kind that DetectNet's converter writes, every list
as long as the class list and not empty, all numbers finite, a frame id that is a plain path. Anything else goes to
`tfrecord.parse_record`, which accepts what is sound and says what is not: rows are those of `tfrecord.read_records`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from taolite.formats import tfrecord
from taolite.formats.guard import guarded
from taolite.formats.packed import BLOCK, Block

__all__ = ["Row", "read_rows", "row_blocks"]

_PART = r"[^/\\.:][^/\\:]*"
_PLAIN = re.compile(rf"(?:{_PART}/)*{_PART}")  # leads nowhere else, and is its own shortest spelling
_FLOATS = (*tfrecord.CORNERS, *(name for name in tfrecord.FLOATS if name not in tfrecord.CORNERS))
_NAMES = ("frame/id", "frame/height", "frame/width", "target/object_class", "target/occlusion", *_FLOATS)


class Row(NamedTuple):
    """One image: its frame id as a path, (height, width), and each label's name and (x1, y1, x2, y2)."""

    image: str
    size_hw: tuple[int, int]
    names: list[str]
    boxes: list[tuple[float, float, float, float]]


def read_rows(name: Path | str) -> Iterator[Row]:
    """The rows of a file or an address, in order. Raises as `tfrecord.read_records` does."""
    for index, payload in enumerate(tfrecord.read_frames(str(name)), start=1):
        row = _usual(payload)
        if row is None:
            with guarded(name, place=f"record {index}"):
                record = tfrecord.parse_record(payload, str(name), index)
            names = [label.name for label in record.labels]
            row = Row(str(Path(record.frame_id)), record.size_hw, names, [label.box for label in record.labels])
        yield row


def row_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """Blocks of `packed.BLOCK` rows, the last one smaller; each is given as soon as its rows have arrived."""
    held: list[Row] = []
    for row in rows:
        held.append(row)
        if len(held) == BLOCK:
            yield _block(held)
            held = []
    if held:
        yield _block(held)


def _block(rows: list[Row]) -> Block:
    return Block.of_columns(
        [row.image for row in rows],
        [row.size_hw for row in rows],
        [len(row.names) for row in rows],
        list(chain.from_iterable(row.names for row in rows)),
        list(chain.from_iterable(row.boxes for row in rows)),
    )


def _usual(payload: bytes) -> Row | None:
    """The row of a record of the usual form, else None."""
    from google.protobuf.message import DecodeError

    example = tfrecord.example_class()()
    try:
        example.ParseFromString(payload)
        feature = example.features.feature
        entries = [feature.get(name) for name in _NAMES]
        if None in entries or "frame/encoded" in feature or "frame/path" in feature:
            return None
        (frame_id,), (height,), (width,) = (
            entries[0].bytes_list.value,
            entries[1].int64_list.value,
            entries[2].int64_list.value,
        )
        image = frame_id.decode()
        names = [name.decode() for name in entries[3].bytes_list.value]
        occluded, lists = entries[4].int64_list.value, [entry.float_list.value for entry in entries[5:]]
    except (DecodeError, UnicodeDecodeError, ValueError):  # not one value where one is needed, too
        return None
    count, values = len(names), list(chain.from_iterable(lists))
    whole = 0 < count == len(occluded) and all(len(one) == count for one in lists)
    usual = (
        whole and math.isfinite(sum(values)) and 1 <= min(height, width) <= max(height, width) <= tfrecord.LARGEST_SIDE
    )
    if not usual or _PLAIN.fullmatch(image) is None:
        return None
    x1, y1, x2, y2 = (values[place * count : place * count + count] for place in range(4))
    return Row(image, (height, width), names, list(zip(x1, y1, x2, y2, strict=True)))
