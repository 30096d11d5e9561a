"""The lines of jetson-inference's train.py (reference/jetson_workflows.md 2.6), as it has printed them since 2022-12:

    Epoch: [0][ 10/625]  Time  0.085 ( 0.163)  Data  0.000 ( 0.019)  Loss 2.3263e+01 (2.1190e+01)  Accuracy  25.000 ( 55.682)

and `Acc@5` behind it where there are five classes or more. A value is the batch's; in brackets is the mean over the
images so far. Epochs and batches count from 0. All lines go to one stream; scalars go to
`tensorboard/<date>_<time>` of the run's folder.
"""  # noqa: E501

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from taolite.cli.progress import Bar
from taolite.cli.words import lines
from taolite.events import (
    BatchDone,
    DataFound,
    EpochDone,
    Event,
    Intervals,
    ModelKept,
    Progress,
    Saved,
    Validated,
)

if TYPE_CHECKING:
    from taolite.sinks.tensorboard import Board

__all__ = ["TAOS", "TOP", "Means", "TrainLog"]

TAOS = (Intervals, ModelKept)
"""Events that only TAO's users look for; this log leaves them out."""

TOP = "top_5"
"""The value of a batch that train.py calls Acc@5; present where the data have five classes or more."""


class Means:
    """Means over images, by name."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = 0

    def add(self, values: Mapping[str, float], images: int) -> None:
        self._images += images
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + images * value

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    def __getitem__(self, name: str) -> float:
        return self._sums[name] / max(self._images, 1)


class TrainLog:
    """A listener that prints train.py's lines; a context manager. `every`: --print-freq. `root`: the run's folder."""

    def __init__(self, root: Path, *, every: int, stream: TextIO | None = None) -> None:
        self._root, self._every, self._stream = root, every, stream or sys.stdout
        self._train, self._val = Means(), Means()
        self.epochs = 0  # epochs finished in this process
        self._validated: Validated | None = None
        self._board: Board | None = None
        self._bar = Bar()

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.take_down()
        if self._board is not None:
            self._board.close()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._bar.show(event)
        elif isinstance(event, BatchDone):
            self._batch(event)
        elif isinstance(event, EpochDone):
            self.epochs += 1
            self._say(f"Epoch: [{event.epoch - 1}] completed, elapsed time {event.seconds:6.3f} seconds")
        elif isinstance(event, Validated):
            self._validated = event
        elif isinstance(event, Saved):
            self._saved(event)
        elif isinstance(event, DataFound):
            self._say(f"=> Found {event.training} samples in training set")
            self._say(f"=> Found {event.validation} samples in validation set")
        elif not isinstance(event, TAOS):
            for line in lines(event):
                self._say(f"warning: {line.text}" if line.warns else f"=> {line.text}")

    def _batch(self, event: BatchDone) -> None:
        training = event.epoch is not None
        if event.number == 1:
            if training:
                self._train = Means()
            else:
                self._val = Means()
        means = self._train if training else self._val
        batch = {"time": event.seconds, "data": event.waited_s, **event.values}
        means.add(batch, event.images)
        index = event.number - 1
        if index % self._every and event.number != event.count:
            return
        head = f"Epoch: [{event.epoch - 1}]" if event.epoch is not None else "Val:   "
        columns = [
            f"{head}[{index:{len(str(event.count))}d}/{event.count}]",
            f"Time {_both(batch, means, 'time', '6.3f')}",
        ]
        if training:
            columns.append(f"Data {_both(batch, means, 'data', '6.3f')}")
        columns.append(f"Loss {_both(batch, means, 'loss', '.4e')}")
        if "accuracy" in event.values:
            columns.append(f"Accuracy {_both(batch, means, 'accuracy', '7.3f', 100)}")
        if TOP in event.values:
            columns.append(f"Acc@5 {_both(batch, means, TOP, '7.3f', 100)}")
        self._say("  ".join(columns))

    def _saved(self, event: Saved) -> None:
        best = event.which == "best"
        if self._validated is not None and self.epochs:
            self._summary(self._validated, best=best)
            self._validated = None
            what = "best model" if best else "checkpoint"
            self._say(f"saved {what} to:  {event.path}")
            if event.epoch == 1:
                self._say(f"saved class labels to:  {self._root / 'labels.txt'}")

    def _summary(self, event: Validated, *, best: bool) -> None:
        accuracy = 100 * event.metric.value
        rows = {
            "Loss/train": self._train["loss"],
            "Accuracy/train": 100 * self._train["accuracy"],
            "Loss/val": event.cost,
            "Accuracy/val": accuracy,
        }
        self._say(f"=> Epoch {event.epoch - 1}")
        self._say(f"  * Train Loss     {rows['Loss/train']:.4e}")
        self._say(f"  * Train Accuracy {rows['Accuracy/train']:.4f}")
        if TOP in self._train:
            self._say(f"  * Train Acc@5    {100 * self._train[TOP]:.4f}")
        self._say(f"  * Val Loss       {rows['Loss/val']:.4e}")
        self._say(f"  * Val Accuracy   {accuracy:.4f}{'*' if best else ''}")
        if TOP in self._val:
            self._say(f"  * Val Acc@5      {100 * self._val[TOP]:.4f}")
        self._curves().scalars(rows, event.epoch - 1)

    def _curves(self) -> Board:
        if self._board is None:
            from taolite.sinks.tensorboard import Board

            self._board = Board(self._root / "tensorboard" / f"{datetime.now():%Y%m%d_%H%M%S}")
        return self._board

    def _say(self, text: str) -> None:
        self._bar.take_down()
        print(text, file=self._stream, flush=True)


def _both(batch: Mapping[str, float], means: Means, name: str, form: str, factor: float = 1) -> str:
    return f"{factor * batch[name]:{form}} ({factor * means[name]:{form}})"
