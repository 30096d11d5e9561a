"""YOLO's dialects: numbers in any notation, columns told apart or refused by line, class names of any YAML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import formats
from taolite.errors import DataError
from taolite.formats.check import check
from taolite.formats.yolo_names import read_yolo_names
from taolite.sample import Label

Draw = Callable[..., Path]
Write = Callable[..., Path]
BOX = "0.625 0.5 0.375 0.5"  # 40 30 100 90 of 160x120
NO_FRACTION = "is no fraction of the picture; YOLO's values are 0 to 1 (for pixels: divide by the size)"
PIXELS = (70.0, 30.0, 130.0, 90.0)


@pytest.fixture
def write(tmp_path: Path, draw: Draw) -> Write:
    """`write(a=lines, b=lines, names=...)`: pictures of 120x160 with label files, and data.yaml."""

    def make(*, names: str = "names: [cat, dog]\n", yaml: str = "data.yaml", **files: str) -> Path:
        for stem, text in files.items():
            draw(tmp_path / "set/images/train" / f"{stem}.png", hw=(120, 160), seed=sum(stem.encode()))
            (tmp_path / "set/labels/train").mkdir(parents=True, exist_ok=True)
            (tmp_path / "set/labels/train" / f"{stem}.txt").write_text(text)
        (tmp_path / "set" / yaml).write_text(names)
        return tmp_path / "set"

    return make


def labels(root: Path) -> list[Label]:
    return [label for sample in formats.read(root) for label in sample.labels]


@pytest.mark.parametrize("number", ["1", "1.0", "1.000000", "1e0", "+1", "01", "10e-1"])
def test_a_class_number_has_any_notation(write: Write, number: str):
    (label,) = labels(write(a=f"{number} {BOX}\n"))

    assert (label.name, label.box) == ("dog", pytest.approx(PIXELS))


def test_a_folder_whose_class_numbers_are_floats_is_read_beside_one_of_whole_ones(write: Write):
    assert len(labels(write(a=f"0.000000 {BOX}\n", b=f"0 {BOX}\n"))) == 2


@pytest.mark.parametrize(
    ("lines", "score"),
    [
        (f"0 {BOX} 0.91\n", 0.91),  # a score
        (f"0 {BOX} 0.91 17\n", 0.91),  # Ultralytics' tracker with scores
        (f"0 {BOX} 17\n", None),  # and without
    ],
)
def test_scores_and_tracks_are_told_apart(write: Write, lines: str, score: float | None):
    (label,) = labels(write(a=lines))

    assert (label.box, label.score, label.points) == (pytest.approx(PIXELS), score, ())


def test_what_a_column_means_is_decided_for_the_whole_set(write: Write):
    found = labels(write(a=f"0 {BOX} 0.9 1\n", b=f"0 {BOX} 0.8 12\n"))

    assert [label.box for label in found] == [pytest.approx(PIXELS)] * 2


def test_polygons_and_turned_boxes_give_the_box_around_them(write: Write):
    triangle, turned = labels(write(a="0 0.25 0.25 0.75 0.25 0.5 0.75\n", b="1 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5\n"))

    assert (triangle.box, len(triangle.points)) == ((40, 30, 120, 90), 3)
    assert (turned.box, len(turned.points)) == ((40, 30, 120, 90), 4)


def test_keypoints_are_left_out_where_the_yaml_names_their_shape(write: Write):
    root = write(names="names: [cat]\nkpt_shape: [2, 3]\n", a=f"0 {BOX} 0.5 0.5 2 0.6 0.6 1\n")

    (label,) = labels(root)

    assert (label.box, label.points, label.score) == (pytest.approx(PIXELS), (), None)


def test_lines_that_look_like_keypoints_are_no_polygons(write: Write):
    pose = "0 0.5 0.5 0.4 0.6 0.4 0.3 0.6 0.7 0.5 0.5\n"
    root = write(a=pose * 2, b=pose)

    with pytest.raises(DataError) as caught:
        formats.read(root)

    assert str(caught.value).splitlines()[1] == (
        f"  {root}/labels/train/a.txt:1: 11 columns, which look like a box and keypoints; data.yaml needs `kpt_shape`, "
        "e.g. [17, 2]"
    )
    write(a=pose * 2, b=pose, names="names: [cat]\nkpt_shape: [3, 2]\n")
    assert [label.box for label in labels(root)] == [pytest.approx((48, 24, 112, 96))] * 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 70 60 60 60", f"70 {NO_FRACTION}"),
        ("0 0.5 0.5 -9 0.5", f"-9 {NO_FRACTION}"),
        ("cat 0.5 0.5 0.1 0.1",
         "begins with the name `cat`; YOLO's lines begin with the class number, 0 for the first name"),
        (f"0 {BOX} 1.57", "column 6 is 1.57, which is no score from 0 to 1 (an angle, or another dialect?); "
         "a YOLO label has 5 columns, 6 with a score, or a class and polygon points"),
        ("10 20 30 20 30 40 10 40 plane 0",
         "a line of DOTA (eight corners, then the name `plane`); export as YOLO or YOLO OBB"),
        (f"0 {BOX} 0.1 0.2 2", "8 columns found; a YOLO label has 5 columns, 6 with a score, or a class and polygon "
         "points; for keypoints data.yaml needs `kpt_shape`"),
        ("9 0.5 0.5 0.1 0.1", "class `9` has no name; 2 are named, numbered from 0"),
        ("0.5 0.5 0.5 0.1 0.1", "class `0.5` has no name; 2 are named, numbered from 0"),
        (f"{'9' * 5000} 0.5 0.5 0.1 0.1", "needs to be a finite number"),
    ],
)  # fmt: skip
def test_lines_of_another_dialect_are_refused_by_file_and_line(write: Write, line: str, problem: str):
    root = write(a=f"0 {BOX}\n{line}\n")

    with pytest.raises(DataError) as caught:
        formats.read(root)

    assert str(caught.value).startswith(f"{root}/labels/train/a.txt:2: ")
    assert problem in str(caught.value)


def test_names_in_the_place_of_numbers_are_told_by_check(write: Write):
    root = write(a=f"cat {BOX}\n", b=f"dog {BOX}\n")

    assert [str(problem) for problem in check(root).problems] == [
        f"{root}/labels/train/{stem}.txt:1: begins with the name `{name}`; YOLO's lines begin with the class number, "
        "0 for the first name"
        for stem, name in (("a", "cat"), ("b", "dog"))
    ]


def test_a_text_among_labels_that_is_not_read_is_reported(write: Write):
    root = write(a=f"0 {BOX}\n")
    (root / "labels/train/thoughts.txt").write_text("nothing to see\n")
    (root / "README.roboflow.txt").write_text("made by hand\n")

    assert [str(problem) for problem in check(root).problems] == [
        f"{root}/labels/train/thoughts.txt: not read: its first line is no label, and no picture is called `thoughts`"
    ]


def test_an_empty_label_file_alone_in_its_folder_is_background(write: Write, draw: Draw):
    root = write(a=f"0 {BOX}\n")
    draw(root / "images/test/z.png", hw=(9, 9))
    (root / "labels/test").mkdir()
    (root / "labels/test/z.txt").touch()

    assert [(sample.image.stem, len(sample.labels)) for sample in formats.read(root)] == [("z", 0), ("a", 1)]
    assert check(root).problems == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: {0: cat, 1: dog}\n", ("cat", "dog")),
        ('names: ["cat, domestic", "dog"]\n', ("cat, domestic", "dog")),
        ("names:\n  1: dog\n  0: cat\n", ("cat", "dog")),
        ("names:\n- 'it''s'\n- |-\n  two words\n", ("it's", "two words")),
        ("names: [no, 1, 2.0, ~, 2024-01-01]\n", ("no", "1", "2.0", "~", "2024-01-01")),
        ("x: &base [cat, dog]\nnames: *base\n", ("cat", "dog")),
        ("nc: 1\nnames: cat\n", ("cat",)),
    ],
)
@pytest.mark.parametrize("file", ["data.yaml", "coco128.yaml", "my set.yml"])
def test_class_names_are_those_a_yaml_library_reads_whatever_the_file_is_called(
    tmp_path: Path, file: str, text: str, names: tuple[str, ...]
):
    (tmp_path / file).write_text(text)
    (tmp_path / "hyp.yaml").write_text("lr0: 0.01\n")
    (tmp_path / "._data.yaml").write_bytes(b"\x00\x05\x16\x07")

    assert read_yolo_names(tmp_path).names == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names: [cat\n", ":2: not YAML (expected ',' or ']', but got '<stream end>')"),
        ("names: {0: cat, 2: dog}\n", ": `names` skips a number; classes are numbered 0, 1, 2 ..."),
        ("names: {cat: 0}\n", ": `names` has the key `cat`; classes are numbered 0, 1, 2 ..."),
        (f"names: {{{'1' * 900}: cat}}\n", f": `names` has the key `{'1' * 57}...`; classes are numbered 0, 1, 2 ..."),
        ("names: [[cat]]\n", ": `names` holds `['cat']`; each name needs to be a text"),
        ("nc: 2\n", ": no `names` found; it needs `names: [a, b]`, or one `  0: a` a line"),
        ("names: []\n", ": no `names` found; it needs `names: [a, b]`, or one `  0: a` a line"),
    ],
)  # fmt: skip
def test_a_yaml_file_without_usable_names_says_why(tmp_path: Path, text: str, problem: str):
    (tmp_path / "data.yaml").write_text(text)

    with pytest.raises(DataError) as caught:
        read_yolo_names(tmp_path)

    assert str(caught.value) == f"{tmp_path}/data.yaml{problem}"


def test_no_yaml_file_runs_code(tmp_path: Path):
    (tmp_path / "data.yaml").write_text('names: !!python/object/apply:os.system ["touch /tmp/never"]\n')

    with pytest.raises(DataError, match=r"data\.yaml:1: not YAML \(could not determine a constructor"):
        read_yolo_names(tmp_path)


def test_a_small_yaml_file_cannot_ask_for_any_amount_of_text(tmp_path: Path):
    nested = "\n".join(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 20)}]" for level in range(1, 12))
    (tmp_path / "data.yaml").write_text(f"l0: &l0 [x]\n{nested}\nnames: *l11\n")

    with pytest.raises(DataError) as caught:
        read_yolo_names(tmp_path)

    shown = "`[[[[[[[...], [...], [...], [...], [...], [...], ...], [[....`"
    assert str(caught.value) == f"{tmp_path}/data.yaml: `names` holds {shown}; each name needs to be a text"


@pytest.mark.parametrize("value", ["!!int 1:1:1", "!!timestamp 2001-01-01", "!!binary aGk="])
def test_a_value_of_another_kind_than_text_is_not_made(tmp_path: Path, value: str):
    (tmp_path / "data.yaml").write_text(f"names: [{value}]\n")

    with pytest.raises(DataError, match=r"data\.yaml:1: not YAML \(could not determine a constructor"):
        read_yolo_names(tmp_path)


def test_names_are_not_merged_from_other_entries(tmp_path: Path):
    nested = "\n".join(f"l{n}: &l{n} {{!!merge x: [{', '.join([f'*l{n - 1}'] * 20)}]}}" for n in range(1, 12))
    (tmp_path / "data.yaml").write_text(f"l0: &l0 {{a: b}}\n{nested}\nnames: [cat]\n")

    with pytest.raises(DataError, match=r"data\.yaml:2: not YAML \(could not determine a constructor"):
        read_yolo_names(tmp_path)


def test_yaml_files_above_the_data_set_are_no_reason_to_stop(tmp_path: Path):
    (tmp_path / "deploy.yaml").write_text("{{ template }}: [\n")
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("names: [wrong]\n")
    (tmp_path / "set/labels").mkdir(parents=True)
    (tmp_path / "set/labels/classes.txt").write_text("cat\n")

    assert read_yolo_names(tmp_path / "set").names == ("cat",)

    (tmp_path / "two.yaml").unlink()
    assert read_yolo_names(tmp_path / "set").names == ("cat",)
    (tmp_path / "set/labels/classes.txt").unlink()
    assert read_yolo_names(tmp_path / "set").names == ("wrong",)  # the only one there is


def test_two_yaml_files_with_names_need_a_choice(tmp_path: Path):
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("names: [cat]\n")

    with pytest.raises(DataError) as caught:
        read_yolo_names(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}: 2 YAML files have `names` (one.yaml, two.yaml); call the right one data.yaml"
    )
