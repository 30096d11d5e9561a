"""Names in a file against Python's own sort and shuffle of a list."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from taolite.errors import StorageError
from taolite.stages.convert import sorted_names as room
from taolite.stages.convert.sorted_names import sorted_names
from taolite.stages.convert.staging import Staging


@pytest.fixture
def scratch() -> Iterator[FileIO]:
    with TemporaryFile(buffering=0) as file:
        yield file


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_RUN", 5), ("_MERGED", 3), ("_BLOCK", 2)):
        monkeypatch.setattr(room, name, size)


def some_names(count: int) -> list[str]:
    """Names of 1 to 14 bytes, of letters beyond ASCII and of a byte that is no UTF-8 too, no two the same."""
    rng = random.Random(count)
    letters = ["a", "B", "-", ".", " ", "\n", "é", "鳥", os.fsdecode(b"\xff")]
    return list(dict.fromkeys("".join(rng.choices(letters, k=rng.randint(1, 4))) + str(n % 7) for n in range(count)))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 16, 100, 400])
def test_names_are_sorted_by_their_bytes_however_many_runs_they_take(scratch: FileIO, count: int):
    names = some_names(count)

    assert list(sorted_names(names, scratch)) == sorted(names, key=os.fsencode)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 50])
def test_names_are_shuffled_as_a_list_is_and_others_stay(scratch: FileIO, count: int):
    names = [f"{number:03d}" for number in range(count + 6)]
    kept = sorted_names(names, scratch)
    middle = names[3 : 3 + count]
    random.Random(7).shuffle(middle)

    kept.part(3, 3 + count).shuffle(random.Random(7))

    assert list(kept) == [*names[:3], *middle, *names[3 + count :]]
    assert [kept[at] for at in range(len(kept))] == list(kept)


def test_names_that_find_no_room_are_one_message():
    with FileIO("/dev/full", "r+b") as full, pytest.raises(StorageError, match="/dev/full: the disk is full"):
        sorted_names(["a"], full)


def test_the_file_of_names_lies_unseen_where_the_files_will(tmp_path: Path):
    with Staging(tmp_path / "new" / "kitti").scratch() as file:
        assert sorted_names(["b", "a"], file)[0] == "a"
        assert (file.name, os.fstat(file.fileno()).st_nlink) == (str(tmp_path), 0)

    assert list(tmp_path.iterdir()) == []
