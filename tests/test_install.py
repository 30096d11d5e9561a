"""The base package, alone in a fresh environment, runs an exported model from picture to drawn boxes; what it cannot do
names the extra that it needs. The only test that reaches a package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "tests" / "vectors" / "0.1.0"

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the base package alone."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    scripts = folder / "venv" / "bin"
    subprocess.run([scripts / "python", "-m", "pip", "install", "-q", ROOT], check=True)
    return scripts


def run(program: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    return subprocess.run([program, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def test_the_base_runs_an_export_from_picture_to_drawn_boxes(bare: Path, tmp_path: Path):
    rng = np.random.default_rng(5)
    photo = rng.integers(0, 90, (64, 96, 3)).astype(np.uint8)
    photo[20:44, 10:42] = 230
    Image.fromarray(photo).save(tmp_path / "plate.png")
    shutil.copy(VECTORS / "detectnet" / "model.etlt", tmp_path)

    done = run(
        bare / "detectnet_v2",
        *("inference", "-i", "plate.png", "-o", "found", "-m", "model.etlt", "-k", "tlt_encode"),
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"1 pictures?: plate [1-9]\d* \(onnxruntime", done.stdout)
    with Image.open(tmp_path / "found" / "images_annotated" / "plate.png") as drawn:
        assert (np.array(drawn) != photo).any()
    assert (tmp_path / "found" / "labels" / "plate.txt").read_text().startswith("plate 0.00 0 0.00 ")


def test_the_base_has_no_torch_and_training_names_the_extra_it_needs(bare: Path, tmp_path: Path):
    assert run(bare / "python", "-c", "import torch", cwd=tmp_path).returncode == 1

    done = run(bare / "taolite", "detectnet", "train", "-r", "trained", "-k", "key", cwd=tmp_path)

    needed = f"error: taolite detectnet train needs torch, which is not installed; run pip install '{ROOT}[train]'"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, needed)


@pytest.mark.parametrize("words", [("--help",), ("detectnet", "train", "--help"), ("spec", "schema", "ssd")])
def test_help_and_schemas_need_no_extra(bare: Path, tmp_path: Path, words: tuple[str, ...]):
    done = run(bare / "taolite", *words, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
