"""A new workspace: what is in it, that nothing is overwritten, and that its scripts say what they should."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.errors import PathError
from taolite.workspace import Mounts
from taolite.workspace.layout import lay_out

SPEC_CHECK = """#!/bin/sh
if [ "$1 $2" = "spec check" ]; then echo "$3: good, {kind} spec"; else printf '%s\\n' "$TAOLITE_KEY" "$@"; fi
"""


def test_a_workspace_has_specs_data_commands_results_a_mounts_map_and_a_readme(tmp_path):
    made = lay_out(tmp_path / "lab")

    assert {path.relative_to(tmp_path / "lab").as_posix() for path in made.written} == {
        *("README.md", ".tao_mounts.json", ".gitignore"),
        *(f"commands/{name}.sh" for name in ("common", "new", "train", "evaluate", "prune", "export")),
    }
    assert {path.name for path in (tmp_path / "lab").iterdir() if path.is_dir()} == {
        "specs",
        "data",
        "commands",
        "results",
    }
    assert made.kept == ()


def test_the_mounts_map_puts_the_containers_folder_here(tmp_path):
    lay_out(tmp_path)

    mounts = Mounts.load(start=tmp_path / "results", environ={"HOME": str(tmp_path / "home")})

    assert mounts.resolve("/workspace/tao-experiments/specs/train.txt") == tmp_path / "specs" / "train.txt"


def test_what_is_there_already_stays_also_a_link_that_leads_nowhere(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").symlink_to("nowhere")

    assert main(["init", str(tmp_path)]) == 0

    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / ".gitignore").readlink() == Path("nowhere")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"2 files of these names were there already and stay as they are: {tmp_path}/README.md, {tmp_path}/.gitignore",
        f"next: cd {tmp_path}, then read README.md",
    ]


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "data").write_text("")

    with pytest.raises(PathError) as caught:
        lay_out(tmp_path)

    assert str(caught.value) == (f"{tmp_path}/data: a file is where a folder is needed; move it, or name another DIR")


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("an SSD", ["train.sh", "s.txt", "one", "--precision", "fp32"],
         "ssd train -e s.txt -r {lab}/results/one --precision fp32"),
        ("a DetectNet_v2 experiment", ["prune.sh", "one", "0.3"],
         "detectnet prune -m {lab}/results/one -o {lab}/results/one-pruned.tlt --target 0.3"),
        ("a classification", ["export.sh", "one"],
         "classification export -m {lab}/results/one -e {lab}/results/one/experiment_spec.txt "
         "-o {lab}/results/one.etlt"),
        ("a classification", ["new.sh", "ssd", "pictures", "mine"], "spec new ssd pictures -o {lab}/specs/mine"),
    ],
)  # fmt: skip
def test_a_script_runs_the_command_of_the_specs_task(tmp_path, kind, words, said):
    lay_out(tmp_path)
    (tmp_path / "taolite").write_text(SPEC_CHECK.format(kind=kind))
    (tmp_path / "taolite").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(
        [str(tmp_path / "commands" / words[0]), *words[1:]], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["tlt_encode", *said.format(lab=tmp_path).split()]


def test_a_script_without_its_words_prints_what_it_needs(tmp_path):
    lay_out(tmp_path)

    done = subprocess.run([str(tmp_path / "commands" / "export.sh")], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            "Export the model of results/RUN as results/RUN.etlt, for TensorRT, OpenVINO and ONNX Runtime.",
            "",
            "  commands/export.sh RUN",
        ],
    )
