"""Weights of another tool as a model of ours, so that every stage takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.keys import Key
from taolite.tasks.base import Task

__all__ = ["adopt"]


def adopt(task: Task, spec_path: Path, classes: Sequence[str], output: Path, *, key: Key) -> None:
    """Write the model that training with the spec would start from to `output`, sealed.

    Args:
        spec_path: names the weights; its paths are of this machine.
        classes: what they find, in the order of the outputs.

    Raises what `Task.read_spec` and `Task.start` raise; StorageError.
    """
    spec = task.read_spec(spec_path, classes=classes).model
    start = task.start(spec, resolve=Path, key=key)
    write_bundle(output, task.bundle(start.network, spec=spec, lineage=start.lineage, extra={}), key=key)
