"""Workspace: where container paths are on this machine (mounts), and the files of a run's folder."""

from __future__ import annotations

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
