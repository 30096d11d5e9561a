"""Why a score is 0: trainings and evaluations broken in exactly one way name that way first; healthy ones name none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.diagnosis import Answers, Cause
from taolite.events import Diagnosed, Event
from taolite.sample import Truth
from taolite.stages.diagnose.curves import of_costs
from taolite.stages.diagnose.diagnose import causes_of, ranked
from taolite.stages.diagnose.overfit import overfit
from taolite.stages.diagnose.recorded import diagnose_run
from taolite.stages.diagnose.survey import of_labels
from taolite.stages.evaluate import Evaluation, evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.detectnet.diagnose import positives
from taolite.tasks.detectnet.targets import Ellipse, Raster
from taolite.tasks.diagnosing import Evidence, Survey
from taolite.tasks.registry import find

from .conftest import CONVERT, write_spec
from .fitted import write_fitted

KEY = "tlt_encode"
pytestmark = pytest.mark.usefixtures("one_thread")
Broken = Callable[[str], str]


def swap(old: str, new: str) -> Broken:
    """A change of a spec's text; `old` has to be there."""

    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return change


def as_it_is(text: str) -> str:
    return text


@pytest.fixture(scope="module")
def fitted(tiny: Path) -> Path:
    """A detector that finds the plates of the tiny set."""
    return write_fitted(write_spec(tiny, "fitted.txt"), tiny / "fitted.tlt", key=KEY)


@pytest.fixture
def judged(tiny: Path, fitted: Path, tmp_path: Path) -> Callable[[Broken], tuple[Evaluation, list[Event]]]:
    """judged(change): the fitted detector, evaluated with a changed spec; the evaluation, and what was told."""

    def judge(change: Broken) -> tuple[Evaluation, list[Event]]:
        spec = tmp_path / "spec.txt"
        spec.write_text(change(write_spec(tiny, "judged.txt").read_text()))
        heard: list[Event] = []
        with open_model(fitted, key=Key(KEY), of="detectnet") as model:
            experiment = find("detectnet").read(spec).model
            evaluation = evaluate(experiment, model, split="val", workers=0, listener=heard.append)
        return evaluation, heard

    return judge


def told(heard: list[Event]) -> Diagnosed:
    """The one diagnosis that was told."""
    (found,) = [event for event in heard if isinstance(event, Diagnosed)]
    return found


def test_a_good_score_is_not_explained(judged):
    evaluation, heard = judged(as_it_is)

    assert evaluation.card.main.value > 0.8
    assert not [event for event in heard if isinstance(event, Diagnosed)]


BREAKS = {
    "threshold": swap("coverage_threshold: 0.3", "coverage_threshold: 0.9999"),
    "threshold of NMS": swap("nms_confidence_threshold: 0.3", "nms_confidence_threshold: 0.9999"),
    "minimum_height": swap("nms_iou", "minimum_bounding_box_height: 200 dbscan_eps: 0.3 nms_iou"),
    "clustering": swap("nms_iou", "dbscan_confidence_threshold: 99 dbscan_eps: 0.3 nms_iou"),
    "box_limits": swap("value { maximum_height: 999", "value { minimum_height: 990 maximum_height: 999"),
    "overlap": swap('overlap { key: "plate" value: 0.5', 'overlap { key: "plate" value: 0.95'),
}
NEEDED = {  # what each of them changes too, without harm
    "minimum_height": swap("clustering_algorithm: NMS", "clustering_algorithm: DBSCAN"),
    "clustering": swap("clustering_algorithm: NMS", "clustering_algorithm: DBSCAN"),
    "overlap": swap("scale: 35.0", "scale: 32.0"),  # boxes are a tenth smaller than the labels
}


@pytest.mark.parametrize("name", BREAKS)
def test_an_evaluation_that_is_broken_in_one_way_names_it_first(judged, name: str):
    evaluation, heard = judged(lambda text: BREAKS[name](NEEDED.get(name, as_it_is)(text)))

    assert evaluation.card.main.value == 0
    assert told(heard).causes[0].name == name.split(" ")[0]
    assert told(heard).causes[0].blocks


@pytest.mark.parametrize("name", NEEDED)
def test_what_a_break_needs_does_no_harm_alone(judged, name: str):
    change = NEEDED[name]
    if name != "overlap":
        change = swap("clustering_algorithm: NMS", "clustering_algorithm: DBSCAN dbscan_eps: 0.3")
    evaluation, heard = judged(change)

    assert evaluation.card.main.value > 0.8
    assert not [event for event in heard if isinstance(event, Diagnosed)]


Relabel = Callable[[str], str]


