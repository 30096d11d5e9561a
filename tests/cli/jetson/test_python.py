"""`taolite jetson python`: the tutorial's script as it is printed; words, exit code and path of other scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taolite.cli.jetson.python import MODULES
from taolite.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
TUTORIAL = """\
#!/usr/bin/python3

import jetson.inference
import jetson.utils

import argparse

# parse the command line
parser = argparse.ArgumentParser()
parser.add_argument("filename", type=str, help="filename of the image to process")
parser.add_argument("--network", type=str, default="googlenet", help="model to use, can be:  googlenet, resnet-18, ect.")
args = parser.parse_args()

# load an image (into shared CPU/GPU memory)
img = jetson.utils.loadImage(args.filename)

# load the recognition network
net = jetson.inference.imageNet(args.network)

# classify the image
class_idx, confidence = net.Classify(img)

# find the object description
class_desc = net.GetClassDesc(class_idx)

# print out the result
print("image is recognized as '{:s}' (class #{:d}) with {:f}% confidence".format(class_desc, class_idx, confidence * 100))
"""  # noqa: E501


def python(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taolite", "jetson", "python", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ}, check=False)


@pytest.mark.parametrize("picture", ["black_bear", "brown_bear", "polar_bear"])
def test_the_tutorials_script_runs_as_it_is_printed(picture: str, tmp_path: Path, shared_data: Path):
    (tmp_path / "my-recognition.py").write_text(TUTORIAL)
    name = {"black_bear": "American black bear", "brown_bear": "brown bear", "polar_bear": "ice bear"}[picture]
    number = {"black_bear": 295, "brown_bear": 294, "polar_bear": 296}[picture]

    done = python(
        str(tmp_path / "my-recognition.py"),
        str(shared_data / "jetson_images" / f"{picture}.jpg"),
        "--network=resnet-18",
        TAOLITE_NETWORKS=str(shared_data / "pretrained"),
    )

    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"image is recognized as '{name}' (class #{number}) with ")
    assert line.endswith("% confidence")


def test_an_error_the_user_can_mend_ends_in_one_line(tmp_path: Path, shared_data: Path):
    script = tmp_path / "my-recognition.py"
    script.write_text(TUTORIAL)

    done = python(
        str(script), str(shared_data / "jetson_images" / "cat_0.jpg"), "--network=inception-v4", TAOLITE_NETWORKS=""
    )

    assert done.returncode == 1
    assert done.stderr == (
        f"{script}, line 18: error: inception-v4: torchvision publishes no weights of this network; inception-v3 is "
        "the nearest it has\n"
    )


def test_other_errors_keep_their_traceback(tmp_path: Path):
    done = python("-c", "import jetson_utils; 1 / 0")

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_words_exit_code_and_streams_are_the_scripts(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.argv, __name__, sys.path[0], sys.stdin.read())\nsys.exit(3)\n")

    done = subprocess.run(
        [sys.executable, "-m", "taolite", "jetson", "python3", str(script), "--help", "-x", "--key=a b", "--"],
        input="hello",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert done.stdout == f"['{script}', '--help', '-x', '--key=a b', '--'] __main__ {tmp_path} hello\n"


def test_only_the_folder_of_the_modules_is_put_on_the_path(monkeypatch: pytest.MonkeyPatch):
    done = python("-c", "import os; print(os.environ['PYTHONPATH'])", PYTHONPATH=os.pathsep.join(sys.path))

    assert done.stdout.strip().split(os.pathsep) == [str(MODULES), *filter(None, sys.path)]


def test_the_native_shell_has_the_modules_on_its_path(tmp_path: Path):
    login = [str(ROOT / "container-login.sh"), "--native", "--"]
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    code = "import jetson.utils, jetson_inference; print(jetson.utils.__file__)"

    done = subprocess.run(
        [*login, "python3", "-c", code], capture_output=True, text=True, env=environ, cwd=tmp_path, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{MODULES / 'jetson' / 'utils' / '__init__.py'}\n"


def test_a_python_without_taolite_is_told_what_to_run(tmp_path: Path):
    code = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import jetson.utils"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(MODULES)}

    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=environ, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {sys.executable} has no taolite; run: taolite jetson python -c"
    )


def test_its_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["jetson", "python", "--help"])

    assert not caught.value.code
    assert capsys.readouterr().out.startswith("usage: taolite jetson python [options] SCRIPT.py [ARGUMENT ...]")
