"""Why an SSD or a classifier scores low: each of their own causes, from real trainings where they are quick."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from taolite.artifacts.bundle import read_bundle, write_bundle
from taolite.artifacts.keys import Key
from taolite.cli.causes import sentence
from taolite.diagnosis import Answers, Loaded
from taolite.events import Diagnosed, Event
from taolite.preprocessing import Preprocessing
from taolite.stages.diagnose.diagnose import diagnose
from taolite.stages.diagnose.recorded import diagnose_run
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.base import Given
from taolite.tasks.diagnosing import loaded_from
from taolite.tasks.registry import find
from taolite.workspace.run import RunFolder, RunIdentity
from taolite.workspace.status import StatusFile

from . import classes
from .conftest import TAO_SSD, write_spec

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


def plates(tiny: Path, pretrained: Path, folder: Path) -> list[str]:
    """Train the tiny detector for an epoch from these weights; the names of what is told, likeliest first."""
    spec = write_spec(tiny, f"{folder.name}.txt", epochs=1, model=f'pretrained_model_file: "{pretrained}"')
    heard: list[Event] = []
    train(find("detectnet").read(spec).model, folder, name="m", key=KEY, options=OPTIONS, listener=heard.append)
    (told,) = [event for event in heard if isinstance(event, Diagnosed)]
    assert diagnose_run(folder).causes == told.causes
    return [f"{cause.name}: {sentence(cause)}" for cause in told.causes]


def test_weights_that_were_trained_on_other_colours_and_means_are_named_first(
    striped: Path, tiny: Path, tmp_path: Path
):
    weights = striped / "run" / "weights" / "m.tlt"

    found = plates(tiny, weights, tmp_path / "colours")

    assert found[0] == (
        f"other_input: {weights} was trained on BGR - (103.939, 116.779, 123.68) (values 0 to 255), and this training "
        "gives it RGB / 255; set preprocess_mode or image_mean as they were there, where the spec has them, or begin "
        "with weights that were trained on this input"
    )
    assert not [text for text in found if text.startswith("not_loaded")]


def test_layers_that_a_pretrained_file_does_not_have_are_named_first(striped: Path, tiny: Path, tmp_path: Path):
    bundle = read_bundle(striped / "run" / "weights" / "m.tlt", key=KEY)
    kept = {name: value for name, value in bundle.tensors.items() if "block_1" in name or ".conv1" in name}
    short = replace(bundle, tensors=kept, preprocessing=Preprocessing((32, 32)))
    write_bundle(tmp_path / "short.tlt", short, key=KEY)

    found = plates(tiny, tmp_path / "short.tlt", tmp_path / "short")

    assert found[0] == (
        f"not_loaded: {tmp_path}/short.tlt has no weights for 19 of the 26 layers of the backbone, which began at "
        "random (bn_conv1, block_2a_conv_1, block_2a_bn_1, ...); choose weights of the same arch and num_layers; a "
        "pruned DetectNet_v2 needs load_graph: true"
    )
    assert not [text for text in found if text.startswith("other_input")]


@pytest.mark.parametrize(
    ("theirs", "ours", "adapts", "differs"),
    [
        ({}, {}, False, False),
        ({"scale": 1 / 127.5, "offsets": (127.5,) * 3}, {"stds": (1 / 1,) * 3}, False, True),
        ({"scale": 1.0, "stds": (255.0,) * 3}, {}, False, False),  # written in another way
        ({"bgr": True}, {}, False, True),
        ({"bgr": True}, {"bgr": True}, False, False),
        ({"offsets": (1.0, 2.0, 3.0)}, {}, True, False),  # the network undoes it
        ({"bgr": True}, {"bgr": True}, True, True),  # its first kernels are taken for RGB, and swapped
        ({"channels": 1, "offsets": (9.0,), "stds": (1.0,)}, {}, False, False),  # kernels of another number of channels
    ],
)
def test_two_inputs_differ_where_the_network_sees_other_numbers(theirs, ours, adapts: bool, differs: bool):
    learned, given = (Preprocessing((32, 32), **one) for one in (theirs, ours))

    loaded = loaded_from("w.tlt", 5, learned=learned, given=given, adapts=adapts)

    assert bool(loaded.learned) == differs
    assert Loaded.from_json(json.loads(json.dumps(loaded.to_json()))) == loaded
    assert not loaded_from("w.hdf5", 5, learned=None, given=given, adapts=adapts).learned


@pytest.mark.parametrize("damaged", [None, [], {}, {"file": 1}, {**Loaded("a", 1).to_json(), "learned": {"bgr": True}}])
def test_a_damaged_record_of_the_weights_is_left_out(damaged: object):
    assert Loaded.from_json(damaged) is None


@pytest.mark.parametrize("task", ["ssd", "classification"])  # a spec of DetectNet_v2 with such a fault is refused
def test_random_weights_that_are_frozen_are_named(task: str, tiny: Path, tmp_path: Path):
    classes.draw_classes(tmp_path)
    spec = ssd(tiny, tmp_path) if task == "ssd" else classes.write_spec(tmp_path, "spec.txt")
    spec.write_text(spec.read_text().replace("layers: 10", "layers: 10 freeze_blocks: 0 freeze_blocks: 1"))
    experiment = find(task).read(spec).model

    found = [
        [cause.name for cause in diagnose(experiment, answers={}, score=0.0, trained=False, random_start=random)]
        for random in (True, False, None)
    ]

    assert found == [["frozen_random"], [], []]


def test_a_class_without_pictures_is_named(striped: Path, tmp_path: Path):
    classes.draw_classes(tmp_path)
    experiment = find("classification").read(classes.write_spec(tmp_path, "spec.txt")).model
    for path in (tmp_path / "val" / "down").iterdir():
        path.unlink()

    (cause,) = diagnose(experiment, answers={}, score=2 / 3, trained=False)

    assert (cause.name, cause.share) == ("class_without_labels", pytest.approx(1 / 3))
    assert sentence(cause) == (
        "the validation split has no label of down, and an AP of 0 is counted for it; label some, or take the class "
        "out of the spec"
    )


def test_answers_that_are_no_stronger_on_objects_are_named(tiny: Path):
    experiment = find("detectnet").read(write_spec(tiny, "deaf.txt")).model
    deaf = Answers(row(0.4), row(0.4), row(0.0), 9)

    found = diagnose(experiment, answers={"plate": deaf}, score=0.0, trained=False)

    assert [cause.name for cause in found] == ["not_learned"]
    assert found[0].facts == {"median": 0.4, "most": 0.4, "elsewhere": 0.4}


def test_a_split_that_cannot_be_read_is_named_first(tiny: Path):
    spec = write_spec(tiny, "unread.txt")
    spec.write_text(
        spec.read_text().replace(
            "validation_fold: 0", 'validation_data_source { tfrecords_path: "no" image_directory_path: "no" }'
        )
    )

    (cause,) = diagnose(find("detectnet").read(spec).model, answers={}, score=0.0, trained=False)

    assert cause.name == "unreadable"
    assert sentence(cause).startswith("the validation split cannot be read: ")


def test_a_training_that_ended_with_an_error_names_it_first(tiny: Path, tmp_path: Path):
    spec = write_spec(tiny, "failed.txt", epochs=1)
    experiment = find("detectnet").read(spec).model
    identity = RunIdentity("detectnet", experiment.text, experiment.classes, "d" * 64, "")
    with RunFolder.open(tmp_path / "run", identity) as folder:
        (folder.root / "experiment_spec.txt").write_text(experiment.text)
        StatusFile(folder.root / "status.json").write("the disk is full", status="FAILURE")

    found = diagnose_run(tmp_path / "run").causes

    assert (found[0].name, sentence(found[0])) == ("failed", "the training ended with an error: the disk is full")
