"""Workspace: where container paths are on this machine (mounts), and the files of a run's folder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taolite.workspace.manifest import content_hash, hardware, versions, write_manifest
    from taolite.workspace.mounts import Mount, Mounts
    from taolite.workspace.run import RunFolder, RunIdentity
    from taolite.workspace.status import MetricsFile, StatusFile

__all__ = [
    "MetricsFile",
    "Mount",
    "Mounts",
    "RunFolder",
    "RunIdentity",
    "StatusFile",
    "content_hash",
    "hardware",
    "versions",
    "write_manifest",
]

_MODULES = {
    "manifest": ("content_hash", "hardware", "versions", "write_manifest"),
    "mounts": ("Mount", "Mounts"),
    "run": ("RunFolder", "RunIdentity"),
    "status": ("MetricsFile", "StatusFile"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, loaded now (PEP 562): a command that needs one module loads no other."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value
