"""Make key files: a random key, or the pair of keys that signs models. A file that is there is never replaced."""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Callable
from pathlib import Path

from taolite.errors import UsageError
from taolite.files import open_atomic, storage_error, write_text

__all__ = ["new_key", "new_signer"]

_LETTERS = string.ascii_letters + string.digits  # no word of the shell, and no flag of any tool, begins or ends the key
_LENGTH = 43  # 62 ** 43 > 2 ** 256


def new_key(path: Path) -> None:
    """Write a random key of 256 bits to `path`, on one line, for this user alone (mode 600).

    Raises UsageError if there is such a file; StorageError, PathError if it cannot be written.
    """
    _write_private(path, lambda: "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)).encode() + b"\n")


def new_signer(path: Path) -> Path:
    """Write a new Ed25519 private key to `path` (PEM, PKCS #8, mode 600) and its public key to `path`.pub.

    Returns the path of the public key. Raises as `new_key`.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from taolite.artifacts.signing import signer_of

    private, public = Ed25519PrivateKey.generate(), path.with_name(path.name + ".pub")
    if public.exists():
        raise _exists(public)
    _write_private(path, lambda: private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_text(public, f"{signer_of(private)}\n")
    return public


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path}: this file exists, and a key that is replaced cannot be had back; choose another name")


def _write_private(path: Path, content: Callable[[], bytes]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # the name is ours from now on
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        with open_atomic(path) as stream:
            if os.name == "posix":
                os.fchmod(stream.fileno(), 0o600)  # before the key is in it
            stream.write(content())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
