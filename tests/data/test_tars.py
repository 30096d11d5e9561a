"""Pictures in tar files, local and over HTTP: the same examples as from a folder, shuffled by shard, resumable."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite import spec
from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.data.order import Shards, shard_order
from taolite.errors import DataError, PathError
from taolite.formats.ranges import read_range
from taolite.formats.tars import TarPictures, list_tars, tar_files
from taolite.formats.tfrecord import Record, write_records
from taolite.sample import Label
from taolite.tasks.detectnet.examples import spec_examples
from taolite.tasks.detectnet.spec import DetectNetSpec

from ..shard_server import Server, serving
from ..tasks.detectnet.test_spec import LEAST, SOURCE

pytestmark = pytest.mark.sockets

PICTURES = 12


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, in a folder and in three tars, and their records."""
    root = tmp_path_factory.mktemp("tars")
    (root / "images").mkdir()
    records = []
    for number in range(PICTURES):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 120, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"images/{number}.png")
        records.append(Record(f"images/{number}", (80, 120), (Label("cat", (20.0, 10.0, 60.0, 40.0 + number)),)))
    write_records(root / "records", records)
    for shard in range(3):
        with tarfile.open(root / f"shard-{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(shard, PICTURES, 3):
                tar.add(root / f"images/{number}.png", f"images/{number}.png")
    return root


@pytest.fixture
def server(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(root) as server:
        yield server


def tars_of(tars: list[str]) -> TarPictures:
    return TarPictures(list_tars(tars))


def examples(root: Path, images: str) -> Examples:
    source = f"data_sources {{ tfrecords_path: '{root}/records' image_directory_path: '{images}' }}"
    text = LEAST.replace(SOURCE, source).replace('"jpg"', '"png"')
    return spec_examples(spec.loads(text, DetectNetSpec), "train", resolve=Path, augment=True, grid_hw=(4, 6))


def same(one: Examples, other: Examples) -> bool:
    for index in range(PICTURES):
        first, second = (made.example(index, epoch=1) for made in (one, other))
        if not (
            np.array_equal(first.pixels, second.pixels) and np.array_equal(first.targets["cov"], second.targets["cov"])
        ):
            return False
    return one.content_hash() == other.content_hash()


@pytest.mark.parametrize("pattern", ["shard-*.tar", "shard-{0..2}.tar"])
def test_pictures_of_local_tars_are_those_of_the_folder(root: Path, pattern: str):
    assert same(examples(root, f"{root}/{pattern}"), examples(root, str(root)))


def test_pictures_come_over_http_by_their_bytes_alone(root: Path, server: Server):
    made = examples(root, f"{server.url}/shard-{{0..2}}.tar")
    listing = len(server.asked)

    assert same(made, examples(root, str(root)))
    assert len(server.asked) == listing + PICTURES


def test_a_run_that_goes_on_in_the_middle_of_an_epoch_gets_the_batches_it_would_have_had(root: Path, server: Server):
    whole = examples(root, f"{server.url}/shard-{{0..2}}.tar")
    order = whole.order(3, batch_size=2)
    before = [batch.pixels for batch in batches(whole, order, batch_size=2, epoch=3)]
    again = examples(root, f"{server.url}/shard-{{0..2}}.tar")
    after = [batch.pixels for batch in batches(again, again.order(3, batch_size=2)[6:], batch_size=2, epoch=3)]

    assert len(before) == 6
    assert sorted(order) == list(range(PICTURES))
    assert all(np.array_equal(one, other) for one, other in zip(before[3:], after, strict=True))


def test_a_tar_that_changes_in_mid_run_is_told(root: Path, tmp_path: Path):
    shutil.copy(root / "shard-0.tar", tmp_path)
    with serving(tmp_path) as server:
        local, remote = tars_of([f"{tmp_path}/shard-0.tar"]), tars_of([f"{server.url}/shard-0.tar"])
        assert local.open("images/3.png").read() == remote.open("images/3.png").read()
        os.utime(tmp_path / "shard-0.tar", (1e9, 1e9))

        for pictures in (local, remote):
            with pytest.raises(DataError, match=r"shard-0.tar: changed while this run was reading it; start the"):
                pictures.open("images/3.png")


def test_a_busy_server_is_asked_again(server: Server):
    pauses: list[float] = []
    server.failing = 3

    assert len(read_range(f"{server.url}/records", 0, 12, pause=pauses.append)) == 12
    assert pauses == [1.0, 2.0, 3.0]


def test_what_cannot_be_read_over_http_is_one_message(server: Server):
    with pytest.raises(PathError, match=r"none\.tar: the server says HTTP 404; correct the address"):
        tars_of([f"{server.url}/none.tar"])
    server.failing = 99
    with pytest.raises(DataError, match="could not be read in 5 attempts: HTTP 503"):
        read_range(f"{server.url}/records", 0, 12, pause=lambda _: None)
    server.failing, server.parts = 0, False
    with pytest.raises(DataError, match="does not serve parts of files"):
        tars_of([f"{server.url}/shard-0.tar"])


def test_tars_that_cannot_be_used_are_one_message(root: Path, tmp_path: Path):
    with pytest.raises(PathError, match=r"No files match pattern .*\*\.tar \(image_directory_path\)"):
        tar_files(f"{tmp_path}/*.tar", field="image_directory_path")
    (tmp_path / "zeros.tar").write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match="not an uncompressed tar file"):
        tars_of([str(tmp_path / "zeros.tar")])
    with pytest.raises(DataError, match=r"names occur twice in the tar files.*shard-0.tar"):
        tars_of([f"{root}/shard-0.tar", f"{root}/shard-1.tar", f"{root}/shard-0.tar"])
    with pytest.raises(DataError, match=r"images/1.png: this picture is in none of the tar files"):
        tars_of([f"{root}/shard-0.tar"]).open("images/1.png")


def test_an_order_by_shards_keeps_to_a_few_files_at_a_time_and_shows_every_sample_once():
    shard_of = np.arange(10_000, dtype=np.uint32) % 100  # 100 files of 100 samples
    shards = Shards.of(shard_of, count=100)
    orders = [np.asarray(shard_order(shards, buffer=1000, seed=1, epoch=e, batch_size=8)) for e in (0, 1, 0)]

    assert np.array_equal(np.sort(orders[0]), np.arange(10_000))
    assert np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])
    for start in range(0, 10_000, 1000):
        assert len(np.unique(shard_of[orders[0][start : start + 1000]])) == 10
    assert np.unique(shard_of[orders[0][:100]]).size == 10  # mixed within


@pytest.mark.parametrize("sizes", [[5], [1, 2, 3000, 0, 7], [10] * 50])
def test_files_of_any_sizes_give_an_order_that_can_be_entered_anywhere(sizes: list[int]):
    shards = Shards.of(np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes), count=len(sizes))
    order = shard_order(shards, buffer=100, seed=2, epoch=5, batch_size=4)

    assert sorted(np.asarray(order)[: sum(sizes)].tolist()) == list(range(sum(sizes)))
    assert order[4:][:9].tolist() == np.asarray(order)[4:13].tolist()
