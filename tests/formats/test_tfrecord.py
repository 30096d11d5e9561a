"""TFRecords: TensorBoard's reader and writer are the oracle of the framing, the bytes of the payload are counted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from taolite.errors import DataError, PathError
from taolite.formats import tfrecord
from taolite.formats.kitti import WORLD
from taolite.formats.tfrecord import Record, read_records, write_records
from taolite.sample import Label

CAT = Label("cat", (10.0, 20.5, 110.0, 220.25), truncated=0.5, occluded=2, alpha=-1.5)
VAN = Label("van", (1.0, 2.0, 3.0, 4.0), attributes={"height_m": "1.5", "width_m": "0.0", "length_m": "0.0",
            "x_m": "0.0", "y_m": "0.0", "z_m": "7.25", "rotation_y": "0.0"})  # fmt: skip
RECORDS = [Record("image_2/000001", (370, 1224), (CAT, VAN)), Record("image_2/猫", (480, 640), ())]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    assert write_records(tmp_path / "fold", RECORDS) == 2
    return tmp_path / "fold"


def test_records_read_back_as_they_were_written(written: Path):
    assert list(read_records(written)) == RECORDS
    assert [record.frame_id for record in read_records([written, written])] == ["image_2/000001", "image_2/猫"] * 2


def test_the_same_records_give_the_same_bytes(written: Path, tmp_path: Path):
    write_records(tmp_path / "again", RECORDS)

    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_tensorboard_reads_the_frames_we_write(written: Path):
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader = PyRecordReader_New(str(written))
    payloads = []
    for _ in RECORDS:
        reader.GetNext()
        payloads.append(reader.record())

    assert b"image_2/000001" in payloads[0]
    assert "image_2/猫".encode() in payloads[1]


def test_we_read_the_frames_tensorboard_writes(tmp_path: Path):
    from tensorboard.summary.writer.record_writer import RecordWriter

    features = b"".join(
        _entry(name, kind, value)
        for name, kind, value in [
            ("frame/id", 1, _tagged(1, b"image/a")),
            ("frame/height", 3, _tagged(1, bytes([64]))),
            ("frame/width", 3, _tagged(1, bytes([32]))),
            ("target/object_class", 1, _tagged(1, b"cat")),
            ("target/truncation", 2, _tagged(1, struct.pack("<f", 0.25))),
            ("target/occlusion", 3, _tagged(1, bytes([1]))),
            *(
                (f"target/coordinates_{edge}", 2, _tagged(1, struct.pack("<f", value)))
                for edge, value in [("x1", 1.5), ("y1", 2.0), ("x2", 3.0), ("y2", 4.0)]
            ),
        ]
    )
    with open(tmp_path / "foreign", "wb") as stream:
        RecordWriter(stream).write(_tagged(1, features))

    assert list(read_records(tmp_path / "foreign")) == [
        Record("image/a", (64, 32), (Label("cat", (1.5, 2.0, 3.0, 4.0), truncated=0.25, occluded=1),))
    ]


def test_the_features_of_a_record_have_taos_names_and_kinds():
    edges, parts = ("x1", "y1", "x2", "y2"), ("h", "w", "l", "x", "y", "z", "rot_y")
    world = dict(zip(WORLD, map(str, range(5, 12)), strict=True))
    van = Label("van", (1.0, 2.0, 3.0, 4.0), truncated=0.25, occluded=3, alpha=-1.5, attributes=world)

    assert _features(tfrecord.encode(Record("image_2/a", (64, 32), (van,)))) == {
        "frame/id": (1, b"\x0a\x09image_2/a"),
        "frame/height": (3, bytes([10, 1, 64])),
        "frame/width": (3, bytes([10, 1, 32])),
        "target/object_class": (1, b"\x0a\x03van"),
        "target/truncation": (2, _floats(0.25)),
        "target/occlusion": (3, bytes([10, 1, 3])),
        "target/observation_angle": (2, _floats(-1.5)),
        **{f"target/coordinates_{edge}": (2, _floats(n)) for n, edge in enumerate(edges, start=1)},
        **{f"target/world_bbox_{part}": (2, _floats(n)) for n, part in enumerate(parts, start=5)},
    }


def _floats(value: float) -> bytes:
    """A packed list of one float."""
    return _tagged(1, struct.pack("<f", value))


def _features(payload: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> kind (1 bytes, 2 floats, 3 whole numbers) and list of every feature, read from the wire."""

    def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
        while data:
            size, used = (data[1], 2) if data[1] < 128 else (data[1] & 127 | data[2] << 7, 3)
            yield data[0] >> 3, data[used : used + size]
            data = data[used + size :]

    ((_, features),) = fields(payload)
    entries = [dict(fields(entry)) for _, entry in fields(features)]
    return {entry[1].decode(): next(fields(entry[2])) for entry in entries}


