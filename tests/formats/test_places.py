"""Files of a data set wherever they lie, linked folders included."""

from __future__ import annotations

from pathlib import Path

from taolite.formats.places import files_below


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files_below(root, (".jpg",))]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_linked_folders_are_looked_into_and_hidden_ones_are_not(tmp_path: Path):
    root, big = tmp_path / "set", tmp_path / "big"
    touch(root / "own/a.jpg", root / ".cache/b.jpg", big / "c.JPG", big / "deep/d.jpg", big / "e.txt")
    (root / "linked").symlink_to(big)

    assert names(root) == ["linked/c.JPG", "linked/deep/d.jpg", "own/a.jpg"]
    (tmp_path / "door").symlink_to(root)
    assert names(tmp_path / "door") == names(root)


def test_no_folder_comes_twice_and_none_that_holds_the_root(tmp_path: Path):
    root = tmp_path / "set"
    touch(root / "images/a.jpg", tmp_path / "other/b.jpg")
    for link, to in (
        ("JPEGImages", root / "images"),
        ("images/again", root),
        ("images/up", tmp_path),
        ("x", root / "y"),
        ("y", root / "x"),
    ):
        (root / link).symlink_to(to)

    assert names(root) == ["images/a.jpg"]
