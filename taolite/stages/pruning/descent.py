"""Whence a pruned model comes: what its lineage says of the model before it was pruned, so that this can teach it."""

from __future__ import annotations

import os
from pathlib import Path

from taolite.artifacts.bundle import Bundle, count_parameters, weights_hash
from taolite.artifacts.container import artifact_hash
from taolite.stages.trained import Trained
from taolite.workspace.notes import note_made

__all__ = ["descent", "note_pruned"]


def descent(model: Trained, output: Path) -> dict[str, str]:
    """The hashes of the model's file and of its weights, which stay when it is sealed with another key, and the path of
    its file seen from that of `output`, so that it still leads there when both are moved or mounted elsewhere."""
    return {
        "parent": artifact_hash(model.source),
        "parent_weights": weights_hash(model.bundle.tensors),
        "parent_file": _seen_from(output.parent, model.source),
    }


def note_pruned(model: Trained, output: Path, pruned: Bundle) -> None:
    """Note the pruned model in `output` in the manifest of the run that `model` comes from."""
    facts = {
        "sha256": artifact_hash(output),
        "weights_sha256": weights_hash(pruned.tensors),
        "parent_weights": weights_hash(model.bundle.tensors),
        "parameters": count_parameters(pruned.tensors),
    }
    note_made(model.source, "pruned", output, facts, lineage=model.bundle.lineage)


def _seen_from(folder: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return file.absolute().as_posix()
