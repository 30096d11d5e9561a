"""Work done in several processes, a few pieces at a time; its results come in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from taolite.errors import StoppedError

__all__ = ["Processes", "available"]

T = TypeVar("T")
_AHEAD = 2  # pieces of work that wait for each process


def available() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """`count` processes; with 1 the work is done where it is asked for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def ordered(self, work: Iterable[Callable[[], T]]) -> Iterator[T]:
        """The result of each piece of work, which can be pickled. Raises what a piece raises, and StoppedError where a
        process was ended from outside."""
        if self._count <= 1:
            yield from (piece() for piece in work)
            return
        if self._pool is None:
            kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(kind)
            self._pool = ProcessPoolExecutor(self._count, context, initializer=_begin, initargs=(os.getpid(),))
        waiting: deque[Future[T]] = deque()
        try:
            for piece in work:
                waiting.append(self._pool.submit(piece))
                if len(waiting) > _AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise StoppedError(
                "one of the processes was ended from outside, perhaps for want of memory; run it again with fewer "
                "`--workers`: it goes on behind the last whole file"
            ) from error


def _begin(parent: int) -> None:
    """Ctrl-C is for the parent; without a parent there is nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
