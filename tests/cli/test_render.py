"""The lines that users of TAO look for (reference 2.3 and 8.7)."""

from __future__ import annotations

from pathlib import Path

from taolite.cli.render import details_lines, evaluation_block, scores_json, validation_lines
from taolite.events import Validated
from taolite.scorecard import AP, Metric, Point, ScoreCard, Tally
from taolite.stages.evaluate import Evaluation, Worst

BLOCK = """
Validation cost: 0.000123
Mean average_precision (in %): 76.4810

+------------+--------------------------+
| class name | average precision (in %) |
+------------+--------------------------+
|    cat     |    76.48102498012345     |
+------------+--------------------------+

Median Inference Time: 0.012345"""


def test_a_validation_in_training_is_taos_block():
    event = Validated(20, 120, 400, 0.000123, Metric(AP, 0.7648102498012345, {"cat": 0.7648102498012345}), 0.012345)

    assert validation_lines(event) == f"\nEpoch 20/120\n=========================\n{BLOCK}"


def test_a_model_that_ends_in_nms_has_no_cost():
    event = Validated(1, 1, 1, float("nan"), Metric(AP, 1.0, {"cat": 1.0}), 0.1)

    assert "Validation cost: none, as the model ends in NMS" in validation_lines(event)
    assert '"cost": null' in scores_json(Evaluation(ScoreCard(event.metric, {}, {"cat": 1}, 1), event.cost, 0.1))


def test_evaluate_prints_taos_block_sorted_by_class_and_vocs_below():
    card = ScoreCard(
        Metric(AP, 0.5, {"dog": 0.25, "cat": 0.75}),
        {"VOC": Metric(AP, 0.625, {"dog": 0.5, "cat": 0.75})},
        {"dog": 3, "cat": 4},
        5,
        best={"cat": Point(0.3125, 0.9, 0.8, 0.847)},
    )

    lines = evaluation_block(Evaluation(card, 1.5, 0.01)).splitlines()

    assert lines == [
        "",
        "Validation cost: 1.500000",
        "Mean average_precision (in %): 50.0000",
        "",
        "+------------+--------------------------+",
        "| class name | average precision (in %) |",
        "+------------+--------------------------+",
        "|    cat     |           75.0           |",
        "|    dog     |           25.0           |",
        "+------------+--------------------------+",
        "",
        "Median Inference Time: 0.010000",
        "PASCAL VOC's metric on the same 5 images, and the threshold with the best F1:",
        "+------------+----------------------------------+---------+-----------+-----------+--------+-------+",
        "| class name | AP at IoU 0.5, all points (in %) | objects | threshold | precision | recall |   F1  |",
        "+------------+----------------------------------+---------+-----------+-----------+--------+-------+",
        "|    cat     |             75.0000              |    4    |   0.312   |   0.900   | 0.800  | 0.847 |",
        "|    dog     |             50.0000              |    3    |           |           |        |       |",
        "|    mean    |             62.5000              |    7    |           |           |        |       |",
        "+------------+----------------------------------+---------+-----------+-----------+--------+-------+",
    ]


def test_below_the_block_stand_cocos_ap_the_confusion_in_words_and_the_worst_pictures():
    card = ScoreCard(
        Metric(AP, 0.5, {}),
        {"COCO": Metric(AP, 0.4567, {})},
        {"dog": 3, "cat": 4},
        5,
        confusion=((2, 1, 0), (0, 3, 1), (1, 0, 0)),
        best={"cat": Point(0.3125, 0.9, 0.8, 0.847)},
        by_size={"small": 0.125, "large": 0.75},
    )
    worst = (Worst(3, Path("/data/d.jpg"), Tally(1, 2, 2), (), ()),)

    assert details_lines(Evaluation(card, 1.5, 0.01, worst), Path("/r/plots")).splitlines() == [
        "COCO's AP (IoU 0.50 to 0.95, in %): 45.67, small objects 12.50, large objects 75.00",
        "at the best thresholds: 5 of 7 objects found, 1 taken for another class, 1 missed, 1 wrong find",
        "pictures with the lowest F1: d.jpg (0.50)",
        "plots: /r/plots",
    ]
    assert details_lines(Evaluation(ScoreCard(card.main, {}, {}, 5), 1.5, 0.01)) == ""
