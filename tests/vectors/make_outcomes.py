"""How the files in outcomes/ were made, once: one for every way in which the reading of a file can end.

`python tests/vectors/make_outcomes.py DIR` writes them anew into DIR, with outcomes.json, which says of each its key,
its outcome (docs/FORMAT.md 1) and its SHA-256. They are not to be made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from taolite.artifacts import KdfCost, Key
from taolite.artifacts.container import seal
from taolite.artifacts.record import join

HERE = Path(__file__).parent
KEY = "tlt_encode"


def chunked() -> bytes:
    """A checkpoint of three chunks: a record, and 2500 bytes of no tensors behind it."""
    stream = io.BytesIO()
    with patch("taolite.artifacts.container.os.urandom", lambda size: bytes(range(size))):
        seal(
            stream,
            join({"epoch": 1}, bytes(2500)),
            kind="checkpoint",
            key=Key(KEY),
            public={"writer": "taolite 0.1.0"},
            cost=KdfCost(memory_kib=64, iterations=1),
            chunk_size=1024,
        )
    return stream.getvalue()


def fronted(data: bytes, *, header: bytes | None = None, version: int = 1) -> bytes:
    """The file with another header or version, and checksums that fit it."""
    (length,) = struct.unpack_from("<I", data, 12)
    text = data[20 : 20 + length] if header is None else header
    start = struct.pack("<8sHHI", data[:8], version, 0, len(text))
    front = start + struct.pack("<I", zlib.crc32(start)) + text + data[20 + length : 52 + length]
    return front + hashlib.sha256(front).digest() + data[84 + length :]


def files() -> Iterator[tuple[str, str, bytes]]:
    """Name, outcome and content of each file; the key is KEY."""
    tlt, etlt, three = (HERE / "v1.tlt").read_bytes(), (HERE / "v1.etlt").read_bytes(), chunked()
    (length,) = struct.unpack_from("<I", tlt, 12)
    body = 84 + length

    def flip(at: int, data: bytes = tlt, bit: int = 1) -> bytes:
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    def header(old: bytes, new: bytes) -> bytes:
        text = tlt[20 : 20 + length]
        assert text.count(old) == 1
        return fronted(tlt, header=text.replace(old, new))

    yield "whole.tlt", "ok", tlt
    yield "empty.tlt", "truncated", b""
    for name, end in (("magic", 5), ("prologue", 19), ("header", 40), ("front", body - 1), ("chunk", len(tlt) - 17)):
        yield f"cut-in-{name}.tlt", "truncated", tlt[:end]
    yield "cut-in-name.etlt", "truncated", etlt[:8]
    yield "cut-in-chunk.etlt", "truncated", etlt[:-1]
    for name, at in (
        ("magic", 3),
        ("version", 8),
        ("zero", 10),
        ("length", 12),
        ("crc", 16),
        ("header", 24),
        ("check", 20 + length),
        ("digest", 52 + length),
        ("chunk", body),
        ("tag", len(tlt) - 1),
    ):
        yield f"changed-{name}.tlt", "damaged", flip(at)
    yield "changed-length.etlt", "damaged", flip(0, etlt)
    yield "changed-name.etlt", "damaged", flip(4, etlt)
    (first,) = struct.unpack_from("<I", three, 12)
    a, b = 84 + first, 84 + first + 1040
    yield "no-tensors.ckpt", "damaged", three
    yield "chunks-swapped.ckpt", "damaged", three[:a] + three[b : b + 1040] + three[a:b] + three[b + 1040 :]
    yield "bytes-behind-the-end.tlt", "damaged", tlt + b"x"
    yield "memory-out-of-bounds.tlt", "damaged", header(b'"memory_kib":64', b'"memory_kib":524289')
    yield (
        "work-out-of-bounds.tlt",
        "damaged",
        header(b'"iterations":1,"lanes":1,"memory_kib":64', b'"iterations":3,"lanes":1,"memory_kib":524288'),
    )
    yield "unknown-derivation.tlt", "damaged", header(b"argon2id", b"scrypt")
    yield "salt-too-short.tlt", "damaged", header(b"000102030405060708090a0b0c0d0e0f", b"0001")
    yield "no-header.tlt", "damaged", fronted(tlt, header=b"null")
    yield "cheaper-than-sealed.tlt", "wrong key", header(b'"memory_kib":64', b'"memory_kib":65')
    yield "other-public-part.tlt", "wrong key", header(b'"task":"detectnet"', b'"task":"imagenet"')
    yield "newer-version.tlt", "newer version", fronted(tlt, version=2)
    yield "unknown-kind.tlt", "newer version", header(b'"kind":"bundle"', b'"kind":"recipe"')
    yield "hdf5.tlt", "foreign", b"\x89HDF\r\n\x1a\n" + bytes(64)
    yield "text.tlt", "foreign", b"a model? no, a text\n"
    yield "noise.etlt", "foreign", b"\7\0\0\0input_1" + hashlib.sha256(b"noise").digest()


def make(folder: Path) -> None:
    """Write the files and outcomes.json into `folder`."""
    rows = {}
    for name, outcome, data in files():
        (folder / name).write_bytes(data)
        rows[name] = {"key": KEY, "outcome": outcome, "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "outcomes.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
