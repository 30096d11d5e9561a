"""Class folders in tars are read as the folders they were made of, whichever way tar was called."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite.errors import DataError
from taolite.events import Event, Notice
from taolite.formats.folders import class_names, read_folders
from taolite.formats.tar_folders import read_tar_folders, tar_class_names
from taolite.formats.tars import list_tars, tar_files

Draw = Callable[..., Path]


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """`pets/train` with three cats, of which one lies deeper, and a dog stored sideways."""
    root = tmp_path / "pets" / "train"
    draw(root / "cat" / "b.JPG", hw=(20, 30))
    draw(root / "cat" / "c.png", hw=(11, 12))
    draw(root / "cat" / "indoors" / "a.png", hw=(40, 50))
    draw(root / "dog" / "c.jpg", hw=(48, 32), orientation=6)
    (root / ".DS_Store").touch()
    (root / "cat" / "._b.JPG").write_bytes(b"what macOS puts beside a file")
    return root


def packed(root: Path, top: str, *shards: str) -> str:
    """Tars of the class folders in `root`, below `top`: a shard for each of the words, of what they match."""
    for number, words in enumerate(shards):
        with tarfile.open(root.parent / f"{root.name}-{number}.tar", "w") as tar:
            for path in sorted(path for word in words.split() for path in root.glob(word)):
                tar.add(path, f"{top}{path.relative_to(root)}")
    return str(root.parent / f"{root.name}-*.tar")


def read(pattern: str, **options: object) -> list[tuple[str, tuple[int, int], str]]:
    listings = list_tars(tar_files(pattern, field="train_dataset_path"), measured=True)
    samples = read_tar_folders(listings, spelled=pattern, **options)  # type: ignore[arg-type]
    return [("/".join(one.image.parts[-2:]), one.size_hw, one.labels[0].name) for one in samples]


def names(pattern: str, least: int = 1) -> tuple[str, ...]:
    listings = list_tars(tar_files(pattern, field="train_dataset_path"), measured=True)
    return tar_class_names(listings, spelled=pattern, least=least)


@pytest.mark.parametrize("top", ["", "./", "train/", "data/pets/train/"])
@pytest.mark.parametrize(
    "shards", [("cat", "dog"), ("cat dog",), ("cat/b* dog", "cat/c*", "cat/i*")], ids=["one each", "one", "mixed"]
)
def test_tars_give_what_the_folders_gave(pets: Path, top: str, shards: tuple[str, ...]):
    expected = [("/".join(one.image.parts[-2:]), one.size_hw, one.labels[0].name) for one in read_folders(pets)]
    pattern = packed(pets, top, *shards)

    assert len(expected) == 4
    assert sorted(read(pattern)) == sorted(expected)
    assert names(pattern, least=2) == class_names(pets)


def test_a_single_class_is_the_last_folder(pets: Path):
    assert read(packed(pets, "val/", "dog")) == [("dog/c.jpg", (32, 48), "dog")]


def test_what_is_odd_is_told_as_of_folders(pets: Path, draw: Draw):
    draw(pets / "beside.jpg", hw=(8, 8))
    (pets / "dog" / "notes.txt").write_text("not a picture")
    heard: list[str] = []

    def hear(event: Event) -> None:
        assert isinstance(event, Notice)
        heard.append(event.text)

    pattern = packed(pets, "", "*")
    assert len(read(pattern, classes=("bird", "cat"), leave_out_others=True, listener=hear)) == 3
    assert heard == [
        "train-*.tar: folders of other classes are left out: `dog`",
        "train-*.tar: pictures outside the class folders, without a class: 1, such as beside.jpg",
        "train-*.tar: files that are not pictures: 1",
        "train-*.tar: has no picture of `bird`",
    ]


def test_a_damaged_picture_is_told_and_may_be_left_out(pets: Path):
    path = pets / "cat" / "c.png"
    path.write_bytes(path.read_bytes()[:-30])
    pattern = packed(pets, "", "*")

    with pytest.raises(DataError, match=r"^cat/c\.png: not a readable image \(.*\); replace the file or remove it$"):
        read(pattern)
    assert len(read(pattern, skip_corrupt=True)) == 3


def test_tars_that_hold_no_classes_are_one_message(pets: Path, draw: Draw):
    pattern = packed(pets, "", "cat/b.JPG")
    with pytest.raises(DataError) as caught:
        names(pattern, least=2)
    text = "holds no folder but `cat`; one is needed for each class, and two classes at least"
    assert str(caught.value) == f"{pattern}: {text}"
    with pytest.raises(DataError, match=r"has folders of no known class: `cat`; the classes are `bird`, `dog`;"):
        read(pattern, classes=("bird", "dog"))
    draw(pets.parent / "val" / "cat" / "d.png", hw=(9, 9))
    with pytest.raises(DataError) as caught:
        names(packed(pets.parent, "", "*/*"))
    text = "holds the splits `train`, `val`; make a tar file of each"
    assert str(caught.value) == f"{pets.parent.parent}/pets-*.tar: {text}"
