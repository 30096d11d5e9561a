"""Seal a file with another key. The content stays the same, byte by byte; what is readable without a key stays too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from taolite.artifacts.container import FRONT_SIZE, KdfCost, check_key, seal, unseal
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff_stream, split_etlt, wrong_kind
from taolite.files import open_atomic, open_file

__all__ = ["check_opens", "reseal"]

_SEALED = (Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT)


def check_opens(path: Path, *, key: Key) -> None:
    """Check that `path` is a sealed file of ours and `key` its key, without reading all of it.

    Raises PathError, WrongKeyError, TruncatedError, DamagedError; ForeignError, ArtifactError for another kind of file.
    """
    with open_file(path) as stream:
        _find_container(stream, str(path))
        check_key(stream, key=key, where=str(path))


def reseal(path: Path, *, old: Key, new: Key, output: Path | None = None, cost: KdfCost | None = None) -> Path:
    """Open a `.tlt`, `.etlt` or checkpoint with `old`, and seal it with `new`.

    Args:
        path: the file; a link is followed.
        output: where the new file goes; None replaces the old one. It appears whole, or not at all.
        cost: cost of the key derivation, for tests.

    Returns:
        The file that was written. Its permissions are those of the old one.

    Raises:
        As `check_opens`; StorageError if the file cannot be written. The old file is then unchanged.
    """
    target = path.resolve() if output is None else output
    with open_file(path) as stream:
        name = _find_container(stream, str(path))
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        header, payload = unseal(stream, key=old, where=str(path))
    with open_atomic(target) as stream:
        if os.name == "posix":
            os.fchmod(stream.fileno(), mode)
        stream.write(name)
        seal(
            stream,
            payload,
            kind=header.kind,
            key=new,
            public=header.public,
            cost=cost,
            chunk_size=header.chunk_size,
        )
    return target


def _find_container(stream: IO[bytes], where: str) -> bytes:
    """Move to the first byte of the container; the bytes before it, an `.etlt`'s name."""
    found = sniff_stream(stream, where=where)
    if found not in _SEALED:
        raise wrong_kind(where, found, needed="a sealed file (.tlt, .etlt or checkpoint)")
    stream.seek(0)
    begin = 0
    if found is Kind.ETLT:
        parts = split_etlt(stream.read(FRONT_SIZE), where=where)
        assert parts is not None, "sniffed as an .etlt"
        begin = parts[1]
        stream.seek(0)
    return stream.read(begin)
