"""Checkpoints of a run: written whole or not at all; the newest N are kept; a run resumes from the newest readable one.

The step in its name says which checkpoint is newer; clocks and file dates do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taolite.artifacts.bundle import read_checkpoint, write_checkpoint
from taolite.artifacts.keys import Key
from taolite.errors import DamagedError, TruncatedError
from taolite.events import CheckpointDamaged, Listener
from taolite.files import remove
from taolite.stages.training.loop import Trainer

__all__ = ["State", "keep_newest", "newest", "place", "save"]

_PATTERN = "step-*.ckpt"


@dataclass(frozen=True)
class State:
    """What a checkpoint holds: a trainer's tensors and state, and the run's metrics so far, one row for each epoch."""

    tensors: Mapping[str, torch.Tensor]
    trainer: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]


def place(folder: Path, trainer: Trainer) -> Path:
    """The path of the checkpoint of the trainer's state."""
    return folder / f"step-{trainer.step:09d}.ckpt"


def save(path: Path, trainer: Trainer, *, metrics: Sequence[Mapping[str, Any]], key: Key, kept: int) -> None:
    """Write the trainer's state. Once it is on the disk, all but the newest `kept` checkpoints are deleted.

    Raises StorageError; then the existing checkpoints stay.
    """
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in trainer.tensors().items()}
    write_checkpoint(path, tensors, {"trainer": trainer.state(), "metrics": list(metrics)}, key=key)
    keep_newest(path.parent, kept)


def keep_newest(folder: Path, kept: int) -> None:
    """Delete all checkpoints but the newest `kept`: a process may have been killed after it saved one more."""
    for old in _checkpoints(folder)[:-kept]:
        remove(old)


def newest(folder: Path, *, key: Key, listener: Listener) -> tuple[Path, State] | None:
    """The newest checkpoint that is whole; None where there is none.

    A truncated or damaged one is reported and renamed to `NAME.damaged`, and the one before it is used. Raises
    WrongKeyError for another key.
    """
    for path in reversed(_checkpoints(folder)):
        try:
            found = read_checkpoint(path, key=key)
        except (DamagedError, TruncatedError) as error:
            listener(CheckpointDamaged(str(error)))
            with suppress(OSError):  # a read-only folder is reported when the next checkpoint is saved
                path.replace(path.with_name(f"{path.name}.damaged"))
            continue
        tensors = {name: torch.from_numpy(value) for name, value in found.tensors.items()}
        return path, State(tensors, found.state["trainer"], found.state["metrics"])
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(_PATTERN)) if folder.is_dir() else []
