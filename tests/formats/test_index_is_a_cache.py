"""A hidden index is a cache: bound to the records' content, made anew when malformed, never waited for."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taolite.formats.index_file import index_path
from taolite.formats.record_index import record_samples
from taolite.formats.tar_listing import list_tar
from taolite.formats.tfrecord import Record, masked_crc, write_records
from taolite.sample import Label

COUNT = 4200  # a block and a bit: fewer records have no index
TAIL = struct.Struct("<IIQ8s")


def write(path: Path, name: str) -> Path:
    write_records(path, (Record(f"i/{n:05d}", (9, 9), (Label(name, (1, 2, 3, 4)),)) for n in range(COUNT)))
    return path


def names(path: Path) -> set[str]:
    return {label.name for sample in record_samples(path) for label in sample.labels}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of cats and of dogs, of one size, each with its index."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("cat", "dog"):
        assert names(write(folder / name, name)) == {name}
    return folder


@pytest.fixture
def records(made: Path, tmp_path: Path) -> Path:
    """The cats, with an index."""
    path = Path(shutil.copy2(made / "cat", tmp_path / "records"))
    record_samples(path)
    return path


def test_the_index_of_other_records_of_the_same_size_and_time_is_not_taken(made: Path, records: Path):
    found = records.stat()
    shutil.copy(index_path(made / "dog"), index_path(records))
    os.utime(records, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert names(records) == {"cat"}


def test_records_that_were_exchanged_under_their_index_are_read(made: Path, records: Path):
    found = records.stat()
    records.write_bytes((made / "dog").read_bytes())
    os.utime(records, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert names(records) == {"dog"}


def test_the_digest_alone_tells_exchanged_records(made: Path, records: Path, monkeypatch: pytest.MonkeyPatch):
    found = records.stat()
    records.write_bytes((made / "dog").read_bytes())
    change_state(records, lambda contents: contents["records"].__setitem__(2, records.stat().st_ctime_ns))
    os.utime(records, ns=(found.st_atime_ns, found.st_mtime_ns))
    change_state(records, lambda contents: contents["records"].__setitem__(2, records.stat().st_ctime_ns))

    assert names(records) == {"dog"}


def test_an_exchanged_tar_is_listed_anew(tmp_path: Path):
    import tarfile

    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(tmp_path / name, arcname=f"{name}.jpg")
    path = tmp_path / "a.tar"
    list_tar(str(path))
    found = path.stat()
    path.write_bytes((tmp_path / "b.tar").read_bytes())
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    listing = list_tar(str(path))
    assert [listing.names[at] for at in range(len(listing))] == ["b.jpg"]


def test_a_pipe_of_the_index_s_name_is_not_waited_for(records: Path):
    index_path(records).unlink()
    os.mkfifo(index_path(records))

    assert names(records) == {"cat"}


def change_state(records: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of an index, with a checksum that fits."""
    path = index_path(records)
    raw = path.read_bytes()
    version, _, length, magic = TAIL.unpack(raw[-TAIL.size :])
    contents = json.loads(raw[-TAIL.size - length : -TAIL.size])
    change(contents)
    text = json.dumps(contents).encode()
    tail = TAIL.pack(version, masked_crc(text), len(text), magic)
    path.write_bytes(raw[: -TAIL.size - length] + text + tail)


def block(contents: dict[str, Any]) -> dict[str, Any]:
    return contents["blocks"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("blocks"),
        lambda c: c.update(blocks=7),
        lambda c: c.update(records=None),
        lambda c: block(c).update(names=[]),
        lambda c: block(c).update(names=[1]),
        lambda c: block(c).update(digest=5),
        lambda c: block(c).update(images=["i/", ["<u1", [10**15], 0, False], ["<u1", [2], 0, False]]),
        lambda c: block(c)["columns"].pop("kinds_l"),
        lambda c: block(c)["columns"].update(kinds_l=["<i8", [COUNT], 0, False]),
        lambda c: block(c)["columns"].update(heights_n=["<i8", [10**12], 0, True]),
        lambda c: block(c)["columns"].update(boxes_l4=["|O", [4096, 4], 0, False]),
        lambda c: block(c)["columns"].update(boxes_l4=["<f4", [4096, 4], -64, False]),
        lambda c: block(c)["columns"].update(label_ends_n=["<u2", [4097], 1, False]),
        lambda c: block(c)["columns"].update(lines_l="x"),
    ],
)
def test_a_malformed_index_with_a_checksum_that_fits_is_made_anew(
    records: Path, change: Callable[[dict[str, Any]], object]
):
    whole = index_path(records).read_bytes()
    change_state(records, change)

    assert names(records) == {"cat"}
    assert index_path(records).read_bytes() == whole


def test_no_change_of_bytes_gives_an_error_or_other_labels(records: Path):
    whole, rng = index_path(records).read_bytes(), random.Random(1)
    for _ in range(10):
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        index_path(records).write_bytes(bytes(changed))

        assert {label.box for sample in record_samples(records) for label in sample.labels} == {(1, 2, 3, 4)}
        assert names(records) == {"cat"}
