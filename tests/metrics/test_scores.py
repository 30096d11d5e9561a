"""Matching and average precision: by hand, against slow obvious loops, and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass

import numpy as np
import pytest

from taolite.metrics import (
    BoxLimits,
    ClassMatches,
    CocoScores,
    average_precision,
    coco_map,
    match,
    score,
    score_matches,
)
from taolite.sample import Truth


@dataclass
class Found:
    boxes_n4: np.ndarray
    scores_n: np.ndarray
    classes_n: np.ndarray


def truth(*boxes, classes=None, difficult=None):
    return Truth(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes if classes is not None else [0] * len(boxes), np.int64),
        None if difficult is None else np.array(difficult, bool),
    )


def found(*rows, classes=None):
    """Rows of x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4], np.array(classes if classes is not None else [0] * len(table), np.int64))


def curve(correct, truths):
    """Matches of one class whose detections, best first, are right (1) or wrong (0)."""
    count = len(correct)
    return ClassMatches(truths, np.linspace(1, 0.1, count), np.array(correct, bool), np.zeros(count, np.int64))


def random_scene(rng, *, images, num_classes=3, clutter=4, jitter=6.0):
    """Labels and noisy detections of them, some missing, some doubled, some from nowhere."""
    truths, founds = [], []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        corner = rng.uniform(0, 400, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(15, 120, (count, 2))], axis=1).astype(np.float32)
        classes = rng.integers(0, num_classes, count)
        seen = np.repeat(np.arange(count), rng.integers(0, 3, count))
        corner = rng.uniform(0, 400, (clutter, 2))
        noise = np.concatenate([corner, corner + rng.uniform(15, 120, (clutter, 2))], axis=1)
        where = np.concatenate([boxes[seen] + rng.normal(0, jitter, (len(seen), 4)), noise]).astype(np.float32)
        what = np.concatenate([classes[seen], rng.integers(0, num_classes, clutter)])
        truths.append(Truth(boxes, classes, rng.random(count) < 0.1))
        founds.append(Found(where, rng.random(len(where)).astype(np.float32), what))
    return truths, founds


def slow_match(truths, founds, label, threshold, limit):
    """The reference's words, one detection at a time: (to be found, right or wrong by descending score)."""

    def counts(box):
        width, height = box[2] - box[0], box[3] - box[1]
        return limit.min_width <= width <= limit.max_width and limit.min_height <= height <= limit.max_height

    def overlap(a, b):
        a, b = [round(float(v)) for v in a], [round(float(v)) for v in b]
        wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
        high = min(a[3], b[3]) - max(a[1], b[1]) + 1
        if wide <= 0 or high <= 0:
            return 0.0
        area = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
        return wide * high / (area[0] + area[1] - wide * high)

    rows = []
    for image, one in enumerate(founds):
        for box, confidence, kind in zip(one.boxes_n4, one.scores_n, one.classes_n, strict=True):
            if kind == label and counts(box):
                rows.append((float(confidence), image, box))
    taken, verdicts = set(), []
    for _, image, box in sorted(rows, key=lambda row: -row[0]):
        best, best_overlap = None, -1.0
        for index, (true_box, kind) in enumerate(zip(truths[image].boxes_n4, truths[image].classes_n, strict=True)):
            if kind == label and counts(true_box) and overlap(box, true_box) > best_overlap:
                best, best_overlap = index, overlap(box, true_box)
        if best is None or best_overlap < threshold:
            verdicts.append(False)
        elif not truths[image].difficult_n[best]:
            verdicts.append((image, best) not in taken)
            taken.add((image, best))
    wanted = sum(
        kind == label and counts(box) and not hard
        for one in truths
        for box, kind, hard in zip(one.boxes_n4, one.classes_n, one.difficult_n, strict=True)
    )
    return int(wanted), verdicts


def slow_integrate(correct, truths):
    """TAO's INTEGRATE as the reference writes it."""
    right, entries = 0, []
    for rank, good in enumerate(correct, start=1):
        right += good
        entries.append((right / truths, right / rank))
    recalls = sorted({recall for recall, _ in entries})
    total = 0.0
    for i in range(len(recalls) - 1):
        total += (recalls[i + 1] - recalls[i]) * max(p for r, p in entries if recalls[i] <= r <= recalls[-2])
    return total


