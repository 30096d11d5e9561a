"""Number plates of CCPD and tables of Open Images from end to end by commands: converted, trained on, judged."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.cli.main import main

SMALL = (
    "--net=mb2-ssd-lite", "--mb2-width-mult=0.25", "--resolution=96", "--epochs=1", "--batch-size=4", "--workers=1",
    "--debug-steps=1",
)  # fmt: skip
CROWDED = "arliss_teacher2"


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def train_and_judge(kind: str, root: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The log of a training on `root`, and what eval_ssd.py says of it."""
    run("jetson", "train_ssd.py", f"--dataset-type={kind}", f"--data={root}", f"--model-dir={folder}/run", *SMALL)
    log = capsys.readouterr().out
    run("jetson", "eval_ssd.py", f"--model={folder}/run", f"--eval_dir={folder}/found")
    return log, capsys.readouterr().out


def test_plates_go_from_file_names_to_a_judged_detector(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pictures = sorted((shared_data / "ccpd_mini/images").glob("*.jpg"))
    for index, picture in enumerate(pictures):
        part = tmp_path / "CCPD2020/ccpd_green" / ("test", "train", "val", "train")[index % 4]
        part.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, part)

    run("dataset", "convert", tmp_path / "CCPD2020", tmp_path / "voc", "--to", "voc", "--images", "link")
    log, scores = train_and_judge("voc", tmp_path / "voc", tmp_path, capsys)

    assert len(pictures) == 16
    assert "Labels: ('BACKGROUND', 'plate')" in log
    assert "    plate: 12" in log
    assert "Epoch: 0, Step: 2/3, Avg Loss: " in log
    assert "nan" not in log + scores
    assert "    plate: " in scores
    assert "4 images, 4 objects" in scores


@pytest.fixture
def tables(shared_data: Path, tmp_path: Path) -> Path:
    """The first pictures of a real set of tables, of which the labels alone are known: grey with noise."""
    root, rng = tmp_path / "tables", np.random.default_rng(1)
    root.mkdir()
    for split, count in (("train", 10), ("test", 4)):
        name = f"sub-{split}-annotations-bbox.csv"
        with open(shared_data / "openimages_mini/labels_only_enjoy82" / CROWDED / name, newline="") as stream:
            every = list(csv.DictReader(stream))
        of_kinds = [row for kind in ("can", "trafficcone") for row in every if row["ClassName"] == kind]
        rows = of_kinds[:: len(every) // count][:count]
        with open(root / name, "w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            path = root / row["ImageID"]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    return root


@pytest.mark.parametrize("kind", ["open_images", "voc"])
def test_tables_are_trained_on_as_they_are_and_as_voc(
    tables: Path, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = tables
    if kind == "voc":
        root = tmp_path / "converted"
        run("dataset", "convert", tables, root, "--to", "voc")

    log, scores = train_and_judge(kind, root, tmp_path, capsys)

    assert "Labels: ('BACKGROUND', 'can', 'trafficcone')" in log
    assert "Dataset Summary: Number of Images: 10" in log
    assert "Validation dataset size: 4" in log
    assert "nan" not in log + scores
    assert "4 images, 4 objects" in scores


def test_the_whole_layout_of_open_images_v6_trains_with_its_pictures_of_few_pixels(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = shared_data / "openimages_mini/datumaro_synthetic/v6"

    log, scores = train_and_judge("open_images", root, tmp_path, capsys)

    assert "Labels: ('BACKGROUND', 'Generic label #0', 'Generic label #3')" in log
    assert "Train dataset size: 1" in log
    assert "nan" not in log + scores
    assert "1 images, 1 objects" in scores
