"""Shows the progress of a stage: a bar with the time left on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from taolite.cli import render, words
from taolite.events import BatchDone, BatchDrawn, EpochDone, Event, Progress, Saved, Stepped, Validated

if TYPE_CHECKING:
    from rich.progress import Progress as Rich
    from rich.progress import TaskID

__all__ = ["FRAME", "Bar", "Terminal"]


FRAME = "frame"
"""The unit of videos and cameras: they print a line every second, with frames per second."""


class _Pace:
    """The speed of the last event's task; a new task restarts the clock."""

    def __init__(self) -> None:
        self._task, self._began_s, self._first = "", 0.0, 0

    def hear(self, event: Progress) -> bool:
        """Record the event's count; True where a new task starts with it."""
        starts = self._task != event.task or event.done <= self._first
        if starts:
            self._task, self._began_s, self._first = event.task, time.monotonic(), event.done
        return starts

    def text(self, event: Progress) -> str:
        """The time left, or frames per second; "" where neither is known yet."""
        done, seconds = event.done - self._first, time.monotonic() - self._began_s
        if done < 1 or seconds <= 0:
            return ""
        rate = f"{done / seconds:.1f} frames per second" if event.unit == FRAME else ""
        left = seconds / done * (event.total - event.done)
        return ", ".join(filter(None, (f"{timedelta(seconds=round(left))} left" if left > 0 else "", rate)))


class Bar:
    """A bar with the time left where `stream` is a terminal, nothing elsewhere. Call `take_down` before printing a
    line; the bar comes back with the next event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._pace = _Pace()
        self._bar: Rich | None = None
        self._task: tuple[str, TaskID] | None = None

    def show(self, event: Progress) -> None:
        """Show the progress of a task."""
        if not self._stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._pace.hear(event)
        fields: dict[str, Any] = {"detail": event.detail, "pace": self._pace.text(event)}
        if self._task is None or self._task[0] != event.task:
            self.take_down()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]}"),
                TextColumn("{task.fields[detail]}"),
            )
            self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._bar.start()
            self._task = (event.task, self._bar.add_task(event.task, total=event.total, **fields))
        assert self._bar is not None
        self._bar.update(self._task[1], completed=event.done, total=event.total, **fields)
        if event.done >= event.total and event.unit != FRAME:
            self.take_down()

    def take_down(self) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task = None, None


class Terminal:
    """A listener that prints events; a context manager that removes the bar at the end.

    `verbose`: where there is no terminal, print a progress line every second instead of every 15 seconds. Videos and
    cameras always print one every second. `bars`: whether a terminal shows a bar instead of lines.
    """

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False, bars: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._every_s = 1.0 if verbose else 15.0
        self._bar, self._bars = Bar(self._stream), bars and self._stream.isatty()
        self._pace, self._last_s = _Pace(), 0.0
        self._turn = threading.Lock()  # a source tells its events in the thread that reads it

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.take_down()

    def __call__(self, event: Event) -> None:
        with self._turn:
            self._show(event)

    def _show(self, event: Event) -> None:
        if isinstance(event, Stepped | BatchDrawn | BatchDone | Saved):  # for curves and logs; the bar stays
            return
        if isinstance(event, Progress):
            if self._bars:
                self._bar.show(event)
            else:
                self._plain_line(event)
            return
        self._bar.take_down()
        if isinstance(event, EpochDone):
            self._say(render.epoch_line(event))
        elif isinstance(event, Validated):
            self._say(render.validation_lines(event))
        else:
            for line in words.lines(event):
                self._say(f"warning: {line.text}" if line.warns else line.text)

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _plain_line(self, event: Progress) -> None:
        """Print a line at intervals, with the time left; nothing for short work."""
        now = time.monotonic()
        if self._pace.hear(event):
            self._last_s = now
            return
        every_s, ends = (1.0, False) if event.unit == FRAME else (self._every_s, event.done >= event.total)
        if now - self._last_s < every_s or ends:
            return
        self._last_s = now
        of = f" of {event.total}" if event.total > event.done else ""
        pace = self._pace.text(event)
        self._say(f"{event.task}: {event.unit} {event.done}{of}, {pace}  {event.detail}".rstrip())
