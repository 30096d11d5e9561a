"""jetson-inference's programs have a front door of their own; the spelling of 0.1.0 names it in one line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from taolite.cli.jetson import front
from taolite.cli.main import main, parser_for
from taolite.pictures import max_pixels


def parsed(*words: str) -> argparse.Namespace:
    return parser_for("jetson").parse_args(["jetson", *words])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("program", front.PROGRAMS, ids=[program.names[0] for program in front.PROGRAMS])
def test_every_program_answers_by_each_of_its_names(program: front.Program, capsys: pytest.CaptureFixture[str]):
    for name in program.names:
        with pytest.raises(SystemExit) as caught:
            main(["jetson", name, "--help"])

        assert not caught.value.code
        assert capsys.readouterr().out.startswith(f"usage: taolite jetson {program.names[0]} ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "ssd train --dataset-type=voc --data=d --model-dir=m",
            "train_ssd.py --dataset-type=voc --data=d --model-dir=m",
        ),
        ("ssd export --model-dir=m", "ssd/onnx_export.py --model-dir=m"),
        ("ssd inference --model=m --labels=l in out_%i.jpg", "detectnet --model=m --labels=l in out_%i.jpg"),
        ("ssd inference --model=m in", "detectnet --model=m in"),
        ("classification train --model-dir=m --epochs=5 data", "train.py --model-dir=m --epochs=5 data"),
        ("classification train -a resnet50 --epochs=5 data", "train.py -a resnet50 --epochs=5 data"),
        (
            "classification export --model-dir=m --no-softmax",
            "classification/onnx_export.py --model-dir=m --no-softmax",
        ),
        ("classification inference --model=m --labels=l in", "imagenet --model=m --labels=l in"),
    ],
)
def test_the_former_spelling_of_a_task_ends_in_one_line_with_the_new_one(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
):
    program = new.split()[0]

    assert refused(capsys, *old.split()) == [f"error: these are flags of {program}: taolite jetson {new}"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ssd eval --model=m --dataset=d", "eval_ssd.py --model=m --dataset=d"),
        ("ssd eval_ssd --model=m", "eval_ssd.py --model=m"),
        ("ssd onnx_export --model-dir=m", "ssd/onnx_export.py --model-dir=m"),
        ("ssd run_ssd_example mb1-ssd m l p", "run_ssd_example.py mb1-ssd m l p"),
        ("classification onnx_export --model-dir=m", "classification/onnx_export.py --model-dir=m"),
    ],
)
def test_a_verb_that_is_no_more_ends_in_one_line_with_the_new_one(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
):
    group, verb = old.split()[:2]

    assert refused(capsys, *old.split()) == [f"error: taolite {group} {verb} is now: taolite jetson {new}"]


@pytest.mark.parametrize("key", ["-k secret", "--key=secret", "--key secret", "-ksecret"])
def test_the_new_line_does_not_show_the_key(key: str, capsys: pytest.CaptureFixture[str]):
    (line,) = refused(capsys, "ssd", "train", "--data=d", *key.split())

    assert line.startswith("error: these are flags of train_ssd.py: taolite jetson train_ssd.py --data=d -")
    assert line.endswith("KEY")
    assert "secret" not in line


@pytest.mark.parametrize("line", ["classification train -e", "ssd train -e s", "ssd inference -m a -i b", "ssd train"])
def test_an_incomplete_line_of_tao_s_is_answered_in_tao_s_terms(line: str, capsys: pytest.CaptureFixture[str]):
    lines = refused(capsys, *line.split())

    assert lines[0].startswith(f"usage: taolite {' '.join(line.split()[:2])} ")
    assert "jetson" not in " ".join(lines)


def test_no_folder_on_the_disk_changes_what_a_command_line_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    said = [refused(capsys, "classification", "train", "-e", "data")]
    (tmp_path / "data").mkdir()
    said.append(refused(capsys, "classification", "train", "-e", "data"))

    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("--model-dir=m --no-softmax", "classification"),
        ("--model-dir=m --target_opset=18", "classification"),
        ("--model-dir=m --net=mb1-ssd", "ssd"),
        ("--model-dir=m --resolution=512 --batch_size=1", "ssd"),
    ],
)
def test_onnx_export_without_its_folder_is_the_one_whose_flags_are_given(words: str, run: str):
    assert parsed("onnx_export.py", *words.split()).run.__module__ == f"taolite.cli.jetson.{run}"


def test_onnx_export_with_flags_of_both_asks_for_the_folder(capsys: pytest.CaptureFixture[str]):
    assert refused(capsys, "jetson", "onnx_export.py", "--model-dir=m") == [
        "error: two programs are called onnx_export.py; give the folder too: taolite jetson "
        "classification/onnx_export.py --model-dir=m or taolite jetson ssd/onnx_export.py --model-dir=m"
    ]


def test_imagenet_looks_at_a_camera_where_no_place_is_given():
    assert parsed("imagenet-camera", "--model=m", "--labels=l").input == ""
    assert parsed("imagenet-camera", "--model=m", "--camera=1").camera == "1"
    assert parsed("imagenet", "--model=m", "a.jpg", "b.jpg").output == "b.jpg"


@pytest.mark.parametrize("program", ["imagenet", "detectnet"])
def test_flags_of_streams_are_taken_in_all_their_spellings(program: str, capsys: pytest.CaptureFixture[str]):
    words = ("--headless", "--input_width=640", "--height", "480", "--framerate=5", "--flip-method=rotate-180")
    options = parsed(program, "in", "--model=m", *words, "--loop=-1", "--codec=h265", "out", "--batch_size=2")

    assert (options.input, options.output, options.headless) == ("in", "out", True)
    assert (options.input_width, options.input_height, options.input_rate) == (640, 480, 5)
    assert (options.input_flip, options.input_loop, options.output_codec) == ("rotate-180", -1, "h265")
    assert options.batch_size == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("program", ["imagenet", "detectnet"])
def test_a_flag_without_effect_says_so(program: str, capsys: pytest.CaptureFixture[str]):
    parsed(program, "--model=m", "--num-buffers=4", "--log-level=verbose", "--profile", "in")

    told = ("--num-buffers", "--log-level", "--profile")
    assert capsys.readouterr().err.splitlines() == [f"warning: {flag} has no effect in this version" for flag in told]


def test_programs_that_open_pictures_have_a_limit_of_pixels_that_can_be_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAOLITE_MAX_PIXELS", "1")  # restored afterwards, whatever the flag sets

    parsed("imagenet", "--model=m.onnx", "--max-pixels=500", "a.jpg")

    assert max_pixels() == 500


def test_detectnets_overlay_and_tracking_flags_are_jetsons(capsys: pytest.CaptureFixture[str]):
    options = parsed("detectnet", "--model=m", "--overlay=boxes|label,confidence", "--alpha=60", "--tracking", "in")

    assert options.overlay == {"box", "labels", "conf"}
    assert (options.alpha, options.tracking, options.input) == (60, True, "in")
    assert (options.tracker_min_frames, options.tracker_drop_frames, options.tracker_overlap) == (3, 15, 0.5)
    assert parsed("detectnet", "--model=m", "--overlay=none", "in").overlay == frozenset()
    assert parsed("detectnet", "--model=m", "--tracker=klt", "in").tracker == "KLT"
    assert refused(capsys, "jetson", "detectnet", "--model=m", "--overlay=boxs,labls", "in")[-1] == (
        "taolite jetson detectnet: error: argument --overlay: 'labls' is not one of box, lines, labels, conf, "
        "tracking, trails, fps, none; did you mean `labels`?"
    )


def test_a_network_that_cannot_be_had_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"")

    for words in ((), ("--network=ssd-mobilenet-v2",), ("--model=ssd-mobilenet-v2",)):
        assert main(["jetson", "detectnet", *words, "--headless", str(tmp_path / "a.jpg")]) == 1
        assert capsys.readouterr().err == (
            "error: ssd-mobilenet-v2: NVIDIA's weights of this detector are not published in a form that can be read "
            "here; give a detector's file instead (.onnx, .tlt, .etlt or an engine), or train one: taolite jetson "
            "train_ssd.py\n"
        )
