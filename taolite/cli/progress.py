"""How a running stage looks: a bar with the time left on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from taolite.cli import render, words
from taolite.events import BatchDone, BatchDrawn, EpochDone, Event, Progress, Saved, Stepped, Validated

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Terminal"]


class Terminal:
    """A listener that shows what it hears; a context manager, so that a bar is taken down at the end.

    `verbose`: where there is no terminal, a line of progress every second instead of every quarter of a minute.
    """

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._every_s = 1.0 if verbose else 15.0
        self._bar: Bar | None = None
        self._task: tuple[str, TaskID] | None = None
        self._plain: tuple[str, float, float] = ("", 0.0, 0.0)  # task, began, last line

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._take_down()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped | BatchDrawn | BatchDone | Saved):  # for curves and logs; the bar stays
            return
        if isinstance(event, Progress):
            self._progress(event)
            return
        self._take_down()
        if isinstance(event, EpochDone):
            self._say(render.epoch_line(event))
        elif isinstance(event, Validated):
            self._say(render.validation_lines(event))
        else:
            for line in words.lines(event):
                self._say(f"warning: {line.text}" if line.warns else line.text)

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _progress(self, event: Progress) -> None:
        if self._stream.isatty():
            self._show_bar(event)
        else:
            self._plain_line(event)

    def _show_bar(self, event: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._task is None or self._task[0] != event.task:
            self._take_down()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[detail]}"),
            )
            self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._bar.start()
            self._task = (event.task, self._bar.add_task(event.task, total=event.total, detail=event.detail))
        assert self._bar is not None
        self._bar.update(self._task[1], completed=event.done, total=event.total, detail=event.detail)

    def _plain_line(self, event: Progress) -> None:
        """A line now and then, with the time left; short work passes in silence."""
        now = time.monotonic()
        task, began, last = self._plain
        if task != event.task or event.done <= 1:
            self._plain = (event.task, now, now)
            return
        if now - last < self._every_s or event.done >= event.total:
            return
        left = timedelta(seconds=round((now - began) / (event.done - 1) * (event.total - event.done)))
        self._plain = (task, began, now)
        self._say(f"{event.task}: {event.unit} {event.done} of {event.total}, {left} left  {event.detail}".rstrip())

    def _take_down(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task = None, None
