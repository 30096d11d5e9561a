"""Packed samples are the samples that were packed; an index beside the records is a cache that is never wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from taolite.errors import DataError
from taolite.formats import tfrecord
from taolite.formats.packed import PackedSamples, pack
from taolite.formats.record_index import index_path, record_samples
from taolite.formats.tfrecord import Record, write_records
from taolite.sample import Label, Sample

ODD = [
    Sample(Path("/data/a/images/one.png"), (80, 120)),
    Sample(
        Path("/data/a/images/深/two.png"),
        (70000, 3),
        (
            Label("cat", (0.1, -2.5, 1e6, 4.25), difficult=True, line=3),
            Label("犬", (1.0, 2.0, 3.0, 4.0), line=900),
            Label("cat", (0.0, 0.0, float("inf"), 1e300)),
        ),
        Path("/data/a/labels/two.txt"),
    ),
    Sample(Path(os.fsdecode(b"/data/b\xff.png")), (1, 1), (Label("", (0.0, 0.0, 0.0, 0.0)),)),
]


def drawn(count: int, *, boxes: int = 1) -> Iterator[Sample]:
    """Pictures of 300 names, sizes and boxes apart."""
    for index in range(count):
        labels = tuple(
            Label(f"class{(index + k) % 300}", (float(k), index % 7 + 0.5, 50.0 + index % 9, 60.0))
            for k in range(boxes * (index % 3))
        )
        yield Sample(Path(f"/d/images/{index:07d}.png"), (100 + index % 2, 200), labels)


def test_packed_samples_are_the_samples():
    assert list(pack(ODD)) == ODD


def test_many_blocks_are_one_sequence():
    samples = list(drawn(20_000))
    packed = pack(iter(samples))

    assert len(packed.blocks) == 5
    assert len(packed) == 20_000
    assert list(packed) == samples
    for index in (0, 4095, 4096, 19_999, -1, -20_000):
        assert packed[index] == samples[index]
    assert packed[4090:4099] == samples[4090:4099]
    with pytest.raises(IndexError):
        packed[20_000]


def test_nothing_packs_to_nothing():
    assert list(pack([])) == []
    assert pack([]).name_counts() == {}


def test_names_are_counted_without_a_label_being_made():
    counts: dict[str, int] = {}
    for sample in drawn(10_000):
        for label in sample.labels:
            counts[label.name] = counts.get(label.name, 0) + 1

    assert pack(drawn(10_000)).name_counts() == counts


def test_a_sample_costs_what_is_stated():
    # 4 096 pictures with one label each: 7 + 4 bytes of name below the shared folder, 4 + 4 of where name and labels
    # end, 1 of a height that differs; the width is one for all. A label: 16 of its box, 1 of its name
    samples = [
        Sample(Path(f"/d/images/{i:07d}.png"), (100 + i % 2, 200), (Label(f"n{i % 9}", (0.0, 1.5, 9.0, 8.0)),))
        for i in range(4096)
    ]
    once = 4 + 2 + 1 + 1 + 1  # the ends have one entry more; width, difficult and line are one value for all

    assert pack(samples).nbytes <= 4096 * (11 + 4 + 4 + 1 + 16 + 1) + once


def test_a_coordinate_that_float32_cannot_hold_is_kept_whole():
    samples = [Sample(Path("a.png"), (9, 9), (Label("cat", (0.1, 0.2, 0.3, 0.4)),))]

    assert pack(samples)[0].labels[0].box == (0.1, 0.2, 0.3, 0.4)
    assert pack(samples).blocks[0].columns["boxes_l4"].dtype == np.float64


def test_the_digest_depends_on_names_sizes_and_labels_and_not_on_the_folder():
    def digest(folder: str = "/a", name: str = "x.png", size: int = 9, box: float = 1.0, label: str = "cat") -> str:
        return pack([Sample(Path(folder, name), (9, size), (Label(label, (0.0, 0.0, box, 1.0)),))]).digest()

    assert digest() == digest(folder="/b/c")
    assert len({digest(), digest(name="y.png"), digest(size=8), digest(box=1.1), digest(label="dog")}) == 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 9 000 records."""
    path = tmp_path_factory.mktemp("records") / "kitti-fold-000-of-002"
    write_records(path, (Record(f"images/{one.image.stem}", one.size_hw, one.labels) for one in drawn(9000, boxes=2)))
    return path


@pytest.fixture
def records(written: Path, tmp_path: Path) -> Path:
    return shutil.copy2(written, tmp_path / written.name)


def in_memory() -> list[Sample]:
    return [Sample(Path(f"images/{one.image.stem}"), one.size_hw, one.labels) for one in drawn(9000, boxes=2)]


def test_an_index_is_kept_beside_a_large_record_file_and_says_the_same(records: Path, monkeypatch: pytest.MonkeyPatch):
    first = record_samples(records)
    assert index_path(records).is_file()
    monkeypatch.setattr(tfrecord, "read_records", None)  # nobody parses the records again
    second = record_samples(records)

    assert list(first) == list(second) == in_memory()
    assert first.digest() == second.digest() == pack(in_memory()).digest()
    assert first.name_counts() == pack(in_memory()).name_counts()


def test_an_index_of_other_records_is_made_anew(records: Path):
    record_samples(records)
    write_records(records, [Record("images/new", (5, 6), ())] * 5000)

    assert {one.image for one in record_samples(records)} == {Path("images/new")}
    assert len(record_samples(records)) == 5000


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_torn_index_is_made_anew(records: Path, keep: int):
    record_samples(records)
    whole = index_path(records).read_bytes()
    index_path(records).write_bytes(whole[:keep])

    assert list(record_samples(records)) == in_memory()
    assert index_path(records).read_bytes() == whole


def test_a_damaged_tail_of_an_index_is_made_anew(records: Path):
    record_samples(records)
    whole = index_path(records).read_bytes()
    for at in (-1, -9, -17, -22, -40, -500):
        index_path(records).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[len(whole) + at + 1 :])
        assert list(record_samples(records))[:50] == in_memory()[:50]
        assert index_path(records).read_bytes() == whole


def test_where_an_index_cannot_be_written_it_is_done_without(records: Path):
    index_path(records).mkdir()

    assert list(record_samples(records)) == in_memory()


def test_a_small_file_has_no_index(tmp_path: Path):
    write_records(tmp_path / "few", [Record("images/one", (5, 6), ())])

    assert len(record_samples(tmp_path / "few")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


def test_damaged_records_are_told_and_leave_no_index(records: Path):
    records.write_bytes(records.read_bytes()[:-3])

    with pytest.raises(DataError, match="record 9000 is cut off"):
        record_samples(records)
    assert not index_path(records).exists()


def test_placing_puts_folder_and_suffix_around_every_image():
    made = pack([Sample(Path("images/one"), (5, 6))]).placed(Path("/data"), ".png")

    assert made[0].image == Path("/data/images/one.png")
    assert isinstance(made, PackedSamples)
