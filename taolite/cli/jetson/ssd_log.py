"""The lines of pytorch-ssd's train_ssd.py (reference/jetson_workflows.md 4.14), each with the time in front:

    2024-08-09 11:16:58 - Epoch: 0, Step: 10/1252, Avg Loss: 12.3072, Avg Regression Loss 5.4673, Avg Classification Loss: 6.8400

Epochs and steps count from 0. An average is over the images since the last line. train_ssd.py divides the first one
by one batch too few; this log does not. Scalars go to `tensorboard/<date>_<time>` of the run's folder.
"""  # noqa: E501

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from taolite.cli.jetson.classification_log import TAOS, Means
from taolite.cli.progress import Bar
from taolite.cli.words import lines
from taolite.events import BatchDone, BatchDrawn, DataFound, EpochDone, Event, Progress, Saved, Validated
from taolite.scorecard import Metric

if TYPE_CHECKING:
    from taolite.sinks.tensorboard import Board

__all__ = ["SsdLog", "precision_lines"]


def precision_lines(metric: Metric, prefix: str = "", classes: Collection[str] = ()) -> list[str]:
    """Average precisions in eval_ssd.py's words; classes in `classes` that the metric leaves out are n/a."""
    absent = [name for name in classes if name not in metric.per_class]
    rows = [f"    {name}: {value}" for name, value in metric.per_class.items()]
    rows += [f"    {name}: n/a" for name in absent]
    return [
        f"{prefix}Average Precision Per-class:",
        *rows,
        f"{prefix}Mean Average Precision (mAP):  {metric.value}",
    ]


class SsdLog:
    """A listener that prints train_ssd.py's lines; a context manager.

    Args:
        root: the run's folder.
        every: --debug-steps.
        level: --log-level. `debug` lists the pictures of every batch and their boxes; `warning` and above print
            warnings alone.
        clock: returns the time.
    """

    def __init__(
        self,
        root: Path,
        *,
        every: int = 10,
        level: str = "info",
        stream: TextIO | None = None,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._root, self._every = root, every
        self._quiet, self._debugs = level not in ("debug", "info"), level == "debug"
        self._stream, self._clock = stream or sys.stdout, clock
        self._recent, self._epoch, self._val = Means(), Means(), Means()
        self._board: Board | None = None
        self._bar = Bar()
        self.epochs = 0  # epochs finished in this process
        self._begun = False
        self._network: Sequence[str] = ()

    def __enter__(self) -> SsdLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.take_down()
        if self._board is not None:
            self._board.close()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            if not self._quiet:
                self._bar.show(event)
        elif isinstance(event, BatchDrawn):
            if self._debugs:
                self._lists(event)
        elif isinstance(event, BatchDone):
            if event.epoch is None:
                self._validates(event)
            else:
                self._trains(event, event.epoch - 1)
        elif isinstance(event, EpochDone):
            self.epochs += 1
            self.say(f"Epoch: {event.epoch - 1}, {_costs(self._epoch, 'Training ')}")
            self._scalars(self._epoch, "train", event.epoch - 1)
        elif isinstance(event, Validated):
            self._validated(event, event.epoch - 1)
        elif isinstance(event, Saved):
            self.say(f"Saved {'best ' if event.which == 'best' else ''}model {event.path}")
        elif isinstance(event, DataFound):
            self.say(f"Train dataset size: {event.training}")
            self.say(f"Validation dataset size: {event.validation}")
            for text in self._network:
                self.say(text)
        elif not isinstance(event, TAOS):
            for line in lines(event):
                self.say(f"warning: {line.text}" if line.warns else line.text, warns=line.warns)

    def expect(self, network: Sequence[str]) -> None:
        """Keep the lines `network`, on the network and its training settings, to print after those on the data."""
        self._network = network

    def say(self, text: str, *, warns: bool = False) -> None:
        """Print one line of the log."""
        if warns or not self._quiet:
            self._bar.take_down()
            print(f"{self._clock():%Y-%m-%d %H:%M:%S} - {text}", file=self._stream, flush=True)

    def _lists(self, event: BatchDrawn) -> None:
        for name, truth in event.pictures:
            boxes = [[round(float(side), 1) for side in box] for box in truth.boxes_n4]
            self.say(f"image_id={Path(name).stem} boxes={boxes} labels={(truth.classes_n + 1).tolist()}")

    def _trains(self, event: BatchDone, epoch: int) -> None:
        index = event.number - 1
        if not self._begun:
            self.say(f"Stored labels into file {self._root / 'labels.txt'}.")
            self.say(f"Start training from epoch {epoch}.")
            self._begun = True
        if index == 0:
            self._recent, self._epoch = Means(), Means()
        self._recent.add(event.values, event.images)
        self._epoch.add(event.values, event.images)
        if index and index % self._every == 0:
            self.say(f"Epoch: {epoch}, Step: {index}/{event.count}, {_costs(self._recent, 'Avg ')}")
            self._recent = Means()

    def _validates(self, event: BatchDone) -> None:
        if event.number == 1:
            self._val = Means()
        self._val.add(event.values, event.images)

    def _validated(self, event: Validated, epoch: int) -> None:
        self.say(f"Epoch: {epoch}, {_costs(self._val, 'Validation ')}")
        for line in precision_lines(event.metric, f"Epoch: {epoch}, "):
            self.say(line)
        self._scalars(self._val, "val", epoch)
        scores = {f"Class Average Precision/{name}": value for name, value in event.metric.per_class.items()}
        self._curves().scalars({"Mean Average Precision/val": event.metric.value, **scores}, epoch)

    def _scalars(self, means: Means, split: str, epoch: int) -> None:
        rows = {"Loss": "loss", "Regression Loss": "regression", "Classification Loss": "classification"}
        self._curves().scalars({f"{title}/{split}": means[name] for title, name in rows.items()}, epoch)

    def _curves(self) -> Board:
        if self._board is None:
            from taolite.sinks.tensorboard import Board

            self._board = Board(self._root / "tensorboard" / f"{self._clock():%Y%m%d_%H%M%S}")
        return self._board


def _costs(means: Means, word: str) -> str:
    """The costs on one line. As in train_ssd.py the middle label has no colon; log readers rely on it."""
    return (
        f"{word}Loss: {means['loss']:.4f}, {word}Regression Loss {means['regression']:.4f}, "
        f"{word}Classification Loss: {means['classification']:.4f}"
    )
