"""The threads of a pipeline: order, bounds, errors in their place, and an end of all threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from taolite.stages.inference.pipeline import Pipeline, timed


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise ValueError("after the last")


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def test_items_keep_their_order_through_several_threads() -> None:
    with Pipeline() as pipeline:
        doubled = (2 * item for item in pipeline.ahead(range(200)))

        assert list(pipeline.ahead(doubled)) == [2 * item for item in range(200)]


def test_only_a_few_items_are_produced_before_they_are_wanted() -> None:
    produced: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            produced.append(item)
            yield item

    with Pipeline() as pipeline:
        ahead = pipeline.ahead(items(), count=2)
        next(ahead)
        time.sleep(0.3)

        assert len(produced) == 1 + 2 + 1  # read, waiting in the queue, and one in the producer's hand


def test_work_that_goes_on_side_by_side_keeps_its_order() -> None:
    both, running, most = threading.Barrier(2, timeout=10), [], []

    def work(item: int) -> int:
        running.append(item)
        most.append(len(running))
        both.wait()  # with one at a time the barrier would break
        time.sleep(0.02 * (item % 2))  # the first of two is the slower one for odd pairs
        running.remove(item)
        return 2 * item

    with Pipeline() as pipeline:
        assert list(pipeline.abreast(work, range(8), 2)) == [2 * item for item in range(8)]

    assert max(most) == 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_error_before_work_side_by_side_comes_after_its_results(count: int) -> None:
    read: list[int] = []

    with Pipeline() as pipeline, pytest.raises(ValueError, match="after the last"):
        read.extend(pipeline.abreast(lambda item: item + 10, failing(5), count))

    assert read == [10, 11, 12, 13, 14]


def test_an_error_of_work_side_by_side_comes_in_its_place() -> None:
    read: list[float] = []

    with Pipeline() as pipeline, pytest.raises(ZeroDivisionError):
        read.extend(pipeline.abreast(lambda item: 6 / (3 - item), range(8), 2))

    assert read == [2.0, 3.0, 6.0]


def test_an_error_comes_after_the_items_before_it() -> None:
    read: list[int] = []

    with Pipeline() as pipeline, pytest.raises(ValueError, match="after the last"):
        read.extend(pipeline.ahead(pipeline.ahead(failing(3))))

    assert read == [0, 1, 2]


def test_leaving_a_pipeline_ends_its_threads_and_closes_the_first_part() -> None:
    before, closed = threads(), []

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread())

    with Pipeline() as pipeline:
        next(pipeline.ahead(pipeline.ahead(items())))

    assert len(closed) == 1
    assert threads() == before


def test_a_source_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taolite.stages.inference.pipeline._PATIENCE_S", 0.2)
    wake = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        wake.wait()

    with Pipeline() as pipeline:
        next(pipeline.ahead(pipeline.ahead(items())))
        began_s = time.monotonic()
    took_s = time.monotonic() - began_s
    wake.set()

    assert took_s < 2


def test_a_slow_reader_gets_the_newest_item_and_the_number_of_lost_ones() -> None:
    asked, given = threading.Semaphore(0), threading.Semaphore(0)

    def camera() -> Iterator[int]:
        for item in range(10):
            if item in (1, 5):  # the reader is busy with the item before it until then
                given.release()
                asked.acquire()
            yield item

    with Pipeline() as pipeline:
        newest = pipeline.newest(camera())
        first = next(newest)
        given.acquire()
        asked.release()  # 1 to 4 are produced while nobody reads
        given.acquire()
        time.sleep(0.05)
        second = next(newest)
        asked.release()
        rest = list(newest)

    assert first == (0, 0)
    assert second == (4, 3)
    assert rest[-1][0] == 9
    assert sum(lost for _, lost in rest) + len(rest) == 5


def test_an_error_of_a_live_source_comes_after_its_last_item() -> None:
    read: list[int] = []

    with Pipeline() as pipeline, pytest.raises(ValueError, match="after the last"):
        read.extend(item for item, _ in pipeline.newest(failing(3)))

    assert read[-1] == 2


def test_time_is_measured_where_an_item_is_made() -> None:
    def items() -> Iterator[str]:
        time.sleep(0.05)
        yield "slow"
        yield "fast"

    (_, slow_s), (_, fast_s) = timed(items())

    assert slow_s >= 0.05
    assert fast_s < 0.05
