"""Threads that stand in for processes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor


class Table:
    """What `torch.distributed` does for processes, for threads: everybody lays something down, everybody sees it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._own = threading.local()
        self._laid: list[Tensor] = [torch.empty(0)] * count
        self._all = threading.Barrier(count, timeout=20)

    @property
    def rank(self) -> int:
        """Of the thread that asks."""
        rank: int = self._own.rank
        return rank

    def side_by_side(self, tensor: Tensor) -> Tensor:
        self._laid[self.rank] = tensor.clone()
        self._all.wait()
        seen = torch.stack(self._laid)
        self._all.wait()
        return seen

    def total(self, tensor: Tensor) -> Tensor:
        return tensor.copy_(self.side_by_side(tensor).sum(0))

    def largest(self, tensor: Tensor) -> Tensor:
        return tensor.copy_(self.side_by_side(tensor).amax(0))

    def work(self, do: Callable[[int], None]) -> None:
        """do(rank), of everybody in a thread of its own."""
        errors: list[BaseException] = []

        def run(rank: int) -> None:
            self._own.rank = rank
            try:
                do(rank)
            except BaseException as error:
                errors.append(error)
                self._all.abort()

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
