"""Where randomness comes from: every draw is a function of the seed and of what it is drawn for, never of what was
drawn before. So a run killed anywhere and resumed, with any number of workers, draws the same numbers.

Seeds are blake2b of the words joined, because Python's own hash differs from process to process.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "generator", "seed_for"]


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
