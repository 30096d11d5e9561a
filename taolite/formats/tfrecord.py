"""TFRecords with DetectNet's features, read and written without TensorFlow.

Framing, per record: length (8 bytes, little-endian), masked CRC32C of the length, the payload, its masked CRC32C.
The payload is a `tf.train.Example` with the features of reference/detectnet_v2.md 3.4. No image bytes: `frame/id` is
`<image folder>/<stem>` without extension, below the root the training spec names. Boxes are TAO's pixels, which are
our edges. Lengths are checked against the file before anything is allocated, so a hostile file costs nothing.

What `read_records` gives is checked: both checksums, every list as long as the class list, numbers finite.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from taolite.errors import DataError, PathError
from taolite.files import open_atomic
from taolite.formats.guard import guarded
from taolite.formats.kitti import WORLD
from taolite.formats.patterns import named
from taolite.formats.places import is_forbidden
from taolite.formats.ranges import is_url, open_stream, version_of
from taolite.formats.text import show
from taolite.sample import Label

__all__ = [
    "CONVERTING",
    "CORNERS",
    "FLOATS",
    "LARGEST_SIDE",
    "MOVING",
    "Record",
    "encode",
    "example_class",
    "framed",
    "is_record_file",
    "masked_crc",
    "matching",
    "parse_record",
    "read_frames",
    "read_records",
    "shard_name",
    "shard_sizes",
    "write_payloads",
    "write_records",
]

CONVERTING, MOVING = ".converting", ".moving"
"""How the folder of files that wait for the end of a conversion ends, and the mark in it once they are moved."""

_WORLD = tuple(f"target/world_bbox_{part}" for part in ("h", "w", "l", "x", "y", "z", "rot_y"))
_NOWHERE = (0.0,) * len(_WORLD)
_PICTURE = "frame/path"  # ours
LARGEST_SIDE = 1 << 24  # pixels
CORNERS = tuple(f"target/coordinates_{edge}" for edge in ("x1", "y1", "x2", "y2"))
FLOATS = ("target/truncation", "target/observation_angle", *CORNERS, *_WORLD)
"""The features of an object's edges, and all of its features that are floats."""


class Record(NamedTuple):
    """One image of a data set: `frame_id` as TAO spells it, (height, width) in pixels, labels in pixels."""

    frame_id: str
    size_hw: tuple[int, int]
    labels: tuple[Label, ...]
    picture: str = ""  # its path as the conversion spec spells it, where the record says so (SSD's)


def read_records(paths: Path | str | Iterable[Path | str]) -> Iterator[Record]:
    """Every record of one or more files or addresses, in order, read in pieces. An empty file has none.

    Labels carry name, box, truncated, occluded, alpha, and the 3-D values as `formats.kitti` keeps them; `line` is
    0. Raises PathError for a missing file and DataError, with file and record number (from 1), for one that is
    truncated, damaged or holds something else.
    """
    for path in [paths] if isinstance(paths, Path | str) else paths:
        for index, payload in enumerate(read_frames(str(path)), start=1):
            with guarded(path, place=f"record {index}"):
                record = parse_record(payload, str(path), index)
            yield record


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write one file, atomically; the number of records. Same records, same bytes. Scores are not stored (no feature).

    Raises StorageError where it cannot be written.
    """
    return write_payloads(path, map(encode, records))


def write_payloads(path: Path, payloads: Iterable[bytes]) -> int:
    """Write records that `encode` made, atomically; their number. For a caller that keeps many: they are small."""
    count = 0
    with open_atomic(path) as stream:
        for payload in payloads:
            stream.write(framed(payload))
            count += 1
    return count


def is_record_file(path: Path) -> bool:
    """Whether a file is empty or opens with a TFRecord's length and its checksum.

    A glob such as `kitti_trainval*` also meets `kitti_trainval_warning.json`, which is to be passed over.
    """
    with open(path, "rb") as stream:
        head = stream.read(12)
    return not head or (len(head) == 12 and masked_crc(head[:8]) == int.from_bytes(head[8:], "little"))


def matching(pattern: str, *, spelled: str) -> tuple[list[str], list[str]]:
    """The record files that a spec's `tfrecords_path` names, and the foreign ones, but for the converter's own report.

    A file with a shard's name counts as records, so that damage in its first bytes is not passed over, and so does
    every address. `spelled` is the pattern as the spec has it. Raises PathError where there is no record file, and
    DataError where a conversion was ended while it moved its files here.
    """
    missing = f" (tfrecords_path: {spelled!r}); run dataset_convert first, or mend the path"
    found = named(pattern, missing=missing)
    if is_url(pattern):
        return found, []
    files = [path for path in map(Path, found) if path.is_file() and not path.name.endswith("_warning.json")]
    records = [str(path) for path in files if "-of-" in path.name or is_record_file(path)]
    if not records:
        raise PathError(f"No files match pattern {pattern}{missing}")
    for folder in sorted({Path(record).parent for record in records}):
        _require_moved(folder)
    return records, [str(path) for path in files if str(path) not in records]


def _require_moved(folder: Path) -> None:
    """Raises DataError where a converter began to move its files into `folder`, and has not ended."""
    for mark in sorted(folder.glob(f".*{CONVERTING}/{MOVING}")):
        name = mark.parent.name.removeprefix(".").removesuffix(CONVERTING)
        raise DataError(
            f"{folder}: dataset_convert was ended while it moved the files of {name} here, so some are missing or old; "
            "run it again to finish"
        )


def shard_name(prefix: str, *, fold: int, folds: int, shard: int, shards: int) -> str:
    """TAO's file name, e.g. `kitti-fold-000-of-002-shard-00000-of-00010`; the parts with a total of 0 are left out."""
    fold_part = f"-fold-{fold:03d}-of-{folds:03d}" if folds else ""
    shard_part = f"-shard-{shard:05d}-of-{shards:05d}" if shards else ""
    return f"{prefix}{fold_part}{shard_part}"


