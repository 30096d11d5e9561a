"""TFRecords behind an address: the samples of the same files on a disk, streamed once, then mapped from the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taolite import spec
from taolite.errors import DataError, PathError
from taolite.formats import http_get, ranges
from taolite.formats.index_file import index_path
from taolite.formats.packed import PackedSamples
from taolite.formats.record_index import record_samples
from taolite.formats.tfrecord import Record, shard_name, write_records
from taolite.sample import Label
from taolite.tasks.base import Split
from taolite.tasks.detectnet.records import split_sources
from taolite.tasks.detectnet.spec import DatasetConfig as DetectNetData
from taolite.tasks.ssd.sources import read_sources
from taolite.tasks.ssd.spec import DatasetConfig as SsdData

from ..shard_server import Server, serving

pytestmark = pytest.mark.sockets

SHARDS, EACH = 4, 25
MAPPING = "target_class_mapping { key: 'cat' value: 'cat' }"
MORE = f"{MAPPING} validation_fold: 0 image_extension: 'png'"
COUNTED = "kitti-fold-{000..001}-of-002-shard-{00000..00001}-of-00002"


def record(number: int) -> Record:
    labels = [Label("cat", (1.0, 2.0, 30.0 + k, 40.0), occluded=k) for k in range(number % 3)]
    return Record(f"images/{number}", (80 + number, 120), tuple(labels), picture=f"images/{number}.png")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves two folds of two shards, and nothing else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    for at in range(SHARDS):
        name = shard_name("kitti", fold=at // 2, folds=2, shard=at % 2, shards=2)
        write_records(folder / name, map(record, range(at * EACH, (at + 1) * EACH)))
    (tmp_path / "images").mkdir()
    with serving(folder) as server:
        yield server


def one(server: Server) -> str:
    return f"{server.url}/kitti-fold-000-of-002-shard-00000-of-00002"


def detectnet(server: Server, place: str, split: Split = "train") -> PackedSamples:
    images = server.folder.parent
    source = f"data_sources {{ tfrecords_path: '{place}' image_directory_path: '{images}' }}"
    assert split != "test"
    sources, _ = split_sources(spec.loads(f"{source} {MORE}", DetectNetData), split, resolve=Path)
    return PackedSamples(block for found in sources for block in found.samples.blocks)  # type: ignore[attr-defined]


def test_a_detector_learns_from_the_same_records_over_http_as_from_a_disk(server: Server):
    for split in ("train", "val"):
        remote = detectnet(server, f"{server.url}/{COUNTED}", split)  # type: ignore[arg-type]
        local = detectnet(server, f"{server.folder}/kitti-*", split)  # type: ignore[arg-type]

        assert len(remote) == 2 * EACH
        assert list(remote) == list(local)
        assert remote.digest() == local.digest()


def test_an_ssd_learns_from_the_same_records_over_http_as_from_a_disk(server: Server):
    def samples(place: str) -> list[tuple[Path, tuple[int, int], tuple[Label, ...]]]:
        data = spec.loads(f"data_sources {{ tfrecords_path: '{place}' }} {MAPPING}", SsdData)
        (source,), _ = read_sources(data, "train", resolve=Path)
        return [(found.image, found.size_hw, found.labels) for found in source.samples]

    for _ in range(2):  # streamed, then mapped
        assert samples(f"{server.url}/{COUNTED}") == samples(f"{server.folder}/kitti-*")
    found = samples(f"{server.url}/{COUNTED}")
    assert found[5][0] == Path("images/5.png")
    assert [label.difficult for label in found[5][2]] == [False, True]


def test_counted_files_on_a_disk_are_all_needed(server: Server):
    assert list(detectnet(server, f"{server.folder}/{COUNTED}")) == list(detectnet(server, f"{server.folder}/kitti-*"))
    next(server.folder.iterdir()).unlink()
    with pytest.raises(PathError, match=r"No files match pattern .*run dataset_convert first"):
        detectnet(server, f"{server.folder}/{COUNTED}")


def test_a_second_start_reads_no_record(server: Server):
    first = list(record_samples(one(server)))
    asked, sent = len(server.asked), server.sent
    second = list(record_samples(one(server)))

    assert first == second
    assert len(server.asked) == asked + 1
    assert server.sent == sent + 1  # the byte that comes with size and ETag


@pytest.mark.parametrize("says", [("ETag",), ("Last-Modified",)])
def test_records_that_changed_are_read_again(server: Server, says: tuple[str, ...]):
    server.says = says
    record_samples(one(server))
    path = server.folder / one(server).rpartition("/")[2]
    whole = path.read_bytes()
    write_records(path, [*map(record, range(EACH - 1)), Record("images/new", (9, 9), ())])
    os.utime(path, (1e9, 1e9))

    assert path.read_bytes() != whole
    assert record_samples(one(server))[EACH - 1].image == Path("images/new")


def test_where_a_server_does_not_tell_versions_apart_records_are_read_at_every_start(server: Server):
    server.says = ()
    record_samples(one(server))
    sent = server.sent
    record_samples(one(server))

    assert server.sent == 2 * sent
    assert not index_path(one(server)).exists()


def test_where_the_cache_cannot_be_written_records_are_read_once_and_used(server: Server, tmp_path: Path):
    (tmp_path / "cache").write_text("a file, no folder")
    size = (server.folder / one(server).rpartition("/")[2]).stat().st_size

    assert len(record_samples(one(server))) == EACH
    assert size <= server.sent <= size + 2


def test_records_come_in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ranges, "_MOST", 2048)
    monkeypatch.setattr(ranges, "_LEAST", 1024)
    size = (server.folder / one(server).rpartition("/")[2]).stat().st_size
    record_samples(one(server))

    assert size > 10_000
    assert size // 2048 <= len(server.asked) <= size // 2048 + 4


def test_two_processes_may_write_the_same_index_at_once(server: Server):
    pids = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            os._exit(0 if len(record_samples(one(server))) == EACH else 1)
        pids.append(pid)

    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert [path.suffix for path in index_path(one(server)).parent.iterdir()] == [".index"]


def test_what_is_wrong_with_records_behind_an_address_is_one_message(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_get.time, "sleep", lambda _: None)
    path = server.folder / one(server).rpartition("/")[2]
    whole = path.read_bytes()

    with pytest.raises(PathError) as caught:
        detectnet(server, f"{server.url}/kitti-*")
    assert str(caught.value) == (
        f"{server.url}/kitti-*: a server's files cannot be listed; count them instead, as in "
        f"{server.url}/kitti-{{000..009}}"
    )
    with pytest.raises(PathError) as caught:
        detectnet(server, f"{server.url}/none-{{0..1}}")
    assert str(caught.value) == f"{server.url}/none-0: the server says HTTP 404; correct the address"
    path.write_bytes(whole[:-3])
    with pytest.raises(DataError) as damaged:
        record_samples(one(server))
    assert str(damaged.value) == (
        f"{one(server)}: record 25 is cut off, the end of the file is missing; upload the file again"
    )
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=r"record 25 is damaged, its checksum does not fit; upload the file"):
        record_samples(one(server))
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"could not be read in 5 attempts: .*refused; see to the server and start"):
        record_samples("http://127.0.0.1:9/kitti")


def test_records_that_change_while_they_are_read_are_told(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ranges, "_MOST", 2048)
    monkeypatch.setattr(ranges, "_LEAST", 1024)
    stream = ranges.open_stream(one(server), ranges.version_of(one(server)))
    stream.read(12)
    os.utime(server.folder / one(server).rpartition("/")[2], (1e9, 1e9))

    with pytest.raises(DataError, match="changed while this run was reading it; start the run again"):
        stream.read()
