"""A step of several processes is that of one on the joined batch, for every task, share and number of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from taolite.events import BatchDone
from taolite.stages.device import Device
from taolite.stages.loop import Trainer
from taolite.stages.world import ALONE, World
from taolite.tasks import base
from tests.nn.table import Table

from . import classes, conftest, voc_set

TASKS = ("detectnet", "classification", "ssd")


class Float64(Device):
    """A processor that computes in float64 throughout."""

    def to_device(self, tensor: Tensor) -> Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor


@dataclass(frozen=True)
class Thread(World):
    """A process that is a thread, who meets the others at a table."""

    table: Table | None = None

    def total(self, tensor: Tensor) -> Tensor:
        assert self.table is not None
        return self.table.total(tensor)

    def largest(self, tensor: Tensor) -> Tensor:
        assert self.table is not None
        return self.table.largest(tensor)

    def side_by_side(self, tensor: Tensor) -> Tensor:
        assert self.table is not None
        return self.table.side_by_side(tensor)


@pytest.fixture(scope="module")
def specs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A spec of each task, for a tiny data set."""
    pictures, boxes = tmp_path_factory.mktemp("classes"), tmp_path_factory.mktemp("voc")
    classes.draw_classes(pictures)
    voc_set.draw_set(boxes)
    return {
        "detectnet": conftest.write_spec(tiny, "step.txt"),
        "classification": classes.write_spec(pictures, "step.txt", more="mixup_alpha: 0.3 label_smoothing: 0.1"),
        "ssd": voc_set.write_spec(boxes, "step.txt"),
    }


@dataclass(frozen=True)
class Step:
    """What a step comes to: the readings of its cost, every gradient and every number of the state behind it."""

    cost: dict[str, float]
    gradients: dict[str, Tensor]
    state: dict[str, Tensor]


def step_of(task: base.Task, path: Path, *, world: int, batch_size: int) -> Step:
    """The first step in float64, by `world` threads; every one has to have the same numbers behind it."""
    spec, table, steps = task.read_spec(path).model, Table(world), {}
    torch.manual_seed(0)
    network = task.start(spec, resolve=Path, key=None).network.double()

    def work(rank: int) -> None:
        steps[rank] = _step(task, spec, copy.deepcopy(network), Thread(rank, world, table=table), batch_size)

    if world == 1:
        return _step(task, spec, network, ALONE, batch_size)
    table.work(work)
    for step in steps.values():
        assert step.cost == steps[0].cost
        for name, value in steps[0].state.items():
            assert torch.equal(step.state[name], value), name
    return steps[0]


def _step(task: base.Task, spec: Any, network: torch.nn.Module, world: World, batch_size: int) -> Step:
    shapes, said = task.output_shapes(network.to(torch.float32), spec), []
    network.to(torch.float64)
    trainer = Trainer(
        network,
        examples=task.examples(spec, split="train", resolve=Path, augment=True, output_shapes=shapes),
        recipe=task.recipe(spec),
        objective=task.objective(spec),
        schedule=task.schedule(spec),
        groups=task.parameter_groups(network, spec),
        regularised=task.regularised(network, spec),
        device=Float64(torch.device("cpu"), None, "float64"),
        workers=1,
        listener=said.append,
        batch_size=batch_size,
        world=world,
        should_pause=lambda: True,
    )
    assert trainer.run_epoch() is None  # it stopped after its first step
    gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    cost = next(event.values for event in said if isinstance(event, BatchDone))
    return Step(dict(cost), gradients, trainer.tensors())


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor], ending: str = "") -> float:
    """The largest difference in what has such names, in units of the largest number there."""
    names = [name for name in wanted if name.endswith(ending)]
    ours, theirs = (torch.cat([kind[name].flatten() for name in names]) for kind in (found, wanted))
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("world", "batch_size"), [(2, 5), pytest.param(4, 6, marks=pytest.mark.slow)])
def test_a_step_in_float64_is_that_of_one_process_on_the_joined_batch(
    specs: dict[str, Path], task: str, world: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # networks and costs end in float32 otherwise

    one = step_of(base.find(task), specs[task], world=1, batch_size=batch_size)
    several = step_of(base.find(task), specs[task], world=world, batch_size=batch_size)

    # an SSD's maps of one pixel, normalised over 5 images, make 1e-11 of the last place; the others stay below 1e-13
    assert several.cost == pytest.approx(one.cost, rel=1e-10)
    assert distance(several.gradients, one.gradients) < 1e-9
    assert distance(several.state, one.state, "running_mean") < 1e-9
    assert distance(several.state, one.state, "running_var") < 1e-9