def test_the_second_detection_of_an_object_is_wrong():
    matches = match(
        [truth((0, 0, 99, 99))],
        [found((0, 0, 99, 99, 0.4), (0, 0, 99, 90, 0.9))],
        num_classes=1,
        iou_thresholds=[0.5],
    )

    assert matches[0].truths == 1
    assert matches[0].scores_d.tolist() == pytest.approx([0.9, 0.4])
    assert matches[0].correct_d.tolist() == [True, False]


def test_a_detection_has_no_second_choice():
    labels = truth((0, 0, 99, 99), (30, 0, 129, 99))
    boxes = found((2, 0, 101, 99, 0.9), (10, 0, 109, 99, 0.8))  # both are nearest to the first object

    matches = match([labels], [boxes], num_classes=1, iou_thresholds=[0.5])

    assert matches[0].correct_d.tolist() == [True, False]


def test_tao_measures_rounded_inclusive_pixels():
    labels, boxes = truth((0, 0, 9, 9)), found((0, 0, 9, 4, 0.9))  # 50 of 100 pixels; continuous: 36 of 81

    by_tao = match([labels], [boxes], num_classes=1, iou_thresholds=[0.5], convention="tao")
    continuous = match([labels], [boxes], num_classes=1, iou_thresholds=[0.5], convention="continuous")
    half_to_even = match([labels], [found((0.5, 0.5, 9.0, 8.5, 0.9))], num_classes=1, iou_thresholds=[0.85])

    assert by_tao[0].correct_d.tolist() == [True]
    assert continuous[0].correct_d.tolist() == [False]
    assert half_to_even[0].correct_d.tolist() == [True]  # rounds to 0, 0, 9, 8: 90 of 100 pixels; up it would be 81


def test_boxes_outside_the_limits_count_neither_way():
    labels = truth((0, 0, 19, 19), (100, 0, 104, 4), (200, 0, 400, 200))
    boxes = found((0, 0, 19, 19, 0.9), (100, 0, 104, 4, 0.8), (200, 0, 400, 200, 0.7))
    limits = [BoxLimits(min_height=5, max_height=150, min_width=5, max_width=150)]

    matches = match([labels], [boxes], num_classes=1, iou_thresholds=[0.5], limits=limits)

    assert (matches[0].truths, matches[0].correct_d.tolist()) == (1, [True])


def test_the_limits_themselves_still_count_and_are_held_against_unrounded_sizes():
    limits = [BoxLimits(min_height=5, max_height=150, min_width=6, max_width=160)]
    inside = [(0, 0, 6, 5), (0, 0, 160, 150)]
    outside = [(0, 0, 5.9, 5), (0, 0, 6, 4.9), (0, 0, 160.1, 150), (0, 0, 160, 150.1)]

    counted = [
        match([truth(box)], [found((*box, 0.9))], num_classes=1, iou_thresholds=[0.5], limits=limits)[0]
        for box in [*inside, *outside]
    ]

    assert [one.truths for one in counted] == [1, 1, 0, 0, 0, 0]
    assert [len(one.scores_d) for one in counted] == [1, 1, 0, 0, 0, 0]


def test_a_difficult_object_is_no_miss_and_finding_it_no_mistake():
    labels = truth((0, 0, 19, 19), (100, 0, 120, 20), difficult=[False, True])

    matches = match([labels], [found((0, 0, 19, 19, 0.5), (100, 0, 120, 20, 0.9))], num_classes=1, iou_thresholds=[0.5])

    assert (matches[0].truths, matches[0].correct_d.tolist()) == (1, [True])


def test_images_without_labels_or_detections_are_matched():
    matches = match(
        [truth(), truth((0, 0, 9, 9)), truth()],
        [found((0, 0, 9, 9, 0.7)), found(), found()],
        num_classes=2,
        iou_thresholds=[0.5, 0.5],
    )

    assert [one.truths for one in matches] == [1, 0]
    assert matches[0].correct_d.tolist() == [False]
    assert matches[0].images_d.tolist() == [0]
    assert matches[1].scores_d.tolist() == []


