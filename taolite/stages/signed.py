"""Where a signer is required, a model is checked before it is used.

Required signers are named by the variable TAOLITE_REQUIRE_SIGNER (`--require-signer` sets it), or by a variable of this
name in `Envs` of the workspace's `.tao_mounts.json`. Running a model, scoring it and building an engine of it are uses;
training, pruning and exporting are not.
"""

from __future__ import annotations

import os
from pathlib import Path

from taolite.artifacts.signing import SIGNERS_VARIABLE, read_signers, verify
from taolite.workspace.mounts import Mounts

__all__ = ["require_signed", "required_signers"]


def required_signers() -> list[str]:
    """The public keys of the required signers; empty where none is required.

    Raises PathError, UsageError where they cannot be read: nothing is used then.
    """
    named = os.environ.get(SIGNERS_VARIABLE)
    if named is None:
        named = Mounts.load().variables.get(SIGNERS_VARIABLE)
    return read_signers(named) if named else []


def require_signed(model: Path) -> None:
    """Raises SignatureError where a signer is required and none of those required signed `model` as it is."""
    if signers := required_signers():
        verify(model, signers)
