"""What a detector's card has beside its metric: COCO's AP by the size of objects in the photo, and the rest at once."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.metrics import score
from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.scorecard import AP, Metric, ScoreCard, Tally
from taolite.tasks.details import detailed
from taolite.tasks.found import Found

INPUT = Preprocessing((100, 200), fit="stretch")
SMALL, MIDDLE = (0.0, 0.0, 20.0, 20.0), (60.0, 0.0, 110.0, 50.0)  # 400 and 2500 square pixels of the input


def truth(*boxes: tuple[float, ...], classes: tuple[int, ...] | None = None) -> Truth:
    kinds = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes, np.int64)
    return Truth(np.array(boxes, np.float32).reshape(-1, 4), kinds)


def found(*boxes: tuple[float, ...], scores: tuple[float, ...] = (), classes: tuple[int, ...] | None = None) -> Found:
    kinds = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes, np.int64)
    return Found(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), kinds)


def card_of(truths: list[Truth], founds: list[Found], photos: list[tuple[int, int]] | None = None) -> ScoreCard:
    names = ("cat", "dog")
    plain = ScoreCard(Metric(AP, 0.5, {}), {"VOC": Metric(AP, 0.5, {})}, {}, len(truths))
    voc = score(truths, founds, names=names, mode="AREA")
    return detailed(plain, truths, founds, voc=voc, preprocessing=INPUT, photos=photos)


def test_sizes_are_those_of_the_photo():
    truths, founds = [truth(SMALL, MIDDLE)], [found(SMALL, scores=(0.9,))]

    in_input, in_photo = card_of(truths, founds), card_of(truths, founds, [(200, 400)])

    # in the photo, four times the area: 1600 (medium, found) and 10000 (large, missed)
    assert in_input.by_size == {"small": pytest.approx(1.0), "medium": 0.0}
    assert in_photo.by_size == {"medium": pytest.approx(1.0), "large": 0.0}
    # 1 of 2 is found: precision 1 at the 51 of 101 recalls up to 0.5
    assert in_photo.beside["COCO"].value == in_input.beside["COCO"].value == pytest.approx(51 / 101)


def test_sizes_without_objects_are_left_out_where_nothing_is_found_too():
    card = card_of([truth(SMALL, MIDDLE)], [found()], [(100, 200)])

    assert card.by_size == {"small": 0.0, "medium": 0.0}
    assert card_of([truth()], [found()]).by_size == {}


def test_the_other_figures_are_there():
    card = card_of([truth(SMALL, MIDDLE, classes=(0, 1))], [found(SMALL, MIDDLE, scores=(0.9, 0.8), classes=(0, 0))])

    assert set(card.beside) == {"VOC", "COCO"}
    assert card.best["cat"].threshold == pytest.approx(0.85)
    assert card.confusion == ((1, 0, 0), (0, 0, 1), (0, 0, 0))  # 0.8 does not reach the threshold
    assert card.pictures == (Tally(1, 1, 2),)
    assert list(card.sweeps) == ["cat"]
    assert card.threshold("dog") == 0.5
