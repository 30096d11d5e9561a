"""Work in other processes: in turn, with its errors, and never waiting for one that is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from taolite.errors import DataError, StoppedError
from taolite.stages.convert.processes import Processes


def late(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number


def refuse(number: int) -> int:
    if number == 5:
        raise DataError("five")
    return number


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_work(count: int):
    with Processes(count) as processes:
        first = list(processes.ordered(partial(late, number) for number in range(20)))
        second = list(processes.ordered(partial(late, number) for number in range(2)))

    assert (first, second) == (list(range(20)), [0, 1])


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_piece_of_work_raises_comes_in_its_place(count: int):
    got: list[int] = []

    with Processes(count) as processes, pytest.raises(DataError) as caught:
        got.extend(processes.ordered(partial(refuse, number) for number in range(20)))

    assert str(caught.value) == "five"
    assert got == [0, 1, 2, 3, 4]


def test_a_process_killed_in_the_middle_of_a_long_result_is_not_waited_for():
    def work() -> Iterator[Callable[[], bytes]]:
        yield partial(bytes, 10_000_000)
        time.sleep(0.5)  # nobody reads: the process has written what a pipe holds
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        yield partial(bytes, 1)

    with Processes(2) as processes, pytest.raises(StoppedError, match="ended from outside"):
        list(processes.ordered(work()))

    assert not multiprocessing.active_children()