def scaled(factor: float) -> Relabel:
    """KITTI's line of a label with its box that many times as large."""

    def change(line: str) -> str:
        words = line.split()
        return " ".join([*words[:4], *(f"{factor * float(word):.1f}" for word in words[4:8]), *words[8:]]) + "\n"

    return change


unscaled = scaled(1)


@pytest.fixture
def trained(tiny: Path, tmp_path: Path) -> Callable[..., tuple[Path, list[Event]]]:
    """trained(change, relabel=, enlarge=, epochs=): a training of the tiny set, broken on purpose: its folder, and what
    was told. `relabel` changes every line of the labels, `enlarge` the pictures' sides."""

    def make(
        change: Broken = as_it_is,
        *,
        relabel: Relabel = unscaled,
        enlarge: int = 1,
        loader: str = "MULTISOURCE",
        epochs: int = 1,
    ) -> tuple[Path, list[Event]]:
        (tmp_path / "kitti" / "image_2").mkdir(parents=True)
        (tmp_path / "kitti" / "label_2").mkdir()
        for path in sorted((tiny / "kitti" / "image_2").iterdir()):
            image = Image.open(path)
            image.resize((enlarge * image.width, enlarge * image.height)).save(
                tmp_path / "kitti" / "image_2" / path.name
            )
        for path in sorted((tiny / "kitti" / "label_2").iterdir()):
            lines = path.read_text().splitlines()
            (tmp_path / "kitti" / "label_2" / path.name).write_text("".join(relabel(line) for line in lines))
        (tmp_path / "convert.txt").write_text(CONVERT.format(root=tmp_path))
        records = tmp_path / "records" / "tiny"
        assert main(["detectnet", "dataset_convert", "-d", f"{tmp_path}/convert.txt", "-o", str(records)]) == 0
        spec = write_spec(tmp_path, "spec.txt", epochs=epochs)
        mode = swap("validation_fold: 0", f"validation_fold: 0 dataloader_mode: {loader}")
        spec.write_text(mode(change(spec.read_text())))
        heard: list[Event] = []
        experiment = find("detectnet").read(spec).model
        options = TrainOptions(precision="fp32", workers=0)
        train(experiment, tmp_path / "run", name="m", key=Key(KEY), options=options, listener=heard.append)
        return tmp_path / "run", heard

    return make


