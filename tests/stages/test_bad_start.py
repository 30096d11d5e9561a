"""What would end a training later is found at its start: broken pictures, weights that are no numbers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.bundle import read_bundle, write_bundle
from taolite.artifacts.keys import Key
from taolite.cli.words import lines
from taolite.errors import DataError, TrainingError, UsageError
from taolite.events import Event
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.base import Given
from taolite.tasks.registry import find

from .classes import draw_classes

VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0"
KEY = Key("tlt_encode")
PRUNED = {"detectnet": "dp.tlt", "classification": "cp.tlt", "ssd": "sp.tlt"}


@pytest.fixture
def there(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny data sets, where the vectors' specs find them, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(tiny, tmp_path / "tiny")
    draw_classes(tmp_path / "cls")
    for task, name in PRUNED.items():
        shutil.copy(VECTORS / task / name, tmp_path)
    return tmp_path


def run(
    task: str, folder: Path, *, name: str = "m", skip_corrupt: bool = False, heard: list[str] | None = None
) -> TrainReport:
    def listen(event: Event) -> None:
        if heard is not None:
            heard.extend(line.text for line in lines(event))

    given = Given(command="train", weights="sp.tlt" if task == "ssd" else "")
    experiment = find(task).read(VECTORS / task / "spec.txt", given=given).model
    options = TrainOptions(precision="fp32", workers=0, skip_corrupt=skip_corrupt)
    return train(experiment, folder, name=name, key=KEY, options=options, listener=listen)


def cut_short(*paths: Path) -> None:
    """The pictures as JPEGs, whose headers are whole, without their last 20 bytes."""
    for path in paths:
        Image.open(path).save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("task", ["detectnet", "ssd"])  # classification decodes all when it lists its folders
def test_pictures_cut_short_are_all_named_before_the_first_step(task: str, there: Path):
    broken = sorted(Path("tiny/kitti/image_2").glob("*.png"))[1:3]
    cut_short(*broken)

    with pytest.raises(DataError) as caught:
        run(task, there / "run")

    first, *rows = str(caught.value).splitlines()
    assert first == "2 pictures cannot be decoded; replace or remove what is listed, or add --skip-corrupt:"
    assert sorted(Path(row.split(":")[0].strip()).name for row in rows) == [path.name for path in broken]
    assert not (there / "run").exists()


@pytest.mark.parametrize("task", ["detectnet", "ssd"])  # classification decodes all when it lists its folders
def test_with_skip_corrupt_they_are_left_out_and_told_of(task: str, there: Path):
    broken = sorted(Path("tiny/kitti/image_2").glob("*.png"))[1]
    cut_short(broken)
    heard: list[str] = []

    run(task, there / "run", skip_corrupt=True, heard=heard)

    (told,) = [text for text in heard if text.endswith("it is left out")]
    assert broken.name in told


def test_weights_that_are_no_numbers_are_blamed_for_a_cost_that_is_none(there: Path):
    bundle = read_bundle(there / "dp.tlt", key=KEY)
    kernel = np.full_like(bundle.tensors["backbone.conv1.weight"], np.nan)
    tensors = {**bundle.tensors, "backbone.conv1.weight": kernel}
    write_bundle(there / "dp.tlt", dataclasses.replace(bundle, tensors=tensors), key=KEY)

    with pytest.raises(TrainingError) as caught:
        run("detectnet", there / "run")

    assert str(caught.value) == (
        "the cost of step 1 is nan, because the network's backbone.conv1.weight holds a number that is not finite: "
        "training stops here and nothing of this step was kept. Start from other weights"
    )


def test_a_models_name_with_folders_is_refused_before_the_data_is_read(there: Path):
    with pytest.raises(UsageError, match="-n a/b: a model's name has to be that of a file"):
        run("detectnet", there / "run", name="a/b")

    assert not (there / "run").exists()
