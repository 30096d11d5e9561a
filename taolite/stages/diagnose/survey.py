"""The labels of a split, and the causes of a low score that they show for every task."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from taolite.data.examples import Examples
from taolite.diagnosis import Cause
from taolite.tasks.base import Experiment
from taolite.tasks.diagnosing import Survey

__all__ = ["of_detectors", "of_labels", "survey"]

_MOST = 200  # pictures looked at in detail, at even distances
_FEW = 10  # objects that sizes are compared on
_OVER = 0.02  # of a side; a box that reaches less beyond its picture was rounded
_CORNER = 0.6  # of each side; labels that all lie so near to the top left corner
_LABELS_NEEDED = 10  # to say so
_SIZES = 3.0  # times; sizes of the two splits that differ more


def survey(examples: Examples, classes: Sequence[str]) -> Survey:
    """The labels of a split; of a large one, 200 pictures in detail."""
    known, strangers = examples.label_counts()
    places = np.linspace(0, len(examples) - 1, min(len(examples), _MOST)).round().astype(int).tolist()
    return Survey(
        len(examples),
        {name: known[kind] for kind, name in enumerate(classes)},
        dict(strangers),
        [examples.labelled(place).boxes_n4 for place in places],
        [examples.samples[place].size_hw for place in places],
        [examples.truth(place) for place in places],
    )


def of_labels(train: Survey | None, val: Survey | None, classes: Sequence[str]) -> Iterator[Cause]:
    """Names of labels that no class takes, and classes without labels."""
    for split, found in (("train", train), ("val", val)):
        if found is None:
            continue
        if not sum(found.labels.values()):
            facts = {"split": split, "pictures": found.pictures, "labels": dict(found.strangers)}
            yield Cause("no_labels", "data", 1.0, facts | {"near": _near(classes, found.strangers)})
            continue
        absent = [name for name in classes if not found.labels[name]]
        facts = {"split": split, "classes": absent, "strangers": dict(found.strangers)}
        near = _near(absent, found.strangers)
        yield Cause("class_without_labels", "data", len(absent) / len(classes), facts | {"near": near})


def _near(names: Sequence[str], strangers: Mapping[str, int]) -> dict[str, str]:
    """For each class, the name of labels that is written almost like it: in another case, or with another sign."""
    plain = {_plain(name): name for name in sorted(strangers)}
    found = {}
    for name in names:
        if close := difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.8):
            found[name] = plain[close[0]]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def of_detectors(experiment: Experiment, train: Survey | None, val: Survey | None) -> Iterator[Cause]:
    """Boxes outside of their pictures, or lost on the way to the network's input; splits with other sizes of boxes."""
    for split, found in (("train", train), ("val", val)):
        if found is not None and any(len(boxes) for boxes in found.boxes):
            yield from _of_places(found, split)
            yield from _of_fitting(experiment, found, split)
    if train is not None and val is not None:
        yield from _of_sizes(train, val)


def _of_places(found: Survey, split: str) -> Iterator[Cause]:
    """Labels made for pictures of another size: they reach beyond the picture, or keep to its top left corner."""
    reach = np.concatenate([boxes[:, 2:] / hw[::-1] for boxes, hw in zip(found.boxes, found.photos_hw, strict=True)])
    beyond = float((reach > 1 + _OVER).any(axis=1).mean())
    height, width = found.photos_hw[0]
    facts = {"split": split, "labels": len(reach), "beyond": beyond, "photo": [width, height]}
    facts |= {"reach_x": float(reach[:, 0].max()), "reach_y": float(reach[:, 1].max())}
    yield Cause("labels_outside", "data", 0.95 if beyond >= 0.25 else beyond, facts)
    corner = len(reach) >= _LABELS_NEEDED and bool((reach.max(axis=0) < _CORNER).all())
    yield Cause("labels_in_corner", "data", 0.9 if corner else 0.0, facts)


def _of_fitting(experiment: Experiment, found: Survey, split: str) -> Iterator[Cause]:
    """Boxes that lie outside of the network's input, or that a least size drops."""
    prep, total, cropped, kept = experiment.preprocessing, 0, 0, 0
    height, width = prep.input_hw
    for boxes, photo_hw, truth in zip(found.boxes, found.photos_hw, found.truths, strict=True):
        fitted = prep.boxes_to_input(boxes, photo_hw=photo_hw)
        middle = (fitted[:, :2] + fitted[:, 2:]) / 2
        inside = ((middle >= 0) & (middle < (width, height))).all(axis=1)
        total, cropped, kept = total + len(boxes), cropped + int((~inside).sum()), kept + len(truth.boxes_n4)
    photo_hw = found.photos_hw[0]
    facts = {"split": split, "labels": total, "input": [width, height], "photo": [photo_hw[1], photo_hw[0]]}
    facts |= {"fit": prep.fit, "cropped": cropped, "dropped": max(total - kept, 0)}
    yield Cause("cropped", "input", cropped / total if prep.fit == "crop" else 0.0, facts)
    yield Cause("dropped", "input", max(total - kept - cropped, 0) / total, facts)


def _of_sizes(train: Survey, val: Survey) -> Iterator[Cause]:
    """Objects of the validation that are much larger or smaller than those of the training."""
    sizes = []
    for found in (train, val):
        sides = found.objects.boxes_n4[:, 2:] - found.objects.boxes_n4[:, :2]
        sizes.append(np.sqrt(np.prod(sides, axis=1)))
    if min(map(len, sizes)) < _FEW:
        return
    first, second = (float(np.median(one)) for one in sizes)
    ratio = max(first, second) / max(min(first, second), 1e-6)
    yield Cause("other_sizes", "data", 0.6 if ratio >= _SIZES else 0.0, {"train": first, "val": second})
