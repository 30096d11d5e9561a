"""NVIDIA's launcher's command lines, run by taolite."""

from __future__ import annotations

import sys

import pytest

from taolite import __version__
from taolite.cli.main import main
from taolite.cli.tao.launcher import translate
from taolite.errors import UsageError


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("detectnet_v2 train -e s.txt -r r -k k --gpus 1", "detectnet train -e s.txt -r r -k k --gpus 1"),
        ("model detectnet_v2 prune -m a -o b -eq union", "detectnet prune -m a -o b -eq union"),
        ("deploy detectnet_v2 gen_trt_engine -m a -e s -r r", "deploy gen_trt_engine -m a -e s -r r"),
        ("classification_tf1 train -e s.txt -r r -k k", "classification train -e s.txt -r r -k k"),
        ("classification evaluate -e s.txt", "classification evaluate -e s.txt"),
        ("model classification_tf1 inference -m a -d b", "classification inference -m a -d b"),
        ("deploy classification_tf1 gen_trt_engine -m a -e s -r r", "classification gen_trt_engine -m a -e s -r r"),
        ("ssd dataset_convert -d d -o o", "ssd dataset_convert -d d -o o"),
        ("model dssd evaluate -m a -e s", "ssd evaluate -m a -e s"),
        ("deploy ssd inference -m a -e s -r r", "ssd inference -m a -e s -r r"),
        ("converter a.etlt -k k -t int8", "convert a.etlt -k k -t int8"),
        ("dataset convert photos out --to kitti", "dataset convert photos out --to kitti"),
    ],
)
def test_what_stands_behind_the_network_goes_on_as_it_is(line: str, ours: str):
    assert translate(line.split()) == ours.split()


@pytest.mark.parametrize("line", ["yolo_v4 train", "model yolo_v4 train", "deploy unet inference", "model"])
def test_other_networks_are_named_with_what_there_is(line: str):
    with pytest.raises(UsageError) as caught:
        translate(line.split())

    asked = " ".join(line.split()[: 2 if line.split()[0] in ("model", "deploy") else 1])
    assert str(caught.value) == (
        f"tao {asked}: taolite runs detectnet_v2, classification_tf1, classification, ssd, dssd; tao also takes "
        "converter, dataset, list, info and stop"
    )


def test_a_misspelled_network_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"; did you mean `detectnet_v2`\?$"):
        translate(["model", "detectnet_v3", "train"])


def test_dataset_actions_of_tao_5_are_answered_with_ours():
    with pytest.raises(UsageError) as caught:
        translate(["dataset", "annotations", "convert"])

    assert str(caught.value) == (
        "tao dataset annotations: taolite has convert, check, stats, view; see `taolite dataset --help`"
    )


def test_info_list_and_stop_speak_of_no_containers(capsys: pytest.CaptureFixture[str]):
    assert main(["tao", "info"]) == 0
    assert capsys.readouterr().out == (
        "Configuration of the TAO Toolkit Instance\ndockers: []\nformat_version: 2.0\n"
        f"toolkit_version: taolite {__version__}\n"
    )
    assert main(["tao", "info", "--verbose"]) == 0
    assert "networks: detectnet_v2, classification_tf1, classification, ssd, dssd\n" in capsys.readouterr().out
    for line in (["tao", "list"], ["tao", "stop", "--all"], ["tao", "stop", "--container_id", "x"]):
        assert main(line) == 0
        assert capsys.readouterr().out.startswith("taolite runs no containers: nothing to list or stop.")


def test_run_is_a_command_of_this_machine(capfd: pytest.CaptureFixture[str]):
    assert main(["tao", "detectnet_v2", "run", sys.executable, "-c", "print('ran'); raise SystemExit(3)"]) == 3
    assert capfd.readouterr().out == "ran\n"
    assert main(["tao", "model", "detectnet_v2", "run", "no-such-command"]) == 1
    assert capfd.readouterr().err == (
        "error: tao detectnet_v2 run no-such-command: cannot be run (No such file or directory)\n"
    )


def test_a_task_of_the_launcher_is_the_task_itself(capsys: pytest.CaptureFixture[str]):
    codes = [
        main([*words, "evaluate", "-e", "/no/spec", "-m", "m"]) for words in (["tao", "detectnet_v2"], ["detectnet"])
    ]

    first, second = capsys.readouterr().err.splitlines()
    assert codes == [1, 1]
    assert first == second