def test_matching_agrees_with_a_slow_reading_of_the_rule():
    limit = BoxLimits(min_height=10, max_height=100, min_width=20, max_width=1000)
    for seed in range(6):
        truths, founds = random_scene(np.random.default_rng(seed), images=25)

        matches = match(truths, founds, num_classes=3, iou_thresholds=[0.3, 0.5, 0.7], limits=[limit] * 3)

        for label, threshold in enumerate([0.3, 0.5, 0.7]):
            wanted, verdicts = slow_match(truths, founds, label, threshold, limit)
            assert matches[label].truths == wanted
            assert matches[label].correct_d.tolist() == verdicts
            assert sum(verdicts) > 2


def test_average_precision_by_hand():
    # right, wrong, right of four objects: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2
    matches = curve([1, 0, 1], truths=4)

    assert average_precision(matches, "SAMPLE") == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert average_precision(matches, "AREA") == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)
    assert average_precision(matches, "INTEGRATE") == pytest.approx(
        1 / 4 * 1
    )  # only the step 1/4 -> 1/2, from its left


def test_perfect_detections_score_one_but_for_integrate():
    for count in (1, 2, 7):
        matches = curve([1] * count, truths=count)

        assert average_precision(matches, "SAMPLE") == pytest.approx(1)
        assert average_precision(matches, "AREA") == pytest.approx(1)
        assert average_precision(matches, "INTEGRATE") == pytest.approx((count - 1) / count)


def test_three_of_ten_reaches_the_sample_at_three_tenths():
    assert average_precision(curve([1, 1, 1], truths=10), "SAMPLE") == pytest.approx(4 / 11)


def test_nothing_to_find_or_nothing_found_scores_zero():
    for mode in ("SAMPLE", "INTEGRATE", "AREA"):
        assert average_precision(curve([0, 0], truths=0), mode) == 0
        assert average_precision(curve([], truths=5), mode) == 0
        assert average_precision(curve([0, 0], truths=5), mode) == 0


def test_the_modes_agree_with_slow_readings_of_their_rules():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        correct = (rng.random(int(rng.integers(1, 60))) < 0.6).astype(int).tolist()
        truths = max(sum(correct), 1) + int(rng.integers(0, 20))
        ranks = np.cumsum(correct)
        points = [(right / truths, right / rank) for rank, right in enumerate(ranks, start=1)]
        samples = [max((p for r, p in points if r >= tenth / 10), default=0.0) for tenth in range(11)]
        area = sum(max(p for r, p in points if r >= step / truths) / truths for step in range(1, ranks[-1] + 1))

        matches = curve(correct, truths)

        assert average_precision(matches, "SAMPLE") == pytest.approx(sum(samples) / 11)
        assert average_precision(matches, "INTEGRATE") == pytest.approx(slow_integrate(correct, truths))
        assert average_precision(matches, "AREA") == pytest.approx(area)


def test_scores_name_their_classes_and_say_which_were_absent():
    truths = [truth((0, 0, 99, 99), (200, 0, 299, 99), classes=[0, 1])]
    founds = [found((0, 0, 99, 99, 0.9), (200, 0, 299, 99, 0.8), (0, 200, 50, 250, 0.9), classes=[0, 1, 1])]

    area = score(truths, founds, names=["cat", "dog", "bird"])
    sample = score(truths, founds, names=["cat", "dog", "bird"], mode="SAMPLE")

    assert area.per_class == {"cat": 1.0, "dog": 0.5, "bird": 0.0}
    assert area.absent == ("bird",)
    assert area.mean == pytest.approx((1 + 0.5) / 2)  # a class with nothing to find says nothing
    assert sample.mean == pytest.approx((1 + 0.5 + 0) / 3)  # TAO's reading
    assert json.loads(json.dumps(area.to_json()))["classes"]["dog"] == {
        "average_precision": 0.5,
        "truths": 1,
        "detections": 2,
        "correct": 1,
    }
    assert area.classes[1].precision_d.tolist() == [0.0, 0.5]
    assert area.classes[1].recall_d.tolist() == [0.0, 1.0]


