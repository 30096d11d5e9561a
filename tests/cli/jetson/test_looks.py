"""imagenet and detectnet: their lines, to the letter, and flags that take effect."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.cli.jetson.looks import outputs_of
from taolite.cli.main import main, parser_for
from taolite.media.sources import open_source
from taolite.media.videos import VideoFile
from tests.api.detector import picture, write_detector
from tests.cli.classifier import write_classifier


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, without a display: model.onnx, classes.onnx, both.png and street.mp4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    write_detector(tmp_path / "model.onnx")
    write_classifier(tmp_path / "classes.onnx")
    Image.fromarray(picture()).save("both.png")
    with VideoFile(tmp_path / "street.mp4", fps=10.0) as file:
        for _ in range(6):
            file.write(picture())
    return tmp_path


def jetson(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["jetson", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_detectnet_prints_its_lines(capsys: pytest.CaptureFixture[str]):
    assert jetson(capsys, "detectnet", "--model=model.onnx", "both.png", "out_%i.png") == [
        "both.png",
        "2 objects detected",
        "detected obj 0  class #1 (red)  confidence=1.000000",
        "bounding box 0  (64.00, 32.00)  (96.00, 64.00)  w=32.00  h=32.00",
        "detected obj 1  class #2 (green)  confidence=0.600000",
        "bounding box 1  (160.00, 96.00)  (192.00, 128.00)  w=32.00  h=32.00",
        "  written: out_0.png",
    ]
    assert jetson(capsys, "detectnet", "--model=model.onnx", "--threshold=0.8", "both.png")[1] == "1 objects detected"


def test_detectnet_fills_boxes_as_alpha_says(capsys: pytest.CaptureFixture[str]):
    def inside(*flags: str) -> list[int]:
        jetson(capsys, "detectnet", "--model=model.onnx", *flags, "both.png", "out.png")
        return np.array(Image.open("out.png"))[60, 92].tolist()

    red, colour = [255, 0, 0], [255, 120, 0]
    assert inside("--overlay=lines,labels,conf") == red
    assert inside("--overlay=none") == red
    assert inside("--alpha=255") == colour
    assert inside("--overlay=box", "--alpha=0") == red
    assert inside()[1] == pytest.approx(120 * 120 / 255, abs=1)  # the usual opacity


def test_detectnet_tracks_objects_of_a_video(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")

    lines = jetson(capsys, "detectnet", "--model=model.onnx", "--tracking", "street.mp4", "out.mp4")

    frames = " ".join(lines).split("street_00000")
    assert len(frames) == 1 + 6
    assert "tracking" not in frames[2]  # an object gets its number in its third frame
    assert "tracking 0  id=1" in frames[3]
    assert "tracking 1  id=2" in frames[6]
    assert len(list(open_source("out.mp4"))) == 6


def test_input_flags_take_effect(capsys: pytest.CaptureFixture[str]):
    words = ("--input-width=96", "--input-height=64", "--input-flip=rotate-180", "--input-rate=5", "--loop=1")

    lines = jetson(capsys, "detectnet", "--model=model.onnx", "--threshold=0.8", *words, "street.mp4", "out.mp4")

    assert len([line for line in lines if line.startswith("street_")]) == 2 * 3  # every second of 6 frames, twice
    assert "bounding box 0  (48.00, 32.00)  (64.00, 48.00)  w=16.00  h=16.00" in lines
    assert next(iter(open_source("out.mp4"))).image_hwc.shape == (64, 96, 3)


def test_imagenet_prints_its_lines(capsys: pytest.CaptureFixture[str]):
    assert jetson(capsys, "imagenet", "--model=classes.onnx", "--topK=0", "both.png", "out.jpg") == [
        "both.png",
        "imagenet:  60.00000% class #1 (b)",
        "imagenet:  40.00000% class #0 (a)",
        "  written: out.jpg",
    ]
    assert jetson(capsys, "imagenet", "--model=classes.onnx", "--threshold=0.7", "both.png") == [
        "both.png",
        "imagenet:  no class reaches 0.7",
    ]


def test_a_picture_that_cannot_be_read_is_left_out(capsys: pytest.CaptureFixture[str]):
    Path("bad.png").write_bytes(b"")

    assert main(["jetson", "imagenet", "--model=classes.onnx", "*.png"]) == 0

    said = capsys.readouterr()
    assert [line for line in said.out.splitlines() if not line.startswith("imagenet")] == ["both.png"]
    assert said.err.startswith("warning: bad.png: ")


def test_a_window_is_beside_the_file_only_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch):
    def places(*words: str) -> list[str]:
        options: argparse.Namespace = parser_for("jetson").parse_args(["jetson", "imagenet", "in.jpg", *words])
        return outputs_of(options)

    assert places("out.jpg") == ["out.jpg"]
    assert places() == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert places("out.jpg") == ["out.jpg", "display://0"]
    assert places() == ["display://0"]
    assert places("out.jpg", "--headless") == ["out.jpg"]


def test_a_model_and_a_network_are_one_too_many(capsys: pytest.CaptureFixture[str]):
    assert main(["jetson", "imagenet", "--model=classes.onnx", "--network=resnet-18", "both.png"]) == 1

    assert capsys.readouterr().err == "error: --model with --network: give one of them\n"
