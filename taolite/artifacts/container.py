"""The encrypted container that every artifact uses: authenticated, in chunks, with one error for each kind of fault.

docs/FORMAT.md defines the bytes. In short: a prologue (magic, version, header length, checksum), a JSON header that
is readable without the key, a key check, a checksum of these parts (together: the front), then the payload in
AES-256-GCM chunks. The keys are derived from the passphrase with Argon2id. Each part detects one kind of fault:

- magic            the file is another program's                    ForeignError (or see `sniff`)
- payload length   the end of the file is missing                   TruncatedError, before a key is needed
- checksums        the front was changed (and the key may be right) DamagedError
- key check        the key is wrong (and the chunks may be intact)  WrongKeyError
- chunk tags       a chunk was changed                              DamagedError, before any of it is used

The header sets the cost of Argon2id. The cost is bounded (memory, and memory x passes), so that a hostile file cannot
use all memory or much time. The front is checked first; then the chunks are read one by one.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from taolite.artifacts.keys import Key
from taolite.errors import ArtifactError, DamagedError, ForeignError, PathError, TruncatedError, UsageError, reading
from taolite.errors import WrongKeyError as WrongKey
from taolite.files import open_file

__all__ = [
    "FRONT_SIZE",
    "MAGIC",
    "Header",
    "KdfCost",
    "artifact_hash",
    "check_key",
    "is_ours",
    "read_file",
    "read_header",
    "seal",
    "unknown_kind",
    "unseal",
]

MAGIC = b"\x89TAOLITE"
VERSION = 1
CHUNK_SIZE = 1 << 20

_PROLOGUE = struct.Struct("<8sHHII")  # magic, version, zero, header length, CRC-32 of the 16 bytes before it
_CHECK_SIZE = 32  # HMAC-SHA256
_DIGEST_SIZE = 32  # SHA-256
_TAG_SIZE = 16  # GCM
_PREFIX_SIZE = 7  # of the 12-byte nonce; then 4 bytes of counter, 1 byte of last-chunk flag
_MAX_HEADER = 1 << 16
_CHUNK_RANGE = (1 << 10, 1 << 24)
_MAX_MEMORY_KIB = 1 << 19  # 512 MiB
_MAX_ITERATIONS = 16
_MAX_WORK_KIB = 1 << 20  # memory x passes, 1 GiB: about 1 s, 8 times the default
_MAX_LANES = 16
FRONT_SIZE = _PROLOGUE.size + _MAX_HEADER + _CHECK_SIZE + _DIGEST_SIZE  # bytes; no front is longer


@dataclass(frozen=True)
class KdfCost:
    """Cost of deriving the keys from a passphrase with Argon2id: memory in KiB, passes over the memory, lanes.

    The default, 64 MiB and 2 passes, takes about 0.1 s on one core (reference/dependencies.md 10).
    """

    memory_kib: int = 1 << 16
    iterations: int = 2
    lanes: int = 1


DEFAULT_COST = KdfCost()


@dataclass(frozen=True)
class Header:
    """The header of a sealed file, readable without the key.

    kind: "bundle", "checkpoint" or "etlt". public: a JSON object, defined by the writer of that kind. payload_length:
    size of the decrypted payload in bytes. The header is not authenticated until `unseal` has accepted a key.
    """

    kind: str
    payload_length: int
    chunk_size: int
    cost: KdfCost
    salt: bytes = field(repr=False)
    nonce_prefix: bytes = field(repr=False)
    public: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunk_count(self) -> int:
        """Number of chunks. An empty payload has one empty chunk."""
        return max(1, -(-self.payload_length // self.chunk_size))

    @property
    def body_length(self) -> int:
        """Size of all chunks with their tags, in bytes."""
        return self.payload_length + self.chunk_count * _TAG_SIZE


def is_ours(data: bytes) -> bool:
    """True if `data` starts with the magic of a container, of which at most two bytes are damaged."""
    return len(data) >= len(MAGIC) and sum(a == b for a, b in zip(data, MAGIC, strict=False)) >= len(MAGIC) - 2


def seal(
    stream: IO[bytes],
    payload: bytes | bytearray | memoryview,
    *,
    kind: str,
    key: Key,
    public: Mapping[str, Any] | None = None,
    cost: KdfCost | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Write `payload`, encrypted with `key`, to `stream`.

    Args:
        stream: open for writing; the container starts at its position.
        payload: the bytes to encrypt.
        kind: what the payload is; readable without the key.
        key: the passphrase. Each file has a random salt, and so its own cipher key.
        public: a small JSON object, readable without the key, authenticated with it.
        cost: cost of the key derivation (default: `DEFAULT_COST`). Tests use a small one.
        chunk_size: bytes of payload in a chunk, 1 KiB to 16 MiB (default: 1 MiB).
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = Header(
        kind=kind,
        payload_length=len(payload),
        chunk_size=chunk_size,
        cost=cost or DEFAULT_COST,
        salt=os.urandom(16),
        nonce_prefix=os.urandom(_PREFIX_SIZE),
        public=dict(public or {}),
    )
    front = _pack_front(header)
    cipher_key, check_key = _derive(key.reveal(), header.salt, header.cost)
    front += hmac.digest(check_key, front, "sha256")
    stream.write(front)
    digest = hashlib.sha256(front).digest()
    stream.write(digest)
    cipher = AESGCM(cipher_key)
    view = memoryview(payload)
    in_place = hasattr(cipher, "encrypt_into")  # of cryptography 47
    sealed = memoryview(bytearray(min(chunk_size, len(view)) + _TAG_SIZE if in_place else 0))
    for index, nonce in enumerate(_nonces(header)):
        chunk = view[index * chunk_size : (index + 1) * chunk_size]
        if in_place:
            stream.write(sealed[: cipher.encrypt_into(nonce, chunk, digest, sealed[: len(chunk) + _TAG_SIZE])])
        else:
            stream.write(cipher.encrypt(nonce, chunk, digest))


def read_header(data: bytes, *, where: str, size: int | None = None) -> Header:
    """Read the header of a container; no key is needed.

    Args:
        data: the first bytes of the container; the first `FRONT_SIZE` bytes are enough.
        where: the name of the file in messages.
        size: size of the whole container in bytes, to detect a missing end (default: `len(data)`).

    Raises:
        ForeignError, TruncatedError, DamagedError, ArtifactError (a newer version).
    """
    return _parse_front(data, where, len(data) if size is None else size)[0]


def unseal(
    source: bytes | IO[bytes], *, key: Key | None, where: str, kind: str | None = None
) -> tuple[Header, memoryview]:
    """Check and decrypt a container.

    Args:
        source: the container's bytes, or a file at the container's first byte; a file is read chunk by chunk.
        key: the passphrase it was sealed with; None raises the UsageError that says how to give one.
        where: the name of the file in messages.
        kind: that it has to be of; None accepts any.

    Returns:
        The header, now authenticated, and the payload.

    Raises:
        UsageError (no key), WrongKeyError, TruncatedError, DamagedError, ForeignError, ArtifactError (a newer version,
        or another kind).
    """
    import numpy as np
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    header, cipher_key, digest = _checked_front(stream, key, where, kind)
    cipher = AESGCM(cipher_key)
    in_place = hasattr(cipher, "decrypt_into")  # of cryptography 47
    # The chunks are there, so a claimed length is the file's. Large arrays of NumPy lie in large pages: a third of the
    # time of a bytearray.
    payload = np.empty(header.payload_length, np.uint8).data
    for index, nonce in enumerate(_nonces(header)):
        chunk = payload[index * header.chunk_size : (index + 1) * header.chunk_size]
        sealed = stream.read(len(chunk) + _TAG_SIZE)
        try:
            if len(sealed) != len(chunk) + _TAG_SIZE:  # the file became shorter while it was read
                raise InvalidTag
            if in_place:
                cipher.decrypt_into(nonce, sealed, digest, chunk)
            else:
                chunk[:] = cipher.decrypt(nonce, sealed, digest)
        except InvalidTag as error:
            raise DamagedError(
                f"{where}: chunk {index + 1} of {header.chunk_count} was changed after it was written; "
                "restore the file from a backup, or recreate it"
            ) from error
    return header, payload


def check_key(stream: IO[bytes], *, key: Key | None, where: str) -> None:
    """Check a container's front and the key, without the chunks. Raises as `unseal`."""
    _checked_front(stream, key, where, None)


