"""The card against both tools' loops over detections, the worked example, and one convention at a time."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.preprocessing import Preprocessing
from taolite.sample import Truth
from taolite.tasks.found import Found
from taolite.tasks.ssd.plan import Scoring
from taolite.tasks.ssd.scoring import ssd_card

HW = (100, 200)
VOC, AREA, SAMPLE, INTEGRATE = (Scoring(mode) for mode in ("voc07", "area", "sample", "integrate"))


def truth(boxes, classes=None, difficult=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    kinds = np.zeros(len(boxes), np.int64) if classes is None else np.array(classes, np.int64)
    return Truth(boxes, kinds, None if difficult is None else np.array(difficult, np.bool_))


def found(boxes, scores, classes=None):
    kinds = [0] * len(scores) if classes is None else classes
    return Found(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(kinds, np.int64))


def card(truths, founds, scoring, names=("cat",)):
    return ssd_card(truths, founds, names=names, scoring=scoring, preprocessing=Preprocessing(HW, fit="stretch"))


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def detections(founds, kind):
    rows = [
        (float(score), image, box.astype(np.float64))
        for image, one in enumerate(founds)
        for box, score, label in zip(one.boxes_n4, one.scores_n, one.classes_n, strict=True)
        if label == kind
    ]
    return sorted(rows, key=lambda row: -row[0])


def own_boxes(one, kind):
    hard = one.difficult_n if one.difficult_n is not None else np.zeros(len(one.boxes_n4), bool)
    return [
        (box.astype(np.float64), bool(h))
        for box, c, h in zip(one.boxes_n4, one.classes_n, hard, strict=True)
        if c == kind
    ]


def curve(right, wanted):
    right = np.array(right, float)
    precision, recall = right.cumsum() / np.arange(1, len(right) + 1), right.cumsum() / wanted
    return precision, recall


def eleven_points(precision, recall):
    return sum(max(precision[recall >= t / 10], default=0.0) for t in range(11)) / 11


def area(precision, recall):
    envelope = [precision[i:].max() for i in range(len(precision))]
    return sum((r - (recall[i - 1] if i else 0)) * p for i, (r, p) in enumerate(zip(recall, envelope, strict=True)))


def pytorch_ssd(truths, founds, kind, rule):
    """reference/jetson_workflows.md 5, step by step."""
    right, taken = [], set()
    for _, image, box in detections(founds, kind):
        boxes = own_boxes(truths[image], kind)
        overlaps = [iou(box, one) for one, _ in boxes]
        if not overlaps or max(overlaps) <= 0.5:
            right.append(0)
            continue
        best = int(np.argmax(overlaps))
        if not boxes[best][1]:
            right.append(int((image, best) not in taken))
            taken.add((image, best))
    return rule(*curve(right, sum(not hard for one in truths for _, hard in own_boxes(one, kind))))


def tao(truths, founds, kind, rule):
    """reference/tao_classification_ssd.md 4.8, step by step."""
    right, taken = [], set()
    for _, image, box in detections(founds, kind):
        box = np.clip(np.rint(box), 0, (200, 100, 200, 100))
        boxes = own_boxes(truths[image], kind)
        overlaps = [iou(box, one) * ((image, index) not in taken) for index, (one, _) in enumerate(boxes)]
        if not overlaps or max(overlaps) < 0.5:
            right.append(0)
            continue
        best = int(np.argmax(overlaps))
        taken.add((image, best))
        if not boxes[best][1]:
            right.append(1)
    return rule(*curve(right, sum(not hard for one in truths for _, hard in own_boxes(one, kind))))


def data_set(seed, images=12):
    """Crowded pictures and finds near their boxes, some of them twice."""
    rng = np.random.default_rng(seed)
    truths, founds = [], []
    for _ in range(images):
        count = int(rng.integers(1, 7))
        low = rng.uniform(0, (120, 50), (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(15, 45, (count, 2))], axis=1)
        kinds = rng.integers(0, 2, count)
        truths.append(truth(boxes, kinds, rng.uniform(size=count) < 0.2))
        again = rng.integers(0, count, 2 * count)
        near = boxes[again] + rng.normal(0, 4, (2 * count, 4))
        founds.append(found(near, rng.permutation(2 * count) / 100 + rng.uniform(0, 0.5), kinds[again]))
    return truths, founds


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("scoring", "slow", "rule"),
    [
        (VOC, pytorch_ssd, eleven_points),
        (AREA, pytorch_ssd, area),
        (SAMPLE, tao, eleven_points),
        (INTEGRATE, tao, area),
    ],
    ids=["voc07", "area", "sample", "integrate"],
)
def test_the_main_metric_is_what_the_loops_say(seed, scoring, slow, rule):
    truths, founds = data_set(seed)

    main = card(truths, founds, scoring, ("cat", "dog")).main

    expected = [slow(truths, founds, kind, rule) for kind in (0, 1)]
    assert list(main.per_class.values()) == pytest.approx(expected)
    assert main.value == pytest.approx(np.mean(expected))


BOXES = [(0, 0, 20, 20), (40, 0, 60, 20), (80, 0, 100, 20), (120, 0, 140, 20)]


@pytest.mark.parametrize(
    ("scoring", "expected"), [(VOC, 0.6818), (AREA, 0.6875), (SAMPLE, 0.6818), (INTEGRATE, 0.6875)]
)
def test_the_worked_example(scoring, expected):
    finds = found([BOXES[0], BOXES[1], (0, 60, 20, 80), BOXES[2]], [0.9, 0.8, 0.7, 0.6])  # right, right, wrong, right

    assert round(card([truth(BOXES)], [finds], scoring).main.value, 4) == expected


@pytest.mark.parametrize(("scoring", "expected"), [(VOC, 0), (AREA, 0), (SAMPLE, 1), (INTEGRATE, 1)])
def test_an_iou_of_the_threshold_itself_is_enough_for_tao_alone(scoring, expected):
    half = found([(0, 0, 20, 10)], [0.9])

    assert card([truth([(0, 0, 20, 20)])], [half], scoring).main.value == pytest.approx(expected)


def test_the_threshold_is_the_settings():
    half = found([(0, 0, 20, 10)], [0.9])

    assert card([truth([(0, 0, 20, 20)])], [half], Scoring("voc07", iou=0.49)).main.value == pytest.approx(1)
    assert card([truth([(0, 0, 20, 20)])], [half], Scoring("sample", iou=0.51)).main.value == 0


@pytest.mark.parametrize(("scoring", "expected"), [(AREA, 0.5), (INTEGRATE, 1.0)])
def test_a_second_find_of_a_box_may_have_another_near_one_in_tao_alone(scoring, expected):
    near = truth([(0, 0, 20, 20), (0, 4, 20, 24)])
    both_closer_to_the_first = found([(0, 0, 20, 20), (0, 1, 20, 21)], [0.9, 0.8])

    assert card([near], [both_closer_to_the_first], scoring).main.value == pytest.approx(expected)


@pytest.mark.parametrize(("scoring", "expected"), [(AREA, 1.0), (INTEGRATE, 0.5)])
def test_a_difficult_box_excuses_every_find_but_in_tao_one(scoring, expected):
    scene = truth([(0, 0, 20, 20), (50, 0, 70, 20)], difficult=[True, False])
    finds = found([(0, 0, 20, 20), (0, 0, 20, 20), (50, 0, 70, 20)], [0.9, 0.8, 0.7])

    scored = card([scene], [finds], scoring)

    assert scored.main.value == pytest.approx(expected)
    assert scored.objects == {"cat": 1}


def test_tao_rounds_what_is_found_and_clips_it_to_the_input():
    scene = truth([(180, 0, 200, 10)])
    beyond = found([(179.6, -10, 230, 10.4)], [0.9])  # (180, 0, 200, 10) in whole pixels of the input

    assert card([scene], [beyond], Scoring("sample", iou=1.0)).main.value == pytest.approx(1)
    assert card([scene], [beyond], VOC).main.value == 0


def test_a_class_with_nothing_to_find_has_no_ap_and_is_not_in_the_mean():
    scene, finds = truth([BOXES[0]]), found([BOXES[0], BOXES[1]], [0.9, 0.8], [0, 1])

    scored = card([scene], [finds], VOC, ("cat", "dog"))

    assert scored.main.per_class == scored.beside["VOC"].per_class == {"cat": pytest.approx(1)}
    assert scored.main.value == scored.beside["VOC"].value == pytest.approx(1)
    assert scored.objects == {"cat": 1, "dog": 0}


def test_tao_counts_a_class_with_nothing_to_find_as_nothing_found():
    scene, finds = truth([BOXES[0]]), found([BOXES[0]], [0.9])

    scored = card([scene], [finds], INTEGRATE, ("cat", "dog"))

    assert scored.main.per_class == {"cat": pytest.approx(1), "dog": 0}
    assert scored.main.value == pytest.approx(0.5)
    assert scored.beside["VOC"].value == pytest.approx(1)


@pytest.mark.parametrize("scoring", [VOC, AREA, SAMPLE, INTEGRATE])
def test_pictures_without_a_box_or_a_find_score_nothing_and_break_nothing(scoring):
    scored = card([truth([]), truth([])], [found([], []), found([BOXES[0]], [0.9])], scoring)

    assert scored.main.value == 0
    assert set(scored.beside) == {"VOC"}
    assert (scored.objects, scored.images) == ({"cat": 0}, 2)


def test_cocos_ap_stands_beside():
    finds = found([(0, 0, 20, 14.5)], [0.9])  # an IoU of 0.725: right at 5 of COCO's 10 thresholds

    assert card([truth([(0, 0, 20, 20)])], [finds], VOC).beside["COCO"].value == pytest.approx(0.5)


def test_the_curves_behind_the_ap_are_on_the_card():
    boxes = [[0, 0, 50, 50], [100, 0, 150, 50]]
    finds = found([boxes[0], [60, 60, 90, 90], boxes[1]], [0.9, 0.8, 0.7])

    curves = card([truth(boxes)], [finds], VOC, names=("cat", "dog")).curves

    assert list(curves) == ["cat", "dog"]
    assert curves["cat"].recall == (0.5, 0.5, 1.0)
    assert curves["cat"].precision == pytest.approx((1, 1 / 2, 2 / 3))
    assert curves["dog"].recall == ()
