"""Why an SSD or a classifier scores low: each of their own causes, from real trainings where they are quick."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taolite.artifacts.keys import Key
from taolite.diagnosis import Answers
from taolite.events import Diagnosed, Event
from taolite.stages.diagnose.diagnose import diagnose
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.base import Given
from taolite.tasks.registry import find

from . import classes
from .conftest import TAO_SSD

KEY = Key("tlt_encode")
OPTIONS = TrainOptions(precision="fp32", workers=0)
pytestmark = pytest.mark.usefixtures("one_thread")


def ssd(tiny: Path, folder: Path, *changes: tuple[str, str]) -> Path:
    """TAO's spec of an SSD for the tiny set, with changes."""
    text = TAO_SSD.format(epochs=1, kitti=tiny / "kitti")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "ssd.txt").write_text(text)
    return folder / "ssd.txt"


SMALL = ('scales: "[0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]"', 'scales: "[0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]"')


def test_anchors_that_fit_no_object_are_named_first_after_a_training(tiny: Path, tmp_path: Path):
    heard: list[Event] = []
    experiment = find("ssd").read(ssd(tiny, tmp_path, SMALL), given=Given("train")).model

    train(experiment, tmp_path / "run", name="m", key=KEY, options=OPTIONS, listener=heard.append)

    (told,) = [event for event in heard if isinstance(event, Diagnosed)]
    assert told.causes[0].name == "anchors"
    assert told.causes[0].facts["none"] == 1.0
    assert (round(told.causes[0].facts["width"]), round(told.causes[0].facts["height"])) == (32, 24)


def row(value: float) -> tuple[float, ...]:
    return (value,) * 11


@pytest.mark.parametrize(
    ("changes", "overlap", "name"),
    [
        ((), 0.9, None),
        ((("confidence_threshold: 0.01", "confidence_threshold: 0.95"),), 0.0, "threshold"),
        ((("matching_iou_threshold: 0.5", "matching_iou_threshold: 0.95"),), 0.9, "overlap"),
    ],
)
def test_an_ssd_that_knows_its_objects_is_asked_for_its_thresholds(tiny: Path, tmp_path: Path, changes, overlap, name):
    experiment = find("ssd").read(ssd(tiny, tmp_path, *changes)).model

    found = diagnose(
        experiment, answers={"plate": Answers(row(0.8), row(0.1), row(overlap), 9)}, score=0.0, trained=False
    )

    assert [cause.name for cause in found] == ([name] if name else [])


@pytest.fixture(scope="module")
def striped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classes, and a classifier of them in run/weights/m.tlt."""
    root = tmp_path_factory.mktemp("classes")
    classes.draw_classes(root)
    spec = classes.write_spec(root, "spec.txt", epochs=4)
    text = spec.read_text().replace("learning_rate: 0.002", "learning_rate: 0.005")
    spec.write_text(text.replace("enable_random_crop: true enable_color_augmentation: true", ""))
    train(find("classification").read(spec).model, root / "run", name="m", key=KEY, options=OPTIONS)
    return root


def judged(root: Path) -> tuple[float, list[str], dict[str, object]]:
    """The accuracy of the classifier on val, the names of the causes, and the facts of the first."""
    experiment = find("classification").read(root / "spec.txt").model
    with open_model(root / "run" / "weights" / "m.tlt", key=KEY, of="classification") as model:
        evaluation = evaluate(experiment, model, split="val", workers=0)
    card = evaluation.card
    found = diagnose(
        experiment, answers=evaluation.answers, score=card.main.value, confusion=card.confusion, trained=False
    )
    return card.main.value, [cause.name for cause in found], dict(found[0].facts) if found else {}


def test_a_good_classifier_has_no_causes(striped: Path):
    accuracy, names, _ = judged(striped)

    assert accuracy > 0.7
    assert names == []


def test_class_folders_of_validation_that_changed_places_are_named_first(striped: Path):
    shutil.move(striped / "val", striped / "right")
    (striped / "val").mkdir()
    for name, other in zip(classes.CLASSES, (*classes.CLASSES[1:], classes.CLASSES[0]), strict=True):
        shutil.copytree(striped / "right" / name, striped / "val" / other)

    accuracy, names, facts = judged(striped)

    assert accuracy < 0.3
    assert names[0] == "folders_swapped"
    assert facts["moved"] == 3


def test_a_classifier_that_says_one_class_for_all_is_told_so(tmp_path: Path):
    classes.draw_classes(tmp_path)
    experiment = find("classification").read(classes.write_spec(tmp_path, "spec.txt")).model

    found = diagnose(experiment, answers={}, score=1 / 3, confusion=[[4, 0, 0], [4, 0, 0], [4, 0, 0]], trained=False)

    assert [cause.name for cause in found] == ["one_class"]
    assert found[0].facts == {"class": "across", "said": 1.0, "largest": pytest.approx(1 / 3)}


def test_training_pictures_that_are_nearly_all_of_one_class_are_a_cause(tmp_path: Path):
    classes.draw_classes(tmp_path)
    for name in classes.CLASSES[1:]:
        for path in sorted((tmp_path / "train" / name).iterdir())[1:]:
            path.unlink()
    for number in range(20):
        shutil.copy(tmp_path / "train" / "across" / "00.png", tmp_path / "train" / "across" / f"more{number}.png")
    experiment = find("classification").read(classes.write_spec(tmp_path, "spec.txt")).model

    found = diagnose(experiment, answers={}, score=1 / 3, confusion=[[4, 0, 0], [4, 0, 0], [4, 0, 0]], trained=False)

    assert [cause.name for cause in found] == ["few_of_class", "one_class"]  # the earlier may make the later
    assert found[0].facts == {"class": "across", "largest": 28 / 30}
