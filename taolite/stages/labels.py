"""labels.json: what is labelled in the splits of a run, so that a report needs no data (`taolite.data.statistics`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite.data.examples import Examples
from taolite.data.statistics import label_statistics
from taolite.files import write_text
from taolite.tasks.registry import find
from taolite.workspace.mounts import Mounts

__all__ = ["labels_of", "labels_of_run", "write_labels"]


def labels_of(splits: Mapping[str, Examples], classes: Sequence[str]) -> dict[str, Any]:
    """The statistics of each split as a JSON object."""
    return {"version": 1, "splits": {name: label_statistics(one, classes) for name, one in splits.items()}}


def write_labels(folder: Path, splits: Mapping[str, Examples], classes: Sequence[str]) -> None:
    """Write labels.json in the folder of a run. Raises StorageError."""
    write_text(folder / "labels.json", json.dumps(labels_of(splits, classes)) + "\n")


def labels_of_run(spec: Path, task: str, classes: Sequence[str]) -> dict[str, Any]:
    """The statistics of a run without labels.json, from the data that its spec names; the folders are those of this
    machine. Raises SpecError, DataError, PathError where they are not here."""
    experiment = find(task).read(spec, resolve=Mounts.load().resolve, classes=classes).model
    return labels_of({"train": experiment.examples("train"), "val": experiment.examples("val")}, classes)
