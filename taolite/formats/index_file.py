"""Index files: columns of numbers and a JSON value that describes them, written once and mapped into memory.

Mapped, they take no memory of their own: processes that use the same file share the system's copy. An index is a
cache and never the truth: it is bound to the state of the file it describes (`Bound`), and one that does not fit, is
malformed or cannot be written is not used. It lies beside that file, hidden; that of an address, or of a file in a
folder that cannot be written to, in the user's cache folder (`$XDG_CACHE_HOME/taolite`). `docs/FORMAT.md` 7 gives it
byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from taolite.errors import PathError, StorageError
from taolite.files import open_atomic
from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.packed import Column, Texts
from taolite.formats.ranges import Version, is_url, version_of
from taolite.formats.tfrecord import masked_crc

__all__ = ["Bound", "Put", "SavedColumns", "bound_to", "index_path", "is_rising", "read_index", "write_index"]

T = TypeVar("T")
_MAGIC, _VERSION = b"TAOINDEX", 2
_TAIL = struct.Struct("<IIQ8s")  # version, masked CRC32C of the JSON before it, length of that, magic
_ALIGNED = 64  # bytes, for every column

_BLOCK = 1 << 20  # bytes that are read at once for a digest

Put = Callable[[Column | Texts | None], Any]
"""Writes a column or texts, and gives their description for the JSON."""


class Bound(NamedTuple):
    """The state of a file that an index describes.

    version: size and time of the last change, which whoever made the file could set. changed: the time, in ns, at which
    this system last changed anything of the file, which nobody sets; 0 for an address. content: a digest of all bytes,
    where the file is read for it.
    """

    version: Version
    changed: int = 0
    content: str = ""


def bound_to(name: str, *, with_content: bool = False) -> Bound:
    """The state of a file or address as it is now; with a digest of a file's bytes on request (2 s a GB).

    Raises PathError, DataError.
    """
    version = version_of(name)
    if is_url(name):
        return Bound(version)
    try:
        changed = Path(name).stat().st_ctime_ns
        return Bound(version, changed, _digest_of(name) if with_content else "")
    except OSError as error:
        raise PathError(f"{name}: cannot be read: {error.strerror or error}") from error


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32)


def _digest_of(name: str) -> str:
    digest = _new_digest()
    with open(name, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


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


def write_index(target: Path, bound: Bound, contents: Callable[[Put], Mapping[str, Any]]) -> None:
    """Write the index of a file in the state `bound`: what `contents` puts there as it comes, and the JSON object it
    gives. Nothing is written where the disk does not allow it, or where no later state could be told from this one."""
    if bound.version.stamp == "":
        return
    with suppress(StorageError, PathError), open_atomic(target) as stream:
        digest = _new_digest()

        def emit(data: bytes) -> None:
            stream.write(data)
            digest.update(data)

        def column(values: Column) -> list[Any]:
            """Type, shape, offset, and whether all its rows are the one that is there."""
            repeats = len(values) > 1 and values.strides[0] == 0
            stored = values[:1] if repeats else values
            emit(bytes(-stream.tell() % _ALIGNED))
            offset, kind = stream.tell(), values.dtype.newbyteorder("<")
            emit(np.ascontiguousarray(stored, dtype=kind).tobytes())
            return [kind.str, list(values.shape), offset, repeats]

        def put(found: Column | Texts | None) -> Any:
            if isinstance(found, Texts):
                return [found.shared, column(found.bytes_b), column(found.ends_n)]
            return None if found is None else column(found)

        made = contents(put)
        columns = {"length": stream.tell(), "columns_digest": digest.hexdigest()}
        text = json.dumps({"records": _state(bound), **columns, **made}).encode()
        stream.write(text + _TAIL.pack(_VERSION, masked_crc(text), len(text), _MAGIC))


class SavedColumns:
    """The JSON object of an index, and the columns that it describes. Whatever does not fit raises ValueError."""

    def __init__(self, contents: Mapping[str, Any], raw: Column) -> None:
        self.contents = contents
        self._raw = raw

    def column(self, saved: list[Any]) -> Column:
        """A column of numbers, mapped."""
        kind, shape, offset, repeats = saved
        dtype = np.dtype(kind)
        if dtype.kind not in "iufb" or not all(isinstance(side, int) and 0 <= side <= len(self._raw) for side in shape):
            raise ValueError("a column of another kind or shape")
        stored = [1, *shape[1:]] if repeats else shape
        end = offset + int(np.prod(stored)) * dtype.itemsize
        if not 0 <= offset <= end <= len(self._raw):
            raise ValueError("a column beyond the file")
        return np.broadcast_to(self._raw[offset:end].view(dtype).reshape(stored), shape)

    def texts(self, saved: list[Any]) -> Texts:
        """Texts, mapped."""
        shared, bytes_b, ends_n = saved[0], self.column(saved[1]), self.column(saved[2])
        if not isinstance(shared, str) or bytes_b.dtype != np.uint8 or not is_rising(ends_n, len(bytes_b)):
            raise ValueError("texts that do not fit")
        return Texts(shared, bytes_b, ends_n)


def is_rising(ends_n: Column, last: int) -> bool:
    """Whether ends begin at 0, never fall, and end at `last`."""
    if ends_n.ndim != 1 or not len(ends_n) or ends_n.dtype.kind not in "iu" or int(ends_n[-1]) != last:
        return False
    return int(ends_n[0]) == 0 and bool((ends_n[1:] >= ends_n[:-1]).all())


def read_index(target: Path, bound: Bound, make: Callable[[SavedColumns], T]) -> T | None:
    """What `make` makes of the index at `target`, mapped; None where it is none of a file in the state `bound`, or is
    malformed in any way."""
    made: T | None = None
    with guarded(target, Findings()):
        kept = _read(target, bound)
        made = None if kept is None else make(kept)
    return made


def _read(target: Path, bound: Bound) -> SavedColumns | None:
    handle = os.open(target, os.O_RDONLY | os.O_NONBLOCK)  # a pipe of that name would be waited for
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        raw = np.frombuffer(mmap.mmap(handle, 0, access=mmap.ACCESS_READ), np.uint8)
    finally:
        os.close(handle)
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
    if contents["records"] != _state(bound) or contents["length"] != begin:
        return None
    digest = _new_digest()
    digest.update(raw[:begin].data)
    if contents["columns_digest"] != digest.hexdigest():
        return None
    return SavedColumns(contents, raw)


def _state(bound: Bound) -> list[Any]:
    return [*bound.version, bound.changed, bound.content]
