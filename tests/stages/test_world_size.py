"""A step of several processes is that of one on the joined batch, for every task, share and number of them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from taolite.cli.main import main
from taolite.dist.world import ALONE, World
from taolite.events import BatchDone, Event
from taolite.stages.device import Device
from taolite.stages.training.loop import Trainer
from taolite.stages.training.teacher import Teacher
from taolite.tasks.base import Experiment, Start, Task
from taolite.tasks.registry import find
from tests.nn.table import Table

from . import classes, conftest, voc_set
from .processes import command, finish, rows, start

pytestmark = pytest.mark.sockets

TOLERANCES = [
    ("detectnet", (1e-5, 3e-2)),
    ("own", (1e-5, 3e-2)),
    ("qat", (1e-2, 1e-1)),
    ("classification", (1e-5, 1e-5)),
    ("mixup", (1e-5, 1e-5)),
    ("dropout", (1e-5, 1e-5)),
    ("ssd", (1e-5, 3e-2)),
    ("jetson_ssd", (2e-2, 1e-1)),
]
"""Of an epoch's cost: in the first epoch, and in three."""


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


Write = Callable[..., tuple[str, Path]]


@pytest.fixture(scope="module")
def write(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """write(kind, epochs=) -> the task and a spec of that kind, for a tiny data set."""
    pictures, boxes = tmp_path_factory.mktemp("classes"), tmp_path_factory.mktemp("voc")
    classes.draw_classes(pictures)
    voc_set.draw_set(boxes)

    def written(kind: str, *, epochs: int = 2) -> tuple[str, Path]:
        name = f"{kind}_{epochs}.txt"
        if kind == "ssd":
            (tiny / name).write_text(conftest.TAO_SSD.format(kitti=tiny / "kitti", epochs=epochs))
            return "ssd", tiny / name
        if kind == "jetson_ssd":
            return "ssd", voc_set.write_spec(boxes, name, epochs=epochs)
        if kind in ("detectnet", "qat", "own"):
            more = conftest.OWN if kind == "own" else ""
            path = conftest.write_spec(tiny, name, epochs=epochs, more=more)
            if kind == "qat":
                path.write_text(path.read_text().replace("training_config {", "training_config { enable_qat: true"))
            return "detectnet", path
        more = "mixup_alpha: 0.3 label_smoothing: 0.1" if kind == "mixup" else ""
        path = classes.write_spec(pictures, name, epochs=epochs, more=more)
        if kind in ("mixup", "dropout"):  # what is drawn shows in any cost; what is learned would part
            path.write_text(path.read_text().replace("learning_rate: 0.002", "learning_rate: 1e-6"))
        if kind == "dropout":
            path.write_text(path.read_text().replace('"resnet" n_layers: 10', '"efficientnet_b0" retain_head: true'))
        return "classification", path

    return written


@dataclass(frozen=True)
class Step:
    """What a step comes to: the readings of its cost, every gradient and every number of the state behind it."""

    cost: dict[str, float]
    gradients: dict[str, Tensor]
    state: dict[str, Tensor]


def teacher_of(start: Start) -> Teacher:
    """The network that training starts from, with other weights, as a teacher."""
    network = copy.deepcopy(start.network).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + torch.rand_like(parameter) / 2)
    return Teacher(network, Path("teacher.tlt"), "", weight=0.7, temperature=2.0)


def step_of(task: Task, path: Path, *, world: int, batch_size: int, taught: bool = False) -> Step:
    """The first step in float64, by `world` threads; every one has to have the same numbers behind it."""
    experiment, table, steps = task.read(path).model, Table(world), dict[int, Step]()
    torch.manual_seed(0)
    start = experiment.start(key=None)
    start.network.double()
    teacher = teacher_of(start) if taught else None

    def work(rank: int) -> None:
        own = copy.deepcopy(start), copy.deepcopy(teacher)
        steps[rank] = _step(experiment, *own, Thread(rank, world, table=table), batch_size)

    if world == 1:
        return _step(experiment, start, teacher, ALONE, batch_size)
    table.work(work)
    for step in steps.values():
        assert step.cost == steps[0].cost
        for name, value in steps[0].state.items():
            assert torch.equal(step.state[name], value), name
    return steps[0]


