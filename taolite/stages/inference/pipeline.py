"""Threads between the parts of a pipeline, and the bounded queues that join them.

Each part is an iterator over the one before it, and `Pipeline.ahead` lets it run in a thread of its own. Items keep
their order, and none is left out, except by `newest`, which serves live sources. An error of a part is raised in its
place in the order, where the items are read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["AHEAD", "Pipeline", "timed"]

AHEAD = 2
"""Items that wait between two threads; this limits memory to a few batches of frames."""

_PATIENCE_S = 5.0  # a part that hangs longer, as a camera may, is left behind
_LOOK_S = 1.0  # on Windows, Ctrl-C reaches a waiting thread only when its wait ends

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pipeline:
    """The threads of one pipeline. The end of its `with` block stops all of them; `stop` is called first, to wake a
    source that waits."""

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._stopped = threading.Event()
        self._queues: list[_Queue[object]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._stop()
        for waiting in self._queues:
            waiting.stop()
        until = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def ahead(self, items: Iterable[Item], *, count: int = AHEAD) -> Iterator[Item]:
        """The same items, produced in a thread, at most `count` of them waiting for the reader."""
        for item, _ in self._run(items, _Queue(count)):
            yield item

    def abreast(self, work: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
        """`work` of each item, in order, `count` of them at once."""
        if count == 1:
            yield from map(work, items)
            return
        with ThreadPoolExecutor(count) as pool:
            running: deque[Future[Result]] = deque()
            waiting, failed = iter(items), None
            while failed is None:
                try:
                    running.append(pool.submit(work, next(waiting)))
                except StopIteration:
                    break
                except Exception as error:  # raised behind the results that are under way
                    failed = error
                if len(running) > count:  # one waits, so that no thread does
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
            if failed is not None:
                raise failed

    def newest(self, items: Iterable[Item]) -> Iterator[tuple[Item, int]]:
        """The newest item whenever the reader asks for one, and the number of items dropped since the last one."""
        return self._run(items, _Queue(1, drops=True))

    def _run(self, items: Iterable[Item], waiting: _Queue[Item]) -> Iterator[tuple[Item, int]]:
        """Start a thread that produces `items`, and take them out of the queue."""

        def work() -> None:
            iterator = iter(items)
            try:
                for item in iterator:
                    if not waiting.put(item):
                        return
                waiting.end(None)
            except BaseException as error:  # raised again where the items are read
                waiting.end(error)
            finally:
                if hasattr(iterator, "close"):
                    iterator.close()

        self._queues.append(waiting)  # type: ignore[arg-type]
        if self._stopped.is_set():  # while this part was about to start, in the thread of the next one
            return
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
        while (taken := waiting.get()) is not None:
            yield taken


class _Queue(Generic[Item]):
    """At most `count` items between two threads. A full one makes the writer wait; with `drops` it loses the oldest."""

    def __init__(self, count: int, *, drops: bool = False) -> None:
        self._count, self._drops = count, drops
        self._items: deque[Item] = deque()
        self._dropped = 0
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Add an item; False where nobody will read it."""
        with self._changed:
            while len(self._items) >= self._count and not self._stopped:
                if self._drops:
                    self._items.popleft()
                    self._dropped += 1
                else:
                    self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()
            return not self._stopped

    def end(self, error: BaseException | None) -> None:
        """No more items come. `error` is raised behind the last one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def get(self) -> tuple[Item, int] | None:
        """The next item, and the number of items dropped since the last one; None at the end. Raises the error of
        `end`."""
        with self._changed:
            while not (self._items or self._ended or self._stopped):
                self._changed.wait(_LOOK_S)
            if self._stopped:
                return None
            if self._items:
                dropped, self._dropped = self._dropped, 0
                item = self._items.popleft()
                self._changed.notify_all()
                return item, dropped
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """Wake both threads: the pipeline ends."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


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
