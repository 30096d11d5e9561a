"""`taolite spec derive`, `diff` and `fmt`, and `--set`: what they print, write and refuse."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from taolite import spec
from taolite.cli.main import main
from taolite.cli.settings import with_settings

BASE = """\
# Our pictures.
kitti_config {
  partition_mode: "random"
  num_partitions: 2  # folds
  val_split: 14
}
target_class_mapping { key: "cat" value: "animal" }
target_class_mapping { key: "dog" value: "animal" }
"""
SAME = """\
target_class_mapping: { key: 'dog', value: 'animal', }
target_class_mapping: { key: 'cat', value: 'animal', }
kitti_config <
      partition_mode: 'random'; num_partitions: 2

      # a fifth is more
      val_split: 20
>
image_directory_path: "/pictures"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # no mounts of the one who runs this
    (tmp_path / "base.txt").write_text(BASE)
    (tmp_path / "same.txt").write_text(SAME)
    return tmp_path


def test_derive_writes_the_text_with_the_new_values_and_prints_what_differs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "kitti_config.val_split=20", "--set", "target_class_mapping.dog=dog", "-o", "new.txt"]

    assert main(["spec", "derive", "base.txt", *words]) == 0

    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "2 fields differ",
        "                               base.txt         new.txt",
        "  kitti_config.val_split       14.0 (line 5)    20.0 (line 5)",
        '  target_class_mapping["dog"]  animal (line 8)  dog (line 8)',
    ]
    expected = BASE.replace("14", "20").replace('"dog" value: "animal"', '"dog" value: "dog"')
    assert (folder / "new.txt").read_text() == expected


def test_derive_replaces_a_file_only_when_told_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["spec", "derive", "base.txt", "--set", "kitti_config.val_split=20", "-o", "same.txt"]

    assert main(words) == 1
    assert capsys.readouterr().err == (
        "error: same.txt: exists already; choose another name, or give --force to replace it\n"
    )
    assert (folder / "same.txt").read_text() == SAME

    assert main([*words, "--force"]) == 0
    assert (folder / "same.txt").read_text() == BASE.replace("14", "20")


def test_a_value_that_is_not_valid_writes_nothing_and_names_the_setting(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "kitti_config.val_split=140", "--set", "kitti_config.val_splt=1", "-o", "new.txt"]

    assert main(["spec", "derive", "base.txt", *words]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "error: base.txt: 2 problems",
        "  --set kitti_config.val_split=140: kitti_config.val_split is 140; it needs to be from 0 to 100",
        "  --set kitti_config.val_splt=1: kitti_config.val_splt is not a field here; did you mean `val_split`?",
    ]
    assert not (folder / "new.txt").exists()


def test_diff_compares_what_is_read_and_not_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "diff", "base.txt", "same.txt"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "2 fields differ",
        "                          base.txt       same.txt",
        "  kitti_config.val_split  14.0 (line 5)  20.0 (line 7)",
        '  image_directory_path    "" (default)   /pictures (line 9)',
    ]


def test_diff_in_json_has_values_and_lines_and_the_exit_code_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "diff", "base.txt", "same.txt", "--json", "--exit-code"]) == 1

    assert json.loads(capsys.readouterr().out) == {
        "a": "base.txt",
        "b": "same.txt",
        "differences": [
            {"path": "kitti_config.val_split", "a": {"value": 14, "line": 5}, "b": {"value": 20, "line": 7}},
            {
                "path": "image_directory_path",
                "a": {"value": "", "line": None},
                "b": {"value": "/pictures", "line": 9},
            },
        ],
    }


def test_diff_of_equal_specs_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "again.txt").write_text(BASE.replace("# Our pictures.\n", ""))

    assert main(["spec", "diff", "base.txt", "again.txt", "--exit-code"]) == 0

    assert capsys.readouterr().out == "base.txt and again.txt: no field differs\n"


def test_diff_of_two_kinds_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ssd.txt").write_text("ssd_config { }\n")

    assert main(["spec", "diff", "base.txt", "ssd.txt"]) == 1

    assert capsys.readouterr().err == (
        "error: base.txt (data set conversion) and ssd.txt (SSD) are specs of two kinds; compare specs of one kind\n"
    )


LAID_OUT = """\
target_class_mapping { key: "dog" value: "animal" }
target_class_mapping { key: "cat" value: "animal" }
kitti_config {
  partition_mode: "random"
  num_partitions: 2

  # a fifth is more
  val_split: 20
}
image_directory_path: "/pictures"
"""


def test_fmt_prints_writes_or_checks_the_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "fmt", "same.txt"]) == 0
    assert capsys.readouterr().out == LAID_OUT
    assert (folder / "same.txt").read_text() == SAME

    assert main(["spec", "fmt", "base.txt", "same.txt", "--check"]) == 1
    assert capsys.readouterr().out == "same.txt: not in the usual layout\n"

    assert main(["spec", "fmt", "base.txt", "same.txt", "--write"]) == 0
    assert capsys.readouterr().out == "same.txt: written in the usual layout\n"
    assert ((folder / "base.txt").read_text(), (folder / "same.txt").read_text()) == (BASE, LAID_OUT)

    assert main(["spec", "fmt", "base.txt", "same.txt", "--check"]) == 0
    assert capsys.readouterr().out == "2 specs in the usual layout\n"


def test_fmt_of_a_text_that_cannot_be_read_changes_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "open.txt").write_text("kitti_config {\n  val_split 3\n")

    assert main(["spec", "fmt", "same.txt", "open.txt", "--write"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "error: open.txt: 2 problems",
        "  line 1:14: the block kitti_config is not closed; add a `}`",
        "  line 2:13: `3` follows `val_split`; put `:` before a value, or `{` for a block",
    ]
    assert (folder / "same.txt").read_text() == SAME


def test_show_and_check_take_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "show", "base.txt", "--set", "kitti_config.val_split=20"]) == 0
    assert "  val_split: 20.0\n" in capsys.readouterr().out

    assert main(["spec", "check", "base.txt", "--set", "kitti_config.num_partitions=3"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "base.txt: 1 problem",
        "  --set kitti_config.num_partitions=3: kitti_config.num_partitions is 3; it needs to be 2 for the mode "
        "`random`",
    ]


def test_a_setting_without_a_value_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["spec", "show", "base.txt", "--set", "kitti_config.val_split"])

    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "taolite spec show: error: argument --set: kitti_config.val_split: needs PATH=VALUE, as in "
        "training_config.num_epochs=40"
    )


def test_a_command_that_reads_no_spec_says_that_settings_have_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    options = Namespace(experiment_spec="base.txt", settings=[spec.parse_setting("kitti_config.val_split=20")])

    assert with_settings(lambda _: 0, options) == 0

    assert capsys.readouterr().err == (
        "warning: --set kitti_config.val_split=20 has no effect: with these flags no spec is read\n"
    )


def test_a_setting_without_a_spec_is_refused_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectnet", "prune", "-m", "m.tlt", "-o", "n.tlt", "--set", "random_seed=3"]) == 1

    assert capsys.readouterr().err == (
        "error: --set random_seed=3: no spec is given; name it with -e SPEC, or leave --set out\n"
    )
