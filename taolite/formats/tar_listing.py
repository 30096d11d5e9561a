"""The members of a tar file: their names, offsets and sizes in bytes and, on request, the heights and widths of
pictures.

A listing reads the headers of a tar; with picture sizes, also the beginning and the end of every picture, in the same
pass. It is saved in an index (`taolite.formats.index_file`), so each tar is listed only once.
"""

from __future__ import annotations

import hashlib
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from taolite.errors import DataError
from taolite.formats.findings import Finding, Findings
from taolite.formats.folders import is_whole
from taolite.formats.guard import guarded
from taolite.formats.index_file import Put, SavedColumns, bound_to, index_path, read_index, write_index
from taolite.formats.packed import Column, Texts
from taolite.formats.places import is_hidden, measure
from taolite.formats.ranges import Version, open_stream
from taolite.pictures import EXTENSIONS

__all__ = ["TarListing", "key_of", "list_tar"]

_PICTURES = (*EXTENSIONS, ".pgm", ".gif")
_COLUMNS = ("keys_m", "offsets_m", "sizes_m", "heights_m", "widths_m")
_HEAD = 1 << 14  # bytes; enough for the size in the header of most pictures


@dataclass(frozen=True)
class TarListing:
    """The M files in a tar, without hidden ones: `names`, their keys (M,) uint64, offsets and sizes in bytes.

    A measured listing also has heights and widths (M,) in pixels, 0 for files that are not pictures and for those in
    `faults`; otherwise they are None.
    """

    tar: str
    version: Version
    names: Texts
    keys_m: Column
    offsets_m: Column
    sizes_m: Column
    heights_m: Column | None = None
    widths_m: Column | None = None
    faults: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.keys_m)

    def pictures(self, extensions: tuple[str, ...]) -> Iterator[tuple[Path, tuple[int, int] | None]]:
        """The pictures of a measured listing with one of these extensions, in any case: name and (height, width), None
        for a picture in `faults`."""
        assert self.heights_m is not None, "sizes were asked for"
        assert self.widths_m is not None, "they come together"
        for at, size_hw in enumerate(zip(self.heights_m.tolist(), self.widths_m.tolist(), strict=True)):
            name = Path(self.names[at])
            if name.suffix.lower() in extensions:
                yield name, size_hw if all(size_hw) else None


def key_of(name: str) -> int:
    """A 64-bit hash of a member's name; `./` before the name makes no difference."""
    name = PurePosixPath(name).as_posix()
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def list_tar(tar: str, *, measured: bool = False) -> TarListing:
    """The listing of a tar file or URL. Raises PathError, DataError."""
    bound, target = bound_to(tar), index_path(tar)
    kept = read_index(target, bound, partial(_kept, tar, bound.version))
    if kept is not None and (kept.heights_m is not None or not measured):
        return kept
    with guarded(tar):
        listing = _listed(tar, bound.version, measured)
    write_index(target, bound, lambda put: _saved(listing, put))
    return listing


def _listed(tar: str, version: Version, measured: bool) -> TarListing:
    names: list[str] = []
    keys, offsets, sizes, heights, widths = (array("Q") for _ in range(5))
    findings = Findings()
    stream = open_stream(tar, version, least=_HEAD if measured else 1 << 11)
    try:
        with stream, tarfile.open(fileobj=stream, mode="r:") as opened:
            while (member := opened.next()) is not None:
                opened.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every member in memory
                name = PurePosixPath(member.name)
                if not member.isfile() or any(map(is_hidden, name.parts)):
                    continue
                names.append(name.as_posix())
                keys.append(key_of(member.name))
                offsets.append(member.offset_data)
                sizes.append(member.size)
                if measured:
                    size_hw = _size_of(Path(name), opened.extractfile(member), findings)
                    heights.append(size_hw[0])
                    widths.append(size_hw[1])
    except tarfile.TarError as error:
        raise DataError(f"{tar}: not an uncompressed tar file, or damaged ({error})") from error
    return TarListing(
        tar,
        version,
        Texts.of(names),
        np.array(keys, np.uint64),
        np.array(offsets, np.uint64),
        np.array(sizes, np.uint64),
        np.array(heights, np.uint32) if measured else None,
        np.array(widths, np.uint32) if measured else None,
        tuple(findings.errors),
    )


def _size_of(name: Path, stream: IO[bytes] | None, findings: Findings) -> tuple[int, int]:
    """(height, width) of a picture, (0, 0) for any other file; why a picture has no size goes to `findings`."""
    if name.suffix.lower() not in _PICTURES:
        return 0, 0
    assert stream is not None, "the member is a file"
    size_hw = measure(name, findings, stream)
    return size_hw if size_hw is not None and is_whole(name, findings, stream) else (0, 0)


def _saved(listing: TarListing, put: Put) -> dict[str, Any]:
    columns = {name: put(getattr(listing, name)) for name in _COLUMNS}
    faults = [[fault.kind, str(fault.path), fault.text] for fault in listing.faults]
    return {"names": put(listing.names), "columns": columns, "faults": faults}


def _kept(tar: str, version: Version, kept: SavedColumns) -> TarListing:
    """The listing saved in an index. Raises ValueError for columns that do not fit together."""
    found = kept.contents
    columns: dict[str, Any] = {name: kept.column(saved) if saved else None for name, saved in found["columns"].items()}
    faults = tuple(Finding(Path(path), 0, kind, text) for kind, path, text in found["faults"])
    listing = TarListing(tar, version, kept.texts(found["names"]), **columns, faults=faults)
    given = [column for column in columns.values() if column is not None]
    measured = {listing.heights_m is None, listing.widths_m is None}
    if {column.shape for column in given} != {(len(listing),)} or len(listing.names.ends_n) != len(listing) + 1:
        raise ValueError("columns that do not go together")
    if any(column is None for column in (listing.keys_m, listing.offsets_m, listing.sizes_m)) or len(measured) > 1:
        raise ValueError("a column is missing")
    return listing
