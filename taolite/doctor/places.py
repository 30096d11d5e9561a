"""Folders, keys and mounts: whether they are there, can be written to, and are closed to others."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from taolite.artifacts.keys import KEY_VARIABLE, PUBLISHED
from taolite.doctor.finding import Finding
from taolite.errors import TaoliteError
from taolite.workspace.mounts import Mounts

__all__ = ["cache", "disk", "key", "key_file", "mounts", "workspace"]

_LITTLE_MIB = 5 << 10  # a training keeps checkpoints; an engine and its timing files need a GB
_NONE_MIB = 200


def workspace(folder: Path) -> Finding:
    """Whether files can be made in `folder`, and only by those who may."""
    return _folder("workspace", folder)


def cache(environ: Mapping[str, str]) -> Finding:
    """The same of taolite's folder in the user's cache, or of the folder that it will be made in."""
    home = Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = home / "taolite"
    return _folder("cache", next((one for one in (folder, *folder.parents) if one.exists()), folder), named=folder)


def disk(folder: Path) -> Finding:
    """Space on the disk of `folder`, in MiB."""
    try:
        space = shutil.disk_usage(folder)
    except OSError as error:
        return Finding("disk", "broken", "unknown", {"folder": str(folder), "reason": error.strerror})
    free = space.free >> 20
    facts = {"folder": str(folder), "free_mib": free, "total_mib": space.total >> 20, "wanted_mib": _LITTLE_MIB}
    if free < _NONE_MIB:
        return Finding("disk", "broken", "full", facts)
    return Finding("disk", "warning" if free < _LITTLE_MIB else "ok", "little" if free < _LITTLE_MIB else "", facts)


def key(environ: Mapping[str, str]) -> Finding:
    """Whether the environment has a key. The key itself is in no fact."""
    secret = environ.get(KEY_VARIABLE, "")
    if secret in PUBLISHED:
        return Finding("key", "warning", "published", {"variable": KEY_VARIABLE, "set": True})
    return Finding("key", "ok", "", {"variable": KEY_VARIABLE, "set": bool(secret)})


def key_file(path: Path) -> Finding:
    """Whether a key file is there and closed to other users."""
    facts = {"file": str(path)}
    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read(1 << 16).strip()
    except OSError as error:
        return Finding("key file", "broken", "unreadable", {**facts, "reason": error.strerror})
    facts["mode"] = f"{stat.S_IMODE(mode):04o}"
    if not text:
        return Finding("key file", "broken", "empty", facts)
    if text.decode(errors="replace") in PUBLISHED:
        return Finding("key file", "warning", "published", facts)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding("key file", "warning", "open", facts)
    return Finding("key file", "ok", "", facts)


def mounts(flags: Sequence[str], *, start: Path, environ: Mapping[str, str]) -> Finding:
    """The mounts map: entries whose folder is not there are named."""
    try:
        found = Mounts.load(flags, start=start, environ=environ).mounts
    except TaoliteError as error:
        return Finding("mounts", "broken", "unreadable", {"reason": str(error)})
    nowhere = [
        {"source": str(one.source), "destination": str(one.destination), "origin": one.origin}
        for one in found
        if not one.source.exists() and not Path(one.destination).exists()  # in a container the destination is there
    ]
    facts = {"mounts": len(found), "files": sorted({one.origin for one in found}), "nowhere": nowhere}
    return Finding("mounts", "warning" if nowhere else "ok", "nowhere" if nowhere else "", facts)


def _folder(check: str, folder: Path, *, named: Path | None = None) -> Finding:
    """`folder` is tried with a file without a name, which is gone at once; `named` is the one that it stands for."""
    facts = {"folder": str(named or folder), "mode": ""}
    try:
        mode = folder.stat().st_mode
        facts["mode"] = f"{stat.S_IMODE(mode):04o}"
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(check, "broken", "unwritable", {**facts, "reason": error.strerror or type(error).__name__})
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return Finding(check, "warning", "open", facts)
    return Finding(check, "ok", "", facts)
