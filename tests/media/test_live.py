"""A sink that may stall never holds up the pipeline: it loses frames, says so, and its failure is seen."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from taolite.errors import StorageError
from taolite.events import FramesDropped
from taolite.media import live
from taolite.media.live import LiveOutput
from taolite.media.sources import Frame

GREY = np.full((4, 6, 3), 128, np.uint8)


class Sink:
    """Remembers the numbers of its frames, which are their pixels' value; waits for `may_go`."""

    holds = False

    def __init__(self, error: Exception | None = None) -> None:
        self.may_go, self.taken = threading.Event(), threading.Event()
        self.is_open, self.is_closed, self.is_killed = True, False, False
        self.got: list[int] = []
        self.times: list[float] = []
        self._error = error

    def put(self, image_hwc: np.ndarray, time_s: float) -> None:
        self.taken.set()
        self.may_go.wait(10)
        if self._error is not None:
            raise self._error
        self.got.append(int(image_hwc[0, 0, 0]))
        self.times.append(time_s)

    def close(self) -> None:
        self.is_closed = True

    def kill(self) -> None:
        self.is_killed = True


def frame(number: int, time_s: float | None = None) -> Frame:
    return Frame("x", GREY, number, Path("x"), time_s)


def numbered(number: int) -> np.ndarray:
    return np.full((4, 6, 3), number, np.uint8)


def test_a_sink_that_keeps_up_gets_every_frame():
    sink, told = Sink(), []
    sink.may_go.set()

    with LiveOutput("x", sink, listener=told.append) as output:
        for number in range(20):
            output.write(frame(number), numbered(number))
            while len(sink.got) <= number:
                time.sleep(0.001)

    assert (sink.got, output.lost, told, sink.is_closed) == (list(range(20)), 0, [], True)


def test_a_stalled_sink_loses_the_oldest_frames_and_the_pipeline_does_not_wait(monkeypatch):
    monkeypatch.setattr(live, "_EVERY_S", 0.0)
    sink, told = Sink(), []

    with LiveOutput("x", sink, listener=told.append) as output:
        output.write(frame(0), numbered(0))
        assert sink.taken.wait(5)  # and stalls with it
        begin = time.monotonic()
        for number in range(1, 10):
            output.write(frame(number), numbered(number))
        took = time.monotonic() - begin
        sink.may_go.set()

    assert took < 1
    assert sink.got == [0, 6, 7, 8, 9]  # four are in the queue
    assert output.lost == 5
    assert told == [FramesDropped("x", lost, 5 + lost, False) for lost in range(1, 6)]


def test_a_sink_that_never_goes_on_is_left_behind(monkeypatch):
    monkeypatch.setattr(live, "_GRACE_S", 0.05)
    sink, told = Sink(), []

    with LiveOutput("x", sink, listener=told.append) as output:
        for number in range(3):
            output.write(frame(number), numbered(number))
        assert sink.taken.wait(5)

    assert sink.is_killed
    assert told == [FramesDropped("x", 2, 3, True)]
    sink.may_go.set()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(32, "Broken pipe"), "x: Broken pipe"),
        (OSError("it failed"), "x: it failed"),
        (ZeroDivisionError(), None),
    ],
)
def test_a_sink_that_fails_is_seen_by_the_next_frame_or_at_the_end(error, message):
    for at_end in (False, True):
        sink = Sink(error)
        sink.may_go.set()
        output = LiveOutput("x", sink)
        output.write(frame(0), numbered(0))
        while not sink.is_closed:
            time.sleep(0.001)

        with pytest.raises(StorageError if message else ZeroDivisionError) as caught:
            output.close() if at_end else output.write(frame(1), numbered(1))

        assert message is None or str(caught.value) == message
        output.close()  # says it once


def test_the_error_that_ended_the_run_comes_first(monkeypatch):
    sink = Sink(OSError("second"))
    sink.may_go.set()

    def interrupted():
        with LiveOutput("x", sink) as output:
            output.write(frame(0), numbered(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sink.is_closed


def test_frames_of_a_closed_window_are_not_called_lost():
    sink, told = Sink(), []
    sink.is_open = False

    with LiveOutput("x", sink, listener=told.append) as output:
        for number in range(9):
            output.write(frame(number), numbered(number))
        assert not output.is_open
        sink.may_go.set()

    assert (output.lost, told) == (0, [])


def test_a_file_is_sent_at_its_own_pace():
    sink = Sink()
    sink.may_go.set()
    begin = time.monotonic()

    with LiveOutput("x", sink, pace=1000.0) as output:
        for number, time_s in enumerate([5.0, 5.1, 5.3]):
            output.write(frame(number, time_s), numbered(number))

    assert 0.3 <= time.monotonic() - begin < 3
    for due_s, time_s in zip([0, 0.1, 0.3], sink.times, strict=True):
        assert due_s <= time_s < due_s + 1
