"""VOC folders as they are found in the wild: which images train and judge, which classes, which boxes are left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from taolite.errors import DataError, PathError, UsageError
from taolite.formats.voc_sets import read_voc_classes, read_voc_set

Draw = Callable[..., Path]
Box = tuple[str, float, float, float, float]
CAT: Box = ("cat", 11, 21, 30, 50)


class Root:
    """A VOC folder that grows by pictures of 60x80 (height, width) and by lists."""

    def __init__(self, path: Path, draw: Draw) -> None:
        self.path, self._draw = path, draw

    def add(self, stem: str, *boxes: Box, suffix: str = ".jpg", extra: str = "", picture: bool = True) -> Path:
        objects = "".join(
            f"<object><name>{name}</name>{extra}\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
            f"<ymax>{y2}</ymax></bndbox></object>\n"
            for name, x1, y1, x2, y2 in boxes
        )
        annotation = self.path / "Annotations" / f"{stem}.xml"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(f"<annotation><filename>{stem}</filename>\n{objects}</annotation>")
        if picture:
            kind = ".png" if suffix.lower() == ".png" else ".jpg"
            made = self._draw(self.path / "JPEGImages" / f"{stem}{kind}", hw=(60, 80), seed=sum(stem.encode()))
            made.rename(made.with_suffix(suffix))
        return annotation

    def list(self, name: str, text: str | Sequence[str], *, folder: str = "ImageSets/Main") -> None:
        path = self.path / folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((text if isinstance(text, str) else "".join(f"{line}\n" for line in text)).encode())

    def labels(self, text: str) -> None:
        (self.path / "labels.txt").write_bytes(text.encode())

    def stems(self, split: str) -> list[str]:
        return [sample.image.stem for sample in read_voc_set(self.path, split=split).samples]

    def told(self, split: str = "train") -> list[str]:
        return [notice.text.replace(f"{self.path}", "ROOT") for notice in read_voc_set(self.path, split=split).notices]


@pytest.fixture
def root(tmp_path: Path, draw: Draw) -> Root:
    """Eight pictures with a cat each, `a` to `h`, and `labels.txt`; no lists."""
    made = Root(tmp_path / "set", draw)
    for stem in "abcdefgh":
        made.add(stem, CAT)
    made.labels("cat\n")
    return made


@pytest.mark.parametrize(
    ("lists", "trains", "judges"),
    [
        ({"trainval": "abc", "test": "de"}, "abc", "de"),
        ({"trainval": "abcf", "train": "abc", "val": "f", "test": "de"}, "abcf", "de"),
        ({"train": "abc", "val": "f", "test": "de"}, "abcf", "de"),
        ({"train": "abc", "test": "de"}, "abc", "de"),
        ({"train": "abc", "val": "f"}, "abc", "f"),
        ({"trainval": "abcf", "val": "f"}, "abc", "f"),
        ({"default": "abcdef", "test": "de"}, "abcf", "de"),
        ({"test": "de"}, "abcfgh", "de"),
    ],
)
def test_the_lists_that_are_there_say_which_images_train_and_which_judge(
    root: Root, lists: dict[str, str], trains: str, judges: str
):
    for name, stems in lists.items():
        root.list(name, list(stems))

    assert (root.stems("train"), root.stems("test")) == (list(trains), list(judges))


@pytest.mark.parametrize("name", ["trainval", "train", "default", None])
def test_images_that_no_list_judges_are_split_the_same_way_at_every_call_and_this_is_told(root: Root, name: str | None):
    if name is not None:
        root.list(name, list("abcdefgh"))

    trains, judges = root.stems("train"), root.stems("test")

    assert (len(trains), len(judges)) == (6, 2)  # a fifth of 8 is 1.6
    assert sorted(trains + judges) == list("abcdefgh")
    assert (root.stems("train"), root.stems("test")) == (trains, judges)
    assert root.told() == [
        "ROOT: no split lists found: using a fixed split, 6 images for training, 2 for validation",
    ]


@pytest.mark.parametrize("folder", ["ImageSets/Main", "Main", "ImageSets", "."])
@pytest.mark.parametrize(
    "text",
    ["a\nb\n", "a\r\nb\r\n", "a\n\n  \nb", "a.jpg\nb.jpg\n", "JPEGImages/a.jpg\nb.xml\n", "a  1\nb -1\n", "a\nb\na\n"],
)
def test_lists_have_their_ids_however_they_are_written_and_wherever_they_lie(root: Root, folder: str, text: str):
    root.list("trainval", text, folder=folder)
    root.list("test", "c\n", folder=folder)

    assert root.stems("train") == ["a", "b"]


def test_images_that_train_and_judge_are_told_with_their_number(root: Root):
    root.list("trainval", list("abcd"))
    root.list("test", list("cde"))

    assert root.told("test") == [
        "ROOT/ImageSets/Main/test.txt: 2 of its 3 images are used for training as well (trainval.txt), so the score "
        "says little about new pictures; take them out of one list"
    ]


def test_images_without_annotation_or_picture_are_left_out_and_counted(root: Root):
    root.add("lost", CAT, picture=False)
    root.list("trainval", ["a", "b", "lost", "gone", "away"])
    root.list("test", ["c"])

    assert root.stems("train") == ["a", "b"]
    assert root.told()[1:] == [
        "ROOT/ImageSets/Main/trainval.txt: 2 of 5 images left out, no annotation: `away`, `gone`",
        "ROOT/ImageSets/Main/trainval.txt: 1 of 5 images left out, no picture: `lost`",
    ]


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".JPEG", ".Png", ".PNG"])
def test_pictures_have_their_extension_in_any_case(root: Root, suffix: str):
    root.add("x", CAT, suffix=suffix)
    root.list("trainval", ["x"])
    root.list("test", ["a"])

    assert [sample.image.name for sample in read_voc_set(root.path).samples] == [f"x{suffix}"]


def test_a_picture_is_the_one_named_as_its_annotation_whatever_filename_says(root: Root):
    text = (root.path / "Annotations/a.xml").read_text()
    (root.path / "Annotations/a.xml").write_text(text.replace("<filename>a<", "<filename>b.jpg<"))
    root.list("trainval", ["a"])
    root.list("test", ["c"])

    assert root.stems("train") == ["a"]


@pytest.mark.parametrize(
    ("text", "classes", "told"),
    [
        ("cat\ndog", ("cat", "dog"), []),
        ("cat\r\ndog\r\n\r\n", ("cat", "dog"), []),
        ("\ncat\n\ndog\n", ("cat", "dog"), [":1: this line is blank", ":3: this line is blank"]),
        ("BACKGROUND\ncat\ndog\n", ("cat", "dog"), [":1: this line is `BACKGROUND`"]),
        ("cat\ndog\ncat\n", ("cat", "dog"), [":3: this line is `cat` a second time"]),
    ],
)
def test_labels_txt_names_the_classes_and_its_odd_lines_are_none(
    root: Root, text: str, classes: tuple[str, ...], told: list[str]
):
    root.labels(text)

    part = read_voc_set(root.path)

    assert part.classes == classes
    assert [notice.text for notice in part.notices[: len(told)]] == [
        f"{root.path}/labels.txt{line}; it is ignored" for line in told
    ]


def test_without_labels_txt_the_classes_are_those_of_all_annotations(root: Root):
    (root.path / "labels.txt").unlink()
    root.add("z", ("zebra", 1, 1, 9, 9), ("background", 1, 1, 9, 9))
    root.list("trainval", ["a"])
    root.list("test", ["z"])

    for split in ("train", "test"):
        part = read_voc_set(root.path, split=split)
        assert part.classes == ("cat", "zebra")
        assert part.notices[0].text.endswith(
            "no labels.txt; the classes are those that its annotations name: cat, zebra"
        )


def test_labels_of_no_class_are_left_out_and_another_case_is_taken(root: Root):
    path = root.add("x", ("Cat", 1, 1, 9, 9), ("car", 1, 1, 9, 9), ("BACKGROUND", 1, 1, 9, 9))
    root.list("trainval", ["x"])
    root.list("test", ["a"])

    part = read_voc_set(root.path)

    assert [label.name for label in part.samples[0].labels] == ["cat"]
    assert [notice.text for notice in part.notices[1:]] == [
        f"{path}:3: `Cat` is read as the class `cat`",
        f"{path}:5: `car` is not one of the classes (cat) and is left out; did you mean `cat`?",
        f"{path}:7: `BACKGROUND` is not one of the classes (cat) and is left out",
    ]


def test_boxes_without_area_in_their_picture_are_left_out_by_file_and_line(root: Root):
    path = root.add(
        "x", ("cat", 5, 5, 5, 5), ("cat", 30, 5, 10, 20), ("cat", 90, 5, 99, 20), ("cat", -9, -9, 200, 300), CAT
    )
    root.list("trainval", ["x"])
    root.list("test", ["a"])

    part = read_voc_set(root.path)

    assert [label.box for label in part.samples[0].labels] == [(0, 0, 80, 60), (10, 20, 30, 50)]
    assert [notice.text for notice in part.notices[1:]] == [
        f"{path}:3: `cat` at (4, 4, 4, 4) has no area inside the 80x60 picture; it is left out",
        f"{path}:5: `cat` at (29, 4, 9, 20) has no area inside the 80x60 picture; it is left out",
        f"{path}:7: `cat` at (89, 4, 99, 20) has no area inside the 80x60 picture; it is left out",
    ]


def test_pictures_without_an_object_that_counts_stay_as_background(root: Root):
    root.add("empty")
    root.add("other", ("car", 1, 1, 9, 9))
    root.add("hard", CAT, extra="<difficult>1</difficult>")
    root.list("trainval", ["empty", "hard", "other"])
    root.list("test", ["a"])

    part = read_voc_set(root.path)

    assert [[(label.name, label.difficult) for label in sample.labels] for sample in part.samples] == [
        [], [("cat", True)], []
    ]  # fmt: skip
    assert part.notices[1].level == "info"
    assert part.notices[1].text.endswith("1 of 3 images without an object, kept as background: `empty.jpg`")


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((0, 0, 80, 60), (1, 1, 30, 50)),  # two corners at 0, none at 1 but in `x`
        ((1, 1, 80, 60), (0, 0, 30, 50)),  # VOC's first pixel is 1
    ],
)
def test_a_set_whose_boxes_begin_at_0_more_often_than_at_1_counts_from_0(
    root: Root, corners: tuple[float, ...], box: tuple[float, ...]
):
    root.add("x", ("cat", 1, 1, 30, 50))
    for stem in "ab":
        root.add(stem, ("cat", *corners))
    root.list("trainval", ["x"])
    root.list("test", ["a"])

    assert read_voc_set(root.path).samples[0].labels[0].box == box


def test_what_camera_capture_leaves_is_read_as_it_was_drawn(root: Root):
    root.add("20240101-120000", ("cat", 0, -2, 30, 50), ("cat", 3, 0, 90, 20))
    root.add("20240101-120001")  # a frame saved without a box
    root.list("train", ["20240101-120000", "20240101-120000", "20240101-120001"])
    root.list("trainval", ["20240101-120000", "20240101-120000", "20240101-120001", "a"])
    root.list("val", ["a"])

    part = read_voc_set(root.path)

    assert [[label.box for label in sample.labels] for sample in part.samples] == [[(0, 0, 30, 50), (3, 0, 80, 20)], []]
    assert any("pixels are counted from 0" in notice.text for notice in part.notices)


def test_pictures_that_are_all_the_same_are_not_split(root: Root):
    for stem in "bcdefgh":
        (root.path / f"JPEGImages/{stem}.jpg").write_bytes((root.path / "JPEGImages/a.jpg").read_bytes())

    with pytest.raises(DataError, match="too many of its 8 pictures are the same"):
        read_voc_set(root.path)


def test_unreadable_files_are_refused_together_or_left_out_with_a_warning(root: Root):
    (root.path / "Annotations/a.xml").write_text("<annotation>\n<object>")
    picture = root.path / "JPEGImages/b.jpg"
    picture.write_bytes(picture.read_bytes()[:-200])
    root.list("trainval", ["a", "b", "c"])
    root.list("test", ["d"])

    with pytest.raises(DataError) as caught:
        read_voc_set(root.path)
    part = read_voc_set(root.path, skip_bad=True)

    assert str(caught.value).splitlines()[0] == f"{root.path}: 2 problems"
    assert f"{root.path}/Annotations/a.xml:2: not XML" in str(caught.value)
    assert f"{picture}: not a readable image" in str(caught.value)
    assert [sample.image.stem for sample in part.samples] == ["c"]
    assert sum(notice.level == "warning" for notice in part.notices) == 2


def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(root: Root, tmp_path: Path):
    with pytest.raises(PathError, match="no such folder"):
        read_voc_set(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no annotation"):
        read_voc_set(tmp_path / "empty")
    with pytest.raises(
        UsageError,
        match="no split is called `trian`; it has no lists and no split folders; a list file can be named too",
    ):
        read_voc_set(root.path, split="trian")
    root.list("trainval", ["nothing", "there"])
    root.list("test", ["a"])
    with pytest.raises(DataError, match=r"no image is left in `train`.*2 of 2 images left out, no annotation"):
        read_voc_set(root.path)


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "without_area"),
    [
        ("raccoon", (160, 173), (40, 44), ("raccoon",), 0),
        ("bccd", (292, 2382 + 968 + 214 + 87 + 209 + 83 - 2), (72, 945), ("Platelets", "RBC", "WBC"), 2),
    ],
)
def test_real_folders_are_read_as_they_are(
    shared_data: Path,
    name: str,
    train: tuple[int, int],
    test: tuple[int, int],
    classes: tuple[str, ...],
    without_area: int,
):
    parts = [read_voc_set(shared_data / name, split=split) for split in ("train", "test")]

    counts = [(len(part.samples), sum(len(sample.labels) for sample in part.samples)) for part in parts]
    assert counts == [train, test]
    assert {part.classes for part in parts} == {classes}
    assert sum("no area" in notice.text for part in parts for notice in part.notices) == without_area


def test_annotations_and_pictures_may_be_links_to_a_large_set_elsewhere(root: Root):
    before = root.stems("train")
    for name in ("Annotations", "JPEGImages"):
        (root.path / name).rename(root.path.parent / name)
        (root.path / name).symlink_to(root.path.parent / name)

    assert root.stems("train") == before
    assert {sample.image.parent for sample in read_voc_set(root.path).samples} == {root.path / "JPEGImages"}


def test_classes_are_told_without_a_look_at_pictures(root: Root):
    shutil.rmtree(root.path / "JPEGImages")
    assert read_voc_classes(root.path) == (("cat",), [])

    (root.path / "labels.txt").unlink()
    root.add("i", ("Dog", 5, 5, 9, 9), ("BACKGROUND", 5, 5, 9, 9), picture=False)
    names, notices = read_voc_classes(root.path)
    assert names == ("Dog", "cat")
    assert [notice.text for notice in notices] == [
        f"{root.path}: no labels.txt; the classes are those that its annotations name: Dog, cat"
    ]

    (root.path / "Annotations/a.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"a\.xml:1: not XML"):
        read_voc_classes(root.path)
