"""Artifacts: files that one stage writes and another reads. Encrypted, without pickle; see docs/FORMAT.md."""

from __future__ import annotations

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
from taolite.artifacts.sniff import Kind, sniff

__all__ = [
    "Bundle",
    "Checkpoint",
    "Etlt",
    "KdfCost",
    "Key",
    "Kind",
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
    "sniff",
    "terminal_prompt",
    "weights_hash",
    "write_bundle",
    "write_checkpoint",
    "write_engine",
    "write_etlt",
    "write_sidecar",
]
