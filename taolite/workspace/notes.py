"""Notes in the manifest of a run on what was made of its models: `pruned` and `exports`, one entry a file.

A model tells whence it comes to those who have its key. A note tells it to everybody, without a secret: the file as
seen from the run's folder, hashes, and what is known of it. Only files that come from a run are noted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from taolite.errors import PathError, StorageError
from taolite.workspace.manifest import read_manifest, write_manifest

__all__ = ["note_made", "run_of"]

_MOST_STEPS = 100  # of a lineage that are followed
_CONTENT = {"exports": "onnx_sha256", "pruned": "weights_sha256"}


def run_of(model: Path, lineage: Sequence[Mapping[str, Any]] = ()) -> Path | None:
    """The folder of the run that the file `model` is of. lineage: the steps that made it; a pruned model is of the run
    that its `parent_file` leads to. None where there is no such run."""
    steps = list(lineage)[-_MOST_STEPS:]
    while True:
        folder = model.parent.parent if model.parent.name == "weights" else model.parent  # model.epoch-N.tlt
        if _is_run(folder):
            return folder
        parent = steps.pop().get("parent_file") if steps else None
        if not isinstance(parent, str):
            return None
        model = Path(os.path.normpath(model.parent / parent))


def note_made(
    model: Path,
    kind: Literal["exports", "pruned"],
    made: Path,
    facts: Mapping[str, Any],
    *,
    lineage: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Note that the file `made` was made of `model`, with `facts`, a JSON value; nothing where no run is found, or its
    folder cannot be written to. An entry on the same ONNX or weights keeps what it had, any other is replaced."""
    folder = run_of(model, lineage)
    if folder is None:
        return
    with suppress(PathError, StorageError):
        manifest = read_manifest(folder / "manifest.json")
        notes = manifest.get(kind)
        notes = dict(notes) if isinstance(notes, dict) else {}
        file = _seen_from(folder, made)
        there = notes.get(made.name)
        taken = isinstance(there, dict) and there.get("file", file) != file
        name = file if taken else made.name
        before = notes.get(name)
        content = _CONTENT[kind]
        kept = before if isinstance(before, dict) and before.get(content) == facts.get(content) else {}
        notes[name] = {**kept, **facts, "file": file}
        write_manifest(folder / "manifest.json", {**manifest, kind: notes})


def _is_run(folder: Path) -> bool:
    path = folder / "manifest.json"
    if not path.is_file():
        return False
    with suppress(PathError):  # a manifest.json of another program
        return isinstance(read_manifest(path).get("run"), dict)
    return False


def _seen_from(folder: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return file.absolute().as_posix()
