"""What one press of a button writes is there whole, or not at all, and can be taken back."""

from __future__ import annotations

import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from taolite.errors import PathError, StorageError, UsageError
from taolite.web.shots import Shots, free_stem, listed

NOW = datetime(2026, 11, 30, 9, 5, 7, 45_999)


def full(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """The disk is full after so many more files."""
    count = iter(range(1000))

    def fsync(handle: int) -> None:
        if next(count) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_name_is_the_time_and_two_pictures_of_one_moment_do_not_share_it():
    taken: set[str] = set()
    for _ in range(3):
        taken.add(free_stem(taken.__contains__, now=NOW))

    assert taken == {"20261130-090507-045", "20261130-090507-045-2", "20261130-090507-045-3"}


def test_undo_removes_new_files_and_gives_changed_ones_their_content_back(tmp_path: Path):
    (tmp_path / "old.json").write_text("before")
    shots = Shots()
    with shots.shot("a shot") as shot:
        shot.write(tmp_path / "new.jpg", b"picture")
        shot.write(tmp_path / "old.json", b"after")
        shot.enlist(tmp_path / "train.txt", "new", True)
    assert (tmp_path / "old.json").read_text() == "after"

    assert shots.undo().what == "a shot"

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old.json": "before"}
    with pytest.raises(UsageError, match=r"^there is nothing to undo"):
        shots.undo()


def test_a_list_has_a_name_once_and_other_names_stay(tmp_path: Path):
    path, shots = tmp_path / "train.txt", Shots()
    path.write_text("a\r\n\nb  \n", newline="")
    for _ in range(2):
        with shots.shot("c") as shot:
            shot.enlist(path, "c", True)
    assert listed(path) == ["a", "b", "c"]

    shots.undo()
    assert listed(path) == ["a", "b", "c"]  # the second shot put nothing into it
    shots.undo()
    assert listed(path) == ["a", "b"]


def test_a_file_that_was_changed_since_is_not_removed(tmp_path: Path):
    path, shots = tmp_path / "a.json", Shots()
    with shots.shot("first") as shot:
        shot.write(tmp_path / "b.json", b"")
    with shots.shot("second") as shot:
        shot.write(path, b"ours")
    path.write_text("theirs")

    with pytest.raises(PathError) as caught:
        shots.undo()

    assert str(caught.value) == f"{path}: this file was changed after it was saved here, so it is left as it is"
    assert path.read_text() == "theirs"
    assert shots.last is not None
    assert shots.last.what == "first"


def test_a_file_that_is_gone_already_does_not_stop_undo(tmp_path: Path):
    shots = Shots()
    with shots.shot("s") as shot:
        shot.write(tmp_path / "a.jpg", b"a")
        shot.write(tmp_path / "a.json", b"b")
    (tmp_path / "a.json").unlink()

    shots.undo()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_full_disk_leaves_nothing_of_the_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int):
    shots = Shots()
    full(monkeypatch, after=2 * written)  # a file, and its folder

    def save() -> None:
        with shots.shot("s") as shot:
            shot.write(tmp_path / "a.jpg", b"a")
            shot.write(tmp_path / "a.xml", b"b")
            shot.enlist(tmp_path / "train.txt", "a", True)

    with pytest.raises(StorageError, match="the disk is full; nothing was replaced"):
        save()

    assert list(tmp_path.iterdir()) == []
    assert shots.last is None


def test_a_shot_that_could_not_be_undone_can_be_undone_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.json").write_text("before")
    shots = Shots()
    with shots.shot("s") as shot:
        shot.write(tmp_path / "a.json", b"after")

    with monkeypatch.context() as patch:
        full(patch)
        with pytest.raises(StorageError):
            shots.undo()
    shots.undo()

    assert (tmp_path / "a.json").read_text() == "before"
