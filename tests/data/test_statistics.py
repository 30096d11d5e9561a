"""Label statistics: counted by hand on a few boxes, and by a slow loop on many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taolite.data.examples import BoxRule, Examples, Source
from taolite.data.statistics import GRID, label_statistics
from taolite.preprocessing import Preprocessing
from taolite.sample import Label, Sample

CLASSES = ("cat", "dog", "owl")


PLAIN = BoxRule()


def examples_of(samples: list[Sample], *, fit: str = "stretch", rule: BoxRule = PLAIN) -> Examples:
    numbers = {name: index for index, name in enumerate(CLASSES)}
    return Examples(
        [Source(samples)], numbers.get, Preprocessing((50, 100), fit=fit), lambda truth, weight: {}, fitted_rule=rule
    )


def test_a_few_boxes_are_counted_as_by_hand():
    samples = [
        Sample(Path("a.png"), (100, 200), (Label("cat", (0, 0, 40, 40)), Label("cat", (100, 50, 200, 100)))),
        Sample(Path("b.png"), (100, 200), (Label("dog", (0, 0, 1, 1)), Label("bird", (0, 0, 9, 9)))),
        Sample(Path("c.png"), (200, 200), ()),
    ]

    found = label_statistics(examples_of(samples), CLASSES)

    centres, sizes = found.pop("centres"), found.pop("sizes")
    assert found == {
        "pictures": 3,
        "empty": 1,
        "objects": {"cat": 2, "dog": 1, "owl": 0},
        "with": {"cat": 1, "dog": 1, "owl": 0},
        "unused": {"bird": 1},
        "left_out": {"cat": 0, "dog": 1, "owl": 0},  # the dog has half a pixel in the input of 100 x 50
        "in_one": {"most": 2, "mean": 1.0},
        "photos": [[200, 100, 2], [200, 200, 1]],
        "photo_sizes": 2,
        "boxed": True,
        # the input is half of the photo: sides of 20 and sqrt(50 * 25) = 35; of 0.5, which rounds to 0
        "sides": {"cat": [20, 20, 20, 35, 35], "dog": [0, 0, 0, 0, 0]},
    }
    assert sum(centres) == sum(sizes) == 3
    assert centres[int(0.75 * GRID) * GRID + int(0.75 * GRID)] == 1  # the second cat: at 0.75, 0.75
    assert sizes[int(0.5 * GRID) * GRID + int(0.5 * GRID)] == 1  # half as wide and half as high as its photo


@pytest.mark.parametrize("fit", ["stretch", "aspect", "crop", "cover"])
def test_many_boxes_are_counted_as_by_a_slow_loop(fit: str):
    rng = np.random.default_rng(3)
    samples = []
    for place in range(300):
        height, width = (int(side) for side in rng.integers(20, 300, 2))
        labels = []
        for _ in range(int(rng.integers(0, 4))):
            x1, y1 = rng.uniform(0, width - 2), rng.uniform(0, height - 2)
            box = (x1, y1, rng.uniform(x1 + 1, width), rng.uniform(y1 + 1, height))
            labels.append(Label(str(rng.choice([*CLASSES, "bird"])), box))
        samples.append(Sample(Path(f"{place}.png"), (height, width), tuple(labels)))
    examples = examples_of(samples, fit=fit, rule=BoxRule(8.0, 8.0, cut=True))

    found = label_statistics(examples, CLASSES)

    sides: dict[str, list[float]] = {name: [] for name in CLASSES}
    for sample in samples:
        used = [label for label in sample.labels if label.name in CLASSES]
        boxes = np.array([label.box for label in used], np.float32).reshape(-1, 4)
        fitted = examples.preprocessing.boxes_to_input(boxes, photo_hw=sample.size_hw)
        for label, (x1, y1, x2, y2) in zip(used, fitted.tolist(), strict=True):
            sides[label.name].append(round(((x2 - x1) * (y2 - y1)) ** 0.5))
    trained = [examples.truth(index) for index in range(len(samples))]
    kept = {name: sum(int((truth.classes_n == k).sum()) for truth in trained) for k, name in enumerate(CLASSES)}
    assert found["objects"] == {name: len(values) for name, values in sides.items()}
    assert found["left_out"] == {name: len(sides[name]) - kept[name] for name in CLASSES}
    for name, values in sides.items():
        middle = sorted(values)[int(np.ceil(len(values) / 2)) - 1]
        assert abs(found["sides"][name][2] - middle) <= 1


def test_class_folders_have_no_boxes():
    samples = [Sample(Path(f"{k}.png"), (40, 60), (Label("cat", (0, 0, 60, 40)),)) for k in range(3)]

    found = label_statistics(examples_of(samples), CLASSES)

    assert (found["boxed"], found["objects"]) == (False, {"cat": 3, "dog": 0, "owl": 0})
    assert not {"sides", "centres", "sizes"} & set(found)


@pytest.mark.parametrize("samples", [[], [Sample(Path("a.png"), (10, 10))]])
def test_a_split_without_labels_has_zeros(samples: list[Sample]):
    found = label_statistics(examples_of(samples), CLASSES)

    assert (found["pictures"], found["empty"]) == (len(samples), len(samples))
    assert set(found["objects"].values()) == {0}
