"""`taolite { fitting { ... } }` of a classifier and an SSD: what it changes, and that a stopped run goes on to the same
bits. DetectNet's is in test_checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from taolite.artifacts.bundle import read_bundle, read_checkpoint, weights_hash
from taolite.artifacts.keys import Key
from taolite.events import EpochDone, Event, silent
from taolite.stages.training.penalty import penalties
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find

from . import classes, conftest

KEY = Key("tlt_encode")
EPOCHS = 3
BLOCK = (
    "taolite { fitting { weight_decay: 0.03 backbone_rate: 0.5 largest_gradient: 0.2 average: 0.9 sparsity: 0.01 } }"
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def experiments(tiny: Path) -> dict[str, Experiment]:
    classes.draw_classes(tiny)
    (tiny / "ssd.txt").write_text(conftest.TAO_SSD.format(kitti=tiny / "kitti", epochs=EPOCHS) + BLOCK)
    path = classes.write_spec(tiny, "classes.txt", epochs=EPOCHS)
    path.write_text(path.read_text() + BLOCK)
    specs = {"ssd": tiny / "ssd.txt", "classification": path}
    return {task: find(task).read(spec).model for task, spec in specs.items()}


def run(experiment: Experiment, results: Path, *, hear: Callable[[Event], None] = silent) -> Path:
    """Train in this process; the file of the final weights."""
    options = TrainOptions(precision="fp32", workers=1, checkpoint_minutes=0.0)
    return train(experiment, results, name="m", key=KEY, options=options, listener=hear).weights


class CrashError(Exception):
    """Ends a run from its listener."""


def crash(event: Event) -> None:
    if isinstance(event, EpochDone) and event.epoch == 2:
        raise CrashError


@pytest.mark.parametrize("task", ["classification", "ssd"])
def test_it_is_adamw_with_rates_and_decays_of_its_own(experiments: dict[str, Experiment], task: str):
    experiment = experiments[task]
    start = experiment.start(key=None)
    assert start.groups is not None

    optimizer = experiment.recipe.optimizer(list(start.groups))

    assert isinstance(optimizer, torch.optim.AdamW)
    assert (experiment.recipe.average, experiment.recipe.largest_gradient, experiment.recipe.sparsity) == (
        0.9,
        0.2,
        0.01,
    )
    decays = {one: group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    rates = {one: group["rate"] for group in optimizer.param_groups for one in group["params"]}
    named = dict(start.network.named_parameters())
    assert set(decays) == set(named.values())
    assert all(decays[one] == (0.03 if one.ndim > 1 else 0.0) for one in named.values())
    assert all(rates[one] == (0.5 if name.startswith("backbone.") else 1.0) for name, one in named.items())


def test_the_rate_of_an_ssd_falls_as_a_cosine(experiments: dict[str, Experiment]):
    schedule = experiments["ssd"].schedule()

    # from 1e-4 to 1e-3 until 0.3 of 3 epochs, and half way down half way between there and the end
    assert [schedule.rate(elapsed) for elapsed in (0.9, 1.95, 3.0)] == pytest.approx([1e-3, 5.5e-4, 1e-4])


@pytest.mark.parametrize("task", ["classification", "ssd"])
def test_a_stopped_run_goes_on_to_the_same_bits_and_the_average_is_saved(
    experiments: dict[str, Experiment], tiny: Path, task: str
):
    never_stopped = read_bundle(run(experiments[task], tiny / f"{task}_whole"), key=KEY).tensors
    results = tiny / f"{task}_crashed"
    with pytest.raises(CrashError):
        run(experiments[task], results, hear=crash)

    tensors = read_bundle(run(experiments[task], results), key=KEY).tensors

    assert weights_hash(tensors) == weights_hash(never_stopped)
    saved = read_checkpoint(max((results / "checkpoints").glob("*.ckpt")), key=KEY).tensors
    for name, value in tensors.items():
        assert np.array_equal(value, saved[f"average.{name}"]), name


def test_sparsity_draws_the_scales_of_batch_norms_to_0_beside_the_regulariser(experiments: dict[str, Experiment]):
    experiment = experiments["classification"]
    start = experiment.start(key=None)
    kernel = next(one for one in start.regularised if one.ndim > 1)

    regulariser, sparsity = penalties(experiment.recipe, start)

    scales = [module.weight for module in start.network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert (regulariser.kind, regulariser.weight, len(regulariser.parameters)) == ("l2", 5e-5, len(start.regularised))
    assert sparsity.value() == pytest.approx(0.01 * sum(float(one.detach().abs().sum()) for one in scales))
    for one in start.network.parameters():
        one.grad = torch.zeros_like(one)
    sparsity.add_gradient()
    assert all(torch.equal(one.grad, 0.01 * one.detach().sign()) for one in scales)
    assert not kernel.grad.any()
    regulariser.add_gradient()
    assert torch.allclose(kernel.grad, 1e-4 * kernel.detach())  # of 5e-5 x squared
