"""A payload: a JSON record in front of bytes that a library reads (tensors, an ONNX); docs/FORMAT.md 2 and 4.

Four bytes, little-endian, the length of the record; the record; the rest.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taolite.errors import DamagedError, reading

__all__ = ["join", "opened", "split"]


def join(record: Mapping[str, Any], rest: bytes) -> bytes:
    """The payload of a record and the bytes behind it."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return struct.pack("<I", len(text)) + text + rest


def split(payload: memoryview) -> tuple[dict[str, Any], bytes]:
    """The record and the bytes behind it. Raises whatever comes of a payload that `join` did not make; see `opened`."""
    (length,) = struct.unpack_from("<I", payload)
    if length > len(payload) - 4:
        raise ValueError(f"a record of {length} bytes in {len(payload)}")
    record = json.loads(bytes(payload[4 : 4 + length]))
    if not isinstance(record, dict):
        raise ValueError("its record is no object")
    return record, bytes(payload[4 + length :])


@contextmanager
def opened(where: str) -> Iterator[None]:
    """A `with` block that reads an opened payload. Its writer had the key, and is trusted with nothing more."""
    with reading(where, DamagedError, found="opens with this key but holds nothing taolite wrote"):
        yield
