"""A tar is listed once: with few requests, the members that tarfile lists, and afterwards from an index."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError
from taolite.formats import http_get
from taolite.formats.index_file import index_path
from taolite.formats.tar_listing import TarListing, list_tar
from taolite.pictures import read_size

from ..shard_server import Server, serving

pytestmark = pytest.mark.sockets


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as server:
        yield server


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_tar(path: Path, count: int, size: int) -> str:
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            add(tar, f"images/{number:06d}.jpg", bytes(size))
    return str(path)


def picture(kind: str, hw: tuple[int, int], **options: object) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(hw[0]).integers(0, 256, (*hw, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def rows(listing: TarListing) -> list[tuple[str, int, int]]:
    columns = zip(listing.offsets_m.tolist(), listing.sizes_m.tolist(), strict=True)
    return [(listing.names[at], *one) for at, one in enumerate(columns)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_files_of_a_tar_are_those_that_tarfile_finds(server: Server, form: int):
    path = server.folder / "odd.tar"
    long = "deep/" * (15 if form == tarfile.USTAR_FORMAT else 60) + "long.jpg"
    with tarfile.open(path, "w", format=form) as tar:
        tar.addfile(folder := tarfile.TarInfo("cat"))
        folder.type = tarfile.DIRTYPE
        for name in ("./cat/one.jpg", "cat/._one.jpg", ".git/two.jpg", "犬/two.png", "cat/empty.jpg", long):
            add(tar, name, b"" if "empty" in name else os.urandom(700))
    with tarfile.open(path) as tar:
        members = [(one.name.removeprefix("./"), one.offset_data, one.size) for one in tar if one.isfile()]
    expected = [row for row in members if not any(part.startswith(".") for part in row[0].split("/"))]

    assert len(expected) == 5  # the two hidden ones are left out
    for place in (str(path), f"{server.url}/odd.tar"):
        assert rows(list_tar(place)) == rows(list_tar(place)) == expected


@pytest.mark.parametrize(
    ("size", "requests", "sent"),
    [
        (2_000, range(5, 13), 400 * 2_560 + 10_000),  # read through, in pieces that double
        (200_000, range(401, 404), 403 * 2_048),  # a request for each header
    ],
)
def test_small_members_are_read_through_and_large_ones_skipped(server: Server, size: int, requests: range, sent: int):
    write_tar(server.folder / "a.tar", 400, size)

    assert len(list_tar(f"{server.url}/a.tar")) == 400
    assert len(server.asked) in requests
    assert server.sent <= sent


def test_a_listing_is_kept_beside_a_tar_and_for_an_address_in_the_cache(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    local, remote = write_tar(server.folder / "a.tar", 50, 3000), f"{server.url}/a.tar"
    first = [rows(list_tar(place)) for place in (local, remote)]
    asked = len(server.asked)
    monkeypatch.setattr(tarfile, "open", None)  # nobody lists it again

    assert [rows(list_tar(place)) for place in (local, remote)] == first
    assert len(server.asked) == asked + 1  # is it still the same?
    assert index_path(local) == server.folder / ".a.tar.index"
    assert index_path(remote).parent == tmp_path / "cache/taolite"


def test_in_a_folder_that_cannot_be_written_to_a_listing_is_kept_in_the_cache(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    local = write_tar(server.folder / "a.tar", 5, 10)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != server.folder)

    assert rows(list_tar(local)) == rows(list_tar(local))
    assert [path.name for path in server.folder.iterdir()] == ["a.tar"]
    assert index_path(local).is_file()
    assert index_path(local).is_relative_to(tmp_path / "cache")


@pytest.mark.parametrize("change", ["tar", "index"])
def test_a_listing_that_does_not_fit_is_made_anew(server: Server, change: str):
    local = write_tar(server.folder / "a.tar", 5, 10)
    list_tar(local)
    if change == "tar":
        write_tar(server.folder / "a.tar", 6, 10)
    else:
        index_path(local).write_bytes(index_path(local).read_bytes()[:-9])

    assert len(list_tar(local)) == (6 if change == "tar" else 5)
    assert len(list_tar(local)) == (6 if change == "tar" else 5)


def test_measured_pictures_have_the_size_that_a_viewer_shows(server: Server, tmp_path: Path):
    sideways = Image.Exif()
    sideways[0x0112] = 6
    pictures = {
        "a/one.jpg": picture("jpeg", (40, 30)),
        "a/turned.jpg": picture("jpeg", (20, 10), exif=sideways, comment=bytes(50_000)),
        "b/two.png": picture("png", (300, 200)),
        "b/notes.txt": b"no picture",
        "b/torn.jpg": picture("jpeg", (400, 300))[:20_000],
        "b/three.bmp": picture("bmp", (7, 9)),
        "b/none.jpg": b"nothing that could be one",
    }
    with tarfile.open(server.folder / "a.tar", "w") as tar:
        for name, data in pictures.items():
            add(tar, name, data)
    for place in (str(server.folder / "a.tar"), f"{server.url}/a.tar"):
        assert list_tar(place).heights_m is None
        for _ in range(2):
            listing = list_tar(place, measured=True)
            assert listing.heights_m is not None
            assert listing.widths_m is not None
            columns = (listing.heights_m.tolist(), listing.widths_m.tolist())
            sizes = dict(zip(pictures, zip(*columns, strict=True), strict=True))
            assert sizes == {
                "a/one.jpg": (40, 30),
                "a/turned.jpg": (10, 20),
                "b/two.png": (300, 200),
                "b/notes.txt": (0, 0),
                "b/torn.jpg": (0, 0),
                "b/three.bmp": (7, 9),
                "b/none.jpg": (0, 0),
            }
            assert [(str(one.path), one.kind) for one in listing.faults] == [
                ("b/torn.jpg", "unreadable-image"),
                ("b/none.jpg", "unreadable-image"),
            ]
        assert list_tar(place).heights_m is not None  # what was measured is kept for whoever needs less
    (tmp_path / "turned.jpg").write_bytes(pictures["a/turned.jpg"])
    assert read_size(tmp_path / "turned.jpg") == (10, 20)


def test_measuring_large_pictures_takes_a_request_for_each(server: Server):
    large = picture("jpeg", (500, 400), quality=100)
    with tarfile.open(server.folder / "a.tar", "w") as tar:
        for number in range(30):
            add(tar, f"{number}.jpg", large)
    listing = list_tar(f"{server.url}/a.tar", measured=True)

    assert len(large) > 300_000
    assert listing.heights_m is not None
    assert set(listing.heights_m.tolist()) == {500}
    assert len(server.asked) <= 34


def test_a_tar_that_is_cut_off_is_told(server: Server):
    local = write_tar(server.folder / "a.tar", 5, 5000)
    os.truncate(local, 12_000)

    with pytest.raises(DataError, match=r"a\.tar: not an uncompressed tar file, or damaged \(unexpected end of data\)"):
        list_tar(local)
    assert not index_path(local).exists()


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_server_that_fails_for_a_moment_is_not_taken_for_damaged_pictures(
    server: Server, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr(http_get.time, "sleep", lambda _: None)
    with tarfile.open(server.folder / "a.tar", "w") as tar:
        for number in range(5):
            add(tar, f"{number}.{kind}", picture(kind, (500, 400)))
    list_tar(f"{server.url}/a.tar", measured=True)
    requests = len(server.asked)
    index_path(f"{server.url}/a.tar").unlink()
    for nth in range(1, requests):
        server.asked.clear()
        server.fails_at = range(nth, nth + 5)  # as often as it is asked

        with pytest.raises(DataError, match=r"a\.tar: could not be read in 5 attempts: HTTP 503"):
            list_tar(f"{server.url}/a.tar", measured=True)
        assert not index_path(f"{server.url}/a.tar").exists()
    assert requests >= 5
