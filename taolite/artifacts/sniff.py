"""The kind of a file, from its content and never from its name: a `.tlt` may be ours, NVIDIA's, or a renamed HDF5.

`sniff` knows the kinds of files that users of TAO have. `wrong_kind` makes the error for a file of another kind than
the one that is needed. Only the first bytes are read, and for zips, pickles and ONNX a few more, so that a large file
is recognised at once. NVIDIA's encrypted `.tlt` has no header at all (reference/deploy.md 1.1): it is recognised as
bytes that no test can tell from noise.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from enum import Enum
from pathlib import Path
from typing import IO

from taolite.artifacts.container import MAGIC, is_ours, read_header, unknown_kind
from taolite.errors import ArtifactError, DamagedError, ForeignError, TruncatedError
from taolite.files import open_file
from taolite.onnxfile import varint
from taolite.wording import counted

__all__ = ["Kind", "advice", "sniff", "sniff_stream", "split_etlt", "wrong_kind"]

_HEAD = 1 << 20  # bytes that are read of any file; more than the container's FRONT_SIZE
_MAX_NAME = 255
_MAX_DIRECTORY = 1 << 25  # bytes of a zip's list of files; a network of 100,000 tensors has 10 MB
_MAX_HEADER = 1 << 24  # bytes of a safetensors header; one of 100,000 tensors has 10 MB
_MAX_COMMENT = (1 << 16) + 22  # bytes from the end of a zip in which its last record begins
_MAX_FIELDS = 10_000  # outermost fields of an ONNX; it has about 10, and one for each function
_SEARCH = 4096  # bytes in which a container behind a damaged .etlt front is looked for


class Kind(str, Enum):
    """The kind of a file; the value is its name in messages."""

    BUNDLE = "a taolite model (.tlt)"
    CHECKPOINT = "a taolite checkpoint"
    ETLT = "a taolite exported model (.etlt)"
    ONNX = "an ONNX model"
    HDF5 = "an HDF5 file"
    TORCH = "a PyTorch file (.pth)"
    SAFETENSORS = "a safetensors file"
    TENSORRT = "a TensorRT engine"
    TENSORRT_RTX = "a TensorRT-RTX engine"
    NVIDIA_TLT = "a file without any header, as NVIDIA's encrypted .tlt is"
    NVIDIA_ETLT = "an .etlt that NVIDIA's codec encrypted"
    UNKNOWN = "a file of no kind that taolite knows"


_NVIDIA = (
    "NVIDIA's codec is closed, and only their containers can open it. In a TAO 5 container turn it into plain .hdf5 "
    "(to train from) or plain .onnx (to run); or start from ImageNet weights: "
    'pretrained_model_file: "torchvision://resnet18"'
)
_WAY_OUT = {
    Kind.BUNDLE: "export it first: taolite detectnet export",
    Kind.CHECKPOINT: "it resumes a run of `train`; the finished model is weights/NAME.tlt of that run",
    Kind.ETLT: "an exported model cannot be trained further; take the .tlt it was exported from",
    Kind.HDF5: (
        "a Keras model is read only where pretrained weights are asked for (pretrained_model_file; load_graph: true "
        "takes its heads too); "
        "to run it, export it to plain .onnx in a TAO 5 container"
    ),
    Kind.TORCH: "PyTorch weights are read only where pretrained weights are asked for (pretrained_model_file)",
    Kind.SAFETENSORS: "plain weights are read only where pretrained weights are asked for (pretrained_model_file)",
    Kind.ONNX: "an exported model cannot be trained further; engines and inference take it as it is",
    Kind.TENSORRT: "an engine is made for one GPU and cannot be turned back; take the model it was built from",
    Kind.TENSORRT_RTX: "an engine is made for one GPU and cannot be turned back; take the model it was built from",
    Kind.NVIDIA_TLT: _NVIDIA,
    Kind.NVIDIA_ETLT: _NVIDIA,
    Kind.UNKNOWN: "check the path",
}


def sniff(path: Path) -> Kind:
    """The kind of the file at `path`. Raises PathError; TruncatedError or DamagedError for a file of ours."""
    with open_file(path) as stream:
        return sniff_stream(stream, where=str(path))


def sniff_stream(stream: IO[bytes], *, where: str) -> Kind:
    """The kind of a file that is open at its first byte. `where` is its name in messages."""
    head = stream.read(_HEAD)
    size = stream.seek(0, os.SEEK_END)
    if size < 4:
        found = f"ends after {counted(size, 'byte')}" if size else "is empty"
        raise TruncatedError(f"{where}: the file {found}; copy it again, or recreate it")
    if is_ours(head) or MAGIC.startswith(head[: len(MAGIC)]):
        kind = read_header(head, where=where, size=size).kind
        known = {"bundle": Kind.BUNDLE, "checkpoint": Kind.CHECKPOINT}
        if kind not in known:
            raise unknown_kind(where, kind)
        return known[kind]
    for first, kind in _SIGNATURES:
        if head.startswith(first):
            return kind
    for test, kind in _TESTS:
        if test(head, stream, size):
            return kind
    inner = split_etlt(head, where=where)
    if inner is not None:
        _, begin = inner
        if is_ours(head[begin:]):
            return Kind.ETLT
        if _looks_random(head[begin:]):
            return Kind.NVIDIA_ETLT
    return Kind.NVIDIA_TLT if _looks_random(head) else Kind.UNKNOWN


def split_etlt(head: bytes, *, where: str) -> tuple[str, int] | None:
    """Input name and payload offset of a file in TAO's `.etlt` layout (reference/deploy.md 1.1); None for another file.

    `head` is the first 64 KiB of the file, or all of it.

    Raises TruncatedError or DamagedError for a damaged `.etlt` of ours.
    """
    if len(head) < 4:
        return None
    found = head[4 : _SEARCH + len(MAGIC)].find(MAGIC)
    (length,) = struct.unpack_from("<i", head)
    begin = 4 + max(0, length)
    name, payload = head[4:begin], head[begin : begin + len(MAGIC)]
    if 0 <= length <= _MAX_NAME and all(32 < byte < 127 for byte in name):
        if len(payload) < len(MAGIC) and MAGIC.startswith(payload):
            raise TruncatedError(f"{where}: the file ends after {len(head)} bytes; copy it again, or recreate it")
        if found in (-1, length):
            return name.decode("ascii"), begin
    if found >= 0:
        raise DamagedError(f"{where}: its header was changed after it was written; restore the file from a backup")
    return None


def advice(kind: Kind) -> str:
    """What to do with a file of this kind where another kind is needed."""
    return _WAY_OUT[kind]


def wrong_kind(where: str, found: Kind, *, needed: str) -> ArtifactError:
    """The error for a file of kind `found` where `needed` is needed, e.g. "a trained model (.tlt)"."""
    ours = found in (Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT)
    text = f"{where}: this is {found.value}, and {needed} is needed; {_WAY_OUT[found]}"
    return ArtifactError(text) if ours else ForeignError(text)


def _is_torch(head: bytes, stream: IO[bytes], size: int) -> bool:
    """A zip from torch.save (it has a data.pkl), or a pickle of protocol 2 or later."""
    if head.startswith(b"PK\x03\x04"):
        stream.seek(max(0, size - _MAX_COMMENT))
        _, end, record = stream.read().rpartition(b"PK\x05\x06")
        if not end or len(record) < 12 or struct.unpack_from("<I", record, 8)[0] > _MAX_DIRECTORY:
            return False
        try:
            names = zipfile.ZipFile(stream).namelist()
        except Exception:  # a damaged list of files raises six kinds of error
            return False
        return any(name.endswith("data.pkl") for name in names)
    return head[0] == 0x80 and head[1] in (2, 3, 4, 5) and _read(stream, size - 1, 1) == b"."


def _is_safetensors(head: bytes, stream: IO[bytes], size: int) -> bool:
    """An 8-byte length and a JSON object of that length."""
    if size < 10:
        return False
    (length,) = struct.unpack_from("<Q", head)
    if not 2 <= length <= min(size - 8, _MAX_HEADER) or head[8:9] != b"{":
        return False
    try:
        return isinstance(json.loads(_read(stream, 8, length)), dict)
    except (ValueError, RecursionError):
        return False


def _is_onnx(head: bytes, stream: IO[bytes], size: int) -> bool:
    """A protobuf message that has only fields of onnx.ModelProto, one of them the graph, up to the last byte; or the
    beginning of one, which `taolite.onnxfile` calls cut short."""
    varints, blocks = {1, 5}, {2, 3, 4, 6, 7, 8, 14, 20, 25, 26}  # field numbers of onnx.proto3
    position, seen = 0, set[int]()
    for _ in range(_MAX_FIELDS):
        if position >= size:
            break
        data = _read(stream, position, 20) if position else head[:20]
        tag, behind = varint(data, 0)
        field_number, wire_type = tag >> 3, tag & 7
        if (field_number, wire_type) == (0, 0) or (wire_type == 0) != (field_number in varints):
            return False
        if wire_type not in (0, 2) or (wire_type == 2 and field_number not in blocks):
            return False
        value, behind = varint(data, behind)
        if behind > len(data):
            return False
        position += behind + (value if wire_type == 2 else 0)
        seen.add(field_number)
    ends_well = position == size or head[:1] == b"\x08"  # the first field's tag: a version
    return ends_well and 7 in seen


def _read(stream: IO[bytes], position: int, length: int) -> bytes:
    stream.seek(position)
    return stream.read(length)


def _looks_random(data: bytes) -> bool:
    """True if all byte values are equally frequent: chi-square with 255 degrees of freedom, within 6 sigma.

    Compressed files have a header, and at these lengths a far larger chi-square.
    """
    if len(data) < 1024:
        return False
    import numpy as np

    sample = np.frombuffer(data, np.uint8)
    counts = np.bincount(sample, minlength=256)
    expected = len(sample) / 256
    return bool(((counts - expected) ** 2 / expected).sum() < 255 + 6 * (2 * 255) ** 0.5)


_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", Kind.HDF5),
    (b"ftrt", Kind.TENSORRT),  # plans of TensorRT 8 to 11
    (b"ptrt", Kind.TENSORRT),  # and before
    (b"vtrt", Kind.TENSORRT_RTX),  # reference/deploy.md 11
)
_TESTS = (
    (_is_torch, Kind.TORCH),
    (_is_safetensors, Kind.SAFETENSORS),
    (_is_onnx, Kind.ONNX),
)
