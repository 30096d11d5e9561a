"""Sealed files, mutated outside and inside: bytes of the file; a header whose checksums fit; a header whose key check
fits too; a payload sealed by someone who has the key (the keys `tlt_encode` and `nvidia_tlt` are published).

Key derivation would dominate: 64 MiB and 0.1 s a file. So the files here are sealed at the lowest cost that the format
permits (8 KiB, one pass), and most share one salt, whose keys the reader derives once and keeps.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .mutators import changed_bytes, changed_json, changed_value
from .target import Reader

__all__ = ["bundle", "checkpoint", "described", "etlt", "pack"]

PASSPHRASE = "the-key-of-the-fuzzer"
CHUNK = 1024
KDF = {"iterations": 1, "lanes": 1, "memory_kib": 8, "name": "argon2id", "salt": "00" * 16}
VECTORS = Path(__file__).parents[1] / "vectors"


def keys(kdf: dict[str, Any]) -> tuple[bytes, bytes]:
    """Cipher key and check key, from docs/FORMAT.md alone."""
    salt = bytes.fromhex(kdf["salt"])
    cost = {"iterations": kdf["iterations"], "lanes": kdf["lanes"], "memory_cost": kdf["memory_kib"]}
    both = Argon2id(salt=salt, length=64, **cost).derive(PASSPHRASE.encode())
    return both[:32], both[32:]


OURS = keys(KDF)


def header_of(payload: bytes, *, kind: str, public: dict[str, Any]) -> dict[str, Any]:
    sizes = {"chunk_size": CHUNK, "payload_length": len(payload)}
    return {**sizes, "kdf": KDF, "kind": kind, "nonce_prefix": "00" * 7, "public": public}


def pack(header: bytes, payload: bytes, *, chunk: int = CHUNK, prefix: bytes = bytes(7)) -> bytes:
    """A container with this header, right or wrong, whose checksums, key check and chunks fit its bytes."""
    start = struct.pack("<8sHHI", b"\x89TAOLITE", 1, 0, len(header))
    front = start + struct.pack("<I", zlib.crc32(start)) + header
    front += hmac.digest(OURS[1], front, "sha256")
    digest = hashlib.sha256(front).digest()
    cipher = AESGCM(OURS[0])
    count = max(1, -(-len(payload) // chunk))
    nonces = [prefix + struct.pack(">IB", at, at == count - 1) for at in range(count)]
    parts = [cipher.encrypt(nonce, payload[at * chunk : (at + 1) * chunk], digest) for at, nonce in enumerate(nonces)]
    return front + digest + b"".join(parts)


def changed_payload(payload: bytes, rng: Random) -> bytes:
    """A record or the bytes behind it, or the header of the tensors, changed; the lengths mostly fit."""
    (length,) = struct.unpack_from("<I", payload)
    record, rest = payload[4 : 4 + length], payload[4 + length :]
    way = rng.randrange(6)
    if way == 0:
        return changed_bytes(payload, rng)
    if way < 4:
        record = changed_json(record, rng)
    elif way == 4 and rest[8:9] == b"{":
        (inner,) = struct.unpack_from("<Q", rest)
        tensors = changed_json(rest[8 : 8 + inner], rng)
        rest = struct.pack("<Q", len(tensors)) + tensors + rest[8 + inner :]
    else:
        rest = changed_bytes(rest, rng)
    return struct.pack("<I", len(record)) + record + rest


def changed_container(header: dict[str, Any], payload: bytes, rng: Random) -> bytes:
    """One of the four kinds of mutation; see the module."""
    text = json.dumps(header).encode()
    way = rng.randrange(10)
    if way < 2:
        return changed_bytes(pack(text, payload), rng)
    if way < 4:
        inside = changed_payload(payload, rng)
        return pack(json.dumps({**header, "payload_length": len(inside)}).encode(), inside)
    if way < 8:
        inside = changed_payload(payload, rng)
        record = {**header, "payload_length": len(inside)}
        chunk = rng.choice((1024, 1025, 4096, 1 << 24))
        return pack(json.dumps({**record, "chunk_size": chunk}).encode(), inside, chunk=chunk)
    changed = changed_json(text, rng) if way == 8 else json.dumps(changed_value(json.loads(text), rng)).encode()
    data = pack(changed[: 1 << 16], payload)
    if rng.random() < 0.3:  # the key check does not fit any more
        at = 20 + len(changed[: 1 << 16])
        data = data[:at] + bytes(32) + data[at + 32 :]
        data = data[: at + 32] + hashlib.sha256(data[: at + 32]).digest() + data[at + 64 :]
    return data


def _payload(vector: str) -> bytes:
    from taolite.artifacts.container import unseal
    from taolite.artifacts.keys import Key

    data = (VECTORS / vector).read_bytes()
    begin = data.index(b"\x89TAOLITE")
    return bytes(unseal(data[begin:], key=Key("tlt_encode"), where=vector)[1])


def _reader(folder: Path, vector: str, *, kind: str, public: dict[str, Any], describe: bool = False) -> Reader:
    from taolite.artifacts import bundle as bundles
    from taolite.artifacts import etlt as exported
    from taolite.artifacts.describe import describe as described_as
    from taolite.artifacts.keys import Key

    path, key, payload = folder / f"m.{kind}", Key(PASSPHRASE), _payload(vector)
    header = header_of(payload, kind=kind, public=public)
    before = struct.pack("<i", 7) + b"input_1" if kind == "etlt" else b""
    reads = {"bundle": bundles.read_bundle, "checkpoint": bundles.read_checkpoint, "etlt": exported.read_model}

    def mutate(rng: Random) -> bytes:
        if before and rng.randrange(6) == 0:
            return changed_bytes(before, rng) + pack(json.dumps(header).encode(), payload)
        return before + changed_container(header, payload, rng)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return described_as(path, key=key) if describe else reads[kind](path, key=key)

    return Reader(mutate, read, (before + pack(json.dumps(header).encode(), payload),), str(path), PASSPHRASE)


def bundle(folder: Path) -> Reader:
    """`.tlt`: opened with its key."""
    return _reader(folder, "v1.tlt", kind="bundle", public={"task": "detectnet", "writer": "taolite 0.1.0"})


def checkpoint(folder: Path) -> Reader:
    """A run's checkpoint."""
    return _reader(folder, "v1.checkpoint", kind="checkpoint", public={"writer": "taolite 0.1.0"})


def etlt(folder: Path) -> Reader:
    """`.etlt`: TAO's outer layout around a container."""
    return _reader(folder, "v1.etlt", kind="etlt", public={"input_name": "input_1", "writer": "taolite 0.1.0"})


def described(folder: Path) -> Reader:
    """`.tlt`: what `taolite inspect` says of it."""
    return _reader(folder, "v1.tlt", kind="bundle", public={"task": "detectnet", "writer": "x"}, describe=True)
