"""Pictures in tar files, on a disk or behind a URL: read in place, one by one, by offset.

Any uncompressed tar works (`tar -cf shard-000.tar images/...`). A member takes 28 bytes of memory: a hash of its name,
its tar, and the position of its bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError
from taolite.formats.patterns import named
from taolite.formats.ranges import read_range
from taolite.formats.tar_listing import TarListing, key_of, list_tar

__all__ = ["TarPictures", "list_tars", "names_tars", "tar_files"]

_AT_ONCE = 8  # tars that are listed in parallel


def names_tars(spelled: str) -> bool:
    """Whether a path in a spec names tar files rather than a folder."""
    return spelled.endswith(".tar")


def tar_files(pattern: str, *, field: str) -> list[str]:
    """The tar files that a spec's `field` names (see `taolite.formats.patterns`), sorted. Raises PathError."""
    return named(pattern, missing=f" ({field}); make the tar files, or mend the path")


def list_tars(tars: Sequence[str], *, measured: bool = False) -> list[TarListing]:
    """The listings of tar files and URLs, in order. Raises PathError for a tar that does not exist, DataError for a
    file that is not a tar."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="taolite-tars") as pool:
        return list(pool.map(partial(list_tar, measured=measured), tars))


class TarPictures:
    """The members of listed tar files by name. Raises DataError for a name that occurs twice."""

    def __init__(self, listings: Sequence[TarListing]) -> None:
        self.tars = tuple(listing.tar for listing in listings)
        self._versions = tuple(listing.version for listing in listings)
        keys_n = np.concatenate([listing.keys_m for listing in listings])
        order = np.argsort(keys_n, kind="stable")
        self._keys_n = keys_n[order]
        self._places_n = np.repeat(np.arange(len(listings), dtype=np.uint32), [len(one) for one in listings])[order]
        self._offsets_n = np.concatenate([listing.offsets_m for listing in listings])[order]
        self._sizes_n = np.concatenate([listing.sizes_m for listing in listings])[order]
        twice = np.flatnonzero(self._keys_n[1:] == self._keys_n[:-1])
        if len(twice):
            first, second = (self.tars[self._places_n[at]] for at in (twice[0], twice[0] + 1))
            raise DataError(f"{len(twice)} names occur twice in the tar files, the first in {first} and {second}")

    def __len__(self) -> int:
        return len(self._keys_n)

    def __contains__(self, name: str) -> bool:
        return self._place(name) is not None

    def places(self, names: Iterator[str]) -> NDArray[np.uint32]:
        """The index in `tars` of the tar that holds each name (N,). Raises DataError for a name that no tar holds."""
        return np.fromiter((self._places_n[self._find(name)] for name in names), np.uint32)

    def open(self, name: str) -> io.BytesIO:
        """The bytes of a member. Raises DataError, PathError; also DataError if the tar has changed since it was
        listed."""
        at = self._find(name)
        place, size = self._places_n[at], int(self._sizes_n[at])
        data = read_range(self.tars[place], int(self._offsets_n[at]), size, version=self._versions[place])
        if len(data) != size:
            raise DataError(f"{self.tars[place]}: its end is missing, with {name} in it; copy the file again")
        return io.BytesIO(data)

    def _find(self, name: str) -> int:
        at = self._place(name)
        if at is None:
            listed = f"{self.tars[0]} and {len(self.tars) - 1} more" if len(self.tars) > 1 else self.tars[0]
            raise DataError(f"{name}: this picture is in none of the tar files ({listed})")
        return at

    def _place(self, name: str) -> int | None:
        key = np.uint64(key_of(name))
        at = int(np.searchsorted(self._keys_n, key))
        return at if at < len(self._keys_n) and self._keys_n[at] == key else None
