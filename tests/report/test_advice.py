"""What to do next: each rule speaks where its numbers say so, and is silent where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taolite.report.html.advice import Advice, advice, chance
from taolite.report.html.facts import ClassFacts, RunFacts
from taolite.workspace.catalog import RunRecord

CLASSES = ("cat", "dog")
# true classes by row: 100 cats, of which 90 found; 100 dogs, of which 60 found, 15 taken for cats
CONFUSION = [[90, 0, 10], [15, 60, 25], [4, 6, 0]]


def facts_of(folder: Path, *, state: str = "finished", **changes: Any) -> RunFacts:
    """A detector's run of two classes, 200 validation pictures, 500 labels each, without anything remarkable."""
    made: dict[str, Any] = {
        "rows": [
            *({"epoch": epoch, "loss": 1 / epoch, "data_wait": 0.01} for epoch in range(1, 7)),
            *({"epoch": epoch, "validation_cost": 1.0, "mAP": 0.95, "AP": {}} for epoch in (2, 4, 6)),
        ],
        "scores": {"mAP": 0.96, "AP": {"cat": 0.96, "dog": 0.96}},
        "confusion": [[98, 0, 2], [0, 98, 2], [1, 1, 0]],
        "labels": {},
        "worst": [],
        "images": 200,
        "gates": (),
        "exports": {"m.etlt": {}},
        "models": [{"lineage": [{"stage": "prune"}]}],
        "status": ({"message": "killed", "epoch": 6, "max_epoch": 6},),
        "best": {},
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made["rows"]))
    card = {
        "main": {"per_class": made["scores"]["AP"]},
        "confusion": made["confusion"],
        "images": made["images"],
        "objects": {},
        "best": made["best"],
    }
    (folder / "scores.json").write_text(json.dumps({"card": card, "worst": made["worst"]}))
    train = {
        "pictures": 400,
        "empty": 0,
        "objects": {"cat": 500, "dog": 500},
        "sides": {name: [10, 40, 50, 60, 90] for name in CLASSES},
        **made["labels"],
    }
    manifest = {"run": {"task": "detectnet", "classes": list(CLASSES)}, "metrics": made["scores"], "metric": "mAP",
                "exports": made["exports"], "name": "m"}  # fmt: skip
    record = RunRecord(folder, manifest, made["status"], state)
    splits = {"splits": {"train": train, "val": {"pictures": made["images"]}}}
    return RunFacts(record, labels=splits, models=made["models"], gates=made["gates"])


def found(folder: Path, **changes: Any) -> list[Advice]:
    return advice(facts_of(folder, **changes))


def test_a_run_without_anything_remarkable_needs_nothing(tmp_path: Path):
    assert found(tmp_path / "run") == []


def test_a_weak_class_comes_with_its_reasons_and_what_to_do(tmp_path: Path):
    scores = {"mAP": 0.8, "AP": {"cat": 0.93, "dog": 0.67}}
    labels = {"objects": {"cat": 900, "dog": 80}, "sides": {"cat": [9, 9, 50, 60, 70], "dog": [5, 8, 12, 20, 30]}}

    (one,) = found(tmp_path / "run", scores=scores, confusion=CONFUSION, labels=labels)

    assert one == Advice(
        "act",
        "dog is the weakest class: average precision 0.670",
        (
            "It has 80 labels in training; the most frequent class has 900.",
            "Half of its objects are smaller than 12 x 12 pixels in the network's input.",
            "15 of its 100 validation objects were taken for cat.",
            "25 of its 100 validation objects are missed at the best threshold.",
        ),
        (
            "Label more pictures with dog: 160 labels or more.",
            "Train with a larger input, or cut the photos into parts.",
            "Check that dog and cat are labelled by one rule, and add pictures where they differ clearly.",
            "Look at the missed dog below (dashed frames): what do they have in common that the training pictures "
            "lack? Add such pictures.",
        ),
    )


def test_a_rare_class_is_no_reason_where_an_equally_rare_one_is_found_well(tmp_path: Path):
    scores = {"mAP": 0.9, "AP": {"cat": 0.97, "dog": 0.8}}

    few, many = (
        found(tmp_path / "run", scores=scores, labels={"objects": {"cat": cats, "dog": 150}}) for cats in (160, 3000)
    )

    assert few[0].why == ("None of this page's rules explains it: labels, sizes and mistakes are like those of the "
                          "others.",)  # fmt: skip
    assert many[0].why == ("It has 150 labels in training; the most frequent class has 3000.",)


def test_pictures_with_far_more_finds_than_labels_are_named(tmp_path: Path):
    worst = [
        {"image": "/d/a.jpg", "right": 1, "finds": 9, "objects": 1},
        {"image": "/d/b.jpg", "right": 0, "finds": 2, "objects": 0},  # two finds are too few to tell
        {"image": "/d/c.jpg", "right": 5, "finds": 14, "objects": 5},  # not three times as many
        {"image": "/d/d.jpg", "right": 0, "finds": 3, "objects": 0},
    ]

    (one,) = found(tmp_path / "run", worst=worst)

    assert one.title == "Labels may be missing in 2 validation pictures"
    assert one.why[0] == (
        "The model finds at least 3 times as many objects as are labelled in: a.jpg (1 label, 9 finds), "
        "d.jpg (0 labels, 3 finds)."
    )


