"""What a file is, told from its bytes and never from its name: a `.tlt` may be ours, NVIDIA's, or a renamed HDF5.

`sniff` knows the files that users of TAO have lying about; `wrong_kind` says what to do with one of them where
another was needed. NVIDIA's encrypted `.tlt` has no header at all (reference/deploy.md 1.1): it is recognised as
bytes that no test can tell from noise.
"""

from __future__ import annotations

import json
import struct
import zipfile
from enum import Enum
from io import BytesIO
from pathlib import Path

from taolite.artifacts.container import MAGIC, is_ours, read_file, read_header
from taolite.errors import ArtifactError, DamagedError, ForeignError, TruncatedError

__all__ = ["Kind", "advice", "sniff", "sniff_bytes", "split_etlt", "wrong_kind"]

_MAX_NAME = 255
_SEARCH = 4096  # bytes in which a container behind a damaged .etlt front is looked for


class Kind(str, Enum):
    """What a file holds; the value is how messages call it."""

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
    """What `path` holds. Raises PathError, and TruncatedError or DamagedError for our own files."""
    return sniff_bytes(read_file(path), where=str(path))


def sniff_bytes(data: bytes, *, where: str) -> Kind:
    """What these bytes, a whole file, are. `where` names the file in messages."""
    if len(data) < 4:
        found = f"ends after {len(data)} bytes" if data else "is empty"
        raise TruncatedError(f"{where}: the file {found}; copy or make it again")
    if is_ours(data) or MAGIC.startswith(data[: len(MAGIC)]):
        kind = read_header(data, where=where).kind
        known = {"bundle": Kind.BUNDLE, "checkpoint": Kind.CHECKPOINT}
        if kind not in known:
            raise ArtifactError(f"{where}: holds a {kind!r}, which this taolite does not know; upgrade taolite")
        return known[kind]
    for test, kind in _SIGNATURES:
        if test(data):
            return kind
    inner = split_etlt(data, where=where)
    if inner is not None:
        _, payload = inner
        if is_ours(payload):
            return Kind.ETLT
        if _looks_random(payload):
            return Kind.NVIDIA_ETLT
    return Kind.NVIDIA_TLT if _looks_random(data) else Kind.UNKNOWN


def split_etlt(data: bytes, *, where: str) -> tuple[str, bytes] | None:
    """Input name and payload of TAO's `.etlt` layout (reference/deploy.md 1.1), or None where it is not one.

    Raises TruncatedError or DamagedError where our payload shows that it was one of ours.
    """
    if len(data) < 4:
        return None
    found = data[4 : _SEARCH + len(MAGIC)].find(MAGIC)
    (length,) = struct.unpack_from("<i", data)
    name, payload = data[4 : 4 + max(0, length)], data[4 + max(0, length) :]
    if 0 <= length <= _MAX_NAME and all(32 < byte < 127 for byte in name):
        if len(payload) < len(MAGIC) and MAGIC.startswith(payload):
            raise TruncatedError(f"{where}: the file ends after {len(data)} bytes; copy or make it again")
        if found in (-1, length):
            return name.decode("ascii"), payload
    if found >= 0:
        raise DamagedError(f"{where}: its front was changed after it was written; take it from a backup")
    return None


def advice(kind: Kind) -> str:
    """What can be done with a file of this kind where it cannot be used."""
    return _WAY_OUT[kind]


def wrong_kind(where: str, found: Kind, *, needed: str) -> ArtifactError:
    """The error for a file of another kind than `needed` ("a trained model (.tlt)"), with the way out."""
    ours = found in (Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT)
    text = f"{where}: this is {found.value}, and {needed} is needed; {_WAY_OUT[found]}"
    return ArtifactError(text) if ours else ForeignError(text)


def _is_torch(data: bytes) -> bool:
    """A zip that torch.save wrote (it holds a data.pkl), or a bare pickle of protocol 2 or more."""
    if data.startswith(b"PK\x03\x04"):
        try:
            names = zipfile.ZipFile(BytesIO(data)).namelist()
        except (zipfile.BadZipFile, ValueError):
            return False
        return any(name.endswith("data.pkl") for name in names)
    return data[0] == 0x80 and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and data.endswith(b".")


def _is_safetensors(data: bytes) -> bool:
    """An 8-byte length and a JSON object of that length."""
    if len(data) < 10:
        return False
    (length,) = struct.unpack_from("<Q", data)
    if not 2 <= length <= len(data) - 8 or data[8:9] != b"{":
        return False
    try:
        return isinstance(json.loads(data[8 : 8 + length]), dict)
    except (ValueError, RecursionError):
        return False


def _is_onnx(data: bytes) -> bool:
    """A protobuf message whose fields are those of onnx.ModelProto, to the last byte, a graph among them."""
    varints, blocks = {1, 5}, {2, 3, 4, 6, 7, 8, 14, 20, 25, 26}  # field numbers of onnx.proto3
    position, seen = 0, set[int]()
    while position < len(data):
        tag, position = _varint(data, position)
        field_number, wire_type = tag >> 3, tag & 7
        if (field_number, wire_type) == (0, 0) or (wire_type == 0) != (field_number in varints):
            return False
        if wire_type not in (0, 2) or (wire_type == 2 and field_number not in blocks):
            return False
        value, position = _varint(data, position)
        if wire_type == 2:
            position += value
        seen.add(field_number)
    return position == len(data) and 7 in seen


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A protobuf varint and the place behind it; a place behind the end of `data` where there is none."""
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    return 0, len(data) + 1


def _looks_random(data: bytes) -> bool:
    """True where the byte counts are those of noise: chi-square of 255 degrees of freedom, within 6 sigma.

    Compressed files have a header and, at these lengths, far larger values.
    """
    if len(data) < 1024:
        return False
    import numpy as np

    sample = np.frombuffer(data, np.uint8, count=min(len(data), 1 << 20))
    counts = np.bincount(sample, minlength=256)
    expected = len(sample) / 256
    return bool(((counts - expected) ** 2 / expected).sum() < 255 + 6 * (2 * 255) ** 0.5)


_SIGNATURES = (
    (lambda data: data.startswith(b"\x89HDF\r\n\x1a\n"), Kind.HDF5),
    (lambda data: data.startswith((b"ftrt", b"ptrt")), Kind.TENSORRT),  # plans of TensorRT 8 to 11, and before
    (lambda data: data.startswith(b"vtrt"), Kind.TENSORRT_RTX),  # reference/deploy.md 11
    (_is_torch, Kind.TORCH),
    (_is_safetensors, Kind.SAFETENSORS),
    (_is_onnx, Kind.ONNX),
)