def _step(experiment: Experiment, start: Start, teacher: Teacher | None, world: World, batch_size: int) -> Step:
    said: list[Event] = []
    trainer = Trainer(
        start,
        examples=experiment.examples("train", augment=True, shapes=start.shapes),
        recipe=experiment.recipe,
        objective=experiment.objective(),
        schedule=experiment.schedule(),
        device=Float64(torch.device("cpu"), None, "float64"),
        workers=1,
        listener=said.append,
        batch_size=batch_size,
        world=world,
        should_pause=lambda: True,
        teacher=teacher,
    )
    assert trainer.run_epoch() is None  # it stopped after its first step
    gradients = {name: one.grad for name, one in start.network.named_parameters() if one.grad is not None}
    cost = next(event.values for event in said if isinstance(event, BatchDone))
    return Step(dict(cost), gradients, trainer.tensors())


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor], ending: str = "") -> float:
    """The largest difference in what has such names, in units of the largest number there."""
    names = [name for name in wanted if name.endswith(ending)]
    ours, theirs = (torch.cat([kind[name].flatten() for name in names]) for kind in (found, wanted))
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(
    "kind", ["detectnet", "own", "classification", "ssd", pytest.param("jetson_ssd", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("world", "batch_size"), [(2, 5), pytest.param(4, 6, marks=pytest.mark.slow)])
def test_a_step_in_float64_is_that_of_one_process_on_the_joined_batch(
    write: Write, kind: str, world: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # networks and costs end in float32 otherwise
    task, spec = write(kind)

    one = step_of(find(task), spec, world=1, batch_size=batch_size)
    several = step_of(find(task), spec, world=world, batch_size=batch_size)

    # jetson's maps of one pixel, normalised over 5 images, make 1e-11 of the last place; the others stay below 1e-12
    assert several.cost == pytest.approx(one.cost, rel=1e-10)
    assert distance(several.gradients, one.gradients) < 1e-9
    assert distance(several.state, one.state, "running_mean") < 1e-9
    assert distance(several.state, one.state, "running_var") < 1e-9


@pytest.mark.parametrize("kind", ["detectnet", "own", "classification", "mixup", "ssd"])
def test_a_step_with_a_teacher_is_that_of_one_process_on_the_joined_batch(
    write: Write, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    task, spec = write(kind)

    alone = step_of(find(task), spec, world=1, batch_size=5)
    one, several = (step_of(find(task), spec, world=world, batch_size=5, taught=True) for world in (1, 2))

    assert one.cost["loss"] == pytest.approx(alone.cost["loss"] + one.cost["teacher"], rel=1e-9)
    assert one.cost["teacher"] > 1e-4
    assert several.cost == pytest.approx(one.cost, rel=1e-10)
    assert distance(several.gradients, one.gradients) < 1e-9
    assert distance(one.gradients, alone.gradients) > 1e-4


def train(job: tuple[str, Path], results: Path, *, processes: int) -> list[float]:
    """The costs of the epochs of a training with 8 images a step, by the command: a new one, or one that goes on."""
    task, spec = job
    words = command(spec, results, "--gpus", processes, "--global_batch_size", 8, task=task)
    if processes == 1:
        assert main(words[3:]) == 0
    else:
        code, said = finish(start(words))
        assert code == 0, said
    return list(rows(results, "loss").values())


@pytest.mark.parametrize("kind", ["ssd", pytest.param("classification", marks=pytest.mark.slow)])
def test_two_processes_train_as_one_does(write: Write, tmp_path: Path, kind: str):
    one, two = (train(write(kind, epochs=1), tmp_path / str(count), processes=count) for count in (1, 2))

    assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tolerance"), TOLERANCES)
def test_four_processes_train_as_one_does(write: Write, tmp_path: Path, kind: str, tolerance: tuple[float, float]):
    first, later = tolerance

    one, four = (train(write(kind, epochs=3), tmp_path / str(count), processes=count) for count in (1, 4))

    assert four[0] == pytest.approx(one[0], rel=first)
    assert four == pytest.approx(one, rel=later)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detectnet", "classification", "ssd"])
def test_a_run_of_two_processes_goes_on_with_any_number(write: Write, tmp_path: Path, kind: str):
    begun = train(write(kind, epochs=1), tmp_path / "begun", processes=2)
    costs = {}
    for count in (1, 2, 4):
        shutil.copytree(tmp_path / "begun", tmp_path / str(count))
        costs[count] = train(write(kind, epochs=2), tmp_path / str(count), processes=count)

    assert costs[1][:1] == costs[2][:1] == costs[4][:1] == begun
    assert costs[1] == pytest.approx(costs[2], rel=1e-3)
    assert costs[4] == pytest.approx(costs[2], rel=1e-3)
