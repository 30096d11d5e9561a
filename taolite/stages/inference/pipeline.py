"""Threads between the parts of a pipeline, and the bounded queues that join them.

Each part is an iterator over the one before it, and `Pipeline.ahead` lets it run in a thread of its own. Items keep
their order, and none is left out, except by `newest`, which serves live sources. An error of a part is raised in its
place in the order, where the items are read.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

__all__ = ["AHEAD", "Pipeline", "timed"]

AHEAD = 2
"""Items that wait between two threads; this limits memory to a few batches of frames."""

_POLL_S = 0.1  # a thread that waits looks this often whether the pipeline has ended
_PATIENCE_S = 5.0  # a part that hangs longer, as a camera may, is left behind

Item = TypeVar("Item")


class Pipeline:
    """The threads of one pipeline. The end of its `with` block stops all of them; `stop` is called first, to wake a
    source that waits."""

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._stop()
        until = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def ahead(self, items: Iterable[Item], *, count: int = AHEAD) -> Iterator[Item]:
        """The same items, produced in a thread, at most `count` of them waiting for the reader."""
        waiting: queue.Queue[Item | _End] = queue.Queue(count)

        def put(entry: Item | _End) -> None:
            while not self._stopped.is_set():
                try:
                    return waiting.put(entry, timeout=_POLL_S)
                except queue.Full:
                    continue

        self._start(items, put, put)
        while not self._stopped.is_set():
            try:
                entry = waiting.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(entry, _End):
                return entry.reach()
            yield entry

    def newest(self, items: Iterable[Item]) -> Iterator[tuple[Item, int]]:
        """The newest item whenever the reader asks for one, and the number of items dropped since the last one."""
        slot: list[Item] = []
        ends: list[_End] = []
        changed, dropped = threading.Condition(), 0

        def put(item: Item) -> None:
            nonlocal dropped
            with changed:
                dropped += len(slot)
                slot[:] = [item]
                changed.notify()

        def end(entry: _End) -> None:
            with changed:
                ends.append(entry)
                changed.notify()

        self._start(items, put, end)
        while not self._stopped.is_set():
            with changed:
                if not (slot or ends or changed.wait(_POLL_S)):
                    continue
                taken, slot[:] = slot[:], []
                before, dropped = dropped, 0
            for item in taken:
                yield item, before
            if ends and not taken:
                return ends[0].reach()

    def _start(self, items: Iterable[Item], put: Callable[[Item], None], end: Callable[[_End], None]) -> None:
        """Start a thread that hands all `items` to `put`, and how they ended to `end`."""

        def work() -> None:
            iterator = iter(items)
            try:
                for item in iterator:
                    put(item)
                    if self._stopped.is_set():
                        return
                end(_End(None))
            except BaseException as error:  # raised again where the items are read
                end(_End(error))
            finally:
                if hasattr(iterator, "close"):
                    iterator.close()

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()


class _End:
    """The end of a part, and the error it ended with."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def reach(self) -> None:
        """Raise the error, if there is one."""
        if self._error is not None:
            raise self._error


def timed(items: Iterable[Item]) -> Generator[tuple[Item, float]]:
    """Each item with the seconds that the iterator took to give it."""
    iterator = iter(items)
    try:
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item, time.perf_counter() - began
    finally:
        if hasattr(iterator, "close"):
            iterator.close()
