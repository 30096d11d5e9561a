"""Run pieces of work in several processes; the results come in the order of the work."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, TypeVar

from taolite.errors import StoppedError

__all__ = ["Processes"]

T = TypeVar("T")
_AHEAD = 2  # pieces of work queued for each process


class Processes:
    """A pool of `count` processes; with 1 the work runs in the calling process.

    Each process has its own connection, and only that process holds the other end. So a process that is killed while
    it sends a result is noticed at once (a `ProcessPoolExecutor` waits for the rest for ever).
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._others: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process, connection in self._others:
            process.kill()
            process.join()
            connection.close()

    def ordered(self, work: Iterable[Callable[[], T]]) -> Iterator[T]:
        """The result of each piece of work, in order. Pieces (some kilobytes) and results must be picklable. The caller
        must read all results. Raises what a piece raises, and StoppedError where a process was ended from outside."""
        if self._count <= 1:
            yield from (piece() for piece in work)
            return
        if not self._others:
            kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
            self._others = [_begun(multiprocessing.get_context(kind)) for _ in range(self._count)]
        turns, waiting = cycle(self._others), deque[Connection]()
        for piece in work:
            _, connection = next(turns)
            with _alive():
                connection.send(piece)
            waiting.append(connection)
            if len(waiting) == _AHEAD * self._count:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


@contextmanager
def _alive() -> Iterator[None]:
    """Turn a broken connection to a process into StoppedError."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise StoppedError(
            "one of the processes was ended from outside, perhaps for want of memory; run it again with fewer "
            "`--workers`: it goes on behind the last whole file"
        ) from error


def _begun(context: BaseContext) -> tuple[BaseProcess, Connection]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    return process, ours


def _result(connection: Connection) -> Any:
    with _alive():
        done, result = connection.recv()
    if not done:
        raise result
    return result


def _serve(connection: Connection, parent: int) -> None:
    """Run one piece after the other. Ctrl-C is left to the parent; the process ends when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    gc.freeze()  # memory from the parent stays shared, and the collector below skips it
    while True:
        gc.collect()  # this also frees the interpreter's tuple cache, up to 2000 of each length
        piece = connection.recv()
        try:
            answer = (True, piece())
        except Exception as error:  # raised again in the parent
            error.add_note(traceback.format_exc())
            answer = (False, error)
        connection.send(answer)
