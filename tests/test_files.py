"""Files appear whole or not at all, and only files are opened."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from taolite.errors import PathError, StorageError, UsageError
from taolite.files import open_atomic, open_file, refuse_replacing, sync_folder, write_bytes, write_text


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


HALF = """
import os, sys
from pathlib import Path
from taolite.files import open_atomic
with open_atomic(Path(sys.argv[1])) as stream:
    stream.write(b"new")
    stream.flush()
    print("half written", flush=True)
    sys.stdin.read() if sys.argv[2] == "wait" else os.kill(os.getpid(), 9)
"""

NEXT = "import sys; from pathlib import Path; from taolite.files import write_text; write_text(Path(sys.argv[1]), '')"


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".partial")]


def test_a_process_that_is_killed_on_the_way_keeps_the_old_file_and_the_next_one_removes_its_half(tmp_path):
    write_bytes(tmp_path / "f", b"old")
    done = subprocess.run([sys.executable, "-c", HALF, str(tmp_path / "f"), "die"], stdout=subprocess.DEVNULL)
    assert done.returncode == -9
    assert (tmp_path / "f").read_bytes() == b"old"
    assert len(partials(tmp_path)) == 1
    (tmp_path / ".mine.partial").touch()  # of somebody else

    code = (
        "import sys; from pathlib import Path; from taolite.files import write_text; write_text(Path(sys.argv[1]), '')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "g")], check=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.partial", "f", "g"]


def test_what_a_living_process_has_half_written_is_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    command = [sys.executable, "-c", HALF, str(tmp_path / "f"), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "half written\n"

        write_text(tmp_path / "g", "x")
        assert len(partials(tmp_path)) == 1
        writer.stdin.close()
        assert writer.wait() == 0

    assert (tmp_path / "f").read_bytes() == b"new"
    assert partials(tmp_path) == []


def test_a_half_that_was_swept_away_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    lock, swept = fcntl.flock, []

    def swept_first(stream: object, how: int) -> None:
        if not swept:
            swept.extend(path.unlink() or path for path in tmp_path.glob(".f.*.partial"))
        lock(stream, how)

    monkeypatch.setattr(fcntl, "flock", swept_first)
    write_bytes(tmp_path / "f", b"new")

    assert len(swept) == 1
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        done.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)

    write_bytes(tmp_path / "f", b"x")

    assert done[0].startswith(f"{tmp_path}/.f.")
    assert done[1:] == ["renamed", str(tmp_path)]


def test_the_files_of_a_folder_are_brought_to_the_disk_once_at_the_end(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    for name in ("a", "b/c"):
        with open_atomic(tmp_path / "set" / name, durable=False) as stream:
            stream.write(b"x")
    assert done == []
    (tmp_path / "elsewhere").touch()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")

    sync_folder(tmp_path / "set")

    assert sorted(done) == [f"{tmp_path}/set", f"{tmp_path}/set/a", f"{tmp_path}/set/b", f"{tmp_path}/set/b/c"]


def test_a_file_that_would_take_the_place_of_what_is_read_is_refused_by_whatever_path(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.tlt").write_bytes(b"x")
    (tmp_path / "link.tlt").symlink_to("m.tlt")
    (tmp_path / "other.tlt").write_bytes(b"x")

    for target in (tmp_path / "m.tlt", tmp_path / "sub" / ".." / "m.tlt", tmp_path / "link.tlt"):
        with pytest.raises(UsageError) as caught:
            refuse_replacing(tmp_path / "m.tlt", target)
        assert str(caught.value) == (
            f"{target}: this is the input model, and it would be replaced; choose another output"
        )
    refuse_replacing(tmp_path / "m.tlt", tmp_path / "other.tlt")
    refuse_replacing(tmp_path / "m.tlt", tmp_path / "none.tlt")
    refuse_replacing(tmp_path / "none.tlt", tmp_path / "none.tlt")


def test_a_half_that_cannot_be_removed_does_not_hide_why_it_was_not_finished(tmp_path, monkeypatch):
    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)

    def full() -> None:
        with open_atomic(tmp_path / "f"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError) as caught:
        full()

    assert str(caught.value) == (
        f"{tmp_path}/f: the disk is full; nothing was replaced. Free some space and run it again"
    )


def test_the_longest_name_a_file_can_have_is_written(tmp_path):
    name = "猫" * 85  # 255 bytes

    write_bytes(tmp_path / name, b"x")

    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "f").touch()

    with pytest.raises(PathError) as caught:
        write_bytes(tmp_path / "f" / "g", b"x")

    assert str(caught.value) == (
        f"{tmp_path}/f/g: a file is where a folder should be, or the reverse; move it or choose another path"
    )


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "f").mkdir()

    with pytest.raises(PathError) as caught:
        write_bytes(tmp_path / "f", b"x")

    assert str(caught.value) == (
        f"{tmp_path}/f: a file is where a folder should be, or the reverse; move it or choose another path"
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


def test_only_files_are_opened_and_what_is_none_is_named_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "file").write_bytes(b"x")
        (tmp_path / "link").symlink_to(tmp_path / "file")
        said = {}
        for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "file" / "f"):
            with pytest.raises(PathError) as caught:
                open_file(path)
            said[path.name] = str(caught.value).removeprefix(f"{path}: ")
        with pytest.raises(PathError):
            open_file(tmp_path / "socket")

    assert said == {
        "none": "no such file",
        tmp_path.name: "this is a folder; a file is needed",
        "pipe": "this is a pipe; a file is needed",
        "zero": "this is a device; a file is needed",
        "f": "cannot be read (Not a directory)",
    }
    with open_file(tmp_path / "link") as stream:
        assert stream.read() == b"x"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b", "'a\\x00b': no file can have this name (embedded null byte)"),
        ("a" * 300, f"{'a' * 300}: cannot be read (File name too long)"),
    ],
)
def test_a_name_that_no_file_can_have_is_a_users_mistake(name, said):
    with pytest.raises(PathError) as caught:
        open_file(Path(name))

    assert str(caught.value) == said
