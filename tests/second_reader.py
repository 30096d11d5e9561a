"""A second reader of sealed files, written from docs/FORMAT.md alone: `python tests/second_reader.py FILE KEY`.

It uses Python's standard library and `cryptography`, and nothing of taolite. It prints the outcome (`ok`, or one of the
failures that FORMAT.md names) and, for `ok`, what the file holds. tests/artifacts/test_second_reader.py compares its
outcomes with taolite's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import sys
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MAGIC = b"\x89TAOLITE"


class Failure(Exception):  # noqa: N818
    """One of the failures of FORMAT.md, by its name there."""


def need(holds: bool, failure: str) -> None:
    if not holds:
        raise Failure(failure)


def whole(value: object, low: int, high: int) -> int:
    """A number of the header within its bounds."""
    need(type(value) is int and low <= value <= high, "damaged")
    return int(str(value))


def nearly_magic(data: bytes) -> bool:
    """Whether the data begins with the magic, of which at most two bytes differ."""
    return len(data) >= 8 and sum(one != other for one, other in zip(data[:8], MAGIC, strict=True)) <= 2


def container(data: bytes, key: bytes, kinds: tuple[str, ...]) -> tuple[dict, bytes]:
    """FORMAT.md 1: the header and the payload."""
    need(MAGIC.startswith(data[:8]) or nearly_magic(data), "foreign")
    need(len(data) >= 20, "truncated")
    version, _, length = struct.unpack_from("<HHI", data, 8)
    need(data[:8] == MAGIC and struct.unpack_from("<I", data, 16)[0] == zlib.crc32(data[:16]), "damaged")
    need(version == 1, "newer version")
    need(length <= 65536, "damaged")
    need(len(data) >= 84 + length, "truncated")
    front, digest = data[: 52 + length], data[52 + length : 84 + length]
    need(hashlib.sha256(front).digest() == digest, "damaged")
    try:
        header = json.loads(front[20 : 20 + length])
        kdf, prefix, salt = header["kdf"], bytes.fromhex(header["nonce_prefix"]), bytes.fromhex(header["kdf"]["salt"])
        need(kdf["name"] == "argon2id" and len(prefix) == 7 and len(salt) == 16, "damaged")
        need(isinstance(header["kind"], str) and isinstance(header["public"], dict), "damaged")
        lanes = whole(kdf["lanes"], 1, 16)
        memory = whole(kdf["memory_kib"], 8 * lanes, 524288)
        passes = whole(kdf["iterations"], 1, 16)
        need(memory * passes <= 1048576, "damaged")
        size, chunk = whole(header["payload_length"], 0, 1 << 48), whole(header["chunk_size"], 1024, 16777216)
    except Failure:
        raise
    except Exception as error:
        raise Failure("damaged") from error
    count = whole(max(1, -(-size // chunk)), 1, 1 << 32)
    need(len(data) >= 84 + length + size + 16 * count, "truncated")
    need(len(data) == 84 + length + size + 16 * count, "damaged")
    need(header["kind"] in kinds, "newer version")
    keys = Argon2id(salt=salt, length=64, iterations=passes, lanes=lanes, memory_cost=memory).derive(key)
    check = hmac.new(keys[32:], data[: 20 + length], hashlib.sha256).digest()
    need(hmac.compare_digest(check, front[20 + length :]), "wrong key")
    cipher, payload, at = AESGCM(keys[:32]), b"", 84 + length
    for index in range(count):
        end = at + min(chunk, size - index * chunk) + 16
        nonce = prefix + struct.pack(">IB", index, index == count - 1)
        try:
            payload += cipher.decrypt(nonce, data[at:end], digest)
        except InvalidTag as error:
            raise Failure("damaged") from error
        at = end
    return header, payload


def contents(data: bytes, key: bytes) -> tuple[str, dict, bytes]:
    """FORMAT.md 2 to 4: the kind of a .tlt, .etlt or checkpoint, its record, and the bytes behind the record."""
    need(len(data) >= 4, "truncated")
    name = None
    if not (MAGIC.startswith(data[:8]) or nearly_magic(data)):
        (length,) = struct.unpack_from("<i", data)
        name, behind = data[4 : 4 + max(0, length)], data[4 + max(0, length) :]
        at = data[4:4104].find(MAGIC)
        fits = 0 <= length <= 255 and all(32 < byte < 127 for byte in name)
        need(not (fits and len(behind) < 8 and MAGIC.startswith(behind)), "truncated")
        need(at < 0 or (fits and at == length), "damaged")
        need(fits and nearly_magic(behind), "foreign")
        data = behind
    header, payload = container(data, key, ("bundle", "checkpoint") if name is None else ("etlt",))
    try:
        need(name is None or header["public"]["input_name"].encode() == name, "damaged")
        (length,) = struct.unpack_from("<I", payload)
        need(length <= len(payload) - 4, "damaged")
        record = json.loads(payload[4 : 4 + length])
        need(isinstance(record, dict), "damaged")
    except (AttributeError, KeyError, ValueError, struct.error) as error:
        raise Failure("damaged") from error
    return header["kind"], record, payload[4 + length :]


def main() -> int:
    with open(sys.argv[1], "rb") as stream:
        data = stream.read()
    try:
        kind, record, rest = contents(data, sys.argv[2].encode())
    except Failure as failure:
        print(failure)
        return 1
    print("ok", kind, f"record {sorted(record)}, {len(rest)} bytes behind it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
