"""Files appear whole or not at all, and only files are opened."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from taolite.errors import PathError, StorageError, UsageError
from taolite.files import (
    open_atomic,
    open_file,
    refuse_replacing,
    remove,
    sync_folder,
    whole_file,
    whole_folder,
    write_bytes,
    write_text,
)


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
    monkeypatch.setattr("taolite.files.sync_disk", lambda folder: False)
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


STDOUT = """
import sys
from pathlib import Path
from taolite.files import write_text
print("before", flush=True)
write_text(Path(sys.argv[1]), "from us\\n")
print("after", flush=True)
"""


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there are no names of open files here")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_standard_output_is_written_to_in_order_and_not_replaced(tmp_path, name):
    command = [sys.executable, "-c", STDOUT, name]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with open(tmp_path / "out.txt", "wb") as stream:
        subprocess.run(command, stdout=stream, check=True)

    assert piped == "before\nfrom us\nafter\n"
    assert (tmp_path / "out.txt").read_text() == piped
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert Path("/dev/stdout").is_symlink()


def test_a_device_and_a_pipe_stay_what_they_are(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(tmp_path / "link", b"through the pipe")
        assert os.read(reader, 100) == b"through the pipe"
    finally:
        os.close(reader)
    write_bytes(Path("/dev/null"), b"x")

    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert Path("/dev/null").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StorageError) as caught:
        write_bytes(tmp_path / "pipe", b"lost")

    assert str(caught.value) == f"{tmp_path}/pipe: nobody reads this pipe; start its reader first, or choose a file"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_device_that_is_full_is_named():
    with pytest.raises(StorageError) as caught:
        write_bytes(Path("/dev/full"), b"x")

    assert str(caught.value) == "/dev/full: the disk is full; nothing was replaced. Free some space and run it again"
    assert Path("/dev/full").is_char_device()


def test_a_folder_appears_with_all_its_files_on_the_disk_or_not_at_all(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    (tmp_path / "set").mkdir()  # an empty one is replaced

    with whole_folder(tmp_path / "set") as folder:
        (folder / "a").write_text("1")
        assert list((tmp_path / "set").iterdir()) == []

    def interrupted() -> None:
        with whole_folder(tmp_path / "other") as folder:
            (folder / "a").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [path.name for path in tmp_path.rglob("*")] == ["set", "a"]
    assert done[0] == "a"
    assert done[1].startswith(".set.")
    assert done[2:] == [tmp_path.name]


def test_a_folder_with_files_in_it_is_not_replaced(tmp_path):
    write_bytes(tmp_path / "set" / "mine", b"x")

    def late() -> None:
        with whole_folder(tmp_path / "set") as folder:
            (folder / "a").write_text("1")

    with pytest.raises(StorageError) as caught:
        late()

    assert str(caught.value) == f"{tmp_path}/set: Directory not empty; nothing was replaced"
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "mine"]


def test_a_library_writes_a_file_by_name_which_appears_when_it_is_whole(tmp_path):
    with whole_file(tmp_path / "new" / "f") as path:
        path.write_bytes(b"whole")
        assert not (tmp_path / "new" / "f").exists()

    assert {one.name: one.read_bytes() for one in (tmp_path / "new").iterdir()} == {"f": b"whole"}


HALVES = """
import os, sys
from pathlib import Path
from taolite.partials import Partial
root = Path(sys.argv[1])
folder = Partial(root / "set", is_folder=True)
video, empty = (Partial(root / name, ending=".mp4") for name in ("a.mp4", "b.mp4"))
(folder.path / "1.txt").write_text("x")
video.path.write_bytes(b"frames")
print("half written", flush=True)
sys.stdin.read() if sys.argv[2] == "wait" else os.kill(os.getpid(), 9)
"""


def test_the_next_process_removes_a_folder_and_gives_a_video_that_was_cut_off_a_name(tmp_path):
    subprocess.run([sys.executable, "-c", HALVES, str(tmp_path), "die"], stdout=subprocess.DEVNULL)
    assert len(list(tmp_path.iterdir())) == 3

    subprocess.run([sys.executable, "-c", NEXT, str(tmp_path / "g")], check=True)

    (video,) = (path for path in tmp_path.iterdir() if path.name != "g")
    assert re.fullmatch(r"a\.[0-9a-f]{8}\.mp4", video.name)
    assert video.read_bytes() == b"frames"


def test_a_folder_and_a_video_that_a_living_process_writes_are_left_alone(tmp_path):
    command = [sys.executable, "-c", HALVES, str(tmp_path), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "half written\n"

        write_text(tmp_path / "g", "x")
        assert len([path for path in tmp_path.iterdir() if ".partial" in path.name]) == 3
        assert len(list(tmp_path.glob(".set.*/1.txt"))) == 1
        writer.stdin.close()


def test_a_disk_that_refuses_to_flush_a_file_of_a_folder_is_not_passed_over(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("taolite.files.sync_disk", lambda folder: False)
    (tmp_path / "f").touch()

    with pytest.raises(StorageError) as caught:
        sync_folder(tmp_path)

    assert str(caught.value) == f"{tmp_path}: the disk is full; nothing was replaced. Free some space and run it again"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no syncfs")
def test_linux_flushes_the_disk_of_a_folder_in_one_go(tmp_path, monkeypatch):
    flushed: list[Path] = []

    class Library:
        def __init__(self, name: None, use_errno: bool) -> None:
            assert use_errno

        def syncfs(self, handle: int) -> int:
            flushed.append(Path(f"/proc/self/fd/{handle}").readlink())
            return 0

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("no file needs a flush of its own"))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="5.8.0-generic"))
    (tmp_path / "f").touch()

    sync_folder(tmp_path)

    assert flushed == [tmp_path]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no syncfs")
def test_a_kernel_that_would_not_tell_of_a_failed_write_flushes_file_by_file(tmp_path, monkeypatch):
    flushed: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(Path(f"/proc/self/fd/{handle}").readlink()))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="5.7.19"))
    (tmp_path / "f").touch()

    sync_folder(tmp_path)

    assert flushed == [tmp_path / "f", tmp_path]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no syncfs")
def test_a_disk_that_cannot_be_flushed_in_one_go_is_an_error(tmp_path, monkeypatch):
    class Library:
        def __init__(self, name: None, use_errno: bool) -> None:
            pass

        def syncfs(self, handle: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="6.1.0"))

    with pytest.raises(StorageError) as caught:
        sync_folder(tmp_path)

    assert str(caught.value) == f"{tmp_path}: Input/output error; nothing was replaced"


def test_a_disk_that_cannot_flush_a_name_says_that_the_file_is_written(tmp_path, monkeypatch):
    flush = os.fsync

    def refuse_folders(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink() == tmp_path:
            raise OSError(errno.EIO, "Input/output error")
        flush(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)

    with pytest.raises(StorageError) as caught:
        write_bytes(tmp_path / "f", b"x")

    assert str(caught.value) == (
        f"{tmp_path}/f: written, but the disk did not confirm it (Input/output error); free some space or choose "
        "another folder, and run it again"
    )
    assert (tmp_path / "f").read_bytes() == b"x"


def test_a_read_only_disk_is_told_from_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(StorageError) as caught:
        remove(tmp_path / "f")

    assert str(caught.value) == (
        f"{tmp_path}/f: this disk is mounted read-only; choose another folder, or mount it for writing"
    )


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
