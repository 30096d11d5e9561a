"""Every command that opens a model refuses another task's, and a spec that does not describe it, in one message."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from PIL import Image

from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.errors import ModelError
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.tasks.registry import find, find_use

from .classes import draw_classes

VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0"
KEY = Key("tlt_encode")
TASKS = ("detectnet", "classification", "ssd")
# command -> its words for {model}, {spec}, {pictures}, {out}; commands that take an export say so
TRAINED: dict[str, dict[str, str]] = {
    "evaluate": dict.fromkeys(TASKS, "evaluate -e {spec} -m {model}"),
    "prune": dict.fromkeys(TASKS, "prune -m {model} -o {out}/p.tlt"),
    "export": dict.fromkeys(TASKS, "export -m {model} -o {out}/x.etlt"),
    "inference": {
        "detectnet": "inference -i {pictures} -o {out} -m {model}",
        "classification": "inference -d {pictures} -r {out} -m {model}",
        "ssd": "inference -i {pictures} -r {out} -e {spec} -m {model}",
    },
}
EXPORTED: dict[str, dict[str, str]] = {
    "gen_trt_engine": dict.fromkeys(TASKS, "gen_trt_engine -m {model} --engine_file {out}/x.engine --backend openvino"),
    "evaluate": TRAINED["evaluate"],
    "inference": TRAINED["inference"],
}
STRANGERS = [pair for pair in itertools.product(TASKS, TASKS) if pair[0] != pair[1]]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> Path:
    """A folder in which the vectors' specs find their data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").symlink_to(tiny)
    draw_classes(tmp_path / "cls")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (96, 64), (90, 90, 90)).save(tmp_path / "pictures" / "grey.png")
    for task, name in (("detectnet", "dp.tlt"), ("classification", "cp.tlt"), ("ssd", "sp.tlt")):
        shutil.copy(VECTORS / task / name, tmp_path)
    return tmp_path


def words_of(form: str, task: str, model: Path, folder: Path) -> list[str]:
    spec, out = VECTORS / task / "spec.txt", folder / "out"
    pictures = folder / "pictures"
    filled = form.format(spec=spec, model=model, pictures=pictures, out=out)
    return [task, *filled.split(), "-k", "tlt_encode"]


@pytest.mark.parametrize("command", TRAINED)
@pytest.mark.parametrize(("task", "stranger"), STRANGERS)
def test_a_command_refuses_another_tasks_trained_model(
    command: str, task: str, stranger: str, there: Path, capsys: pytest.CaptureFixture[str]
):
    model = VECTORS / stranger / "model.tlt"

    assert main(words_of(TRAINED[command][task], task, model, there)) == 1

    assert capsys.readouterr().err.splitlines()[-1] == refusal(model, task, stranger)
    assert written(there / "out") <= {"status.json"}  # that it failed


@pytest.mark.parametrize("command", EXPORTED)
@pytest.mark.parametrize(("task", "stranger"), STRANGERS)
def test_a_command_refuses_another_tasks_export(
    command: str, task: str, stranger: str, there: Path, capsys: pytest.CaptureFixture[str]
):
    model = VECTORS / stranger / "model.etlt"

    assert main(words_of(EXPORTED[command][task], task, model, there)) == 1

    assert capsys.readouterr().err.splitlines()[-1] == refusal(model, task, stranger)
    assert written(there / "out") <= {"status.json"}  # that it failed


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def refusal(model: Path, task: str, stranger: str) -> str:
    return (
        f"error: {model}: this is a model for {find_use(stranger).title}, and this command takes those for "
        f"{find_use(task).title}; use `taolite {stranger}` for it"
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_spec_whose_input_or_means_the_model_does_not_take_is_refused(task: str, there: Path):
    text = (VECTORS / task / "spec.txt").read_text()
    changes = {
        "detectnet": (
            "output_image_width: 96 output_image_height: 64",
            "output_image_width: 128 output_image_height: 96",
        ),
        "classification": ('preprocess_mode: "caffe"', 'preprocess_mode: "torch"'),
        "ssd": ("output_width: 96 output_height: 64", "output_width: 128 output_height: 96"),
    }
    assert changes[task][0] in text
    spec = there / "other.txt"
    spec.write_text(text.replace(*changes[task]))
    path = VECTORS / task / "model.etlt"

    with open_model(path, key=KEY) as model, pytest.raises(ModelError) as caught:
        evaluate(find(task).read(spec, classes=model.classes).model, model)

    said = {
        "classification": "the model computes pixels as 1.0 * (BGR - (103.939, 116.779, 123.68)) / (1.0, 1.0, 1.0) and "
        "the spec as 0.00392156862745098 * (RGB - (123.675, 116.28, 103.53)) / (0.224, 0.224, 0.224)",
    }.get(task, "the model's input is 96 x 64 pixels (width x height) and the spec's is 128 x 96")
    assert str(caught.value) == (
        f"{path} and {spec} do not belong together: {said}. Give the spec that the model was trained with"
    )


def test_a_spec_with_other_classes_than_the_model_is_refused(there: Path):
    spec = there / "other.txt"
    text = (VECTORS / "detectnet" / "spec.txt").read_text()
    spec.write_text(text.replace('"plate"', '"sign"'))
    path = VECTORS / "detectnet" / "model.etlt"

    with open_model(path, key=KEY) as model, pytest.raises(ModelError) as caught:
        evaluate(find("detectnet").read(spec).model, model)

    assert str(caught.value) == (
        f"{path} and {spec} do not belong together: the model finds 1 class (plate) and the spec has 1 class (sign). "
        "Give the spec that the model was trained with"
    )
