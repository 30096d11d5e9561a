"""What training and evaluation see of labelled pictures, the odd ones above all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError
from taolite.events import Notice
from taolite.sample import Label, Sample, Truth
from taolite.tasks.base import Split
from taolite.tasks.ssd.examples import ssd_examples

from .plans import plan_of

BAD = {
    (10.0, 10.0, 10.0, 40.0): "from (10, 10) to (10, 40) has no area",
    (30.0, 10.0, 10.0, 40.0): "from (30, 10) to (10, 40) has no area",
    (80.0, 10.0, 95.0, 40.0): "from (80, 10) to (95, 40) lies outside the picture of 80x60 pixels",
    (-9.0, 10.0, 0.0, 40.0): "from (-9, 10) to (0, 40) lies outside the picture of 80x60 pixels",
    (10.0, float("nan"), 20.0, 40.0): "from (10, nan) to (20, 40) is not finite",
    (10.0, 10.0, float("inf"), 40.0): "from (10, 10) to (inf, 40) is not finite",
}


def sample(root: Path, number: int, *labels: Label) -> Sample:
    image = root / f"{number}.png"
    if not image.is_file():
        Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(image)
    return Sample(image, (60, 80), labels, source=root / f"{number}.xml")


def boxed(truth: Truth, weight: float) -> dict[str, np.ndarray]:
    """Targets that are the truth itself."""
    return {"boxes": truth.boxes_n4}


def examples_of(samples: list[Sample], *, split: Split = "train", augment: bool = False, **more: object):
    return ssd_examples(plan_of(samples, **more), split, resolve=Path, augment=augment, encoder=boxed)


def test_boxes_nobody_can_learn_are_left_out_with_file_and_line(tmp_path: Path):
    bad = [Label("ball", box, line=7 + index) for index, box in enumerate(BAD)]
    good = Label("ball", (10, 15, 40, 30), line=20)
    examples = examples_of([sample(tmp_path, 0, *bad, good)])

    assert [notice.text for notice in examples.notices] == [
        f"{tmp_path}/0.xml:{7 + index}: the box of `ball` {why}; it is left out"
        for index, why in enumerate(BAD.values())
    ]
    assert examples.example(0).truth.boxes_n4.tolist() == [[8, 16, 32, 32]]
    assert examples.label_counts()[0] == {0: 1}


def test_more_than_ten_of_them_are_counted(tmp_path: Path):
    bad = [Label("ball", (10, 10, 10, 40), line=index) for index in range(1, 15)]
    notices = examples_of([sample(tmp_path, 0, *bad)]).notices

    assert len(notices) == 11
    assert notices[-1] == Notice("4 more boxes like these are left out; `taolite dataset check` lists them", "warning")


def test_boxes_that_reach_over_the_edge_are_cut_there(tmp_path: Path):
    examples = examples_of([sample(tmp_path, 0, Label("box", (-16, -12, 40, 30)), Label("box", (40, 30, 96, 90)))])

    assert examples.example(0).truth.boxes_n4.tolist() == [[0, 0, 32, 32], [32, 32, 64, 64]]


@pytest.mark.parametrize("augment", [False, True])
def test_pictures_without_an_object_to_learn_are_background(tmp_path: Path, augment: bool):
    empty = sample(tmp_path, 0)
    unknown = sample(tmp_path, 1, Label("cat", (10, 10, 40, 40)))
    broken = sample(tmp_path, 2, Label("ball", (10, 10, 10, 40)))
    examples = examples_of([empty, unknown, broken], augment=augment)

    assert len(examples) == 3
    for index in range(3):
        example = examples.example(index)
        assert example.pixels.shape == (64, 64, 3)
        assert example.targets["boxes"].shape == (0, 4)


def test_difficult_objects_are_not_learned_and_stay_to_be_judged_by(tmp_path: Path):
    hard, easy = Label("ball", (0, 0, 40, 30), difficult=True), Label("box", (40, 30, 80, 60))
    samples = [sample(tmp_path, 0, hard, easy), sample(tmp_path, 1, hard)]

    training, judged = examples_of(samples), examples_of(samples, split="val")

    assert [one.image.name for one in training.samples] == ["0.png"]
    assert training.notices == (Notice(f"{tmp_path}/1.xml: every object is difficult; it is left out", "warning"),)
    assert training.example(0).truth.classes_n.tolist() == [1]
    assert [len(judged.example(index).truth.classes_n) for index in (0, 1)] == [2, 1]
    assert [len(judged.example(index).targets["boxes"]) for index in (0, 1)] == [1, 0]
    assert judged.example(0).truth.difficult_n.tolist() == [True, False]


def test_difficult_objects_are_learned_where_the_plan_says_so(tmp_path: Path):
    samples = [sample(tmp_path, 0, Label("ball", (0, 0, 40, 30), difficult=True))]
    examples = examples_of(samples, learns_difficult=True)

    assert len(examples.example(0).targets["boxes"]) == 1


def test_a_split_in_which_no_picture_is_left_is_refused(tmp_path: Path):
    hard = sample(tmp_path, 0, Label("ball", (0, 0, 40, 30), difficult=True))

    with pytest.raises(DataError) as caught:
        examples_of([hard])
    with pytest.raises(DataError, match="no picture of the val split can be used; it is empty"):
        examples_of([], split="val")

    assert str(caught.value) == (
        f"no picture of the train split can be used; {tmp_path}/0.xml: every object is difficult; it is left out"
    )


def test_boxes_thinner_than_a_pixel_of_the_input_are_judged_and_not_learned(tmp_path: Path):
    thin = sample(tmp_path, 0, Label("ball", (10, 10, 11, 40)))

    assert len(examples_of([thin], augment=True).example(0).truth.boxes_n4) == 0
    assert len(examples_of([thin], split="val").example(0).truth.boxes_n4) == 1
