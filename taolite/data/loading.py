"""Batches, prepared in threads while the network works on the batch before.

Decoding, warping and drawing targets release Python's global lock, so threads are enough. Order and content of the
batches do not depend on the number of threads.
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
    """N examples stacked. pixels: (N, C, H, W) float32, normalised by the preprocessing, channels last in memory.
    targets: (N, ...) float32 by name. examples: the N examples themselves."""

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
    """Yield the batches of `order`.

    Args:
        examples: the split.
        order: sample indices.
        batch_size: N; the last batch is smaller where it does not divide the length of `order`.
        epoch: counted from 0 here; part of the seed of augmentation.
        workers: threads; at most `workers` + 1 batches are kept ready.
    """
    examples.prepare()
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
