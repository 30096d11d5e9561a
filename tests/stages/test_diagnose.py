"""Why a score is 0: trainings and evaluations broken in exactly one way name that way first; healthy ones name none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.diagnosis import Answers, Cause
from taolite.events import Diagnosed, Event
from taolite.stages.diagnose.diagnose import diagnose, ranked
from taolite.stages.diagnose.overfit import overfit
from taolite.stages.diagnose.recorded import diagnose_run
from taolite.stages.evaluate import Evaluation, evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, train
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


@pytest.fixture
def trained(tiny: Path, tmp_path: Path) -> Callable[..., tuple[Path, list[Event]]]:
    """trained(change, relabel=, enlarge=, epochs=): a training of the tiny set, broken on purpose: its folder, and what
    was told. `relabel` changes every line of the labels, `enlarge` the pictures' sides."""

    def make(
        change: Broken = as_it_is,
        *,
        relabel: Relabel = scaled(1),
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
