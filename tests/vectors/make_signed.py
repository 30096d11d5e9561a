"""How the files in signed/ were made, once: `python tests/vectors/make_signed.py DIR` writes them anew into DIR."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from taolite.artifacts.signing import sign, signer_of

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


def make(folder: Path) -> None:
    """Write a model, an engine with its sidecar, their signatures, and the signer's public key into `folder`."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = folder / "signer.key"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    (folder / "signer.pub").write_text(f"{signer_of(private)}\n")
    shutil.copy(Path(__file__).with_name("v1.tlt"), folder / "model.tlt")
    (folder / "model.engine").write_bytes(b"ftrt" + bytes(60))
    (folder / "model.engine.json").write_text("{}\n")
    with patch("taolite.artifacts.signing.datetime") as clock:
        clock.now.return_value = NOON
        for name in ("model.tlt", "model.engine"):
            sign(folder / name, key)
    key.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