def unknown_kind(where: str, kind: str) -> ArtifactError:
    """The error for a container whose content a later version defines."""
    return ArtifactError(f"{where}: holds a {kind!r}, which this taolite does not know; upgrade taolite")


def _checked_front(stream: IO[bytes], key: Key | None, where: str, kind: str | None) -> tuple[Header, bytes, bytes]:
    """Header, cipher key and the front's digest of the container at the stream's place, which moves to the chunks."""
    begin = stream.tell()
    size = stream.seek(0, os.SEEK_END) - begin
    stream.seek(begin)
    header, front, digest = _parse_front(stream.read(FRONT_SIZE), where, size)
    if kind not in (None, header.kind):
        raise unknown_kind(where, header.kind)
    if key is None:
        raise UsageError(f"{where}: this file is sealed, and no key was given; give -k KEY, -k @FILE, or TAOLITE_KEY")
    cipher_key, check = _derive(key.reveal(), header.salt, header.cost)
    if not hmac.compare_digest(hmac.digest(check, front[:-_CHECK_SIZE], "sha256"), front[-_CHECK_SIZE:]):
        raise WrongKey(f"{where}: the file is intact, but this is not the key it was sealed with; check -k")
    stream.seek(begin + len(front) + len(digest))
    return header, cipher_key, digest


