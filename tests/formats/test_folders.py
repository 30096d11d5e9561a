"""Class folders: what is read, in which order, and what is said of folders that are not as they should be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import DataError, PathError
from taolite.events import Event, Notice
from taolite.formats.folders import (
    KERAS_EXTENSIONS,
    TORCHVISION_EXTENSIONS,
    check_labels,
    class_names,
    read_classmap,
    read_folders,
)
from taolite.sample import Label

Draw = Callable[..., Path]


class Heard(list[str]):
    """A listener that keeps the texts of notices."""

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.append(event.text)


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """`pets/train` with two cats, of which one lies deeper, and a dog stored sideways."""
    root = tmp_path / "pets" / "train"
    draw(root / "cat" / "b.JPG", hw=(20, 30))
    draw(root / "cat" / "indoors" / "a.png", hw=(40, 50))
    draw(root / "dog" / "c.jpg", hw=(48, 32), orientation=6)
    return root


def test_a_picture_is_labelled_whole_by_the_folder_it_lies_in_however_deep(pets: Path):
    samples = read_folders(pets)

    assert [(sample.image.relative_to(pets).as_posix(), sample.size_hw, sample.labels) for sample in samples] == [
        ("cat/b.JPG", (20, 30), (Label("cat", (0, 0, 30, 20)),)),
        ("cat/indoors/a.png", (40, 50), (Label("cat", (0, 0, 50, 40)),)),
        ("dog/c.jpg", (32, 48), (Label("dog", (0, 0, 48, 32)),)),
    ]


def test_classes_are_numbered_in_code_point_order_and_hidden_folders_are_none(tmp_path: Path):
    for name in ("ant", "Zebra", "10", "9", "äsche", ".ipynb_checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.txt").touch()

    assert class_names(tmp_path) == ("10", "9", "Zebra", "ant", "äsche")


def test_classes_and_pictures_are_those_that_torchvision_finds(shared_data: Path):
    datasets = pytest.importorskip("torchvision.datasets")

    for name, count in (("cat_dog", 560), ("cat_dog_200", 1600)):
        root = shared_data / name / "train"
        theirs, ours = datasets.ImageFolder(root), read_folders(root)

        assert list(class_names(root)) == theirs.classes
        assert [(str(one.image), theirs.class_to_idx[one.labels[0].name]) for one in ours] == theirs.samples
        assert len(ours) == count


def test_the_lists_of_extensions_are_theirs():
    folder = pytest.importorskip("torchvision.datasets.folder")

    assert set(TORCHVISION_EXTENSIONS) == set(folder.IMG_EXTENSIONS)
    assert set(KERAS_EXTENSIONS) == {
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".ppm",
        ".tif",
        ".tiff",
    }  # keras_preprocessing 1.1


def test_keras_s_extensions_leave_out_what_keras_does(pets: Path, draw: Draw):
    draw(pets / "cat" / "d.webp", hw=(10, 10))

    assert len(read_folders(pets)) == 4
    assert len(read_folders(pets, extensions=KERAS_EXTENSIONS)) == 3


def test_what_is_odd_and_does_no_harm_is_told(pets: Path, draw: Draw):
    (pets / "bird").mkdir()
    (pets / "cow").mkdir()
    (pets / "dog" / "notes.txt").write_text("good dog")
    (pets / "dog" / ".DS_Store").write_text("")
    (pets / "dog" / "._c.jpg").write_text("a Mac's shadow of c.jpg")
    draw(pets / "lost.png", hw=(5, 5))
    heard = Heard()

    assert len(read_folders(pets, listener=heard)) == 3
    assert heard == [
        f"{pets}/dog: files that are not pictures: 1, such as notes.txt",
        f"{pets}: pictures outside the class folders, without a class: 1, such as lost.png",
        f"{pets}: has no picture of `bird`, `cow`",
    ]


@pytest.fixture
def spoilt(pets: Path) -> Path:
    """`pets` with a truncated JPEG, a truncated PNG, an empty file and a text that is called a picture."""
    whole = {
        suffix: (pets / name).read_bytes() for suffix, name in ((".jpg", "cat/b.JPG"), (".png", "cat/indoors/a.png"))
    }
    for suffix, data in whole.items():
        (pets / "dog" / f"half{suffix}").write_bytes(data[: len(data) * 9 // 10])
    (pets / "dog" / "empty.jpg").touch()
    (pets / "cat" / "text.jpg").write_text("no picture")
    return pets


def test_every_picture_that_cannot_be_read_is_named_at_once(spoilt: Path):
    with pytest.raises(DataError) as caught:
        read_folders(spoilt)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"{spoilt}: 4 problems"
    for line, (name, reason) in zip(
        lines[1:],
        [("cat/text.jpg", "unknown image"), ("dog/empty.jpg", "file is empty"), ("dog/half.jpg", "truncated"),
         ("dog/half.png", "truncated")],
        strict=True,
    ):  # fmt: skip
        assert line.startswith(f"  {spoilt}/{name}: not a readable image ("), line
        assert reason in line, line


def test_pictures_that_cannot_be_read_are_left_out_on_request_and_told(spoilt: Path):
    heard = Heard()

    assert len(read_folders(spoilt, skip_corrupt=True, listener=heard)) == 3
    assert [text.partition(": ")[0] for text in heard] == [
        f"{spoilt}/{name}" for name in ("cat/text.jpg", "dog/empty.jpg", "dog/half.jpg", "dog/half.png")
    ]


def test_a_picture_with_something_after_its_end_is_whole(pets: Path):
    with open(pets / "dog" / "c.jpg", "ab") as stream:
        stream.write(b"a maker's note" * 100)

    assert len(read_folders(pets)) == 3


@pytest.mark.parametrize(
    ("folders", "least", "message"),
    [
        ((), 1, "holds no folder; one is needed for each class"),
        (("cat",), 2, "holds no folder but `cat`; one is needed for each class, and two classes at least"),
        (("train/cat", "val/cat"), 1, "holds the splits `train`, `val`; name one of them, such as {root}/train"),
    ],
)
def test_a_folder_that_holds_no_classes_is_refused(folders: tuple[str, ...], least: int, message: str, tmp_path: Path):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)

    with pytest.raises(DataError) as caught:
        class_names(tmp_path, least=least)

    assert str(caught.value) == f"{tmp_path}: {message.format(root=tmp_path)}"


def test_a_folder_that_is_not_there_and_one_without_pictures_are_two_errors(tmp_path: Path):
    with pytest.raises(PathError):
        read_folders(tmp_path / "train")
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no picture \(\.jpg, .*\) found in its class folders"):
        read_folders(tmp_path / "train")


def test_a_split_with_other_classes_than_training_s_is_refused_and_a_missing_one_told(pets: Path):
    heard = Heard()

    assert len(read_folders(pets, classes=["bird", "cat", "dog"], listener=heard)) == 3
    assert heard == [f"{pets}: has no picture of `bird`"]
    with pytest.raises(DataError) as caught:
        read_folders(pets, classes=["cat", "hound"])
    assert str(caught.value) == (
        f"{pets}: has folders of no known class: `dog`; the classes are `cat`, `hound`; rename or remove them"
    )


def test_a_classmap_may_choose_among_the_folders(pets: Path):
    heard = Heard()

    samples = read_folders(pets, classes=["dog"], leave_out_others=True, listener=heard)

    assert [sample.labels[0].name for sample in samples] == ["dog"]
    assert heard == [f"{pets}: folders of other classes are left out: `cat`"]


def test_labels_that_say_the_same_pass_and_blanks_stand_for_underscores(tmp_path: Path, shared_data: Path):
    heard = Heard()
    (tmp_path / "labels.txt").write_text("cattail\npoison ivy\r\ntrout_lily\n\n")

    check_labels(tmp_path / "labels.txt", ["cattail", "poison_ivy", "trout_lily"], listener=heard)
    check_labels(shared_data / "cat_dog" / "labels.txt", class_names(shared_data / "cat_dog" / "train"))

    assert heard == [f"{tmp_path}/labels.txt: `poison ivy` is read as the folder with `_`"]


def test_a_folder_s_own_name_goes_before_one_that_only_differs_by_its_underscore(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("a b\na_b\n")

    check_labels(tmp_path / "labels.txt", ["a b", "a_b"])


def test_a_long_list_of_names_is_checked_in_a_moment(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("\n".join(f"name {number}" for number in range(100_000)))
    before = time.process_time()

    with pytest.raises(DataError):
        check_labels(tmp_path / "labels.txt", ["cat", "dog"])

    assert time.process_time() - before < 3  # comparing each with each would take minutes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "dog\ncat\n",
            "line 1 is `dog`, and class 0 is `cat`: classes are numbered in the order of their folders' names",
        ),
        ("cat\n\ndog\n", "line 2 is blank, and every class after it has a wrong number"),
        ("cat\ncat\ndog\n", "line 2 is `cat` for the second time"),
        ("BACKGROUND\ncat\ndog\n", "`BACKGROUND` has no class folder"),
        ("cat\nhound\n", "`hound` has no class folder; the class folder `dog` has no line"),
        ("", "the class folder `cat` has no line; the class folder `dog` has no line"),
    ],
)
def test_labels_that_say_something_else_are_refused(text: str, said: str, tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_text(text)

    with pytest.raises(DataError) as caught:
        check_labels(path, ["cat", "dog"])

    assert str(caught.value) == f"{path}: {said}"


def test_a_classmap_gives_the_classes_by_number(tmp_path: Path):
    path = tmp_path / "classmap.json"
    path.write_text(json.dumps({"dog": 1, "cat": 0, "ant": 2}))

    assert read_classmap(path) == ("cat", "dog", "ant")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ":1: not JSON (Expecting property name enclosed in double quotes)"),
        ('["cat"]', ': not a classmap; it needs to be like {"cat": 0, "dog": 1}'),
        ('{"cat": "0"}', ': not a classmap; it needs to be like {"cat": 0, "dog": 1}'),
        ('{"cat": true}', ': not a classmap; it needs to be like {"cat": 0, "dog": 1}'),
        ("{}", ': not a classmap; it needs to be like {"cat": 0, "dog": 1}'),
        ('{"cat": 0, "dog": 2}', ": its numbers are 0, 2; they need to be 0 to 1, each once"),
        ('{"cat": 0, "dog": 0}', ": its numbers are 0, 0; they need to be 0 to 1, each once"),
    ],
)
def test_a_classmap_that_is_none_is_refused(text: str, said: str, tmp_path: Path):
    path = tmp_path / "classmap.json"
    path.write_text(text)

    with pytest.raises(DataError) as caught:
        read_classmap(path)

    assert str(caught.value) == f"{path}{said}"


def test_class_folders_are_a_format_that_is_read_by_name(spoilt: Path, capsys: pytest.CaptureFixture[str]):
    assert len(formats.read(spoilt.parent, "folders", split="train", strict=False)) == 3
    assert main(["dataset", "check", "--from", "folders", str(spoilt)]) == 1

    assert "4 problems" in capsys.readouterr().out