def test_one_matching_gives_every_mode():
    truths, founds = random_scene(np.random.default_rng(3), images=20)
    matches = match(truths, founds, num_classes=3, iou_thresholds=[0.5] * 3, convention="tao")

    for mode in ("SAMPLE", "INTEGRATE"):
        assert score_matches(matches, names=["a", "b", "c"], mode=mode).per_class == (
            score(truths, founds, names=["a", "b", "c"], mode=mode).per_class
        )


def coco_ap50(truths, founds, num_classes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    labels = COCO()
    annotations = [
        {"image_id": image, "category_id": int(kind), "bbox": xywh(box), "iscrowd": int(hard)}
        for image, one in enumerate(truths)
        for box, kind, hard in zip(one.boxes_n4, one.classes_n, one.difficult_n, strict=True)
    ]
    for index, row in enumerate(annotations, start=1):
        row.update(id=index, area=row["bbox"][2] * row["bbox"][3])
    labels.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(truths))],
        "annotations": annotations,
        "categories": [{"id": label} for label in range(num_classes)],
    }
    rows = [
        {"image_id": image, "category_id": int(kind), "bbox": xywh(box), "score": float(confidence)}
        for image, one in enumerate(founds)
        for box, confidence, kind in zip(one.boxes_n4, one.scores_n, one.classes_n, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        labels.createIndex()
        run = COCOeval(labels, labels.loadRes(rows), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.eval["precision"][0, :, :, 0, -1].mean(axis=0), run.stats


def test_the_area_is_pycocotools_ap50_up_to_its_hundred_and_one_points():
    pytest.importorskip("pycocotools")
    truths, founds = random_scene(np.random.default_rng(11), images=150, jitter=2.0)
    for one in truths:  # COCO's crowds follow another overlap rule
        one.difficult_n[:] = False

    scores = score(truths, founds, names=["a", "b", "c"])

    oracle, _ = coco_ap50(truths, founds, 3)
    assert list(scores.per_class.values()) == pytest.approx(oracle.tolist(), abs=0.01)
    assert 0.2 < scores.mean < 0.9


@pytest.mark.parametrize("seed", range(8))
def test_coco_map_is_pycocotools_summary(seed):
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(seed)
    truths, founds = random_scene(rng, images=40, clutter=int(rng.choice([1, 30])), jitter=float(rng.choice([1, 9])))
    for true, one in zip(truths, founds, strict=True):  # many equal overlaps and scores
        true.boxes_n4[::2], one.boxes_n4[::2] = np.rint(true.boxes_n4[::2] / 8) * 8, np.rint(one.boxes_n4[::2] / 8) * 8
        one.scores_n[::3] = np.rint(one.scores_n[::3] * 5) / 5

    scores = coco_map(truths, founds, names=["a", "b", "c"])

    _, stats = coco_ap50(truths, founds, 3)
    mine = [scores.ap, scores.ap50, scores.ap75, scores.ap_small, scores.ap_medium, scores.ap_large]
    assert mine == pytest.approx(stats[:6].tolist(), abs=1e-9)
    assert 0.01 < scores.ap < 0.9


def test_coco_map_counts_the_best_hundred_of_an_image_and_class():
    pytest.importorskip("pycocotools")
    truths, founds = random_scene(np.random.default_rng(9), images=4, clutter=450)

    scores = coco_map(truths, founds, names=["a", "b", "c"])

    _, stats = coco_ap50(truths, founds, 3)
    assert [scores.ap, scores.ap50] == pytest.approx(stats[:2].tolist(), abs=1e-9)
    assert scores.ap != coco_map(truths, founds, names=["a", "b", "c"], max_detections=1000).ap


def test_coco_map_of_nothing_found_is_zero():
    assert coco_map([truth((0, 0, 9, 9))], [found()], names=["a"]) == CocoScores(0, 0, 0, 0, -1, -1)
    assert coco_map([truth()], [found()], names=["a"]) == CocoScores(0, 0, 0, -1, -1, -1)


def test_coco_map_without_objects_says_so():
    assert coco_map([truth()], [found((0, 0, 9, 9, 0.5))], names=["a"]).ap == -1