def rows(costs: list[float], scores: list[float], losses: list[float]) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "loss": loss, "validation_cost": cost, "mAP": score}
        for epoch, (cost, score, loss) in enumerate(zip(costs, scores, losses, strict=True), start=1)
    ]


CURVES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "the validation cost rises while the training cost falls": (
        rows([3, 2, 2.2], [0.95, 0.95, 0.95], [3, 2, 1]),
        ["The network learns the training pictures by heart after epoch 2"],
    ),
    "both costs rise": (rows([3, 2, 2.2], [0.95, 0.95, 0.95], [3, 1, 2]), []),
    "the score still rises": (
        rows([3, 2, 1], [0.7, 0.8, 0.95], [3, 2, 1]),
        ["The score was still rising when the training ended"],
    ),
    "the score rises to where it was before": (rows([3, 2, 1], [0.95, 0.8, 0.95], [3, 2, 1]), []),
    "an earlier epoch was better": (
        rows([3, 2, 1], [0.7, 0.96, 0.95], [3, 2, 1]),
        ["The best model is that of epoch 2, not the last one"],
    ),
    "two validations tell nothing": (rows([2, 3], [0.5, 0.9], [2, 1]), []),
    "pictures come too slowly": (
        [{"epoch": 1, "loss": 1.0, "data_wait": 0.5}],
        ["The training waited 50 % of its time for pictures"],
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_what_the_curves_say(tmp_path: Path, name: str):
    lines, titles = CURVES[name]

    assert [one.title for one in found(tmp_path / "run", rows=lines)] == titles


@pytest.mark.parametrize(("best", "level", "sentences"), [(0.96, "note", 2), (0.99, "act", 1)])
def test_a_better_epoch_is_urgent_only_where_chance_does_not_explain_it(tmp_path: Path, best, level, sentences):
    (one,) = found(tmp_path / "run", rows=rows([3, 2, 1], [0.7, best, 0.95], [3, 2, 1]))

    # two classes of 100 objects, found as 0.96: chance makes 3.1 points
    assert (one.level, len(one.why)) == (level, sentences)


OTHERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "names that no class takes": (
        {"labels": {"unused": {"bird": 3, "cow": 4}}}, ["7 training labels belong to no class"]),
    "labels that are not trained": (
        {"labels": {"left_out": {"cat": 3, "dog": 0}}}, ["3 training labels are not trained"]),
    "a class without a label": (
        {"labels": {"objects": {"cat": 500, "dog": 0}}}, ["No training label of dog"]),
    "pictures without labels": ({"labels": {"empty": 300}}, ["300 of 400 training pictures have no label"]),
    "a class that is not validated": (
        {"confusion": [[98, 0, 2], [0, 0, 0], [1, 1, 0]]}, ["No validation label of dog"]),
    "an export that loses its score": (
        {"gates": (("m.etlt", {"drop": 3.0, "trained": 0.96, "exported": 0.93}),)},
        ["The export m.etlt loses 3.00 points"]),
    "an export that keeps it": ({"gates": (("m.etlt", {"drop": 0.2, "trained": 0.96, "exported": 0.958}),)}, []),
    "a run that failed": ({"state": "failed"}, ["The training failed"]),
    "a run that was stopped": ({"state": "stopped"}, ["The training stopped before its end"]),
    "a run that is running": ({"state": "running"}, ["The training is running"]),
    "neither pruned nor exported": ({"exports": {}, "models": []}, ["When the score is good enough"]),
    "nothing found": ({"scores": {"mAP": 0.0, "AP": {"cat": 0.0, "dog": 0.0}}}, ["The score is 0: nothing is found"]),
    "thresholds": (
        {"best": {"cat": {"threshold": 0.25, "precision": 0.5, "recall": 1.0, "f1": 0.67}}},
        ["The threshold to use for each class"]),
    "few validation pictures": (  # 97 / 102 = 0.951 of 100 objects: 100 * sqrt(2 * 0.951 * 0.049 / 100)
        {"images": 60}, ["The validation set is small: differences below about 3.1 points are chance"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_labels_exports_and_the_end_of_a_run_say(tmp_path: Path, name: str):
    changes, titles = OTHERS[name]

    assert [one.title for one in found(tmp_path / "run", **changes)] == titles


def test_what_is_chance_is_twice_the_standard_error_of_the_mean_recall():
    # recall 0.5 of 98 objects, smoothed to 50 / 100: a variance of 0.25 / 98 for each of two classes
    classes = [ClassFacts("a", 0, judged=98, recall=0.5), ClassFacts("b", 1, judged=98, recall=0.5)]

    # (49 + 1) / (98 + 2) = 0.5; sqrt(2 * 0.25 / 98) / 2 * 200
    assert chance(classes) == pytest.approx(200 * (2 * 0.25 / 98) ** 0.5 / 2)


def test_the_most_urgent_advice_comes_first(tmp_path: Path):
    made = found(
        tmp_path / "run",
        exports={},
        models=[],
        images=60,
        scores={"mAP": 0.8, "AP": {"cat": 0.96, "dog": 0.6}},
        confusion=CONFUSION,
    )

    assert [one.level for one in made] == ["act", "check", "note"]
