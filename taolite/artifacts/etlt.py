"""`.etlt`: an exported model in TAO's outer layout, with our sealed container as its payload.

TAO's readers walk: int32 little-endian N, N bytes of input name, payload (reference/deploy.md 1.1). Ours has the
same front, so the name can be read without a key; the payload is sealed and holds ONNX and a JSON record (task,
classes, preprocessing, decode parameters, parent hash ...). The name stands in the sealed header a second time,
so a changed front does not go unnoticed. Plain `.onnx` comes in by the same door, without a key.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taolite import __version__
from taolite.artifacts.container import KdfCost, read_file, seal, unseal
from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff_bytes, split_etlt, wrong_kind
from taolite.errors import DamagedError
from taolite.files import open_atomic
from taolite.onnxfile import check_onnx

__all__ = ["Etlt", "read_etlt", "read_model", "write_etlt"]


@dataclass(frozen=True)
class Etlt:
    """An exported model: the ONNX file's bytes, the name of its input, and a JSON record about it."""

    onnx: bytes = field(repr=False)
    input_name: str = "input_1"
    meta: Mapping[str, Any] = field(default_factory=dict)


def write_etlt(path: Path, etlt: Etlt, *, key: Key, cost: KdfCost | None = None) -> None:
    """Seal `etlt` into `path`, atomically. `cost` is for tests; StorageError where it cannot be written.

    `input_name` is 1 to 255 printable ASCII characters without spaces.
    """
    name = etlt.input_name.encode("ascii")
    if not 1 <= len(name) <= 255 or not all(32 < byte < 127 for byte in name):
        raise ValueError(f"input name {etlt.input_name!r} cannot stand in an .etlt")
    meta = json.dumps(etlt.meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    payload = struct.pack("<I", len(meta)) + meta + etlt.onnx
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
    data = read_file(path)
    found = sniff_bytes(data, where=str(path))
    if found is not Kind.ETLT:
        raise wrong_kind(str(path), found, needed="an exported model (.etlt)")
    return _open(data, str(path), key)


def read_model(path: Path, *, key: Key | None = None) -> Etlt:
    """Open an exported model, sealed (`.etlt`, needs the key) or plain (`.onnx`, does not), told apart by content.

    A plain one has an empty `input_name` and `meta`: what it has to say stands in the ONNX itself.
    Raises as `read_etlt` does.
    """
    data = read_file(path)
    found = sniff_bytes(data, where=str(path))
    if found is Kind.ONNX:
        check_onnx(data, where=str(path))
        return Etlt(onnx=data, input_name="", meta={})
    if found is not Kind.ETLT:
        raise wrong_kind(str(path), found, needed="an exported model (.etlt or .onnx)")
    return _open(data, str(path), key)


def _open(data: bytes, where: str, key: Key | None) -> Etlt:
    parts = split_etlt(data, where=where)
    assert parts is not None, "sniffed as an .etlt"
    name, container = parts
    header, payload = unseal(container, key=key, where=where)
    if header.public.get("input_name") != name:
        raise DamagedError(f"{where}: its front was changed after it was written; take it from a backup")
    try:
        (length,) = struct.unpack_from("<I", payload)
        meta = dict(json.loads(payload[4 : 4 + length]))
    except (ValueError, TypeError, RecursionError, struct.error) as error:
        raise DamagedError(f"{where}: opens with this key but holds nothing taolite wrote ({error})") from error
    return Etlt(onnx=payload[4 + length :], input_name=name, meta=meta)
