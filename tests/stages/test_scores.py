"""Scores as files: the worst pictures are the right ones, in pixels of their photos, and old plots do not stay."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.data.examples import Examples, Source
from taolite.metrics import score
from taolite.preprocessing import Preprocessing
from taolite.sample import Label, Sample
from taolite.scorecard import ACCURACY, AP, Curve, Metric, Point, ScoreCard, Sweep, Tally
from taolite.stages.evaluate import Evaluation, score_split
from taolite.stages.finds import finds_of, shown_indices
from taolite.stages.scores import curves_of, pictures_of, scores_of, write_scores
from taolite.stages.shown import shown_pictures
from taolite.tasks.details import detailed
from taolite.tasks.found import NO_BOXES, Found
from taolite.workspace.finds import MOST_PICTURES, Thing, read_finds, write_finds

PREP = Preprocessing((50, 100), fit="stretch")
BOX = (10.0, 10.0, 40.0, 40.0)  # in the input; 20, 20, 80, 80 in photos of 200 x 100


class Judge:
    """An experiment whose network answers with the number of the picture, and whose decoding looks up what is there."""

    classes = ("cat", "dog")
    decoding = None
    preprocessing = PREP

    def __init__(self, founds: list[Found]) -> None:
        self.task, self.founds = self, founds

    def decode(self, outputs: tuple[np.ndarray, ...], decoding: object, *, preprocessing: Preprocessing) -> Found:
        return self.founds[round(float(outputs[0].mean()))]

    def cost(self, outputs: object, targets: object, *, training: bool) -> object:
        import torch

        from taolite.tasks.base import Cost

        return Cost(torch.tensor(0.5))

    def score(self, truths, founds, *, photos=None) -> ScoreCard:
        plain = ScoreCard(Metric(AP, 0.5, {}), {}, {"cat": 3, "dog": 1}, len(truths))
        voc = score(truths, founds, names=self.classes, mode="AREA")
        return detailed(plain, truths, founds, voc=voc, preprocessing=PREP, photos=photos)


def found(*rows: tuple[tuple[float, ...], float, int]) -> Found:
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    scores, kinds = [score for _, score, _ in rows], [kind for _, _, kind in rows]
    return Found(boxes, np.array(scores, np.float32), np.array(kinds, np.int64))


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    """Four pictures of 200 x 100 with one object each; the pixels of picture k are all k."""
    samples = []
    for number, name in enumerate(("cat", "cat", "dog", "cat")):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((100, 200, 3), number, np.uint8)).save(path)
        samples.append(Sample(path, (100, 200), (Label(name, (20.0, 20.0, 80.0, 80.0)),)))
    return Examples([Source(samples)], ("cat", "dog").index, PREP, lambda truth, weight: {})


def evaluated(examples: Examples, founds: list[Found]) -> Evaluation:
    judge = Judge(founds)

    def predict(pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.rint(pixels.mean(axis=(1, 2, 3)) * 255)[:, None],)  # PREP scales by 1 / 255

    return score_split(judge, predict, examples, objective=judge, batch_size=2, workers=0)  # type: ignore[arg-type]


def test_the_worst_pictures_come_first_with_labels_and_finds_in_pixels_of_the_photo(examples: Examples):
    elsewhere = (60.0, 10.0, 90.0, 40.0)
    founds = [
        found((BOX, 0.9, 0)),
        found((BOX, 0.8, 0), (elsewhere, 0.7, 0), (elsewhere, 0.1, 0)),  # one right, one wrong; one below the threshold
        found((BOX, 0.9, 0), (elsewhere, 0.9, 0)),  # a dog taken for a cat, and a wrong find
        found(),
    ]

    evaluation = evaluated(examples, founds)

    # F1 of cats over the threshold: 0.9: 2 * 1 / (3 + 3); 0.8: 2 * 2 / (4 + 3); 0.7: 2 * 2 / (5 + 3)
    assert evaluation.card.best["cat"].threshold == pytest.approx(0.75)
    assert [(one.image.name, one.tally) for one in evaluation.worst] == [
        ("2.png", Tally(0, 2, 1)),
        ("3.png", Tally(0, 0, 1)),
    ]
    first = evaluation.worst[0]
    assert [(one.name, one.box) for one in first.labelled] == [("dog", (20.0, 20.0, 80.0, 80.0))]
    assert [(one.name, one.box) for one in first.found] == [
        ("cat", (20.0, 20.0, 80.0, 80.0)),
        ("cat", (120.0, 20.0, 180.0, 80.0)),
    ]
    assert scores_of(evaluation)["worst"] == [
        {"image": str(first.image), "f1": 0.0, "right": 0, "finds": 2, "objects": 1},
        {"image": str(evaluation.worst[1].image), "f1": 0.0, "right": 0, "finds": 0, "objects": 1},
    ]


def test_what_is_right_in_a_shown_picture_is_marked_and_others_follow_the_worst(examples: Examples):
    elsewhere = (60.0, 10.0, 90.0, 40.0)
    founds = [
        found((BOX, 0.9, 0)),
        found((elsewhere, 0.8, 0), (BOX, 0.75, 0)),
        found((BOX, 0.9, 0)),  # a dog taken for a cat
        found((BOX, 0.9, 0)),
    ]

    evaluation = evaluated(examples, founds)

    assert [(one.image.name, one.seen, one.right) for one in evaluation.shown] == [
        ("2.png", (False,), (False,)),
        ("1.png", (True,), (False, True)),
        ("0.png", (True,), (True,)),
        ("3.png", (True,), (True,)),
    ]
    assert evaluation.worst == evaluation.shown[:2]


def test_small_pictures_have_their_boxes_in_their_own_pixels(examples: Examples, tmp_path: Path):
    write_scores(evaluated(examples, [found((BOX, 0.9, 0))] * 4), examples, ("cat", "dog"), tmp_path)

    first, *others = json.loads((tmp_path / "pictures.json").read_text())["pictures"]
    assert (first["why"], {one["why"] for one in others}) == ("worst", {"other"})
    assert (first["photo_hw"], first["hw"]) == ([100, 200], [100, 200])  # smaller ones are not enlarged
    assert first["labelled"] == [{"name": "dog", "box": [20.0, 20.0, 80.0, 80.0], "score": 1.0, "seen": False}]
    assert first["found"] == [{"name": "cat", "box": [20.0, 20.0, 80.0, 80.0], "score": 0.9, "right": False}]
    with Image.open(io.BytesIO(base64.b64decode(first["jpeg"]))) as picture:
        assert picture.size == (200, 100)


def test_a_large_picture_becomes_small(examples: Examples):
    (one,) = evaluated(examples, [found((BOX, 0.9, 0))] * 4).shown[:1]

    (made,) = pictures_of([one], [np.zeros((2000, 4000, 3), np.uint8)], worst=1)["pictures"]

    # 480 * 360 pixels with an aspect of 2: 588 x 294; the photo is 20 times as large as its record says here
    assert made["hw"] == [294, 588]
    assert made["labelled"][0]["box"] == [2.9, 2.9, 11.8, 11.8]


def test_curves_keep_at_most_200_points_with_both_ends():
    values = tuple(np.linspace(0, 1, 5000).tolist())
    card = ScoreCard(
        Metric(AP, 0.5, {}), {}, {}, 1, curves={"cat": Curve(values, values)}, sweeps={"cat": Sweep((), (), ())}
    )

    made = curves_of(card)

    assert len(made["curves"]["cat"]["recall"]) == 200
    assert (made["curves"]["cat"]["recall"][0], made["curves"]["cat"]["recall"][-1]) == (0.0, 1.0)
    assert made["sweeps"]["cat"] == {"threshold": [], "precision": [], "recall": []}


@pytest.mark.parametrize("confusion", [((1, 2), (0, 1)), ()])
def test_the_wrong_answers_that_a_classifier_is_surest_of_come_first(examples: Examples, confusion):
    """Pictures are cat, cat, dog, cat. One class each: the first is the answer; tags: those that are given."""
    answers = [((0, 0.6), (1, 0.4)), ((1, 0.7), (0, 0.3)), ((1, 0.9), (0, 0.1)), ((1, 0.8), (0, 0.2))]
    founds = [
        Found(NO_BOXES, np.array([p for _, p in rows], np.float32), np.array([k for k, _ in rows], np.int64), 1)
        for rows in answers
    ]
    card = ScoreCard(Metric(ACCURACY, 0.5, {}), {}, {}, 4, confusion=confusion)
    truths = [examples.truth(index) for index in range(4)]

    worst, others = shown_pictures(Judge(founds), card, truths, founds, examples)  # type: ignore[arg-type]

    assert [(one.image.name, [find.name for find in one.found], one.right) for one in (*worst, *others)] == [
        ("3.png", ["dog"], (False,)),
        ("1.png", ["dog"], (False,)),
        ("0.png", ["cat"], (True,)),
        ("2.png", ["dog"], (True,)),
    ]
    assert len(worst) == 2
    assert worst[0].tally == Tally(0, 1, 1)


def test_what_is_found_is_recorded_in_pixels_of_the_photos_with_low_scores_and_without_the_lowest(
    examples: Examples, tmp_path: Path
):
    elsewhere = (60.0, 10.0, 90.0, 40.0)
    founds = [found((BOX, 0.9, 0), (elsewhere, 0.02, 1), (elsewhere, 0.009, 0)), found(), found(), found()]

    write_scores(evaluated(examples, founds), examples, ("cat", "dog"), tmp_path)

    finds = read_finds(tmp_path / "finds.json")
    assert (finds.classes, finds.of) == (("cat", "dog"), 4)
    first, second = finds.pictures[:2]
    assert (first.image, first.size_hw) == (str(examples.samples[0].image), (100, 200))
    assert first.truth == (Thing(0, (20.0, 20.0, 80.0, 80.0)),)
    assert first.finds == (Thing(0, (20.0, 20.0, 80.0, 80.0), 0.9), Thing(1, (120.0, 20.0, 180.0, 80.0), 0.02))
    assert (len(second.truth), second.finds) == (1, ())
    assert [one.truth[0].kind for one in finds.pictures] == [0, 0, 1, 0]


def test_of_a_classifier_all_classes_are_recorded_without_boxes(examples: Examples, tmp_path: Path):
    both = Found(NO_BOXES, np.array([0.75, 0.25], np.float32), np.array([1, 0]), given=1)

    write_finds(tmp_path / "finds.json", finds_of([both] * 4, examples, ("cat", "dog")))

    first = read_finds(tmp_path / "finds.json").pictures[0]
    assert first.truth == (Thing(0),)
    assert first.finds == (Thing(1, None, 0.75), Thing(0, None, 0.25))


def test_of_many_pictures_some_at_even_distances_are_recorded():
    assert shown_indices(3) == [0, 1, 2]
    assert shown_indices(MOST_PICTURES * 3) == list(range(0, MOST_PICTURES * 3, 3))


def test_a_folder_has_the_plots_of_its_last_evaluation_alone(examples: Examples, tmp_path: Path):
    some, all_right = found((BOX, 0.9, 0)), [found((BOX, 0.9, kind)) for kind in (0, 0, 1, 0)]
    folder = tmp_path / "scores"

    write_scores(evaluated(examples, [some] * 4), examples, ("cat", "dog"), folder)
    first = {path.name for path in (folder / "plots").iterdir()}
    write_scores(evaluated(examples, all_right), examples, ("cat", "dog"), folder)

    assert first == {"f1.png", "confusion.png", "worst.png"}
    assert {path.name for path in (folder / "plots").iterdir()} == {"f1.png", "confusion.png"}
    written = json.loads((folder / "scores.json").read_text())
    assert (written["worst"], written["card"]["confusion"]) == ([], [[3, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert not {"curves", "sweeps", "pictures"} & set(written["card"])


def test_a_classifiers_scores_have_its_confusion_and_no_background(examples: Examples, tmp_path: Path):
    card = ScoreCard(Metric(AP, 0.5, {}), {}, {"cat": 3, "dog": 1}, 4, confusion=((3, 0), (1, 0)))

    write_scores(Evaluation(card, float("nan"), 0.1), examples, ("cat", "dog"), tmp_path / "scores")

    assert {path.name for path in (tmp_path / "scores/plots").iterdir()} == {"confusion.png"}
    assert json.loads((tmp_path / "scores/scores.json").read_text())["cost"] is None


def test_the_threshold_of_a_class_is_its_best_one():
    sweep = Sweep((0.0,), (0.5,), (0.5,))
    card = ScoreCard(Metric(AP, 0.5, {}), {}, {}, 1, best={"cat": Point(0.25, 1, 1, 1)}, sweeps={"cat": sweep})

    assert (card.threshold("cat"), card.threshold("dog"), sweep.f1) == (0.25, 0.5, (0.5,))
