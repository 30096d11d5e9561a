"""Signatures: who made a file, and that nothing in it was changed since. docs/FORMAT.md 8.

The signature of `model.tlt` is the file `model.tlt.sig` beside it. It signs the SHA-256 of the whole file, and so what
is in it: weights, settings, and the lineage that tells from which models it was made. An engine has these in its
sidecar, whose SHA-256 is signed too. A sealed file can be checked without its key. Ed25519, from `cryptography`.

A signer is known by a public key, written `ed25519:` and 44 characters of base64.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.artifacts.container import artifact_hash, read_file
from taolite.artifacts.keys import check_mode
from taolite.artifacts.sidecar import sidecar_path
from taolite.errors import PathError, SignatureError, UsageError, reading
from taolite.events import Listener, silent
from taolite.files import open_file, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "SIGNERS_VARIABLE",
    "Signature",
    "check_signed",
    "read_signature",
    "read_signers",
    "sign",
    "signature_path",
    "signer_of",
    "verify",
]

SIGNERS_VARIABLE = "TAOLITE_REQUIRE_SIGNER"
"""Environment variable: the signers of whom a model has to be before it is used, with commas between them."""

_PREFIX = "ed25519:"
_CONTEXT = b"taolite signature 1\n"  # what is signed begins so: a signature of anything else is none of a model
_VERSION = 1
_LARGEST = 1 << 16  # bytes that are read of a signature or of a key


@dataclass(frozen=True)
class Signature:
    """A signature that its signer made of these files, and no other.

    signer: public key, `ed25519:...`. signed_at: time in UTC, as the signer says. files: SHA-256 (64 hex digits) by
    the name that each file had.
    """

    signer: str
    signed_at: str
    files: dict[str, str]


def signature_path(path: Path) -> Path:
    """`model.tlt` -> `model.tlt.sig`."""
    return path.with_name(path.name + ".sig")


def signer_of(private: Ed25519PrivateKey) -> str:
    """The public key that belongs to `private`."""
    return _PREFIX + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def sign(path: Path, key_file: Path, *, listener: Listener = silent) -> Path:
    """Sign `path`, and the sidecar beside it if it is an engine's; an older signature is replaced.

    Args:
        key_file: private key, as `taolite key new --signing` and `openssl genpkey -algorithm ed25519` write it.
        listener: is told if other users can read it.

    Returns the path of the signature. Raises PathError, UsageError (no such key), StorageError.
    """
    private = _read_private(key_file, listener)
    statement = {"files": _hashes(path), "signed_at": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"}
    text = json.dumps(statement, ensure_ascii=False, sort_keys=True)
    record = {
        "version": _VERSION,
        "signer": signer_of(private),
        "statement": text,
        "signature": base64.b64encode(private.sign(_CONTEXT + text.encode())).decode(),
    }
    target = signature_path(path)
    write_text(target, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    return target


def read_signature(path: Path) -> Signature | None:
    """The signature beside `path`, if its signer made it; whether it fits `path` is not checked. None if there is none.

    Raises SignatureError for a signature file that is damaged, or that its signer did not make.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    file = signature_path(path)
    if not file.exists():
        return None
    with reading(file, SignatureError, found="not a signature of taolite", way_out="sign the model again"):
        record = json.loads(read_file(file, most=_LARGEST))
        if record["version"] != _VERSION:
            raise ValueError(f"version {record['version']}; this taolite reads {_VERSION}")
        signer, text = _parsed(record["signer"]), record["statement"]
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.removeprefix(_PREFIX)))
        try:
            public.verify(base64.b64decode(record["signature"], validate=True), _CONTEXT + text.encode())
        except InvalidSignature as error:
            raise SignatureError(
                f"{file}: this signature was changed, or {signer} did not make it; sign the model again"
            ) from error
        statement = json.loads(text)
        files = {str(name): str(digest) for name, digest in statement["files"].items()}
        return Signature(signer, str(statement["signed_at"]), files)


def verify(path: Path, signers: Sequence[str]) -> Signature:
    """Check that one of `signers` signed `path`, and that it and an engine's sidecar are unchanged.

    Raises SignatureError; PathError if `path` cannot be read.
    """
    hashes = _hashes(path)
    found = read_signature(path)
    if found is None:
        raise SignatureError(
            f"{path}: not signed ({signature_path(path).name} is missing), and a signature is required; get the model "
            "with its .sig, or sign it: taolite sign"
        )
    if found.signer not in signers:
        raise SignatureError(f"{path}: signed by {found.signer}, and not by {' or '.join(signers)}")
    check_signed(path, found, hashes)
    return found


def check_signed(path: Path, found: Signature, hashes: dict[str, str] | None = None) -> None:
    """Check that `path` (and an engine's sidecar) is what was signed, whatever its name. Raises SignatureError."""
    if sorted(found.files.values()) != sorted((hashes or _hashes(path)).values()):
        sidecar = " or its sidecar" if len(found.files) > 1 else ""
        raise SignatureError(
            f"{path}: this file{sidecar} was changed after {found.signer} signed it; restore it, or sign it again"
        )


def read_signers(text: str) -> list[str]:
    """The public keys in `text`: `ed25519:...`, or the path of a file that holds one (also as PEM); commas between.

    Raises PathError, UsageError.
    """
    return [_signer(word.strip()) for word in text.split(",")]


def _signer(word: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if word.startswith(_PREFIX):
        where, data = word, word.encode()
    else:
        where, data = word, read_file(Path(word).expanduser(), most=_LARGEST)
    wrong = f"{where}: not a signer's public key; it is `{_PREFIX}...`, or the file NAME.pub with this text"
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{where}: this is a private key, which only signs; give the public key, NAME.pub")
    try:
        if not data.startswith(b"-----BEGIN"):
            return _parsed(data.decode().strip())
        public = load_pem_public_key(data)
    except ValueError as error:
        raise UsageError(wrong) from error
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(wrong)
    return _PREFIX + base64.b64encode(public.public_bytes_raw()).decode()


def _parsed(text: str) -> str:
    """`text`, if it is a public key as we write it. Raises ValueError."""
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the signer is {text!r}") from error
    if not text.startswith(_PREFIX) or len(raw) != 32:
        raise ValueError(f"the signer is {text!r}")
    return _PREFIX + base64.b64encode(raw).decode()


def _read_private(file: Path, listener: Listener) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with open_file(file) as stream:
        check_mode(file, stream, listener)
        data = stream.read(_LARGEST)
    try:
        private = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise UsageError(
            f"{file}: not a private key that signs (PEM, Ed25519, without a password); make one: "
            "taolite key new FILE --signing"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{file}: this private key is not of Ed25519; make one: taolite key new FILE --signing")
    return private


def _hashes(path: Path) -> dict[str, str]:
    """SHA-256 of the file and of a sidecar beside it, by their names."""
    if path.is_dir():
        raise PathError(f"{path}: this is a folder; a file is signed")
    beside = sidecar_path(path)
    return {one.name: artifact_hash(one) for one in (path, beside) if one == path or one.is_file()}
