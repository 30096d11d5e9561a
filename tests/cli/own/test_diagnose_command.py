"""`taolite diagnose` as a user meets it: whole lines, JSON, refusals; and a word for every cause."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from taolite.cli.causes import _WORDS, sentence
from taolite.cli.main import main
from taolite.cli.own.diagnose import _learned
from taolite.cli.words import Line, lines
from taolite.diagnosis import Cause
from taolite.events import Diagnosed
from taolite.stages.diagnose.overfit import Overfit

from ...stages.conftest import tiny, write_spec  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[3] / "taolite"


def test_a_spec_without_a_fault_has_no_cause(tiny: Path, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    spec = write_spec(tiny, "long.txt", epochs=60)

    assert main(["diagnose", "-e", str(spec)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{spec}: mAP not known",
        "no cause of a low score was found",
        "not looked at: thresholds, because no scores of the network are recorded; -e SPEC -m MODEL does",
    ]


def test_a_spec_with_a_fault_says_which_and_the_way_out(tiny: Path, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    spec = write_spec(tiny, "limits.txt", epochs=60)
    spec.write_text(spec.read_text().replace("maximum_height: 999", "minimum_height: 99 maximum_height: 999"))

    assert main(["diagnose", "-e", str(spec), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["score"], found["overfit"]) == ("mAP", None, None)
    (cause,) = found["causes"]
    assert (cause["name"], cause["step"], cause["share"], cause["blocks"]) == ("box_limits", "scoring", 1.0, True)
    assert cause["text"] == (
        "evaluation_config.evaluation_box_config leaves out the objects of plate: it takes heights from 99 to 999 and "
        "widths from 0 to 999 pixels of the network's input, and the 6 objects are 32x24 (median); widen the limits"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "error: taolite diagnose: name RUN, the results folder of a training, or a training spec with -e SPEC\n",
        ),
        (
            ["run", "-m", "x"],
            "error: -m MODEL needs the spec that it is scored with: give -e SPEC instead of RUN\n",
        ),
        (
            ["/nowhere"],
            "error: /nowhere: this folder holds no run (it has no manifest.json); name the results of a training\n",
        ),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["diagnose", *words]) == 1

    assert capsys.readouterr().err == said


def test_the_likeliest_cause_is_told_after_a_score_of_0(tmp_path: Path):
    rate = {"peak": 1e-12, "way": 2.5e-10, "steps": 250}
    causes = (Cause("rate_too_low", "training", 1.0, rate), Cause("not_learned", "answers", 0.5, {}))
    told = (
        "mAP is 0, most likely because the learning rate is at most 1e-12, so that 250 steps change a weight by about "
        "2.5e-10, and the network stays as it was; raise max_learning_rate (or lr): 5e-4 is usual"
    )

    assert lines(Diagnosed(causes, "mAP", Path("/r"))) == [
        Line(told, True),
        Line("1 other possible cause: `taolite diagnose /r` lists it", True),
    ]
    assert lines(Diagnosed(causes, "mAP")) == [Line(told, True)]
    assert lines(Diagnosed((), "mAP")) == [
        Line("mAP is 0 and no usual cause was found; try `taolite diagnose --overfit`", True)
    ]


def test_one_batch_in_words():
    found = Overfit(4, 6, 60, 9.5, True, 1e-3, 0.5, 0.01, 1.0, "mAP", 0.95)

    assert _learned(found) == (
        "one batch (4 pictures, 6 objects): the cost went from 0.5 to 0.01 in 60 steps, at a learning rate of 0.001; "
        "100 % of its objects are found (mAP 95 %). Labels, network and scoring work together: what is missing is "
        "training, or pictures"
    )


def test_every_cause_has_words():
    made = set()
    for path in (*ROOT.glob("tasks/*/diagnose.py"), *ROOT.glob("stages/diagnose/*.py"), ROOT / "tasks/diagnosing.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Cause":
                made.add(ast.literal_eval(node.args[0]))

    assert made == set(_WORDS)


def test_labels_that_are_nearly_a_class_are_named():
    facts = {"split": "val", "pictures": 3, "labels": {"Plates": 7, "car": 9}, "near": {"plate": "Plates"}}

    assert sentence(Cause("no_labels", "data", 1.0, facts)) == (
        "no class takes the labels of the validation split, which are car (9), Plates (7); Plates is nearly plate: map "
        "the name in target_class_mapping, or rename the labels"
    )
