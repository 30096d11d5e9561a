"""Index files: columns of numbers and a JSON value that says what they are, written once and mapped into memory.

Mapped, they take no memory of their own: processes that use the same file share the system's copy. An index is a
cache: it holds the version of the file it speaks of, and one that does not fit, is damaged or cannot be written is
done without. It lies beside that file, hidden; that of an address, or of a file in a folder that cannot be written to,
in the user's cache folder (`$XDG_CACHE_HOME/taolite`). `docs/FORMAT.md` 7 gives it byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from taolite.errors import PathError, StorageError
from taolite.files import open_atomic
from taolite.formats.packed import Column, Texts
from taolite.formats.ranges import Version, is_url
from taolite.formats.tfrecord import masked_crc

__all__ = ["Put", "SavedColumns", "index_path", "read_index", "write_index"]

_MAGIC, _VERSION = b"TAOINDEX", 1
_TAIL = struct.Struct("<IIQ8s")  # version, masked CRC32C of the JSON before it, length of that, magic
_ALIGNED = 64  # bytes, for every column

Put = Callable[[Column | Texts | None], Any]
"""Writes a column or texts; what the JSON says of them."""


def index_path(name: Path | str, *, kind: str = "") -> Path:
    """Where the index of a file or address is kept; what is made of the same file for another use has a `kind`."""
    ending = f".{kind}.index" if kind else ".index"
    path, name = Path(name), str(name)
    beside = path.with_name(f".{path.name}{ending}")
    if not is_url(name) and (beside.exists() or os.access(path.parent, os.W_OK)):
        return beside
    address = name if is_url(name) else str(path.absolute())
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(home).expanduser() / "taolite"
    return folder / f"{hashlib.sha256(address.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{ending}"


def write_index(target: Path, version: Version, contents: Callable[[Put], Mapping[str, Any]]) -> None:
    """Write the index of a file of `version`: what `contents` puts there as it comes, and the JSON object it gives.
    What cannot be kept is not: where the disk does not let it, and where nothing would tell an older version."""
    if version.stamp == "":
        return
    with suppress(StorageError, PathError), open_atomic(target) as stream:

        def column(values: Column) -> list[Any]:
            """Type, shape, offset, and whether all its rows are the one that is there."""
            repeats = len(values) > 1 and values.strides[0] == 0
            stored = values[:1] if repeats else values
            stream.write(bytes(-stream.tell() % _ALIGNED))
            offset, kind = stream.tell(), values.dtype.newbyteorder("<")
            stream.write(np.ascontiguousarray(stored, dtype=kind).tobytes())
            return [kind.str, list(values.shape), offset, repeats]

        def put(found: Column | Texts | None) -> Any:
            if isinstance(found, Texts):
                return [found.shared, column(found.bytes_b), column(found.ends_n)]
            return None if found is None else column(found)

        made = contents(put)
        text = json.dumps({"records": list(version), "length": stream.tell(), **made}).encode()
        stream.write(text + _TAIL.pack(_VERSION, masked_crc(text), len(text), _MAGIC))


class SavedColumns:
    """The JSON object of an index, and the columns that it speaks of."""

    def __init__(self, contents: Mapping[str, Any], raw: Column) -> None:
        self.contents = contents
        self._raw = raw

    def column(self, saved: list[Any]) -> Column:
        """A column, mapped."""
        kind, shape, offset, repeats = saved
        stored = [1, *shape[1:]] if repeats else shape
        count = int(np.prod(stored))
        values = self._raw[offset : offset + count * np.dtype(kind).itemsize].view(kind).reshape(stored)
        return np.broadcast_to(values, shape)

    def texts(self, saved: list[Any]) -> Texts:
        """Texts, mapped."""
        return Texts(saved[0], self.column(saved[1]), self.column(saved[2]))


def read_index(target: Path, version: Version) -> SavedColumns | None:
    """The index at `target` where it is one of a file of `version`, mapped; None where there is none."""
    try:
        with open(target, "rb") as stream:
            raw = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except (OSError, ValueError):
        return None
    if len(raw) < _TAIL.size:
        return None
    tail, checksum, length, magic = _TAIL.unpack(raw[-_TAIL.size :].tobytes())
    begin = len(raw) - _TAIL.size - length
    if (magic, tail) != (_MAGIC, _VERSION) or begin < 0:
        return None
    text = raw[begin : begin + length].tobytes()
    if masked_crc(text) != checksum:
        return None
    contents = json.loads(text)
    if contents["records"] != list(version) or contents["length"] != begin:
        return None
    return SavedColumns(contents, raw)
