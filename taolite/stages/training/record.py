"""What a run records: status.json for TAO's readers, metrics.jsonl for ours, curves for the sinks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from taolite.errors import StoppedError, StorageError
from taolite.events import EpochDone, Event, Stepped, Validated
from taolite.files import write_text
from taolite.scorecard import Metric
from taolite.sinks.base import Sink
from taolite.sinks.tensorboard import Board
from taolite.workspace.run import RunFolder
from taolite.workspace.status import StatusFile

__all__ = ["Recorder", "record_scores", "write_results"]


def record_scores(status: StatusFile, metric: Metric, cost: float) -> None:
    """Write TAO's line of an evaluation to status.json: percent, four decimals (reference 2.3)."""
    percent = {name: round(100 * value, 4) for name, value in metric.per_class.items()}
    status.write(
        "Evaluation metrics generated.",
        kpi={"validation cost": cost, metric.words.long: round(100 * metric.value, 4)},
        categorical={metric.words.of_class_long.replace(" ", "_"): percent},
    )


def write_results(path: Path, metric: Metric) -> None:
    """Write TAO Deploy's results.json: the AP of each class, 0..1 (reference/deploy.md 6.1), and their mean."""
    words = metric.words
    values = {f"{words.of_class}_{name}": value for name, value in metric.per_class.items()}
    text = json.dumps(values | {words.short: metric.value}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


class Recorder:
    """A listener that records the events of a run; open while the run is. The run owns the folder; the recorder owns
    the sinks.

    `costs`: also write validation costs to val/events by epoch, as TAO's early stopping does. `log`: a CSV file of the
    run so far. `columns`: its columns, each with the key of metrics.jsonl it shows: AP_cat is cat's in AP.
    """

    def __init__(
        self,
        run: RunFolder,
        sinks: Sequence[Sink],
        *,
        costs: bool = False,
        log: str = "",
        columns: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._run = run
        self._log = run.root / log if log else None
        self._columns = columns
        self._sinks = [Board(run.root / "events"), *sinks]
        self._costs = Board(run.root / "val" / "events") if costs else None

    @property
    def sinks(self) -> Sequence[Sink]:
        """All sinks of the run."""
        return self._sinks

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for sink in [*self._sinks, *([self._costs] if self._costs else [])]:
            sink.close()
        if error is not None:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            with suppress(StorageError):  # a full disk may be the error already being raised
                if isinstance(error, StoppedError):
                    self._run.status.write(first, status="FAILURE", stopped=True)  # for TAO's readers it is a failure
                else:
                    self._run.status.write(first, status="FAILURE")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._scalars(event.values, event.step)
        elif isinstance(event, EpochDone):
            self._epoch(event)
        elif isinstance(event, Validated):
            self._validation(event)

    def started(self, what: str) -> None:
        """Write the first line of status.json."""
        self._run.status.write(f"Starting {what} Training job", status="STARTED")

    def finished(self, what: str, *, model: Path, parameters: int) -> None:
        """Write the last lines: the model's size, and that the run succeeded."""
        kpi = {"size": round(model.stat().st_size / 1e6, 3), "param_count": round(parameters / 1e6, 6)}
        self._run.status.write("Model saved.", kpi=kpi)
        self._run.status.write(f"{what} training job complete.", status="SUCCESS")

    def _epoch(self, event: EpochDone) -> None:
        values: dict[str, float] = {
            "loss": event.loss,
            **({"penalty": event.penalty} if event.penalty else {}),
            "learning_rate": event.learning_rate,
            "images_per_s": event.images_per_s,
            "data_wait": event.data_wait,
            "seconds": event.seconds,
            "step": event.step,
        } | {f"train_{name}": value for name, value in event.parts.items()}
        if event.cost_exponent is not None:
            values |= {"cost_exponent": event.cost_exponent, "overflows": event.overflows}
        self._run.metrics.write(event.epoch, values)
        self._write_log()
        self._run.status.write(
            "Training loop in progress",
            epoch=event.epoch,
            max_epoch=event.epochs,
            time_per_epoch=str(timedelta(seconds=event.seconds)),
            eta=str(timedelta(seconds=event.eta_s)),
            graphical={"loss": event.loss, "learning_rate": event.learning_rate},
        )
        self._scalars({"epoch": event.epoch, "images_per_s": event.images_per_s}, event.step)

    def _validation(self, event: Validated) -> None:
        metric, words = event.metric, event.metric.words
        values = {words.short: metric.value, words.of_class: dict(metric.per_class)}
        self._run.metrics.write(event.epoch, {"validation_cost": event.cost, **values})
        self._write_log()
        record_scores(self._run.status, metric, event.cost)
        per_class = {f"{name}_{words.of_class} (in %)": value for name, value in metric.per_class.items()}
        mean = {f"{words.long} ({words.short}) (in %)": metric.value}  # fractions, as TAO's are
        self._scalars({"validation_cost": event.cost, **mean, **per_class}, event.step)
        if self._costs is not None:
            self._costs.scalars({"validation_cost": event.cost}, event.epoch)

    def _write_log(self) -> None:
        """Write the whole CSV file: a row for each epoch, NaN where an epoch has no such value."""
        if self._log is None:
            return
        epochs: dict[int, dict[str, Any]] = {}
        for row in self._run.metrics.read():
            epochs.setdefault(row["epoch"], {}).update(_flat(row))
        lines = [",".join(str(row.get(key, "nan")) for key in self._columns.values()) for row in epochs.values()]
        write_text(self._log, "\n".join([",".join(self._columns), *lines, ""]))

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        for sink in self._sinks:
            sink.scalars(values, step)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with nested values moved to the top level: {"AP": {"cat": 1}} -> {"AP_cat": 1}."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= {f"{key}_{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat
