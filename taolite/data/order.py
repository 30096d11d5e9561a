"""Where randomness comes from: every draw is a function of the seed and of what it is drawn for, never of what was
drawn before. So a run killed anywhere and resumed, with any number of workers, draws the same numbers.

Seeds are blake2b of the words joined, because Python's own hash differs from process to process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "even_order", "generator", "seed_for"]


def seed_for(*words: int | str) -> int:
    """A 63-bit seed that depends on all `words`, in their order."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*words: int | str) -> np.random.Generator:
    """A NumPy generator seeded by `words`."""
    return np.random.Generator(np.random.PCG64(seed_for(*words)))


def epoch_order(count: int, *, seed: int, epoch: int, batch_size: int) -> NDArray[np.int64]:
    """The indices of one epoch, (steps * batch_size,): every sample once, then as many of the first again as fill
    the last batch (TAO's stream is endless, reference 4.5; here an epoch is one pass, rounded up to whole batches)."""
    order = generator(seed, "order", epoch).permutation(count)
    steps = -(-count // batch_size)
    return np.resize(order, steps * batch_size)


def even_order(sizes: Sequence[int], *, seed: int, epoch: int, batch_size: int) -> NDArray[np.int64]:
    """The indices of one epoch in which every source has the same share, (steps * batch_size,), as many as
    `epoch_order` gives. Source s has the indices that follow those of the sources before it.

    The places of all epochs are counted through and dealt to the sources in turn. Each source fills its places from
    an endless row of permutations, so all its samples come equally often over the epochs.
    """
    count, sources = sum(sizes), len(sizes)
    places = -(-count // batch_size) * batch_size
    place = np.arange(places, dtype=np.int64) + epoch * places
    order = np.empty(places, np.int64)
    for source, size in enumerate(sizes):
        own = place % sources == source
        turns, within = np.divmod(place[own] // sources, size)
        rows = {turn: generator(seed, "source", source, turn).permutation(size) for turn in np.unique(turns).tolist()}
        picked = [rows[turn][at] for turn, at in zip(turns.tolist(), within.tolist(), strict=True)]
        order[own] = sum(sizes[:source]) + np.array(picked, np.int64)
    return generator(seed, "order", epoch).permutation(order)
