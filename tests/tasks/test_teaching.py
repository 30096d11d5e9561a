"""The block `teacher` of the specs, and the cost of a task that has no measure of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from taolite import spec as specs
from taolite.errors import SpecError
from taolite.sample import Label, Sample
from taolite.tasks.base import Objective
from taolite.tasks.detectnet.propose import propose
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.proposal import Places
from taolite.tasks.ssd.spec import SsdSpec, TaoliteConfig
from taolite.tasks.teaching import TeacherConfig, Teaching, teaching_of


def blocks(text: str) -> TaoliteConfig:
    made = specs.loads(text, SsdSpec, path="spec.txt").taolite
    assert made is not None
    return made


def test_an_empty_block_is_the_parent_and_no_block_is_no_teacher():
    empty, named = blocks("taolite { teacher { } }").teacher, blocks('taolite { teacher { model: "big.tlt" } }').teacher

    assert teaching_of(empty, resolve=Path) == Teaching(None, 1.0, 1.0)
    assert teaching_of(blocks('taolite { teacher { model: "" } }').teacher, resolve=Path) == Teaching(None, 1.0, 1.0)
    assert teaching_of(named, resolve=lambda path: Path("/here") / path) == Teaching(Path("/here/big.tlt"), 1.0, 1.0)
    assert teaching_of(blocks("taolite { }").teacher, resolve=Path) is None


@pytest.mark.parametrize("name", ["weight", "temperature"])
def test_a_weight_or_temperature_of_nothing_is_refused(name: str):
    with pytest.raises(SpecError) as caught:
        specs.loads(f"taolite {{ teacher {{ {name}: 0 }} }}", SsdSpec, path="spec.txt")

    assert str(caught.value).splitlines()[1:] == [
        f"  line 1:{23 + len(name)}: taolite.teacher.{name} is 0; it needs to be more than 0"
    ]


class Plain(Objective):
    """A task's cost without a measure of its own."""


def test_without_a_measure_of_its_own_a_task_takes_the_mean_squared_difference_of_each_output():
    found = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0, 4.0, 1.0]])
    taught = torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 1.0, 0.0, 1.0]])

    assert float(Plain().taught(found, taught, {}).total) == 4 / 2 + 16 / 4


def test_the_retraining_of_a_proposed_detector_is_taught_by_the_training_of_the_same_folder():
    pictures = [Sample(Path(f"{n}.jpg"), (300, 400), (Label("cat", (10.0, 10.0, 200.0, 200.0)),)) for n in range(20)]

    texts = propose(pictures, parts=("train", "val"), classes=("cat",), places=Places("cats"))

    teachers = {}
    for name in ("train.txt", "retrain.txt"):
        own = specs.loads(texts[name], DetectNetSpec, path=name).taolite
        assert own is not None
        teachers[name] = own.teacher
    assert teachers == {"train.txt": None, "retrain.txt": TeacherConfig(model="cats/trained/weights/detector.tlt")}
