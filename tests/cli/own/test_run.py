"""`taolite run`: what it prints and writes, to the letter, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.cli.main import main
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.media.sources import open_source
from taolite.media.videos import VideoFile
from tests.api.detector import picture, write_detector
from tests.api.foreign import write_ssd
from tests.cli.classifier import write_classifier
from tests.stages.test_infer import DBSCAN, SPEC


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: model.onnx, model.etlt, photos/ with a red and a green cell and a black picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture()).save(tmp_path / "photos" / "both.png")
    Image.fromarray(np.zeros_like(picture())).save(tmp_path / "photos" / "none.png")
    write_detector(tmp_path / "model.onnx")
    write_detector(tmp_path / "model.etlt")
    return tmp_path


def video(path: Path, frames: int = 12) -> Path:
    with VideoFile(path, fps=10.0) as file:
        for _ in range(frames):
            file.write(picture())
    return path


def run(*words: object) -> int:
    return main(["run", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run(*words) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_without_an_output_the_results_are_text_and_a_table_sums_up(place: Path, capsys: pytest.CaptureFixture[str]):
    assert run("model.onnx", "photos") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "both.png: red 1.00 at 64,32,96,64; green 0.60 at 160,96,192,128",
        "none.png: nothing found",
    ]
    assert re.fullmatch(r"pictures  2 \([\d.]+ pictures a second\)", lines[2])
    times = r"read [\d.]+, prepare [\d.]+, engine [\d.]+, decode [\d.]+, write [\d.]+"
    assert re.fullmatch(rf"times     {times} \(ms a picture, median; the parts overlap\)", lines[3])
    assert lines[4:] == ["found     red 1, green 1"]


def test_a_threshold_of_the_user_is_before_the_models_best_and_that_before_the_usual_one(place: Path, capsys):
    def found(*words: object) -> str:
        assert run("model.onnx", "photos/both.png", *words) == 0
        return capsys.readouterr().out.splitlines()[0]

    both = "both.png: red 1.00 at 64,32,96,64; green 0.60 at 160,96,192,128"
    assert found() == both
    assert found("--threshold", 0.7) == "both.png: red 1.00 at 64,32,96,64"

    onnx = (place / "model.onnx").read_bytes()
    meta = onnx_graph.read_meta(onnx)
    assert meta is not None
    best = OnnxMeta(meta.task, meta.classes, meta.preprocessing, {**meta.decoding, "best_threshold": 0.8})
    (place / "model.onnx").write_bytes(onnx_graph.write_meta(onnx, best))
    assert found() == "both.png: red 1.00 at 64,32,96,64"
    assert found("--threshold", 0.4) == both


def test_flags_may_stand_anywhere_and_a_key_opens_a_sealed_model(place: Path, capsys: pytest.CaptureFixture[str]):
    assert run("--threshold", 0.7, "model.etlt", "-k", "tlt_encode", "photos/both.png", "--quiet", "out") == 0

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    drawn = np.array(Image.open("out/both.png"))
    assert (drawn[32:64, 64:96] == picture()[32:64, 64:96]).all()
    assert (drawn != picture()).any()


def test_machines_get_json_on_stdout_and_nothing_else(place: Path, capsys: pytest.CaptureFixture[str]):
    assert run("model.onnx", "photos", "--json", "-") == 0

    said = capsys.readouterr()
    first, second = map(json.loads, said.out.splitlines())
    assert first == {
        "file": "photos/both.png",
        "frame": 0,
        "time_s": None,
        "size": [192, 128],
        "objects": [
            {"class": "red", "index": 0, "score": 1.0, "box": [64.0, 32.0, 96.0, 64.0], "track": None},
            {"class": "green", "index": 1, "score": 0.6, "box": [160.0, 96.0, 192.0, 128.0], "track": None},
        ],
    }
    assert (second["file"], second["objects"]) == ("photos/none.png", [])
    assert said.err.splitlines()[-1] == "found     red 1, green 1"


def test_csv_json_and_kitti_labels_are_files(place: Path, capsys: pytest.CaptureFixture[str]):
    assert run("model.onnx", "photos", "--json", "r/a.jsonl", "--csv", "r/a.csv", "--labels-dir", "r/labels") == 0

    assert len(Path("r/a.jsonl").read_text().splitlines()) == 2
    assert Path("r/a.csv").read_text().splitlines()[1:] == [
        "photos/both.png,0,,red,0,1.0,64.0,32.0,96.0,64.0,",
        "photos/both.png,0,,green,1,0.6,160.0,96.0,192.0,128.0,",
    ]
    assert Path("r/labels/both.txt").read_text().splitlines()[0].startswith("red 0.00 0 0.00 64.000 32.000 96.000 64.0")
    assert Path("r/labels/none.txt").read_text() == ""


def test_a_pipe_or_a_device_stays_what_it_is(place: Path, capsys: pytest.CaptureFixture[str]):
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True)

    assert run("model.onnx", "photos", "--quiet", "--json", "pipe", "--csv", "/dev/null") == 0

    assert len(reader.communicate(timeout=30)[0].splitlines()) == 2
    assert Path("pipe").is_fifo()
    assert not Path("/dev/null").is_file()
    if Path("/dev/full").exists():
        assert refused(capsys, "model.onnx", "photos", "--json", "/dev/full") == (
            "error: /dev/full: the disk is full; nothing was replaced. Free some space and run it again"
        )


def test_a_bad_picture_is_named_and_the_rest_goes_on(place: Path, capsys: pytest.CaptureFixture[str]):
    Path("photos/bad.png").write_bytes(b"")

    assert run("model.onnx", "photos", "out") == 1

    said = capsys.readouterr()
    assert sorted(path.name for path in Path("out").iterdir()) == ["both.png", "none.png"]
    assert said.err.splitlines()[-1] == "error: 1 picture could not be read, and left out"
    assert [line for line in said.err.splitlines() if line.startswith("warning: photos/bad.png")] != []
    assert said.out.splitlines()[-1] == "missing   1 unreadable"


def test_objects_of_a_video_get_numbers_and_are_counted(place: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    video(place / "street.mp4")
    words = ("--track", "street.mp4", "out.mp4", "--count-line", "0,0.5,1,0.5:gate", "--count-line=5,0,5,99")

    assert run("model.onnx", *words, "--json", "a.jsonl", "--overlay", "box|line,track,trails,fps") == 0

    last = json.loads(Path("a.jsonl").read_text().splitlines()[-1])
    assert [one["track"] for one in last["objects"]] == [1, 2]
    assert last["time_s"] == pytest.approx(1.1, abs=0.01)
    assert last["lines"] == {name: {"to_left": {}, "to_right": {}} for name in ("gate", "line 2")}
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        *("frames", "times", "found", "tracks", "gate", "line 2"),
    ]
    frames = list(open_source("out.mp4"))
    assert len(frames) == 12
    assert frames[0].image_hwc.shape == picture().shape


def test_ctrl_c_finishes_the_files_of_an_endless_run(place: Path):
    video(place / "street.mp4")
    command = [sys.executable, "-m", "taolite", "run", "model.onnx", "street.mp4", "out.mp4", "--input-loop=-1"]
    process = subprocess.Popen(
        [*command, "--json", "a.jsonl"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        until = time.monotonic() + 60
        while not list(place.glob(".a.jsonl.*")) or next(place.glob(".a.jsonl.*")).stat().st_size < 20_000:
            assert time.monotonic() < until, "it did not start"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 0, err
    stopped = re.search(r"stopped by Ctrl-C after (\d+) frames; files are complete", err)
    assert stopped is not None
    records = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert len(records) == int(stopped[1])
    assert out.startswith(f"frames  {stopped[1]} (")
    assert len(list(open_source("out.mp4"))) == len(records)


def test_a_run_ends_after_max_frames(place: Path, capsys: pytest.CaptureFixture[str]):
    assert run("model.onnx", "photos", "--input-loop", -1, "--max-frames", 5, "--json", "-", "--quiet") == 0

    numbers = [json.loads(line)["frame"] for line in capsys.readouterr().out.splitlines()]
    assert numbers == [0, 1, 2, 3, 4]


def test_a_plain_onnx_needs_labels(place: Path, capsys: pytest.CaptureFixture[str]):
    write_ssd(place / "ssd.onnx")
    Path("labels.txt").write_text("BACKGROUND\ncat\ndog\n")

    assert refused(capsys, "ssd.onnx", "photos/both.png") == (
        "error: ssd.onnx finds 2 classes and does not say which, and no labels are given; give its labels.txt"
    )
    assert run("ssd.onnx", "photos/both.png", "--labels", "labels.txt") == 0
    assert capsys.readouterr().out.splitlines()[0] == "both.png: dog 0.80 at 19,13,96,64"
    Path("labels.txt").write_text("cat\n")
    assert refused(capsys, "model.onnx", "photos/both.png", "--labels", "labels.txt") == (
        "error: labels.txt names cat; model.onnx finds red, green; leave --labels out, the model knows its classes"
    )


def test_an_inference_specs_settings_are_used_as_they_are(place: Path, capsys: pytest.CaptureFixture[str]):
    text = SPEC.format(model='tlt_config { model: "model.onnx" }', dbscan=DBSCAN)
    Path("inference.txt").write_text(text)

    assert run("model.onnx", "photos/both.png", "-e", "inference.txt") == 0
    assert (
        capsys.readouterr().out.splitlines()[0] == "both.png: red 1.00 at 64,32,96,64"
    )  # green is 0.6, DBSCAN wants 1
    assert refused(capsys, "model.onnx", "photos", "-e", "inference.txt", "--labels", "l.txt") == (
        "error: --labels with -e: both name the classes; leave --labels out"
    )


def test_a_classifier_shows_its_likeliest_classes(place: Path, capsys: pytest.CaptureFixture[str]):
    write_classifier(place / "classes.onnx")

    assert run("classes.onnx", "photos/both.png", "--top", 2, "--json", "a.jsonl") == 0
    line, *_, last = capsys.readouterr().out.splitlines()
    assert line == "both.png: b 0.60; a 0.40"
    assert last == "found     b 1, a 1"
    assert json.loads(Path("a.jsonl").read_text())["objects"][0] == {
        **{"class": "b", "index": 1, "score": 0.6, "box": None, "track": None}
    }

    for flags, why in (
        (("--track",), "--track: classes.onnx is a classifier and finds no objects; leave the flag out"),
        (
            ("--count-line=0,0,1,1",),
            "--count-line: classes.onnx is a classifier and finds no objects; leave the flag out",
        ),
        (("--labels-dir=l",), "--labels-dir: classes.onnx is a classifier; KITTI labels are for objects; give --csv"),
    ):
        assert refused(capsys, "classes.onnx", "photos", *flags) == f"error: {why}"
    assert refused(capsys, "model.onnx", "photos", "--top=3") == (
        "error: --top: model.onnx is a detector; give --threshold to show fewer objects"
    )


@pytest.mark.parametrize(
    ("flag", "value", "why"),
    [
        (
            "--overlay",
            "boxs,labls",
            "'labls' is not one of box, lines, labels, conf, tracking, trails, fps, none; did you mean `labels`?",
        ),
        ("--count-line", "0,0,1", "'0,0,1' needs to be x1,y1,x2,y2 of two points, as in 0,0.5,1,0.5:gate"),
        (
            "--input-flip",
            "clockwize",
            "'clockwize' is not one of none, counterclockwise, rotate-180, clockwise, horizontal, vertical, "
            "upper-right-diagonal, upper-left-diagonal; did you mean `clockwise`?",
        ),
        ("--input-loop", "-2", "'-2' needs to be a whole number, 0 or more, or -1 without an end"),
    ],
)
def test_a_wrong_value_is_told(flag: str, value: str, why: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        run("model.onnx", "photos", flag, value)

    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"taolite run: error: argument {flag}: {why}"


def test_a_width_without_a_height_is_refused(place: Path, capsys: pytest.CaptureFixture[str]):
    assert refused(capsys, "model.onnx", "photos", "--input-width", 64) == (
        "error: --input-width 64: give both --input-width and --input-height"
    )


def test_a_missing_model_or_input_is_one_message(place: Path, capsys: pytest.CaptureFixture[str]):
    assert refused(capsys, "no.onnx", "photos") == (
        "error: no.onnx: no such model; give the path of a .tlt, .etlt, .onnx or engine"
    )
    assert refused(capsys, "model.onnx", "none.jpg").startswith(
        "error: none.jpg: no such file or folder; give a picture"
    )