def read_file(path: Path, *, most: int | None = None) -> bytes:
    """The bytes of `path`. Raises PathError if it is missing, not a file, not readable, or larger than `most` bytes."""
    with reading(path, PathError, found="cannot be read"), open_file(path) as stream:
        data = stream.read() if most is None else stream.read(most + 1)
        if most is not None and len(data) > most:
            raise PathError(f"{path}: larger than {most:,} bytes, and so not the file that is needed")
        return data


def artifact_hash(path: Path) -> str:
    """SHA-256 of the bytes of a file, 64 hex digits. Lineages name an artifact by it."""
    digest = hashlib.sha256()
    with reading(path, PathError, found="cannot be read"), open_file(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _nonces(header: Header) -> Iterator[bytes]:
    """The 12-byte nonce of each chunk: random prefix, chunk number from 0 (big-endian), 1 for the last chunk or 0."""
    for index in range(header.chunk_count):
        yield header.nonce_prefix + struct.pack(">IB", index, index == header.chunk_count - 1)


def _pack_front(header: Header) -> bytes:
    """Prologue and header, without the key check."""
    record = {
        "chunk_size": header.chunk_size,
        "kdf": {
            "iterations": header.cost.iterations,
            "lanes": header.cost.lanes,
            "memory_kib": header.cost.memory_kib,
            "name": "argon2id",
            "salt": header.salt.hex(),
        },
        "kind": header.kind,
        "nonce_prefix": header.nonce_prefix.hex(),
        "payload_length": header.payload_length,
        "public": header.public,
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    if len(text) > _MAX_HEADER:
        raise ValueError(f"the public part of an artifact is {len(text)} bytes; {_MAX_HEADER} at most")
    start = struct.pack("<8sHHI", MAGIC, VERSION, 0, len(text))
    return start + struct.pack("<I", zlib.crc32(start)) + text


def _parse_front(data: bytes, where: str, size: int) -> tuple[Header, bytes, bytes]:
    """Header, front (prologue, header, key check) and the front's SHA-256, after all checks that need no key."""
    cut = TruncatedError(f"{where}: the file ends after {size} bytes, inside its header; copy it again, or recreate it")
    if MAGIC.startswith(data[: len(MAGIC)]) and size < _PROLOGUE.size:
        raise cut
    if not is_ours(data):
        raise ForeignError(f"{where}: this is not a file that taolite wrote")
    if size < _PROLOGUE.size:
        raise cut
    magic, version, _, header_length, crc = _PROLOGUE.unpack_from(data)
    changed = DamagedError(f"{where}: its header was changed after it was written; restore the file from a backup")
    if magic != MAGIC or crc != zlib.crc32(data[: _PROLOGUE.size - 4]):
        raise changed
    if version != VERSION:
        raise ArtifactError(f"{where}: written in format {version}, and this taolite reads {VERSION}; upgrade taolite")
    front_length = _PROLOGUE.size + header_length + _CHECK_SIZE
    if header_length > _MAX_HEADER:
        raise changed
    if size < front_length + _DIGEST_SIZE:
        raise cut
    front, digest = data[:front_length], data[front_length : front_length + _DIGEST_SIZE]
    if hashlib.sha256(front).digest() != digest:
        raise changed
    with reading(where, DamagedError, found="its header cannot be used", way_out="it was not written by taolite"):
        header = _read_record(front[_PROLOGUE.size : -_CHECK_SIZE])
    whole = front_length + _DIGEST_SIZE + header.body_length
    if size < whole:
        raise TruncatedError(f"{where}: the file ends after {size} of {whole} bytes; copy it again, or recreate it")
    if size > whole:
        raise DamagedError(f"{where}: {size - whole} extra bytes follow the end; restore the file from a backup")
    return header, front, digest


def _read_record(text: bytes) -> Header:
    """The header from its JSON. JSON that this module did not write raises any exception; the caller translates it."""
    record = json.loads(text)
    kdf, public, kind = record["kdf"], record["public"], record["kind"]
    if kdf["name"] != "argon2id":
        raise ValueError(f"key derivation {kdf['name']!r} is not known")
    if not isinstance(public, dict) or not isinstance(kind, str):
        raise ValueError("`public` needs to be an object, `kind` a text")
    lanes = _within("lanes", kdf["lanes"], 1, _MAX_LANES)
    memory_kib = _within("memory_kib", kdf["memory_kib"], 8 * lanes, _MAX_MEMORY_KIB)
    iterations = _within("iterations", kdf["iterations"], 1, _MAX_ITERATIONS)
    _within("memory_kib x iterations", memory_kib * iterations, 1, _MAX_WORK_KIB)
    header = Header(
        kind=kind,
        payload_length=_within("payload_length", record["payload_length"], 0, 1 << 48),
        chunk_size=_within("chunk_size", record["chunk_size"], *_CHUNK_RANGE),
        cost=KdfCost(memory_kib, iterations, lanes),
        salt=bytes.fromhex(kdf["salt"]),
        nonce_prefix=bytes.fromhex(record["nonce_prefix"]),
        public=public,
    )
    _within("chunk_count", header.chunk_count, 1, 1 << 32)
    _within("length of salt", len(header.salt), 16, 16)
    _within("length of nonce_prefix", len(header.nonce_prefix), _PREFIX_SIZE, _PREFIX_SIZE)
    return header


def _within(name: str, value: Any, low: int, high: int) -> int:
    """`value` if it is a whole number from `low` to `high`, else ValueError."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {value}; {low} to {high} is allowed")
    return value


@lru_cache(maxsize=32)
def _derive(secret: bytes, salt: bytes, cost: KdfCost) -> tuple[bytes, bytes]:
    """Cipher key and check key, 32 bytes each. Cached, so that reading a file again is fast."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=64, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib)
    both = kdf.derive(secret)
    return both[:32], both[32:]
