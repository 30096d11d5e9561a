"""The list of tasks, one row each. To add a task, add its folder below `tasks/` and its row here."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taolite.errors import UsageError
from taolite.tasks.base import Task, Use

if TYPE_CHECKING:
    from taolite.spec import SpecModel

__all__ = ["TASKS", "TaskRow", "find", "find_spec", "find_use"]


@dataclass(frozen=True)
class TaskRow:
    """One task.

    Attributes:
        name: the task's name in artifacts, in the kinds of specs and in `taolite NAME`.
        tao_names: the task's names in TAO's containers; the first is also a command on the PATH.
        package: the module that holds `use.USE` and `task.TASK`.
        front_door: the module whose `configure` adds TAO's commands of this task to a parser.
        line: the task's line in the help.
        spec: name of the model of its train and evaluate specs, in the module `spec` of its package.
    """

    name: str
    tao_names: tuple[str, ...]
    package: str
    front_door: str
    line: str
    spec: str = ""


TASKS: tuple[TaskRow, ...] = (
    TaskRow(
        "detectnet",
        ("detectnet_v2",),
        "taolite.tasks.detectnet",
        "taolite.cli.tao.detectnet",
        "DetectNet_v2 detectors: dataset_convert, train, evaluate, prune, export, inference",
        "DetectNetSpec",
    ),
    TaskRow(
        "classification",
        ("classification_tf1", "classification"),
        "taolite.tasks.classification",
        "taolite.cli.tao.classification",
        "image classification: train, evaluate, prune, export, inference",
        "ClassificationSpec",
    ),
    TaskRow(
        "ssd",
        ("ssd",),
        "taolite.tasks.ssd",
        "taolite.cli.tao.ssd",
        "SSD detectors: dataset_convert, train, evaluate, prune, export, inference",
        "SsdSpec",
    ),
)


def find(name: str) -> Task:
    """The task called `name`, for training; loads torch. Raises UsageError with the nearest name and all names."""
    task: Task = importlib.import_module(f"{_row(name).package}.task").TASK
    return task


def find_use(name: str) -> Use:
    """The task called `name`, for running a finished model; loads no torch. Raises UsageError as `find` does."""
    use: Use = importlib.import_module(f"{_row(name).package}.use").USE
    return use


def find_spec(name: str) -> type[SpecModel]:
    """The model of the task's train and evaluate specs; loads no torch. Raises UsageError as `find` does."""
    row = _row(name)
    if not row.spec:
        raise UsageError(f"{name!r} has no spec model in the list of tasks")
    model: type[SpecModel] = getattr(importlib.import_module(f"{row.package}.spec"), row.spec)
    return model


def _row(name: str) -> TaskRow:
    rows = {row.name: row for row in TASKS}
    if name in rows:
        return rows[name]
    near = difflib.get_close_matches(name, rows, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise UsageError(f"{name!r} is not a task of this version{meant}; the tasks are {', '.join(rows)}")
