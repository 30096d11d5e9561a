"""Abbreviations keep their meaning, mistakes name the nearest flag and the usage of their own command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from taolite.cli.main import GROUPS, main, parser_for
from taolite.cli.parsing import JetsonParser, TaoParser, whole

TABLE = [
    line.partition(": ")[::2]
    for line in (Path(__file__).parent / "prefixes.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def parsers() -> dict[str, TaoParser]:
    """Every command's parser, by `taolite GROUP COMMAND`."""
    found: dict[str, TaoParser] = {}

    def walk(parser: TaoParser, name: str) -> None:
        found[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, one in action.choices.items():
                    walk(one, f"{name} {word}")

    walk(parser_for(*GROUPS), "taolite")
    return found


PARSERS = parsers()


def failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a wrong command line's message."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()


@pytest.mark.parametrize(("command", "cells"), TABLE, ids=[command for command, _ in TABLE])
def test_every_abbreviation_of_the_first_version_means_what_it_meant(command: str, cells: str):
    parser = PARSERS[command]

    for cell in cells.split("; "):
        longest, least, meaning = cell.split()
        for length in range(int(least), len(longest) + 1):
            action = parser.flag(parser.spelled([longest[:length]])[0])
            assert action is not None, f"{longest[:length]} meant {meaning} in {command}"
            names = {name.replace("_", "-") for name in action.option_strings}
            assert meaning.replace("_", "-") in names, f"{longest[:length]} means {action.option_strings} in {command}"


def test_the_table_of_abbreviations_covers_every_command_that_has_flags_of_tao():
    covered = {command for command, _ in TABLE}

    of_tao = [
        name
        for name in PARSERS
        if name.split()[1:2] in (["detectnet"], ["classification"], ["ssd"], ["deploy"]) and len(name.split()) == 3
    ]
    assert len(of_tao) == 25
    assert set(of_tao) <= covered


def test_a_flag_that_has_to_be_written_whole_takes_no_abbreviation_from_an_older_one():
    parser = TaoParser()
    parser.add_argument("--model_path")
    whole(parser.add_argument("--model-sweep"))

    assert parser.parse_args(["--m", "a"]).model_path == "a"
    assert parser.parse_args(["--model-sweep", "b"]).model_sweep == "b"
    assert parser.flag("--model-s") is None


def test_an_unknown_flag_prints_the_usage_of_its_command_and_the_nearest_flag(capsys: pytest.CaptureFixture[str]):
    assert failure(["detectnet", "evaluate", "-e", "s", "-m", "m", "--use_trainig_set"], capsys) == [
        "usage: taolite detectnet evaluate -e SPEC -m MODEL [options]",
        "taolite detectnet evaluate: error: unrecognized arguments: --use_trainig_set; did you mean "
        "`--use_training_set`?",
    ]


def test_a_misspelled_flag_that_is_needed_is_named_beside_the_one_that_is_missing(capsys: pytest.CaptureFixture[str]):
    assert failure(["detectnet", "evaluate", "-e", "s", "--modle_path", "m"], capsys) == [
        "usage: taolite detectnet evaluate -e SPEC -m MODEL [options]",
        "taolite detectnet evaluate: error: the following arguments are required: -m/--model_path; unknown here: "
        "--modle_path; did you mean `--model_path`?",
    ]


def test_an_unknown_task_prints_the_usage_of_its_network_and_the_nearest_task(capsys: pytest.CaptureFixture[str]):
    assert failure(["ssd", "trian", "-e", "s"], capsys) == [
        "usage: taolite ssd [options] TASK ...",
        "taolite ssd: error: argument TASK: invalid choice: 'trian' (did you mean `train`? choose from "
        "dataset_convert, train, evaluate, prune, export, inference, gen_trt_engine)",
    ]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("detecnet train", "did you mean `detectnet`?"),
        ("spec schema clasification", "did you mean `classification`?"),
        ("jetson train_sd.py", "did you mean `train_ssd.py`?"),
        ("jetson train_ssd.py --net mb1-sdd", "did you mean `mb1-ssd`?"),
        ("jetson train.py --optimizer adamw", "did you mean `adam`?"),
        ("dataset convert a b --to kiti", "did you mean `kitti`?"),
        ("ssd train -e s -r r --arch sdd", "did you mean `ssd`?"),
        ("inspct m.tlt", "did you mean `inspect`?"),
    ],
)
def test_the_nearest_name_is_told(line: str, hint: str, capsys: pytest.CaptureFixture[str]):
    assert hint in failure(line.split(), capsys)[-1]


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("-arch resnet50", "arch", "resnet50"),
        ("-arch=resnet50", "arch", "resnet50"),
        ("-batch=8", "batch_size", 8),
        ("--batch=8", "batch_size", 8),
        ("-b8", "batch_size", 8),
        ("--batch_size 8", "batch_size", 8),
        ("--model_dir=m", "model_dir", "m"),
        ("--epoch-start=3", "epoch_start", 3),
        ("-p 5", "print_freq", 5),
        ("-kArch", "key", "Arch"),
    ],
)
def test_what_the_tutorials_misprint_is_understood(line: str, field: str, value: Any):
    assert getattr(PARSERS["taolite jetson train.py"].parse_args([*line.split(), "data"]), field) == value


def test_jetson_s_flags_take_underscores_and_any_case_and_values_stay_as_they_are():
    parser = JetsonParser()
    parser.add_argument("--input-blob")
    parser.add_argument("--topK", type=int)

    options = parser.parse_args(["--INPUT_BLOB=Input_0", "--topk=3"])

    assert (options.input_blob, options.topK) == ("Input_0", 3)


@pytest.mark.parametrize("command", [name for name in PARSERS if name != "taolite jetson onnx_export.py"])
def test_help_fits_a_screen_or_is_grouped_and_every_flag_has_a_line(command: str):
    parser = PARSERS[command]
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, max_help_position=36, width=118)
    lines = parser.format_help().splitlines()

    titles = [group.title for group in parser._action_groups if group._group_actions]
    flags = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    assert len(lines) <= 50 or (len(titles) >= 4 and len(lines) <= 80), f"{len(lines)} lines in {titles}"
    assert [action.option_strings or action.dest for action in flags if not action.help and not action.choices] == []


def test_help_of_a_command_is_the_same_by_the_verb_and_by_the_flag(capsys: pytest.CaptureFixture[str]):
    said = []
    for words in (["help", "detectnet", "train"], ["detectnet", "train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert not caught.value.code
        said.append(capsys.readouterr().out)

    assert said[0] == said[1]
    assert said[0].startswith("usage: taolite detectnet train [options]\n")


def test_a_script_for_the_shell_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("shtab")

    assert main(["completion", "bash"]) == 0

    said = capsys.readouterr().out
    assert "complete" in said
    for word in ("detectnet", "--experiment_spec_file", "train_ssd.py", "--target"):
        assert word in said
