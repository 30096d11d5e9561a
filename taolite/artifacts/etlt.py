"""`.etlt`: an exported model in TAO's outer layout, with our encrypted container as its payload.

TAO's layout is: N as int32 little-endian, N bytes of input name, payload (reference/deploy.md 1.1). Ours is the same,
so the input's name is readable without a key. The payload holds the ONNX and a JSON record (task, classes,
preprocessing, decoding, parent hash ...). The name is repeated in the authenticated header, so that a changed name is
detected. `read_model` also reads a plain `.onnx`, without a key.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from taolite import __version__
from taolite.artifacts.container import FRONT_SIZE, KdfCost, seal, unseal
from taolite.artifacts.keys import Key
from taolite.artifacts.record import join, opened, split
from taolite.artifacts.sniff import Kind, sniff_stream, split_etlt, wrong_kind
from taolite.errors import DamagedError
from taolite.files import open_atomic, open_file
from taolite.onnxfile import check_onnx

__all__ = ["Etlt", "read_etlt", "read_model", "write_etlt"]


@dataclass(frozen=True)
class Etlt:
    """An exported model. onnx: bytes of the ONNX file. input_name: of its input. meta: JSON, what is known of it."""

    onnx: bytes = field(repr=False)
    input_name: str = "input_1"
    meta: Mapping[str, Any] = field(default_factory=dict)


def write_etlt(path: Path, etlt: Etlt, *, key: Key, cost: KdfCost | None = None) -> None:
    """Write `etlt` to `path`, encrypted, atomically. `cost` is for tests. Raises StorageError.

    `input_name` needs to be 1 to 255 printable ASCII characters without spaces.
    """
    name = etlt.input_name.encode("ascii")
    if not 1 <= len(name) <= 255 or not all(32 < byte < 127 for byte in name):
        raise ValueError(f"input name {etlt.input_name!r} cannot stand in an .etlt")
    payload = join(etlt.meta, etlt.onnx)
    public = {"input_name": etlt.input_name, "writer": f"taolite {__version__}"}
    with open_atomic(path) as stream:
        stream.write(struct.pack("<i", len(name)) + name)
        seal(stream, payload, kind="etlt", key=key, public=public, cost=cost)


def read_etlt(path: Path, *, key: Key | None) -> Etlt:
    """Open an `.etlt`.

    Raises:
        PathError, UsageError (no key given), WrongKeyError, TruncatedError, DamagedError, ForeignError (encrypted by
        NVIDIA's codec, or not an .etlt at all; the message says which and what to do), ArtifactError.
    """
    with open_file(path) as stream:
        found = sniff_stream(stream, where=str(path))
        if found is not Kind.ETLT:
            raise wrong_kind(str(path), found, needed="an exported model (.etlt)")
        return _open(stream, str(path), key)


def read_model(path: Path, *, key: Key | None = None) -> Etlt:
    """Open an exported model: an `.etlt`, which needs the key, or a plain `.onnx`; the content decides, not the name.

    Of a plain one `input_name` and `meta` are empty; its metadata is inside the ONNX.
    Raises the same errors as `read_etlt`.
    """
    with open_file(path) as stream:
        found = sniff_stream(stream, where=str(path))
        if found is Kind.ONNX:
            stream.seek(0)
            onnx = stream.read()
            check_onnx(onnx, where=str(path))
            return Etlt(onnx=onnx, input_name="", meta={})
        if found is not Kind.ETLT:
            raise wrong_kind(str(path), found, needed="an exported model (.etlt or .onnx)")
        return _open(stream, str(path), key)


def _open(stream: IO[bytes], where: str, key: Key | None) -> Etlt:
    stream.seek(0)
    parts = split_etlt(stream.read(FRONT_SIZE), where=where)
    assert parts is not None, "sniffed as an .etlt"
    name, begin = parts
    stream.seek(begin)
    header, payload = unseal(stream, key=key, where=where, kind="etlt")
    if header.public.get("input_name") != name:
        raise DamagedError(f"{where}: its header was changed after it was written; restore the file from a backup")
    with opened(where):
        meta, onnx = split(payload)
    return Etlt(onnx=onnx, input_name=name, meta=meta)