def shard_sizes(count: int, shards: int) -> list[int]:
    """How many of `count` records each of `shards` files takes: count // shards each, the last one the remainder too.

    >>> shard_sizes(14, 10), shard_sizes(3, 0)
    ([1, 1, 1, 1, 1, 1, 1, 1, 1, 5], [3])
    """
    shards = max(shards, 1)
    size = count // shards
    return [size] * (shards - 1) + [count - size * (shards - 1)]


def read_frames(path: str) -> Iterator[bytes]:
    """The payloads of a file or an address, whose checksums fit. Raises PathError, DataError."""
    if not is_url(path) and not Path(path).exists():
        raise PathError(f"{path}: this TFRecord file is missing; run dataset_convert again")
    version = version_of(path)
    with open_stream(path, version) as stream:
        left, index = version.size, 0
        while left:
            index += 1
            head = stream.read(12)
            if len(head) < 12:
                raise _truncated(path, index)
            length = int.from_bytes(head[:8], "little")
            if masked_crc(head[:8]) != int.from_bytes(head[8:], "little"):
                if index == 1:
                    raise DataError(f"{path}: not a TFRecord file; take it out of the pattern of `tfrecords_path`")
                raise _damaged(path, index)
            left -= 16 + length
            if left < 0:
                raise _truncated(path, index)
            payload, check = stream.read(length), stream.read(4)
            if masked_crc(payload) != int.from_bytes(check, "little"):
                raise _damaged(path, index)
            yield payload


def framed(payload: bytes) -> bytes:
    """A payload as it stands in a file: with its length and both checksums."""
    head = struct.pack("<Q", len(payload))
    return head + struct.pack("<I", masked_crc(head)) + payload + struct.pack("<I", masked_crc(payload))


def masked_crc(data: bytes) -> int:
    """CRC32C, rotated right by 15 bits, plus TensorFlow's constant (reference/dependencies.md 9)."""
    import google_crc32c

    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _truncated(path: str, index: int) -> DataError:
    return DataError(f"{path}: record {index} is cut off, the end of the file is missing; {_mend(path)}")


def _damaged(path: str, index: int) -> DataError:
    return DataError(f"{path}: record {index} is damaged, its checksum does not fit; {_mend(path)}")


def _mend(path: str) -> str:
    return "upload the file again" if is_url(path) else "run dataset_convert again"


