"""`taolite ssd train` on data as they are found: each oddity is trained around or refused, with file and line."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.jetson.forms import OPEN_KEY
from taolite.cli.main import main

from .test_ssd_life import object_xml
from .voc_set import draw_set

SMALL = (
    "--net=mb2-ssd-lite", "--mb2-width-mult=0.25", "--resolution=96", "--epochs=1", "--batch-size=1", "--workers=1",
    "--debug-steps=1",
)  # fmt: skip


def train(root: Path, *flags: str) -> tuple[int, str, str]:
    """Exit code, log and errors of a training on `root`."""
    out, err = io.StringIO(), io.StringIO()
    words = [
        "jetson",
        "train_ssd.py",
        "--dataset-type=voc",
        f"--data={root}",
        f"--model-dir={root}/run",
        *SMALL,
        *flags,
    ]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue().replace(f"{root}/", ""), err.getvalue().replace(f"{root}/", "")


def add(root: Path, stem: str, objects: str) -> Path:
    """One more training picture with these objects in the second line of its annotation."""
    with open(root / "ImageSets/Main/trainval.txt", "a", encoding="utf-8") as names:
        names.write(f"{stem}\n")
    Image.fromarray(np.full((80, 96, 3), 40, np.uint8)).save(root / f"JPEGImages/{stem}.png")
    path = root / f"Annotations/{stem}.xml"
    path.write_text(f"<annotation><filename>{stem}.png</filename>\n{objects}</annotation>")
    return path


AROUND = {
    "flat": (object_xml("box", 9, 9, 9, 40), "flat.xml:2: `box` at (8, 8, 8, 40) has no area"),
    "swapped": (object_xml("box", 40, 9, 9, 40), "swapped.xml:2: `box` at (39, 8, 8, 40) has no area"),
    "outside": (object_xml("box", 140, 9, 190, 40), "outside.xml:2: `box` at (139, 8, 190, 40) has no area"),
    "unknown": (object_xml("cat", 4, 9, 30, 40), "unknown.xml:2: `cat` is not one of the classes (ball, box)"),
    "background": (object_xml("BACKGROUND", 4, 9, 30, 40), "background.xml:2: `BACKGROUND` is not one of the classes"),
    "difficult": (object_xml("box", 4, 9, 30, 40, difficult=1), "difficult.xml: every object is difficult"),
    "empty": ("", "trainval.txt: 1 of 16 images without an object, kept as background: `empty.png`"),
    "tiny": (object_xml("box", 4, 9, 4.01, 9.01), ""),
}


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A set with everything of AROUND, and a `labels.txt` with a background and blank lines, and the log of its
    training."""
    root = tmp_path_factory.mktemp("odd")
    draw_set(root, train=8, test=4)
    (root / "labels.txt").write_text("BACKGROUND\nball\n\nbox\n\n")
    for stem, (objects, _) in AROUND.items():
        add(root, stem, objects)
    code, log, err = train(root)
    assert (code, err) == (0, "")
    return root, log


@pytest.mark.parametrize("stem", AROUND)
def test_an_odd_picture_is_trained_around_and_told(around: tuple[Path, str], stem: str):
    assert AROUND[stem][1] in around[1]


def test_lines_of_labels_txt_that_are_no_class_are_told_and_no_class(around: tuple[Path, str]):
    root, log = around

    assert "warning: labels.txt:1: this line is `BACKGROUND`; it is ignored" in log
    assert "warning: labels.txt:3: this line is blank; it is ignored" in log
    assert "Labels: ('BACKGROUND', 'ball', 'box')" in log
    assert read_bundle(root / "run/model_best.tlt", key=Key(OPEN_KEY)).classes == ("ball", "box")


def test_every_cost_of_a_run_with_odd_pictures_is_a_number(around: tuple[Path, str]):
    costs = re.findall(r"(?:Loss:?|mAP\):) +(\S+?),?(?=\s)", around[1])

    assert len(costs) >= 3 * 10
    assert np.isfinite([float(cost) for cost in costs]).all()


REFUSED = {
    "nan": ("<xmin>4<", "<xmin>nan<", "bad.xml:2: <xmin> of `box` is `nan`; it needs to be a finite number"),
    "infinity": ("<ymax>40<", "<ymax>inf<", "bad.xml:2: <ymax> of `box` is `inf`; it needs to be a finite number"),
    "word": ("<xmax>30<", "<xmax>thirty<", "bad.xml:2: <xmax> of `box` is `thirty`; it needs to be a finite number"),
    "no name": ("<name>box</name>", "", "bad.xml:2: an <object> needs a <name> and a <bndbox>"),
    "no root": (None, "", "bad.xml:1: not XML (no element found)"),
    "cut": ("</annotation>", "", "bad.xml:2: not XML (no element found)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_file_and_line(tmp_path: Path, case: str):
    before, after, message = REFUSED[case]
    draw_set(tmp_path, train=4, test=2)
    path = add(tmp_path, "bad", object_xml("box", 4, 9, 30, 40))
    path.write_text("" if before is None else path.read_text().replace(before, after))

    code, log, err = train(tmp_path)

    assert code == 1
    assert message in err
    assert "Step" not in log


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("BACKGROUND\n\n", "labels.txt: no class names found; write one name a line, without BACKGROUND"),
        ("plane\n", "no training image has an object of plane"),
    ],
)
def test_a_set_from_which_nothing_can_be_learned_is_refused(tmp_path: Path, labels: str, message: str):
    draw_set(tmp_path, train=4, test=2)
    (tmp_path / "labels.txt").write_text(labels)

    code, _, err = train(tmp_path)

    assert code == 1
    assert message in err
