"""The wheel in fresh environments, in folders without a checkout: the base package alone runs an exported model, and
says which extra brings what it cannot do; with the libraries of training, the demonstration's whole life runs.

The only test module that reaches a package index. The libraries of training are gigabytes, so they are lent by the
environment of the tests; taolite and the base's libraries are not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "tests" / "vectors" / "0.1.0"

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the base package alone."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    scripts = folder / "venv" / "bin"
    subprocess.run([scripts / "python", "-m", "pip", "install", "-q", wheel], check=True)
    return scripts


@pytest.fixture(scope="module")
def training(wheel: Path, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the wheel, the base's libraries, and those of training as they are here."""
    folder = tmp_path_factory.mktemp("training") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    scripts = folder / "bin"
    command = [bare / "python", "-m", "pip", "--python", scripts / "python", "install", "-q", "--no-deps", wheel]
    subprocess.run(command, check=True)
    own = path_of(scripts / "python", "purelib")
    lent = [path_of(bare / "python", "purelib"), path_of(bare / "python", "platlib"), *here()]
    (Path(own) / "lent.pth").write_text("\n".join(dict.fromkeys(lent)) + "\n")  # .pth files in these are not read
    return scripts


def path_of(python: Path, kind: str) -> str:
    code = f"import sysconfig; print(sysconfig.get_path({kind!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def here() -> list[str]:
    return [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]


def run(program: Path, *words: object, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd.parent), "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}
    return subprocess.run(
        [program, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s
    )


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


def test_the_base_has_no_torch_and_training_names_the_extra_it_needs(wheel: Path, bare: Path, tmp_path: Path):
    assert run(bare / "python", "-c", "import torch", cwd=tmp_path).returncode == 1

    done = run(bare / "taolite", "detectnet", "train", "-r", "trained", "-k", "key", cwd=tmp_path)

    needed = f"error: taolite detectnet train needs torch, which is not installed; run pip install '{wheel}[train]'"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, needed)


def test_the_demonstration_is_drawn_by_the_base_and_run_with_the_extra_alone(wheel: Path, bare: Path, tmp_path: Path):
    drawn = run(bare / "taolite", "demo", "first", "--pictures", 10, cwd=tmp_path)
    refused = run(bare / "taolite", "demo", "second", "--run", cwd=tmp_path)

    assert (drawn.returncode, len(list((tmp_path / "first" / "pictures").glob("*.jpg")))) == (0, 10)
    needed = f"error: --run needs torch, which is not installed; run pip install '{wheel}[train]'\n"
    assert (refused.returncode, refused.stderr) == (1, needed)
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("words", [("--help",), ("detectnet", "train", "--help"), ("spec", "schema", "ssd")])
def test_help_and_schemas_need_no_extra(bare: Path, tmp_path: Path, words: tuple[str, ...]):
    done = run(bare / "taolite", *words, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_wheel_alone_trains_prunes_retrains_exports_and_finds_in_an_empty_folder(
    training: Path, bare: Path, tmp_path: Path
):
    empty = tmp_path / "empty"
    empty.mkdir()
    code = "import taolite, torch, sys; print(taolite.__file__, *sys.path, sep='\\n')"
    place, *path = run(training / "python", "-c", code, cwd=empty).stdout.splitlines()
    assert Path(place).is_relative_to(training.parent)
    assert [folder for folder in path if folder and (Path(folder) / "pyproject.toml").exists()] == []

    done = run(
        *(training / "taolite", "demo", "first", "--pictures", 12, "--epochs", 1, "--run"), cwd=empty, timeout_s=1200
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in empty.iterdir()] == ["first"]
    made = empty / "first"
    assert sorted(path.name for path in made.iterdir()) == [
        *("detector.etlt", "found", "kitti", "pictures", "pruned", "retrained", "specs", "tfrecords", "trained"),
        *("unseen",),
    ]
    sizes = [(made / name).stat().st_size for name in ("trained/weights/detector.tlt", "pruned/detector.tlt")]
    assert sizes[1] < 0.4 * sizes[0]
    unseen = sorted(path.name for path in (made / "unseen").glob("*.jpg"))
    assert sorted(path.name for path in (made / "found" / "images_annotated").iterdir()) == unseen

    again = run(
        *(bare / "detectnet_v2", "inference", "-e", "first/specs/inference.txt", "-i", "first/unseen", "-o", "again"),
        *("-m", "first/detector.etlt", "-k", "tlt_encode"),
        cwd=empty,
    )

    assert again.returncode == 0, again.stderr
    labels = {path.name: path.read_bytes() for path in (made / "found" / "labels").iterdir()}
    assert {path.name: path.read_bytes() for path in (empty / "again" / "labels").iterdir()} == labels
    assert len(labels) == 8