@functools.cache
def example_class() -> Any:
    """`tensorflow.Example`, built at run time in a pool of its own (reference/dependencies.md 9).

    Example { Features features = 1 }   Features { map<string, Feature> feature = 1 }
    Feature { oneof kind { BytesList = 1, FloatList = 2, Int64List = 3 } }   *List { repeated value = 1 }
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for field_name, tag, label, kind, type_name in fields:
            made.field.add(name=field_name, number=tag, label=label, type=kind, type_name=type_name or None)
        return made

    one, many, nested = field.LABEL_OPTIONAL, field.LABEL_REPEATED, field.TYPE_MESSAGE
    message("BytesList", ("value", 1, many, field.TYPE_BYTES, ""))
    message("FloatList", ("value", 1, many, field.TYPE_FLOAT, ""))
    message("Int64List", ("value", 1, many, field.TYPE_INT64, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, one, nested, ".tensorflow.BytesList"),
        ("float_list", 2, one, nested, ".tensorflow.FloatList"),
        ("int64_list", 3, one, nested, ".tensorflow.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for member in feature.field:
        member.oneof_index = 0
    features = message("Features", ("feature", 1, many, nested, ".tensorflow.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.field.add(name="key", number=1, label=one, type=field.TYPE_STRING)
    entry.field.add(name="value", number=2, label=one, type=nested, type_name=".tensorflow.Feature")
    entry.options.map_entry = True
    message("Example", ("features", 1, one, nested, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def encode(record: Record) -> bytes:
    """The record as a serialized `tf.train.Example`; same record, same bytes."""
    example = example_class()()
    feature, labels = example.features.feature, record.labels
    feature["frame/id"].bytes_list.value.append(record.frame_id.encode())
    feature["frame/height"].int64_list.value.append(record.size_hw[0])
    feature["frame/width"].int64_list.value.append(record.size_hw[1])
    if record.picture:
        feature[_PICTURE].bytes_list.value.append(record.picture.encode())
    rows = [_floats(label) for label in labels]
    floats = list(zip(*rows, strict=True)) or [()] * len(FLOATS)
    for values, column in (
        (feature["target/object_class"].bytes_list, [label.name.encode() for label in labels]),
        (feature["target/occlusion"].int64_list, [label.occluded for label in labels]),
        *((feature[name].float_list, column) for name, column in zip(FLOATS, floats, strict=True)),
    ):
        values.SetInParent()  # TAO writes an empty list where there is nothing; `extend` leaves its kind unset
        values.value.extend(column)
    return bytes(example.SerializeToString(deterministic=True))


def _floats(label: Label) -> tuple[float, ...]:
    world = [float(label.attributes.get(name, 0)) for name in WORLD] if label.attributes else _NOWHERE
    return (label.truncated, label.alpha, *label.box, *world)


def parse_record(payload: bytes, path: str, index: int) -> Record:
    """The record of a payload, the `index`th of `path`, checked. Raises DataError and, for what was never foreseen,
    anything; see `formats.guard`."""
    from google.protobuf.message import DecodeError

    example = example_class()()
    try:
        example.ParseFromString(payload)
    except DecodeError as error:
        raise DataError(f"{path}: record {index} is no tf.train.Example; was it made by dataset_convert?") from error
    feature = example.features.feature
    if "frame/encoded" in feature and "target/object_class" not in feature:
        raise DataError(
            f"{path}: record {index} holds its picture and numbers of classes, as TAO's ssd writes them; convert the "
            "labels again with `taolite ssd dataset_convert`"
        )
    try:
        frame_id = str(_only(feature, "frame/id").decode())
        size_hw = (int(_only(feature, "frame/height")), int(_only(feature, "frame/width")))
        picture = str(_only(feature, _PICTURE).decode()) if _PICTURE in feature else ""
        names = [bytes(name).decode() for name in _values(feature, "target/object_class")]
        if not 1 <= min(size_hw) <= max(size_hw) <= LARGEST_SIDE:
            raise KeyError(f"a size of {size_hw[1]}x{size_hw[0]} pixels")
        columns = [_column(feature, name, len(names)) for name in (*FLOATS, "target/occlusion")]
    except (KeyError, UnicodeDecodeError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else "a name that is not UTF-8"
        raise DataError(f"{path}: record {index} has {reason}; was it made by DetectNet's dataset_convert?") from error
    except (ValueError, OverflowError) as error:  # a size that is a float, and not finite
        raise DataError(f"{path}: record {index} has a size that is no number of pixels; {_mend(path)}") from error
    if is_forbidden(frame_id):
        raise DataError(
            f"{path}: record {index} has the frame id {show(frame_id)}, which leads outside the image folder and its "
            "parent; convert again with a root_directory_path above the pictures, or allow it with --allow-outside"
        )
    rows = zip(names, *columns, strict=True)
    return Record(frame_id, size_hw, tuple(_label(name, values) for name, *values in rows), picture)


def _label(name: str, values: Sequence[float]) -> Label:
    truncated, alpha, x1, y1, x2, y2, *world, occluded = values
    attributes = {key: repr(value) for key, value in zip(WORLD, world, strict=True)} if any(world) else {}
    return Label(name, (x1, y1, x2, y2), truncated, int(occluded), alpha, attributes=attributes)


def _values(feature: Any, name: str) -> Any:
    """The list of a feature, whatever its kind; empty where it is absent or empty. Asks first: `[]` would add it."""
    if name not in feature:
        return ()
    kind = feature[name].WhichOneof("kind")
    return getattr(feature[name], kind).value if kind else ()


def _only(feature: Any, name: str) -> Any:
    values = _values(feature, name)
    if len(values) != 1:
        raise KeyError(f"{len(values)} values of `{name}` where one is needed")
    if isinstance(values[0], bytes) != (name in ("frame/id", _PICTURE)):
        raise KeyError(f"`{name}` of another kind")
    return values[0]


def _column(feature: Any, name: str, count: int) -> list[float]:
    """One value for each object; zeros where a foreign writer left out a column that is no coordinate."""
    values = list(_values(feature, name))
    if not values and name not in CORNERS:
        return [0.0] * count
    if len(values) != count:
        raise KeyError(f"{len(values)} values of `{name}` for {count} objects")
    if not all(not isinstance(value, bytes) and math.isfinite(value) for value in values):
        raise KeyError(f"a value of `{name}` that is not a finite number")
    return values
