"""Pictures that look nearly the same: copies of another size or quality, and frames of one scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taolite.formats.photo import read_photo
from taolite.sample import Sample

__all__ = ["groups_alike", "picture_hash"]

_SIDE = 8
_BITS = 6  # of 64 that may differ; copies of another size or quality differ in 0 to 4
_ROWS = 256  # compared at once


def picture_hash(photo_hwc: NDArray[np.uint8]) -> int:
    """64 bits: whether each of 8 x 8 patches is brighter than the one to its right (the "difference hash")."""
    from PIL import Image

    small = np.asarray(Image.fromarray(photo_hwc).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), int)
    bits = (small[:, :-1] > small[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def groups_alike(samples: Sequence[Sample]) -> list[list[int]]:
    """Indices of pictures that look alike, in groups; a picture like no other is a group of its own. Pictures that look
    like a third one are alike too. Raises DataError for a picture that cannot be read."""
    hashes = np.array([picture_hash(read_photo(sample)) for sample in samples], np.uint64)
    leader = list(range(len(samples)))

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index] = leader[leader[index]]
        return index

    for start in range(0, len(hashes), _ROWS):
        differing = np.bitwise_count(hashes[start : start + _ROWS, None] ^ hashes[None, :])
        for first, second in np.argwhere(differing <= _BITS):
            one, two = find(start + int(first)), find(int(second))
            leader[max(one, two)] = min(one, two)
    groups: dict[int, list[int]] = {}
    for index in range(len(samples)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())
