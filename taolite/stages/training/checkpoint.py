"""Checkpoints of a run: written whole or not at all, the last few kept, the newest readable one taken up again.

Which one is newer is in their names, the step; clocks and file dates have no say.
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
from taolite.stages.training.loop import Trainer

__all__ = ["State", "newest", "place", "save"]

_PATTERN = "step-*.ckpt"


@dataclass(frozen=True)
class State:
    """What a checkpoint holds: a trainer's tensors and state, and the run's metrics so far, a row an epoch."""

    tensors: Mapping[str, torch.Tensor]
    trainer: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]


def place(folder: Path, trainer: Trainer) -> Path:
    """Where the checkpoint of the trainer's state belongs."""
    return folder / f"step-{trainer.step:09d}.ckpt"


def save(path: Path, trainer: Trainer, *, metrics: Sequence[Mapping[str, Any]], key: Key, kept: int) -> None:
    """Write the trainer's state; older checkpoints beyond the last `kept` go once it is safely on the disk.

    Raises StorageError, and the checkpoints that are there stay.
    """
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in trainer.tensors().items()}
    write_checkpoint(path, tensors, {"trainer": trainer.state(), "metrics": list(metrics)}, key=key)
    for old in _checkpoints(path.parent)[:-kept]:
        old.unlink()


def newest(folder: Path, *, key: Key, listener: Listener) -> tuple[Path, State] | None:
    """The newest checkpoint that is whole; None where there is none.

    A truncated or damaged one is reported, put aside as `NAME.damaged`, and the one before it used. Raises
    WrongKeyError for another key.
    """
    for path in reversed(_checkpoints(folder)):
        try:
            found = read_checkpoint(path, key=key)
        except (DamagedError, TruncatedError) as error:
            listener(CheckpointDamaged(str(error)))
            with suppress(OSError):  # a folder that cannot be written to is told of when the next one is saved
                path.replace(path.with_name(f"{path.name}.damaged"))
            continue
        tensors = {name: torch.from_numpy(value) for name, value in found.tensors.items()}
        return path, State(tensors, found.state["trainer"], found.state["metrics"])
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(_PATTERN)) if folder.is_dir() else []