SPOILT: dict[str, dict[str, object]] = {
    "few_steps": {},
    "rate_too_low": {"change": swap("1e-5 max_learning_rate: 1e-3", "1e-13 max_learning_rate: 1e-12")},
    "rate_too_high": {"change": swap("max_learning_rate: 1e-3", "max_learning_rate: 2.0"), "epochs": 2},
    "penalty": {"change": swap("type: L1 weight: 3e-9", "type: L1 weight: 3.0")},
    "dropped": {
        "change": swap("channel: 3 }", "channel: 3 min_bbox_height: 30 }"),
        "loader": "DEFAULT",
    },
    "cropped": {"relabel": scaled(4), "enlarge": 4},
    "labels_outside": {"relabel": scaled(1.5)},
    "labels_in_corner": {"relabel": scaled(0.4)},
    "no_cell": {
        "change": swap(
            "cov_radius_x: 0.6 cov_radius_y: 0.6 bbox_min_radius: 1.0",
            "cov_radius_x: 0.01 cov_radius_y: 0.01 bbox_min_radius: 0.01",
        )
    },
    "box_scale": {"change": swap("scale: 35.0", "scale: 5000.0")},
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_training_that_is_broken_in_one_way_names_it_first(trained, name: str):
    folder, heard = trained(**SPOILT[name])

    assert told(heard).causes[0].name == name
    assert told(heard).folder == folder
    assert diagnose_run(folder).causes == told(heard).causes


def test_the_order_of_causes_is_the_stated_one():
    causes = [
        Cause("late", "scoring", 1.0),
        Cause("part", "data", 0.6),
        Cause("early", "training", 0.95),
        Cause("small", "data", 0.2),
        Cause("larger", "training", 1.0),
        Cause("part", "data", 0.4),
    ]

    assert [one.name for one in ranked(causes, score=0.0)] == ["larger", "early", "late", "part"]
    assert [one.name for one in ranked(causes, score=0.5)] == ["part"]  # the others leave no more than 0.05
    assert ranked(causes, score=0.9) == []


def test_answers_tell_what_a_lower_threshold_would_find():
    sure = Answers(tuple(number / 10 for number in range(11)), (0.2,) * 11, (0.9,) * 11, 3)
    deaf = Answers((0.1,) * 11, (0.2,) * 11, (0.0,) * 11, 0)

    assert sure.lost_below(0.55) == pytest.approx(0.55)
    assert deaf.lost_below(0.3) == 0.5  # all are below it, and so is all the rest


def survey_of(sides: list[float]) -> Survey:
    boxes = np.array([[0, 0, side, side] for side in sides], np.float32)
    truth = Truth(boxes, np.zeros(len(sides), np.int64))
    return Survey(1, {"plate": len(sides)}, {}, [boxes], [(500, 500)], [truth])


def test_splits_with_other_sizes_of_objects_are_a_cause(tiny: Path):
    experiment = find("detectnet").read(write_spec(tiny, "sizes.txt")).model
    evidence = Evidence(survey_of([10.0] * 10), survey_of([40.0] * 10))

    (cause,) = [one for one in causes_of(experiment, evidence, trained=False) if one.name == "other_sizes"]

    assert cause.share == 0.6
    assert cause.facts == {"train": 10.0, "val": 40.0}


def test_objects_smaller_than_a_cell_are_a_cause(tiny: Path):
    experiment = find("detectnet").read(write_spec(tiny, "small.txt")).model

    found = ranked(causes_of(experiment, Evidence(survey_of([10.0] * 10)), trained=False), score=0.0)

    (cause,) = [one for one in found if one.name == "small_objects"]
    assert (cause.share, cause.facts["cell"], cause.facts["smaller"]) == (0.5, 16, 1.0)
    assert cause.facts["sides"] == [10.0] * 5


def test_labels_with_other_names_are_named_with_the_class_that_they_are_nearly(tiny: Path):
    experiment = find("detectnet").read(write_spec(tiny, "names.txt")).model
    strangers = Survey(3, {"plate": 0}, {"Plates": 7, "car": 9}, [], [], [])

    found = list(of_labels(None, strangers, experiment.classes))

    facts = {"split": "val", "pictures": 3, "labels": {"Plates": 7, "car": 9}, "near": {"plate": "Plates"}}
    assert found == [Cause("no_labels", "data", 1.0, facts)]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}], "cost_not_finite"),
        ([{"epoch": epoch, "loss": 0.5 - epoch / 1000} for epoch in (1, 2, 3)], "cost_still"),
        (
            [{"epoch": epoch, "loss": 1 / epoch, "train_cov": 0.5 / epoch, "train_bbox": 0.2} for epoch in (1, 2, 3)],
            "part_still",
        ),
        ([{"epoch": 1, "loss": 0.5, "penalty": 6.0}], "penalty"),
    ],
)
def test_the_course_of_a_cost_tells_its_cause(rows: list[dict[str, float]], name: str):
    assert [cause.name for cause in of_costs(rows) if cause.share] == [name]


def test_a_cost_that_falls_has_no_cause():
    rows = [{"epoch": epoch, "loss": 1 / epoch, "penalty": 0.01, "train_cov": 1 / epoch} for epoch in (1, 2, 3)]

    assert [cause for cause in of_costs(rows) if cause.share] == []


def test_cells_that_learn_an_object_are_counted_once_all_are_drawn():
    raster = Raster((Ellipse(0.5, 0.5, 0.5, 0.5, 0.0),), deadzone_radius=0.0)
    whole = [0.0, 0.0, 64.0, 64.0]
    truth = Truth(np.array([whole, [70.0, 0, 90, 20], whole], np.float32), np.zeros(3, np.int64))

    found = positives(truth, raster=raster, input_hw=(64, 96), grid_hw=(4, 6))

    # Half of half the side is a radius of 1 cell around the corner of 4 cells, which both equal boxes keep; and of 0.31
    # cells around (5, 0.62), in 2 cells.
    assert found.tolist() == [4, 2, 4]


def test_one_batch_is_learned_by_heart_and_nothing_is_written(tiny: Path):
    spec = write_spec(tiny, "heart.txt")
    before = sorted(tiny.rglob("*"))

    found = overfit(find("detectnet").read(spec).model, key=None, steps=60)

    assert (found.pictures, found.steps, found.in_time, found.rate) == (4, 60, True, pytest.approx(1e-3))
    assert found.falls
    assert found.learned
    assert found.found is not None
    assert found.found > 0.8
    assert sorted(tiny.rglob("*")) == before


def test_one_batch_is_not_learned_without_a_learning_rate(tiny: Path):
    spec = write_spec(tiny, "no_rate.txt")
    spec.write_text(spec.read_text().replace("1e-5 max_learning_rate: 1e-3", "1e-13 max_learning_rate: 1e-12"))

    found = overfit(find("detectnet").read(spec).model, key=None, steps=3)

    assert not found.falls
    assert not found.learned
