"""commands/*.sh call taolite with what they were given; the programs here are stand-ins that print their words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = Path(__file__).resolve().parents[2] / "commands"
HERE = "/workspace/tao-experiments"

pytestmark = pytest.mark.skipif(Path(HERE).exists(), reason="inside the container the paths exist")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder that stands for /workspace/tao-experiments, and stand-ins of the programs in bin/."""
    (tmp_path / ".tao_mounts.json").write_text(f'{{"Mounts": [{{"source": ".", "destination": "{HERE}"}}]}}')
    (tmp_path / "bin").mkdir()
    for name in ("detectnet_v2", "taolite"):
        program = tmp_path / "bin" / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*"\n')
        program.chmod(0o755)
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def called(workspace: Path, script: str, *words: str) -> str:
    """The command line a script comes to, in one line, container paths as they are."""
    environment = {
        **os.environ,
        "PATH": f"{workspace / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(COMMANDS.parent),
    }
    for name in ("LAUNCHER_MOUNTS", "TAOLITE_KEY"):
        environment.pop(name, None)
    done = subprocess.run(
        [str(COMMANDS / script), *words], cwd=workspace, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0].replace(str(workspace), "W")


@pytest.mark.parametrize(
    ("script", "words", "flags", "line"),
    [
        (
            "evaluate.sh", "retrain", "-m retrain",
            f"detectnet_v2 evaluate -e {HERE}/specs/detectnet_retrain.txt -m {HERE}/data/tlts/NEW_RETRAINED.tlt "
            "-k tlt_encode",
        ),
        (
            "evaluate.sh", "mine.tlt other.txt key", "-k key -e other.txt -m mine.tlt",
            f"detectnet_v2 evaluate -e {HERE}/specs/other.txt -m {HERE}/data/tlts/mine.tlt -k key",
        ),
        (
            "prune.sh", "train", "-m train",
            f"detectnet_v2 prune --gpus 1 -m {HERE}/data/tlts/NEW_TRAINED.tlt -o {HERE}/data/pruned/NEW_PRUNED.tlt "
            "-k tlt_encode -eq union -pth 0.1",
        ),
        (
            "infer.sh", "photos out /m/a.tlt s/a.txt key", "photos -o out -m /m/a.tlt -e s/a.txt -k key",
            "detectnet_v2 inference -e s/a.txt -i photos -o out -k key -m /m/a.tlt",
        ),
        (
            "export.sh", "train key", "-m train -k key",
            f"detectnet_v2 export -m {HERE}/data/tlts/NEW_TRAINED.tlt -o {HERE}/data/etlts/NEW_EXPORTED.etlt -k key",
        ),
        (
            "convert.sh", "a.etlt", "-m a.etlt",
            "taolite convert W/data/etlts/a.etlt -k tlt_encode -e W/data/engines/a.engine -t fp16 -m 4",
        ),
        (
            "tfrecord.sh", "a.txt", "-e a.txt",
            f"detectnet_v2 dataset_convert -d {HERE}/specs/a.txt -o {HERE}/specs/tfrecords/kitti_trainval",
        ),
    ],
)  # fmt: skip
def test_a_script_takes_words_in_their_order_or_tao_s_flags(
    workspace: Path, script: str, words: str, flags: str, line: str
) -> None:
    assert called(workspace, script, *words.split()) == line
    assert called(workspace, script, *flags.split()) == line


def test_an_engine_has_the_size_of_its_model_unless_another_is_to_be_checked(workspace: Path) -> None:
    assert " -d " not in called(workspace, "convert.sh")
    assert " -d 3,192,256 " in called(workspace, "convert.sh", "a.etlt", "3,192,256")


def test_the_tutorial_s_prune_without_an_ending_is_the_script(workspace: Path) -> None:
    assert called(workspace, "prune", "train") == called(workspace, "prune.sh", "train")


def test_no_script_fixes_the_size_of_an_input() -> None:
    texts = {path.name: path.read_text() for path in COMMANDS.glob("*.sh")}

    assert [name for name, text in texts.items() if "3,384,1248" in text or "3,192,256" in text] == []


@pytest.mark.parametrize("script", ["train.sh", "evaluate.sh", "convert.sh"])
def test_a_flag_that_no_script_has_is_answered_with_the_help(script: str, tmp_path: Path) -> None:
    done = subprocess.run([str(COMMANDS / script), "--epochs", "3"], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: --epochs is not an option of {script}"
    assert f"commands/{script}" in done.stderr
