"""Workspace: where things are on this machine (mounts), and what a run leaves in its folder."""

from __future__ import annotations

from taolite.workspace.mounts import Mount, Mounts

__all__ = ["Mount", "Mounts"]
