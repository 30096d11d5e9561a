"""A training in the test's own process, in float32, listened to, and stopped in the step that a test chooses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taolite.stages.train import TrainOptions, TrainReport, train

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.events import BatchDone, Event, Notice, Progress, silent
from taolite.tasks import base
from taolite.tasks.base import Task

KEY = Key("tlt_encode")


@dataclass
class Heard:
    """What a training says: its notices, and the cost of each step."""

    notices: list[str] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def run(
    task: str | Task,
    spec: Path,
    results: Path,
    *,
    name: str = "m",
    stop_at: int | None = None,
    workers: int = 1,
    heard: Heard | None = None,
    hear: Callable[[Event], None] = silent,
    **options: Any,
) -> TrainReport:
    """Train.

    Args:
        task: a task, or the name of one.
        spec: the spec file.
        results: the run folder.
        name: of the model.
        stop_at: a Ctrl-C comes in the step after this one, counted from 1 in this call.
        heard: takes down what is said.
        hear: is given every event.
        options: further fields of TrainOptions.
    """
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        hear(event)
        if isinstance(event, Notice) and heard is not None:
            heard.notices.append(event.text)
        if isinstance(event, BatchDone) and event.epoch is not None and heard is not None:
            heard.costs.append(event.values["loss"])
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    made = base.find(task) if isinstance(task, str) else task
    settings = TrainOptions(precision="fp32", workers=workers, **options)
    return train(made, spec, results, name=name, key=KEY, resolve=Path, options=settings, listener=listen)


def hash_of(report: TrainReport) -> str:
    """Of the final weights: equal where every bit is."""
    return weights_hash(read_bundle(report.weights, key=KEY).tensors)
