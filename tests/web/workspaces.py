"""Run folders as a training leaves them, in a moment, for the pages that show them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from taolite.workspace import RunFolder, RunIdentity
from taolite.workspace.finds import Finds, write_finds
from taolite.workspace.status import StatusFile

__all__ = ["SPEC", "make_run"]

SPEC = "random_seed: 42\ntraining_config {{\n  num_epochs: {epochs}\n  batch_size_per_gpu: {batch}\n}}\n"
BEGAN = datetime(2026, 12, 1, 9, 30)


def make_run(
    root: Path,
    *,
    scores: tuple[float, ...] = (0.25, 0.75),
    epochs: int | None = None,
    end: str = "SUCCESS",
    message: str = "",
    task: str = "detectnet",
    classes: tuple[str, ...] = ("cat", "dog"),
    parent: str = "",
    data: str = "d" * 64,
    teacher: str = "",
    batch: int = 4,
    finds: Finds | None = None,
    **facts: Any,
) -> Path:
    """A run with an epoch of one minute and a validation for each of `scores`; end: "" for one that was killed."""
    epochs = len(scores) if epochs is None else epochs
    spec = SPEC.format(epochs=epochs, batch=batch)
    moment = BEGAN

    def clock() -> datetime:
        return moment

    with RunFolder.open(root, RunIdentity(task, spec, classes, data, parent, teacher)) as folder:
        folder.record(name="m", metric="mAP", parameters=1000, **facts)
        status = StatusFile(root / "status.json", clock=clock)
        status.write("Starting training", status="STARTED")
        for epoch, score in enumerate(scores, start=1):
            moment += timedelta(minutes=1)
            folder.metrics.write(epoch, {"loss": 1 / epoch, "learning_rate": 0.001 / epoch, "train_cov": 0.5 / epoch})
            left = str(timedelta(minutes=epochs - epoch))
            status.write("in progress", epoch=epoch, max_epoch=epochs, time_per_epoch="0:01:00.5", eta=left)
            per_class = dict.fromkeys(classes, score)
            folder.metrics.write(epoch, {"validation_cost": 2 / epoch, "mAP": score, "AP": per_class})
        if end == "SUCCESS":
            per_class = dict.fromkeys(classes, scores[-1])
            folder.record(metrics={"mAP": scores[-1], "AP": per_class})
            (root / "scores.json").write_text(json.dumps(scorecard(scores[-1], classes)))
        if end:
            status.write(message or "training job complete.", status=end)  # type: ignore[arg-type]
    if finds is not None:
        write_finds(root / "finds.json", finds)
    return root


def scorecard(score: float, classes: tuple[str, ...]) -> dict[str, Any]:
    words = {"short": "mAP", "of_class": "AP"}
    size = len(classes) + 1
    return {
        "card": {
            "main": {"words": words, "value": score, "per_class": dict.fromkeys(classes, score)},
            "beside": {},
            "objects": dict.fromkeys(classes, 3),
            "images": 2,
            "confusion": [[3 if row == column else 0 for column in range(size)] for row in range(size)],
            "best": {name: {"threshold": 0.5, "precision": 0.8, "recall": 0.6, "f1": 0.7} for name in classes},
            "by_size": {},
        },
        "cost": 0.25,
        "seconds_per_image": 0.02,
        "worst": [],
    }
