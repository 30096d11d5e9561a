"""Describe the folder of a run as one JSON object: what was trained, how it ended, and the files it left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taolite.artifacts.describe import describe
from taolite.artifacts.keys import Key
from taolite.errors import PathError
from taolite.workspace.manifest import read_manifest
from taolite.workspace.status import last_status

__all__ = ["describe_run"]

_FACTS = ("name", "seed", "batch_size", "parameters", "metrics", "versions", "exports")  # of manifest.json
_RUN = ("task", "classes", "spec_hash", "data_hash", "parent", "teacher")  # of its entry `run`


def describe_run(root: Path, *, key: Key | None) -> dict[str, Any]:
    """Describe the run in the folder `root`.

    Args:
        key: of its models; None: only what can be read without one.

    Returns:
        A JSON object. `models`: the files in weights/, each as `taolite.artifacts.describe.describe` has it.
        `checkpoints`: names of the files in checkpoints/, oldest first. `status`: the last line of status.json, None if
        there is none.

    Raises:
        PathError: the folder holds no run. What `describe` raises of a model.
    """
    path = root / "manifest.json"
    if not path.is_file():
        raise PathError(f"{root}: this folder holds no run (it has no manifest.json); give a file, or a run's folder")
    manifest = read_manifest(path)
    run = manifest.get("run")
    named = run if isinstance(run, dict) else {}
    return {
        "path": str(root),
        "kind": "run",
        "what": "the folder of a run",
        **{name: named[name] for name in _RUN if named.get(name)},
        **{name: manifest[name] for name in _FACTS if name in manifest},
        "status": last_status(root / "status.json"),
        "models": [describe(file, key=key) for file in sorted((root / "weights").glob("*.tlt"))],
        "checkpoints": sorted(file.name for file in (root / "checkpoints").glob("*.ckpt")),
    }
