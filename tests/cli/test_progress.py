"""Progress as plain lines, where there is no terminal; clocks are turned by hand."""

from __future__ import annotations

import io

import pytest

from taolite.cli import progress
from taolite.events import EpochDone, Notice, Progress, Stepped


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def told(clock: list[float], *, verbose: bool) -> list[str]:
    """Ten units of four seconds each."""
    stream = io.StringIO()
    with progress.Terminal(stream, verbose=verbose) as show:
        for done in range(1, 11):
            show(Progress("convert", done, 10, "image", "fine"))
            clock[0] += 4
    return stream.getvalue().splitlines()


def test_a_line_now_and_then_with_the_time_left(clock: list[float]):
    assert told(clock, verbose=False) == [
        "convert: image 5 of 10, 0:00:20 left  fine",
        "convert: image 9 of 10, 0:00:04 left  fine",
    ]


def test_verbose_is_a_line_for_every_second(clock: list[float]):
    assert len(told(clock, verbose=True)) == 8  # the first starts the clock, the last needs no telling


def test_an_epoch_is_one_line_with_speed_and_waiting():
    stream = io.StringIO()

    progress.Terminal(stream)(EpochDone(3, 28, 111, 0.00443, 5e-4, 4.761, 0.0012, 61.3, 1533.0))

    assert stream.getvalue() == (
        "Epoch 3/28: loss: 0.00443 learning rate: 0.0005 Train Samples / sec: 4.76 data wait: 0.1 % "
        "Time taken: 0:01:01 ETA: 0:25:33\n"
    )


def test_a_video_has_a_line_a_second_with_frames_per_second_and_the_time_left(clock: list[float]):
    stream = io.StringIO()
    with progress.Terminal(stream) as show:
        for done in range(1, 42):  # 20 frames a second, for two seconds
            show(Progress("inference", done, 100, "frame"))
            clock[0] += 0.05

    # after the 21st frame 20 have gone by in a second; the 80 and 60 that are left take 4 and 3
    assert stream.getvalue().splitlines() == [
        "inference: frame 21 of 100, 0:00:04 left, 20.0 frames per second",
        "inference: frame 41 of 100, 0:00:03 left, 20.0 frames per second",
    ]


def test_a_camera_whose_frames_nobody_can_count_says_how_fast_it_goes(clock: list[float]):
    stream = io.StringIO()
    with progress.Terminal(stream) as show:
        for done in range(1, 4):
            show(Progress("detectnet", done, done, "frame"))
            clock[0] += 1.25

    assert stream.getvalue().splitlines() == [
        "detectnet: frame 2, 0.8 frames per second",
        "detectnet: frame 3, 0.8 frames per second",
    ]


def test_a_bar_tells_the_time_left_and_comes_back_after_a_line(clock: list[float], monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    bar = progress.Bar(stream)
    bar.show(Progress("epoch 1/2", 1, 5, "step"))
    clock[0] += 3
    bar.take_down()
    bar.show(Progress("epoch 1/2", 2, 5, "step", "loss 0.5"))

    assert bar._bar is not None
    assert bar._bar.tasks[0].fields == {"detail": "loss 0.5", "pace": "0:00:09 left"}
    bar.show(Progress("epoch 1/2", 5, 5, "step"))
    assert bar._bar is None


def test_points_of_a_curve_leave_a_bar_in_its_place(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with progress.Terminal(stream) as show:
        show(Progress("epoch 1/2", 1, 3, "step"))
        bar = show._bar._bar
        show(Stepped(1, {"loss": 0.5}))

        assert bar is not None
        assert show._bar._bar is bar


def test_warnings_say_that_they_are():
    stream = io.StringIO()
    show = progress.Terminal(stream)

    show(Notice("plain"))
    show(Notice("mind", "warning"))

    assert stream.getvalue().splitlines() == ["plain", "warning: mind"]
