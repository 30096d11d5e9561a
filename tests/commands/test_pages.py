"""What the pages of the cookbook show to type runs as it is printed, or at least has flags that the parsers accept.

test_pages_of_models.py runs the pages for a model that is there, test_pages_of_trainings.py those that train."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
from pathlib import Path
from unittest import mock

import pytest

from taolite.cli.main import parser_for
from tests.stages.conftest import tiny, write_spec
from tests.test_documents import OF_OTHERS, PAGES, PROGRAMS, command_lines, name_of, pieces

from .pages import COOKBOOK, ROOT, Block, blocks, command_words, play
from .test_tutorials import keep_weights

__all__ = ["tiny"]

CONTAINER = {
    "detectnet_v2": "detectnet",
    "classification_tf1": "classification",
    "ssd": "ssd",
    "tao-converter": "convert",
}


# Marks


@pytest.mark.parametrize("page", sorted(COOKBOOK.glob("*.md")), ids=name_of)
def test_every_block_of_commands_says_whether_it_is_run(page: Path) -> None:
    allowed = re.compile(r"tested|tested: in (\S+)|parsed: \S.*")

    for block in blocks(page):
        mark = allowed.fullmatch(block.mark)
        assert mark, f"{page}: <!-- tested --> or <!-- parsed: WHY -->"
        if mark[1]:
            assert (ROOT / mark[1]).is_file(), f"{page}: {mark[1]}: no such file"


def test_every_page_with_a_block_that_is_run_has_its_test_beside_this_one() -> None:
    marked = {page.stem for page in COOKBOOK.glob("*.md") if any(block.mark == "tested" for block in blocks(page))}

    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_pages*.py"))
    assert marked == set(re.findall(r'play\(\s*COOKBOOK / "([\w-]+)\.md"', tests))


def test_a_block_is_read_with_its_mark(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- parsed: no camera -->\n```sh\nls\n```\n\n```text\nno\n```\n\n```console\n$ ls\n```\n")

    assert blocks(page) == [Block("parsed: no camera", "ls\n"), Block("", "$ ls\n")]


# Parsed


@pytest.mark.parametrize("page", [page for page in PAGES if OF_OTHERS not in page.parents], ids=name_of)
def test_the_parsers_accept_every_command_of_a_block(page: Path) -> None:
    wrong = [
        f"{name_of(page)}:{said.line}: {line}: {text}"
        for said in pieces(page)
        if said.kind in ("sh", "bash", "console", "yaml")
        for line in command_lines(said)
        if (text := refusal(line))
    ]

    assert wrong == []


def refusal(line: str) -> str | None:
    """What the parser says of a command line; None where it accepts it, or where `...` stands for some of its words."""
    line = re.sub(r"\$\{?[A-Z_]+\}?|\$\([^)]*\)", "1", line)
    try:
        program, *words = shlex.split(line)
    except ValueError:  # the last quote is that of `bash -c '...'` around it
        program, *words = shlex.split(line.rstrip("'\""))
    if "..." in words or not words:
        return None
    words = [*PROGRAMS[program], *words][1:] if program in ("taolite", "tao") else [CONTAINER[program], *words]
    if words[:1] == ["tao"] and len(words) > 2 and words[1] in CONTAINER:
        words = [CONTAINER[words[1]], *words[2:]]
    said = io.StringIO()
    quiet = (contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()))
    with quiet[0], quiet[1], mock.patch.dict(os.environ):  # --require-signer and others set a variable
        try:
            parser_for(words[0]).parse_args(words)
        except SystemExit as end:
            return said.getvalue().strip().splitlines()[-1] if end.code else None
    return None


def test_a_refusal_is_what_the_command_itself_would_say() -> None:
    assert refusal("detectnet_v2 train -e train.txt -r results -k KEY --gpus $NUM_GPUS") is None
    assert refusal("taolite help detectnet train") is None
    assert refusal("detectnet_v2 train -e train.txt -r results -k KEY --gpus two") == (
        "taolite detectnet train: error: argument --gpus: invalid int value: 'two'"
    )
    assert refusal("taolite key new") == "taolite key new: error: the following arguments are required: FILE"


# Run


def test_the_first_model_is_made_as_printed(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the photographs come with scikit-image")
    (tmp_path / "commands").symlink_to(ROOT / "commands")
    fewer = "ls pictures/* | awk 'int((NR - 1) / 2) % 8' | xargs rm"  # every eighth picture stays, with its labels
    shorter = r"sed -i -E 's/^( *num_epochs:) [0-9]+/\1 1/' first/train.txt"

    said = play(
        COOKBOOK / "first-model.md",
        tmp_path,
        before={"taolite dataset check": fewer, "detectnet_v2 dataset_convert -d first/tfrecords_train": shorter},
    )

    assert "pictures: 160 photographs, labelled in labelme's format" in said
    assert (tmp_path / "pictures.png").is_file()
    assert "Mean average_precision (in %):" in said
    held_out = sorted(path.name for path in (tmp_path / "first/data/val/image_2").iterdir())
    assert held_out
    assert sorted(path.name for path in (tmp_path / "found").glob("*.jpg")) == held_out


def test_the_commands_of_the_page_for_tao_are_those_of_the_notebook() -> None:
    page = "".join(block.text for block in blocks(COOKBOOK / "from-tao.md") if block.mark.startswith("tested"))
    notebook = (Path(__file__).parent / "notebook.sh").read_text(encoding="utf-8")

    expected = command_words(notebook.replace("${CALIBRATION_BATCHES:-10}", "10"))
    assert len(expected) == 24
    assert command_words(page) == expected


@pytest.mark.slow  # tests/commands/test_tutorials.py plays the tutorial's own commands always
def test_a_classifier_is_made_with_the_programs_of_jetson_inference_as_printed(
    shared_data: Path, tmp_path: Path
) -> None:
    keep_weights(shared_data, tmp_path)
    data = tmp_path / "cat_dog"
    for part, count in (("train", 4), ("val", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (data / part / name).mkdir(parents=True)
            pictures = sorted((shared_data / "cat_dog_200" / part / name).glob("*.jpg"))
            for number, picture in enumerate(pictures[:count], start=1):
                shutil.copy(picture, data / part / name / f"{number:02d}.jpg")
    (data / "labels.txt").write_text("cat\ndog\n")
    for name in ("commands", "container-login.sh"):
        (tmp_path / name).symlink_to(ROOT / name)

    said = play(COOKBOOK / "from-jetson-inference.md", tmp_path)

    assert re.findall(r"^Epoch: \[(\d)\] completed", said, re.MULTILINE) == ["0", "1"]
    assert re.search(r"^imagenet:  [\d.]+% class #[01] \((?:cat|dog)\)$", said, re.MULTILINE)
    assert (tmp_path / "cat.jpg").is_file()


@pytest.mark.slow
@pytest.mark.sockets
def test_two_processes_train_one_detector_as_printed(tiny: Path, tmp_path: Path) -> None:
    write_spec(tiny, "two.txt", epochs=2).rename(tmp_path / "train.txt")

    play(COOKBOOK / "several-machines.md", tmp_path)

    assert (tmp_path / "results" / "weights" / "detector.tlt").is_file()
