"""What taolite 0.1.0 wrote opens for good: a trained model, an export and an unfinished run of each task.

The files in tests/vectors/0.1.0 were written by the commit before experiments were bound once: tiny networks, pruned to
a few channels. `outputs.npz` is what that commit's network gave for a fixed input, `model.tlt` what its run became.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.events import Event, WentOn
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.base import Given
from taolite.tasks.registry import find

from .classes import draw_classes

VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0"
TASKS = ("detectnet", "classification", "ssd")
KEY = Key("tlt_encode")
NAMES = {"detectnet": "m", "classification": "resnet", "ssd": "ssd_resnet10"}
PRUNED = {"detectnet": "dp.tlt", "classification": "cp.tlt", "ssd": "sp.tlt"}


def fixed_input(hw: tuple[int, int]) -> np.ndarray:
    """(1, 3, H, W) float32, 0..100: the same numbers on every machine."""
    count = 3 * hw[0] * hw[1]
    return ((np.arange(count) * 7919 % 1000) / 1000).astype(np.float32).reshape(1, 3, *hw) * 100


@pytest.mark.parametrize("kind", ["tlt", "etlt"])
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_0_1_0_gives_what_it_gave(task: str, kind: str):
    wanted = np.load(VECTORS / task / "outputs.npz")
    torch.set_num_threads(1)

    with open_model(VECTORS / task / f"model.{kind}", key=KEY, of=task) as model:
        pixels = fixed_input(model.preprocessing.input_hw)
        outputs = model.predict(pixels)

        assert model.use.name == task
        assert model.decoding
        assert model.use.decode(tuple(o[0] for o in outputs), model.decoding, preprocessing=model.preprocessing)
    # a processor with bfloat16 computes a .tlt in it
    tolerance = {"rtol": 5e-2, "atol": 5e-2 * max(1.0, max(float(np.abs(wanted[n]).max()) for n in wanted.files))}
    if kind == "etlt":
        tolerance = {"rtol": 1e-3, "atol": 1e-3}
    for name, output in zip(wanted.files, outputs, strict=True):
        np.testing.assert_allclose(output, wanted[name], **tolerance)


@pytest.mark.parametrize("task", TASKS)
def test_an_unfinished_run_of_0_1_0_goes_on_to_the_weights_it_was_to_have(
    task: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").symlink_to(tiny)
    draw_classes(tmp_path / "cls")
    shutil.copytree(VECTORS / task / "run", tmp_path / "run")
    shutil.copy(VECTORS / task / PRUNED[task], tmp_path)
    heard: list[Event] = []

    given = Given(command="train", weights="sp.tlt" if task == "ssd" else "")
    experiment = find(task).read(VECTORS / task / "spec.txt", given=given).model
    options = TrainOptions(precision="fp32", workers=1)
    report = train(experiment, tmp_path / "run", name=NAMES[task], key=KEY, options=options, listener=heard.append)

    (went_on,) = (event for event in heard if isinstance(event, WentOn))
    assert (went_on.epoch, went_on.epochs, went_on.step, went_on.complete) == (1, 2, 0, False)
    found = read_bundle(report.weights, key=KEY).tensors
    wanted = read_bundle(VECTORS / task / "model.tlt", key=KEY).tensors
    assert set(found) == set(wanted)
    for name, value in wanted.items():  # another processor rounds otherwise
        np.testing.assert_allclose(found[name], value, rtol=1e-2, atol=1e-3, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sorted({row["epoch"] for row in rows}) == [1, 2]
