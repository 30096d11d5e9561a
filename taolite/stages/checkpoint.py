"""Checkpoints of a run: written whole or not at all, the last few kept, the newest readable one taken up again."""

from __future__ import annotations

from pathlib import Path

import torch

from taolite.artifacts.bundle import read_checkpoint, write_checkpoint
from taolite.artifacts.keys import Key
from taolite.errors import DamagedError, TruncatedError
from taolite.events import Listener, Notice
from taolite.stages.loop import Trainer

__all__ = ["restore_latest", "save"]

_KEPT = 2
_PATTERN = "step-*.ckpt"


def save(folder: Path, trainer: Trainer, *, key: Key) -> Path:
    """Write the trainer's state; older checkpoints beyond the last two go once it is safely on the disk."""
    path = folder / f"step-{trainer.step:09d}.ckpt"
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in trainer.tensors().items()}
    write_checkpoint(path, tensors, trainer.state(), key=key)
    for old in _checkpoints(folder)[:-_KEPT]:
        old.unlink()
    return path


def restore_latest(folder: Path, trainer: Trainer, *, key: Key, listener: Listener) -> Path | None:
    """Take up the newest checkpoint that is whole; None where there is none.

    A truncated or damaged one is reported and the one before it used. Raises WrongKeyError for another key.
    """
    for path in reversed(_checkpoints(folder)):
        try:
            checkpoint = read_checkpoint(path, key=key)
        except (DamagedError, TruncatedError) as error:
            listener(Notice(f"{error}; going on from the checkpoint before it", "warning"))
            continue
        trainer.restore({name: torch.from_numpy(value) for name, value in checkpoint.tensors.items()}, checkpoint.state)
        return path
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(_PATTERN)) if folder.is_dir() else []
