"""Batches, prepared ahead in threads while the network works on the one before.

Decoding, warping and drawing targets release the interpreter's lock, so threads suffice; order and content of the
batches do not depend on how many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from taolite.data.examples import Example, Examples

__all__ = ["Batch", "batches"]


@dataclass(frozen=True)
class Batch:
    """Pixels (N, C, H, W) float32 in 0..1, channels last in memory; targets by name, stacked; the examples behind."""

    pixels: torch.Tensor
    targets: Mapping[str, torch.Tensor]
    examples: tuple[Example, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The image files of the batch."""
        return tuple(example.name for example in self.examples)


def batches(
    examples: Examples, order: Sequence[int], *, batch_size: int, epoch: int = 0, workers: int = 2
) -> Iterator[Batch]:
    """Batches of `order`, the last one smaller where it does not divide; at most `workers` + 1 are held ready."""
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="taolite-load") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for start in range(0, len(order), batch_size):
                waiting.append(pool.submit(_collate, examples, order[start : start + batch_size], epoch))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _collate(examples: Examples, indices: Sequence[int], epoch: int) -> Batch:
    made = tuple(examples.example(int(index), epoch=epoch) for index in indices)
    prep = examples.preprocessing
    pixels = torch.from_numpy(prep.normalise(np.stack([example.pixels for example in made]))).permute(0, 3, 1, 2)
    names = made[0].targets
    targets = {name: torch.from_numpy(np.stack([example.targets[name] for example in made])) for name in names}
    return Batch(pixels, targets, made)
