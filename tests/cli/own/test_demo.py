"""`taolite demo`: what it draws and prints, and that --run runs what is printed. tests/test_install.py runs it all."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from taolite.cli.main import main

PRINTED = """\
D/pictures: 12 pictures, labelled in labelme's format: COUNTS
next:
  taolite dataset convert D/pictures D/kitti --to kitti
  detectnet_v2 dataset_convert -d D/specs/tfrecords.txt -o D/tfrecords/demo
  detectnet_v2 train -e D/specs/train.txt -r D/trained -n detector -k tlt_encode
  detectnet_v2 evaluate -e D/specs/train.txt -m D/trained/weights/detector.tlt -k tlt_encode
  detectnet_v2 prune -m D/trained/weights/detector.tlt -o D/pruned/detector.tlt -eq union -nf 32 --target 0.2 \
-k tlt_encode
  detectnet_v2 train -e D/specs/retrain.txt -r D/retrained -n detector -k tlt_encode
  detectnet_v2 evaluate -e D/specs/retrain.txt -m D/retrained/weights/detector.tlt -k tlt_encode
  detectnet_v2 export -m D/retrained/weights/detector.tlt -o D/detector.etlt -k tlt_encode
  detectnet_v2 inference -e D/specs/inference.txt -i D/unseen -o D/found -m D/detector.etlt -k tlt_encode
"""


WORDS = {"taolite": "-m taolite", "detectnet_v2": "-m taolite detectnet"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for Python: writes its words to the file that is returned; `fails` beside it names a word that ends it
    with 3."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\necho "$*" >>ran\n'
        'for word; do if [ -f fails ] && [ "$word" = "$(cat fails)" ]; then exit 3; fi; done\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return tmp_path / "ran"


def test_the_demonstration_prints_every_command_to_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["demo", str(tmp_path / "D"), "--pictures", "12"]) == 0

    labels = [
        shape["label"]
        for path in tmp_path.glob("D/pictures/*.json")
        for shape in json.loads(path.read_text())["shapes"]
    ]
    counts = ", ".join(f"{labels.count(name)} {name}s" for name in ("circle", "square", "triangle"))
    assert capsys.readouterr().out.replace(str(tmp_path / "D"), "D") == PRINTED.replace("COUNTS", counts)
    assert sorted(path.name for path in (tmp_path / "D").iterdir()) == ["pictures", "specs", "unseen"]


def test_run_runs_the_printed_commands_in_their_order(
    tmp_path: Path, programs: Path, capfd: pytest.CaptureFixture[str]
):
    assert main(["demo", str(tmp_path / "D"), "--pictures", "12", "--run"]) == 0

    printed = [line.strip() for line in PRINTED.splitlines()[2:]]
    ran = programs.read_text().replace(str(tmp_path / "D"), "D").splitlines()
    assert ran == [re.sub("^(taolite|detectnet_v2)", lambda found: WORDS[found[0]], line) for line in printed]
    said = capfd.readouterr().out.replace(str(tmp_path / "D"), "D").splitlines()
    assert [line for line in said if line.startswith("==")] == [
        f"== {number} of 9: {line}" for number, line in enumerate(printed, 1)
    ]
    assert said[-2:] == ["pictures with boxes: D/found/images_annotated", "total: 0 min 0 s"]


def test_run_stops_at_the_first_command_that_fails_and_has_its_exit_code(tmp_path: Path, programs: Path):
    (tmp_path / "fails").write_text("train")

    assert main(["demo", str(tmp_path / "D"), "--pictures", "12", "--run"]) == 3

    assert [line.split()[3] for line in programs.read_text().splitlines()] == [
        *("convert", "dataset_convert", "train"),
    ]


def test_too_few_pictures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["demo", str(tmp_path / "D"), "--pictures", "9"])

    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "taolite demo: error: argument --pictures: '9' needs to be a whole number, 10 or more"
    )
