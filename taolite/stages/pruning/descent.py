"""Whence a pruned model comes: what its lineage says of the model before it was pruned, so that this can teach it."""

from __future__ import annotations

import os
from pathlib import Path

from taolite.artifacts.bundle import weights_hash
from taolite.artifacts.container import artifact_hash
from taolite.stages.trained import Trained

__all__ = ["descent"]


def descent(model: Trained, output: Path) -> dict[str, str]:
    """The hashes of the model's file and of its weights, which stay when it is sealed with another key, and the path of
    its file seen from that of `output`, so that it still leads there when both are moved or mounted elsewhere."""
    return {
        "parent": artifact_hash(model.source),
        "parent_weights": weights_hash(model.bundle.tensors),
        "parent_file": _seen_from(output.parent, model.source),
    }


def _seen_from(folder: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return file.absolute().as_posix()
