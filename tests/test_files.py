"""Files appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from taolite.errors import PathError, StorageError
from taolite.files import open_atomic, write_bytes, write_text


def test_a_file_appears_with_its_folders(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "猫\n")

    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "猫\n".encode()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c.txt"]


def test_a_failure_on_the_way_keeps_the_old_file_and_leaves_no_half(tmp_path):
    write_bytes(tmp_path / "f", b"old")

    def interrupted() -> None:
        with open_atomic(tmp_path / "f") as stream:
            stream.write(b"new, but")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"f": b"old"}


def test_a_process_that_is_killed_on_the_way_keeps_the_old_file(tmp_path):
    write_bytes(tmp_path / "f", b"old")
    code = (
        "import os, sys; from pathlib import Path; from taolite.files import open_atomic\n"
        "with open_atomic(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'new'); stream.flush(); os.kill(os.getpid(), 9)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")])

    assert done.returncode == -9
    assert (tmp_path / "f").read_bytes() == b"old"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "f").touch()

    with pytest.raises(PathError) as caught:
        write_bytes(tmp_path / "f" / "g", b"x")

    assert str(caught.value) == (
        f"{tmp_path}/f/g: a file stands where a folder is needed (or the reverse); move it or choose another"
    )


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "f").mkdir()

    with pytest.raises(PathError) as caught:
        write_bytes(tmp_path / "f", b"x")

    assert str(caught.value) == (
        f"{tmp_path}/f: a file stands where a folder is needed (or the reverse); move it or choose another"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError) as caught:
            write_bytes(tmp_path / "f", b"x")
    finally:
        tmp_path.chmod(0o700)

    assert str(caught.value) == (
        f"{tmp_path}/f: this folder cannot be written to; change its permissions or choose another"
    )
