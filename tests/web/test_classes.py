"""Names that a folder can have, and the list that they stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite.errors import PathError, UsageError
from taolite.web.classes import ClassList, refuse_name


@pytest.mark.parametrize("name", ["cat", "guide dog", "猫", "a-b_c.1", "Ñandú", "con1"])
def test_a_usual_name_is_a_class(name: str):
    refuse_name(name, folder=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "a class name is empty; choose another name"),
        ("..", "class name `..` cannot be the name of a folder on every system; choose another name"),
        ("../../etc", "class name `../../etc` cannot be the name of a folder: it holds /; choose another name"),
        ("a\\b", "class name `a\\b` cannot be the name of a folder: it holds \\; choose another name"),
        (".hidden", "class name `.hidden` cannot be the name of a folder on every system; choose another name"),
        ("NUL.txt", "class name `NUL.txt` cannot be the name of a folder on every system; choose another name"),
        ("a\0b", "class name `a\\x00b` holds control characters or line breaks; choose another name"),
        ("a\nb", "class name `a\\nb` holds control characters or line breaks; choose another name"),
        (" a", "class name ` a` begins or ends with a blank; choose another name"),
        ("background", "class name `background` means a picture without an object; choose another name"),
        ("猫" * 80, f"class name `{'猫' * 57}...` is longer than 200 bytes; choose another name"),
    ],
)
def test_a_name_that_no_folder_can_have_is_refused(name: str, said: str):
    with pytest.raises(UsageError) as caught:
        refuse_name(name, folder=True)

    assert str(caught.value) == said


def test_classes_with_boxes_are_no_folders():
    refuse_name("4/4 note", folder=False)


def test_trailing_blank_lines_are_no_classes(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n\n  \n")

    assert ClassList(tmp_path / "labels.txt", found=list, folders=True).names == ("cat", "dog")


def test_without_a_list_the_classes_are_those_of_the_data_and_a_new_one_writes_the_list(tmp_path: Path):
    classes = ClassList(tmp_path / "labels.txt", found=lambda: ["dog"], folders=True)
    assert (classes.names, classes.is_written) == (("dog",), False)

    classes.add(["cat"])

    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\n"
    assert (classes.names, classes.is_written) == (("cat", "dog"), True)


def test_classes_with_boxes_keep_their_numbers_when_one_is_added(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("zebra\nbear\n")
    classes = ClassList(tmp_path / "labels.txt", found=list, folders=False)

    classes.add(["ant"])

    assert classes.names == ("zebra", "bear", "ant")


def test_two_classes_do_not_share_a_folder_on_a_system_without_upper_case(tmp_path: Path):
    classes = ClassList(tmp_path / "labels.txt", found=lambda: ["cat"], folders=True)

    with pytest.raises(UsageError, match=r"^there is a class `cat` already; choose another name than `Cat`$"):
        classes.add(["Cat"])


def test_a_list_that_was_changed_on_the_disk_is_read_again(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("cat\n")
    classes = ClassList(tmp_path / "labels.txt", found=list, folders=True)

    (tmp_path / "labels.txt").write_text("cat\nowl\n")
    assert classes.names == ("cat", "owl")
    (tmp_path / "labels.txt").unlink()
    assert classes.names == ()


def test_an_empty_list_is_none(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("\n")

    assert not ClassList(tmp_path / "labels.txt", found=list, folders=True).is_written


def test_a_list_in_a_place_that_cannot_be_written_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(PathError, match="a file is where a folder should be"):
        ClassList(tmp_path / "file" / "labels.txt", found=list, folders=True).add(["a"])
