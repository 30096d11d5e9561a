"""Names sorted and shuffled in a file: memory holds only some thousand of them at a time, however many there are.

A name is a row of bytes, as wide as the longest name of its run and padded with NULs, which no file name contains.
"""

from __future__ import annotations

import heapq
import io
import os
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from taolite.files import storage_error

__all__ = ["Names", "sorted_names"]

_RUN = 1 << 13  # names that are sorted in memory
_MERGED = 1 << 7  # runs merged into one
_BLOCK = 1 << 7  # names read or written at once


@dataclass(frozen=True)
class Names:
    """`count` names in rows of `width` bytes, starting at byte `begin` of an unbuffered file."""

    file: io.FileIO
    begin: int
    count: int
    width: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> str:
        return os.fsdecode(self._read(at, 1).rstrip(b"\0"))

    def __iter__(self) -> Iterator[str]:
        return map(os.fsdecode, self.encoded())

    def part(self, begin: int, end: int) -> Names:
        """The names from `begin` up to but not including `end`, in the same file."""
        return replace(self, begin=self.begin + begin * self.width, count=end - begin)

    def encoded(self) -> Iterator[bytes]:
        """The names in order, as bytes in the file system's encoding."""
        for at in range(0, self.count, _BLOCK):
            yield from (row.rstrip(b"\0") for row in self._rows(at, min(at + _BLOCK, self.count)))

    def shuffle(self, rng: random.Random) -> None:
        """Shuffle the names in the file, from the end and block by block; the order is that of `rng.shuffle`."""
        for end in range(self.count, 0, -_BLOCK):
            begin = max(end - _BLOCK, 0)
            block = self._rows(begin, end)
            for at in range(end - 1, max(begin, 1) - 1, -1):
                other = rng.randrange(at + 1)
                if other >= begin:
                    block[at - begin], block[other - begin] = block[other - begin], block[at - begin]
                else:
                    mine, block[at - begin] = block[at - begin], self._read(other, 1)
                    self._write(other, mine)
            self._write(begin, b"".join(block))

    def _rows(self, begin: int, end: int) -> list[bytes]:
        data = self._read(begin, end - begin)
        return [data[at : at + self.width] for at in range(0, len(data), self.width)]

    def _read(self, at: int, count: int) -> bytes:
        self.file.seek(self.begin + at * self.width)
        return self.file.read(count * self.width)

    def _write(self, at: int, rows: bytes) -> None:
        self.file.seek(self.begin + at * self.width)
        _write(self.file, rows)


def sorted_names(names: Iterable[str], file: io.FileIO) -> Names:
    """Write names to the end of an unbuffered file, in the order of their bytes. Raises StorageError."""
    upcoming, runs = map(os.fsencode, names), deque[Names]()
    while some := sorted(islice(upcoming, _RUN)):
        runs.append(_append(some, max(map(len, some)), file))
    while len(runs) > 1:
        taken = [runs.popleft() for _ in range(min(_MERGED, len(runs)))]
        width = max(run.width for run in taken)
        runs.append(_append(heapq.merge(*(run.encoded() for run in taken)), width, file))
    return runs[0] if runs else Names(file, 0, 0, 1)


def _append(names: Iterable[bytes], width: int, file: io.FileIO) -> Names:
    begin, count = file.seek(0, os.SEEK_END), 0
    upcoming = iter(names)
    while some := [name.ljust(width, b"\0") for name in islice(upcoming, _BLOCK)]:
        file.seek(0, os.SEEK_END)
        _write(file, b"".join(some))
        count += len(some)
    return Names(file, begin, count, width)


def _write(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise storage_error(Path(str(file.name)), error) from error
