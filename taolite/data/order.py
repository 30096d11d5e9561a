"""Random numbers and the order of samples: every draw depends on the seed and on its purpose, never on earlier draws.
So a run that was stopped anywhere and resumed, with any number of workers, draws the same numbers.

A seed is the blake2b hash of its words, because Python's own hash differs between processes. A set of more than 65 536
samples is not permuted in memory: `shuffled` computes where each place goes, so an order of any length takes no memory
and can be entered anywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BUFFER",
    "Order",
    "Shards",
    "epoch_order",
    "even_order",
    "generator",
    "seed_for",
    "shard_order",
    "shuffled",
]

BUFFER = 1 << 16  # samples of several files that are shuffled together (docs/scale.md)

_IN_MEMORY = 1 << 16  # the longest permutation that is kept, 0.5 MB
_AT_ONCE = 1 << 12  # indices that iteration computes together
_ROUNDS = 8

Indices = NDArray[np.int64]


def seed_for(*words: int | str) -> int:
    """A 63-bit seed that depends on all `words`, in their order."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*words: int | str) -> np.random.Generator:
    """A NumPy random generator seeded by `words`."""
    return np.random.Generator(np.random.PCG64(seed_for(*words)))


class Order(Sequence[int]):
    """The sample indices of an epoch, computed on access. A slice is an Order again; `np.asarray` gives all numbers.

    places: the places of the epoch, 0 .. n - 1, that this Order has. indices_at: places (P,) int64 -> the sample
    indices there, (P,) int64.
    """

    def __init__(self, places: range, indices_at: Callable[[Indices], Indices]) -> None:
        self._places = places
        self._indices_at = indices_at

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> Order: ...

    def __getitem__(self, at: int | slice) -> int | Order:
        if isinstance(at, slice):
            return Order(self._places[at], self._indices_at)
        return int(self._indices_at(np.array([self._places[at]], np.int64))[0])

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE].tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        places = self._places
        made = self._indices_at(np.arange(places.start, places.stop, places.step, dtype=np.int64))
        return made if dtype is None else made.astype(dtype)

    def share(self, places: Sequence[int], *, batch_size: int) -> Order:
        """One rank's slice: of every `batch_size` indices those at `places` (0 .. batch_size - 1)."""
        chosen, first = np.asarray(places, np.int64), self._places.start

        def indices_at(at: Indices) -> Indices:
            batch, place = np.divmod(at, len(chosen))
            return self._indices_at(first + batch * batch_size + chosen[place])

        return Order(range(len(self) // batch_size * len(chosen)), indices_at)

    def tolist(self) -> list[int]:
        """All indices as Python integers."""
        return list(map(int, np.asarray(self)))


def shuffled(places: Indices, count: int, *words: int | str) -> Indices:
    """A pseudorandom permutation of 0 .. count - 1 at `places`: (P,) int64 -> (P,) int64. `words` are the seed.

    A Feistel network of 8 rounds over pairs of numbers below ceil(sqrt(count)); results of `count` or more go through
    it again until they are below (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
    """
    side = np.uint64(math.isqrt(count - 1) + 1)
    keys = [np.uint64(seed_for(*words, turn)) for turn in range(_ROUNDS)]
    values = places.astype(np.uint64)
    beyond = np.arange(len(values))
    while len(beyond):
        left, right = np.divmod(values[beyond], side)
        for key in keys:
            left, right = right, (left + _mixed(right + key) % side) % side
        values[beyond] = left * side + right
        beyond = beyond[values[beyond] >= count]
    return values.astype(np.int64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last step of splitmix64: every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def epoch_order(count: int, *, seed: int, epoch: int, batch_size: int) -> Order:
    """The indices of one epoch, in whole batches: every sample once, then the first ones again to fill the last batch.

    TAO's stream is endless (reference 4.5); here an epoch is one pass, rounded up to whole batches.
    """
    places = range(-(-count // batch_size) * batch_size)
    if count > _IN_MEMORY:
        return Order(places, lambda at: shuffled(at % count, count, seed, "order", epoch))
    permutation = generator(seed, "order", epoch).permutation(count)
    return Order(places, lambda at: permutation[at % count])


def even_order(sizes: Sequence[int], *, seed: int, epoch: int, batch_size: int) -> Order:
    """The indices of one epoch in which every source has the same number of samples; as many as `epoch_order` gives.

    The places of all epochs are numbered on and given to the sources in turn. Each source fills its places from one
    permutation after another, so over the epochs all its samples come equally often.

    Args:
        sizes: samples of each source; the indices of a source follow those of the sources before it.
        seed, epoch: what the order depends on; here epochs are counted from 0.
        batch_size: images of a global batch.
    """
    count, sources = sum(sizes), len(sizes)
    places = -(-count // batch_size) * batch_size
    in_memory = count <= _IN_MEMORY

    def dealt(place: Indices) -> Indices:
        """The indices at `place`, numbered through all epochs."""
        indices = np.empty(len(place), np.int64)
        for source, size in enumerate(sizes):
            own = np.flatnonzero(place % sources == source)
            turns, within = np.divmod(place[own] // sources, size)
            for turn in np.unique(turns).tolist():
                at, words = turns == turn, (seed, "source", source, turn)
                row = generator(*words).permutation(size)[within[at]] if in_memory else None
                indices[own[at]] = sum(sizes[:source]) + (shuffled(within[at], size, *words) if row is None else row)
        return indices

    if in_memory:
        whole = generator(seed, "order", epoch).permutation(dealt(np.arange(places, dtype=np.int64) + epoch * places))
        return Order(range(places), lambda at: whole[at])
    return Order(range(places), lambda at: dealt(shuffled(at, places, seed, "order", epoch) + epoch * places))


@dataclass(frozen=True)
class Shards:
    """N samples in S tar files. members_n: (N,) uint32, the samples of the first file, then those of the second, ...
    sizes_s: (S,) int64, the number of samples in each."""

    members_n: NDArray[np.uint32]
    sizes_s: Indices

    @classmethod
    def of(cls, shard_n: NDArray[np.uint32], *, count: int) -> Shards:
        """From the file number of each sample, (N,) below `count`."""
        members = np.argsort(shard_n, kind="stable").astype(np.uint32)
        return cls(members, np.bincount(shard_n, minlength=count).astype(np.int64))


def shard_order(shards: Shards, *, buffer: int, seed: int, epoch: int, batch_size: int) -> Order:
    """The indices of one epoch, in whole batches, that read a few files at a time.

    The files have a new order every epoch. Groups of files that hold `buffer` samples together are shuffled sample by
    sample, one group after the other. Any place can be computed on its own, as in `epoch_order`.
    """
    turn = generator(seed, "shards", epoch).permutation(len(shards.sizes_s))
    sizes = shards.sizes_s[turn]
    begins = np.cumsum(shards.sizes_s)[turn] - sizes  # of each file in `members_n`
    ends = np.cumsum(sizes)  # of each file among the places
    closing = np.flatnonzero(np.diff(ends // buffer, prepend=0))  # files behind which a window ends
    window_ends = np.unique(np.append(ends[closing], ends[-1]))
    window_begins = np.append(0, window_ends[:-1])
    count = int(ends[-1])

    def indices_at(places: Indices) -> Indices:
        places = places % count
        windows = np.searchsorted(window_ends, places, side="right")
        shuffled_places = np.empty_like(places)
        for window in np.unique(windows).tolist():
            own, begin = windows == window, window_begins[window]
            size = int(window_ends[window] - begin)
            shuffled_places[own] = begin + shuffled(places[own] - begin, size, seed, "window", epoch, window)
        file = np.searchsorted(ends, shuffled_places, side="right")
        return shards.members_n[begins[file] + shuffled_places - (ends - sizes)[file]].astype(np.int64)

    return Order(range(-(-count // batch_size) * batch_size), indices_at)
