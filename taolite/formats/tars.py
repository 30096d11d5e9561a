"""Pictures in tar files, on a disk or behind an address: read in place, one by one, by offset.

Any uncompressed tar will do (`tar -cf shard-000.tar images/...`). Every member is listed once, at the start, in 24
bytes: a hash of its name, its tar, where its bytes are. That listing reads a tar's headers only, but over HTTP each
takes a request.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError
from taolite.formats.patterns import named
from taolite.formats.ranges import open_stream, read_range, version_of

__all__ = ["TarPictures", "names_tars", "tar_files"]


def names_tars(spelled: str) -> bool:
    """Whether a spec's `image_directory_path` names tar files rather than a folder."""
    return spelled.endswith(".tar")


def tar_files(pattern: str) -> list[str]:
    """The tar files of a pattern (see `taolite.formats.patterns`), sorted. Raises PathError."""
    return named(pattern, missing=" (image_directory_path); make the tar files, or mend the path")


class TarPictures:
    """The members of tar files by name.

    Raises PathError for a tar that is not there; DataError for one that is none, and for a name that two have.
    """

    def __init__(self, tars: Sequence[str]) -> None:
        self.tars = tuple(tars)
        keys, places, offsets, sizes = array("Q"), array("L"), array("Q"), array("L")
        for place, tar in enumerate(self.tars):
            for name, offset, size in _members(tar):
                keys.append(_key(name))
                places.append(place)
                offsets.append(offset)
                sizes.append(size)
        self._keys_n = np.array(keys, np.uint64)
        order = np.argsort(self._keys_n, kind="stable")
        self._keys_n = self._keys_n[order]
        self._places_n = np.array(places, np.uint32)[order]
        self._offsets_n = np.array(offsets, np.uint64)[order]
        self._sizes_n = np.array(sizes, np.uint32)[order]
        twice = np.flatnonzero(self._keys_n[1:] == self._keys_n[:-1])
        if len(twice):
            first, second = (self.tars[self._places_n[at]] for at in (twice[0], twice[0] + 1))
            raise DataError(f"{len(twice)} names stand in tar files more than once, the first in {first} and {second}")

    def __len__(self) -> int:
        return len(self._keys_n)

    def places(self, names: Iterator[str]) -> NDArray[np.uint32]:
        """The place in `tars` of the tar that holds each name (N,). Raises DataError for one that none holds."""
        return np.fromiter((self._places_n[self._find(name)] for name in names), np.uint32)

    def open(self, name: str) -> io.BytesIO:
        """The bytes of a member. Raises DataError, PathError."""
        at = self._find(name)
        tar, size = self.tars[self._places_n[at]], int(self._sizes_n[at])
        data = read_range(tar, int(self._offsets_n[at]), size)
        if len(data) != size:
            raise DataError(f"{tar}: the end of it is missing, and {name} with it; bring the file again")
        return io.BytesIO(data)

    def _find(self, name: str) -> int:
        key = np.uint64(_key(name))
        at = int(np.searchsorted(self._keys_n, key))
        if at == len(self._keys_n) or self._keys_n[at] != key:
            listed = f"{self.tars[0]} and {len(self.tars) - 1} more" if len(self.tars) > 1 else self.tars[0]
            raise DataError(f"{name}: this picture is in none of the tar files ({listed})")
        return at


def _members(tar: str) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every file in a tar."""
    try:
        with tarfile.open(fileobj=open_stream(tar, version_of(tar)), mode="r:") as opened:
            while (member := opened.next()) is not None:
                if member.isfile():
                    yield member.name, member.offset_data, member.size
                opened.members.clear()  # type: ignore[attr-defined]  # it would keep every one
    except tarfile.TarError as error:
        raise DataError(f"{tar}: not an uncompressed tar file, or damaged ({error})") from error


def _key(name: str) -> int:
    name = PurePosixPath(name).as_posix()  # no leading `./`
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