def _tagged(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field; lengths of these tests that pass 127 take two bytes."""
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + data


def _entry(name: str, kind: int, values: bytes) -> bytes:
    return _tagged(1, _tagged(1, name.encode()) + _tagged(2, _tagged(kind, values)))


def test_an_empty_file_has_no_records(tmp_path: Path):
    (tmp_path / "empty").touch()

    assert list(read_records(tmp_path / "empty")) == []
    assert tfrecord.is_record_file(tmp_path / "empty")


def test_a_missing_file_says_what_to_do(tmp_path: Path):
    with pytest.raises(PathError) as caught:
        list(read_records(tmp_path / "none"))

    assert str(caught.value) == f"{tmp_path}/none: this TFRecord file is missing; run dataset_convert again"


@pytest.mark.parametrize("keep", [5, 11, 12, 100, -1])
def test_a_file_cut_anywhere_is_called_cut(written: Path, keep: int):
    written.write_bytes(written.read_bytes()[:keep])
    index = 2 if keep == -1 else 1

    with pytest.raises(DataError) as caught:
        list(read_records(written))

    assert str(caught.value) == (
        f"{written}: record {index} is cut off, the end of the file is missing; run dataset_convert again"
    )


def test_a_changed_byte_is_damage_in_that_record(written: Path):
    data = bytearray(written.read_bytes())
    data[-10] ^= 1
    written.write_bytes(data)

    with pytest.raises(DataError) as caught:
        list(read_records(written))

    assert str(caught.value) == (
        f"{written}: record 2 is damaged, its checksum does not fit; run dataset_convert again"
    )


def test_a_length_beyond_the_file_is_refused_before_anything_is_allocated(tmp_path: Path):
    head = struct.pack("<Q", 2**62)
    (tmp_path / "bomb").write_bytes(head + struct.pack("<I", tfrecord.masked_crc(head)) + b"x" * 50)

    with pytest.raises(DataError, match="record 1 is cut off"):
        list(read_records(tmp_path / "bomb"))


def test_another_kind_of_file_is_named_as_such(tmp_path: Path):
    (tmp_path / "kitti_warning.json").write_text('{"a.txt_0": [1, 2, 1, 2]}')

    assert not tfrecord.is_record_file(tmp_path / "kitti_warning.json")
    with pytest.raises(DataError) as caught:
        list(read_records(tmp_path / "kitti_warning.json"))
    assert str(caught.value) == (
        f"{tmp_path}/kitti_warning.json: not a TFRecord file; take it out of the pattern of `tfrecords_path`"
    )


def test_a_record_of_another_task_says_what_is_missing(tmp_path: Path):
    with open(tmp_path / "other", "wb") as stream:
        stream.write(tfrecord.framed(_tagged(1, _entry("image/encoded", 1, _tagged(1, b"jpeg")))))

    with pytest.raises(DataError) as caught:
        list(read_records(tmp_path / "other"))

    assert str(caught.value) == (
        f"{tmp_path}/other: record 1 has 0 values of `frame/id` where one is needed; "
        "was it made by DetectNet's dataset_convert?"
    )


def test_lists_of_unequal_length_are_refused(tmp_path: Path):
    entries = [
        _entry("frame/id", 1, _tagged(1, b"a")),
        _entry("frame/height", 3, _tagged(1, bytes([8]))),
        _entry("frame/width", 3, _tagged(1, bytes([8]))),
        _entry("target/object_class", 1, _tagged(1, b"cat") + _tagged(1, b"dog")),
        _entry("target/coordinates_x1", 2, _tagged(1, struct.pack("<f", 1))),
    ]
    with open(tmp_path / "uneven", "wb") as stream:
        stream.write(tfrecord.framed(_tagged(1, b"".join(entries))))

    with pytest.raises(DataError, match=r"record 1 has 1 values of `target/coordinates_x1` for 2 objects"):
        list(read_records(tmp_path / "uneven"))


def test_file_names_are_taos():
    assert tfrecord.shard_name("out/kitti_trainval", fold=0, folds=2, shard=3, shards=10) == (
        "out/kitti_trainval-fold-000-of-002-shard-00003-of-00010"
    )
    assert tfrecord.shard_name("k", fold=0, folds=0, shard=0, shards=0) == "k"


def test_the_last_shard_takes_the_remainder():
    # reference 13.5 item 2: 14 validation and 86 training images in 10 shards each
    assert tfrecord.shard_sizes(14, 10) == [1] * 9 + [5]
    assert tfrecord.shard_sizes(86, 10) == [8] * 9 + [14]
    assert tfrecord.shard_sizes(3, 10) == [0] * 9 + [3]


def test_a_record_may_say_where_its_picture_is(tmp_path: Path):
    record = Record("images/a", (24, 32), (), "/workspace/data/images/a.png")
    write_records(tmp_path / "fold", [record])

    assert list(read_records(tmp_path / "fold")) == [record]


@pytest.mark.parametrize("height", [float("nan"), float("inf"), -1.0, 0.0, 1e30])
def test_a_frame_height_that_is_no_number_of_pixels_is_refused(tmp_path: Path, height: float):
    example = tfrecord.example_class()()  # the one way to write what our writer never does
    example.ParseFromString(tfrecord.encode(Record("images/a", (9, 9), ())))
    example.features.feature["frame/height"].float_list.value.append(height)
    (tmp_path / "records").write_bytes(tfrecord.framed(example.SerializeToString()))

    with pytest.raises(DataError, match=r"records: record 1 has a size"):
        list(read_records(tmp_path / "records"))


def test_records_of_a_conversion_that_was_ended_while_it_moved_them_are_refused(written: Path):
    (written.parent / ".fold.converting").mkdir()
    assert tfrecord.matching(str(written), spelled="f") == (
        [str(written)],
        [],
    )  # it is being written, the old are whole
    (written.parent / ".fold.converting" / ".moving").touch()

    with pytest.raises(DataError) as caught:
        tfrecord.matching(f"{written}*", spelled="f*")

    assert str(caught.value) == (
        f"{written.parent}: dataset_convert was ended while it moved the files of fold here, so some are missing or "
        "old; run it again to finish"
    )
