"""The engines below a folder, as the JSON files beside them tell: what each was built from, and for which runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["EngineFile", "EngineFiles"]

_LARGEST = 1 << 20  # bytes of a sidecar
_NEEDED = ("onnx_sha256", "engine_sha256", "backend")
_OF_A_RUN = {f"{name}.json" for name in ("manifest", "status", "scores", "finds", "labels", "curves", "pictures")}
_SHOWN = ("backend", "backend_version", "precision", "onnx_sha256")


@dataclass(frozen=True)
class EngineFile:
    """An engine, which may be gone. sha256: of its file. facts: backend, its version, precision, hash of the ONNX."""

    path: Path
    sha256: str
    facts: Mapping[str, Any]


class EngineFiles:
    """The engines below `root`. A JSON file is read again where its time or size has changed."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100  (links stay as the user wrote them)
        self._known: dict[Path, tuple[object, EngineFile | None]] = {}

    def found(self) -> list[EngineFile]:
        """The engines as their files are now, by path. Files and folders with a dot, and links, are left out; so are
        files that are no sidecar, or cannot be read."""
        known = {}
        for path, stamp in _json_files(self._root):
            before = self._known.get(path)
            known[path] = before if before and before[0] == stamp else (stamp, _read(path))
        self._known = known
        return [engine for _, (_, engine) in sorted(known.items()) if engine]


def _json_files(root: Path) -> Iterator[tuple[Path, object]]:
    """Each JSON file that is not too large for a sidecar, with its time and size."""
    left = [str(root)]
    while left:
        folder = left.pop()
        with suppress(OSError), os.scandir(folder) as entries:  # not ours to read, or gone in the meantime
            inner = [entry for entry in entries if not entry.name.startswith(".")]
            is_run = any(entry.name == "manifest.json" for entry in inner)
            for entry in inner:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif is_run and entry.name in _OF_A_RUN:
                    continue
                elif entry.name.endswith(".json") and entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_size <= _LARGEST:
                        yield Path(entry.path), (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> EngineFile | None:
    with suppress(OSError, ValueError, RecursionError):  # some other JSON file
        data = path.read_bytes()
        if not all(f'"{name}"'.encode() in data for name in _NEEDED):  # far faster than to parse it
            return None
        found = json.loads(data)
        if isinstance(found, dict) and found.keys() >= set(_NEEDED):
            facts = {name: found.get(name) for name in _SHOWN}
            return EngineFile(path.with_suffix(""), str(found["engine_sha256"]), facts)
    return None
