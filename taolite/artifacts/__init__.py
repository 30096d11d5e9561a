"""Artifacts: files that one stage writes and another reads. Encrypted, without pickle; see docs/FORMAT.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taolite.artifacts.bundle import (
        Bundle,
        Checkpoint,
        Tensors,
        read_bundle,
        read_checkpoint,
        weights_hash,
        write_bundle,
        write_checkpoint,
    )
    from taolite.artifacts.container import KdfCost, artifact_hash
    from taolite.artifacts.etlt import Etlt, read_etlt, read_model, write_etlt
    from taolite.artifacts.keys import Key, find_key, find_key_if_given, terminal_prompt
    from taolite.artifacts.sidecar import Sidecar, check_engine, read_sidecar, write_engine, write_sidecar

__all__ = [
    "Bundle",
    "Checkpoint",
    "Etlt",
    "KdfCost",
    "Key",
    "Sidecar",
    "Tensors",
    "artifact_hash",
    "check_engine",
    "find_key",
    "find_key_if_given",
    "read_bundle",
    "read_checkpoint",
    "read_etlt",
    "read_model",
    "read_sidecar",
    "terminal_prompt",
    "weights_hash",
    "write_bundle",
    "write_checkpoint",
    "write_engine",
    "write_etlt",
    "write_sidecar",
]

_MODULES = {
    "bundle": (
        "Bundle",
        "Checkpoint",
        "Tensors",
        "read_bundle",
        "read_checkpoint",
        "weights_hash",
        "write_bundle",
        "write_checkpoint",
    ),
    "container": ("KdfCost", "artifact_hash"),
    "etlt": ("Etlt", "read_etlt", "read_model", "write_etlt"),
    "keys": ("Key", "find_key", "find_key_if_given", "terminal_prompt"),
    "sidecar": ("Sidecar", "check_engine", "read_sidecar", "write_engine", "write_sidecar"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, loaded now (PEP 562): a command that needs one module loads no other."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value
