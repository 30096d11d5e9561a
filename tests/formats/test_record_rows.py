"""Rows of records, against the records that the careful reader gives, and against its errors."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from taolite.errors import TaoliteError
from taolite.formats import record_rows, tfrecord
from taolite.formats.packed import pack
from taolite.formats.record_index import as_sample, record_samples
from taolite.formats.record_rows import Row, read_rows
from taolite.formats.tfrecord import Record, read_records, write_records
from taolite.sample import Label

from ..fuzz.mutators import changed_bytes


def record(rng: np.random.Generator, frame_id: str, labels: int) -> Record:
    boxes = rng.uniform(0, 500, (labels, 4)).astype(np.float32).tolist()
    found = (
        Label(f"class{place % 3}", (*box,), 0.5, place % 4, -1.5, attributes={"height_m": "1.5"} if place % 2 else {})
        for place, box in enumerate(boxes)
    )
    return Record(frame_id, (375, 1242), tuple(found))


def as_row(one: Record) -> Row:
    names = [label.name for label in one.labels]
    return Row(str(Path(one.frame_id)), one.size_hw, names, [label.box for label in one.labels])


def outcome(read, path: Path) -> object:
    try:
        return list(read(path))
    except TaoliteError as error:
        return str(error)


FRAMES = ("images/000001", "a", "images//b", "./images/c", "images/d/", "../images/e", "犬/f", "a b/c.d")


def test_rows_are_what_the_records_say(tmp_path: Path):
    rng = np.random.default_rng(1)
    write_records(tmp_path / "records", [record(rng, frame, place % 5) for place, frame in enumerate(FRAMES * 3)])

    assert list(read_rows(tmp_path / "records")) == list(map(as_row, read_records(tmp_path / "records")))


def test_usual_records_are_read_the_quick_way(tmp_path: Path):
    payload = tfrecord.encode(record(np.random.default_rng(1), "images/000001", 3))

    assert record_rows._usual(payload) == as_row(tfrecord.parse_record(payload, "records", 1))


def test_samples_of_rows_are_packed_as_samples_of_records(tmp_path: Path):
    rng = np.random.default_rng(2)
    write_records(tmp_path / "records", [record(rng, f"images/{number:06d}", number % 4) for number in range(50)])

    found = record_samples(tmp_path / "records")

    wanted = pack(map(as_sample, read_records(tmp_path / "records")))
    assert found.digest() == wanted.digest()
    assert [(one.image, one.size_hw) for one in found] == [(one.image, one.size_hw) for one in wanted]
    assert [one.labels for one in found] == [one.labels for one in wanted]


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_record_gives_the_rows_or_the_error_of_the_careful_reader(tmp_path: Path, part: int):
    rng, path = Random(part), tmp_path / "records"
    numbers = np.random.default_rng(part)
    payloads = [tfrecord.encode(record(numbers, "images/000001", labels)) for labels in (0, 1, 3)]
    refused = 0
    for _ in range(600):
        path.write_bytes(tfrecord.framed(changed_bytes(rng.choice(payloads), rng)))

        got = outcome(read_rows, path)

        wanted = outcome(lambda name: map(as_row, read_records(name)), path)
        assert repr(got) == repr(wanted)
        refused += isinstance(got, str)
    assert 100 < refused < 600


@pytest.mark.parametrize("name", ["target/truncation", "target/world_bbox_h", "target/coordinates_x1"])
@pytest.mark.parametrize("values", [[], [1.0], [float("nan")] * 2, [float("inf")] * 2, [float("inf"), -float("inf")]])
def test_a_column_that_does_not_fit_is_told_as_by_the_careful_reader(tmp_path: Path, name: str, values: list[float]):
    example = tfrecord.example_class()()
    example.ParseFromString(tfrecord.encode(record(np.random.default_rng(1), "images/000001", 2)))
    del example.features.feature[name].float_list.value[:]
    example.features.feature[name].float_list.value.extend(values)
    (tmp_path / "records").write_bytes(tfrecord.framed(example.SerializeToString()))

    got = outcome(read_rows, tmp_path / "records")

    assert got == outcome(lambda path: map(as_row, read_records(path)), tmp_path / "records")
    assert isinstance(got, str) == (values != [] or name == "target/coordinates_x1")
