"""Charts as SVG: the lines stand where their numbers say, and a page of any input is well formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from taolite.report.svg import Series, chart, curves, points_of
from taolite.scorecard import ACCURACY


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)


def lines_of(markup: str) -> list[list[tuple[float, float]]]:
    found = parsed(markup).iter("polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()] for line in found]


def test_points_stand_where_their_numbers_say():
    made = chart([Series("a", [(0, 0), (5, 1), (10, 2)])], title="t", y_range=(0, 2))

    # the plot: x from 46 to 390, y from 204 (0) up to 10 (2)
    assert lines_of(made) == [[(46, 204), (218, 107), (390, 10)]]


def test_a_logarithmic_chart_has_equal_steps_for_equal_factors():
    (line,) = lines_of(chart([Series("a", [(1, 1), (2, 10), (3, 100)])], title="t", scale="log", y_range=(1, 100)))

    assert [y for _, y in line] == [204, 107, 10]


@pytest.mark.parametrize("points", [[], [(1, 0.0)], [(1, -3.0), (2, 5.0)], [(1, 1e-9), (2, 1e9)], [(7, 2.0), (7, 2.0)]])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_series_gives_well_formed_markup(points, scale):
    made = chart([Series('</svg><b a="', points, 3)], title="<t>", scale=scale)

    root = parsed(made)
    assert root.tag == "figure"
    assert not list(root.iter("b"))
    assert "nan" not in made


def test_a_long_line_has_at_most_300_points_with_both_ends():
    (line,) = lines_of(chart([Series("a", [(x, x) for x in range(5000)])], title="t"))

    assert len(line) == 300
    assert (line[0][0], line[-1][0]) == (46, 390)


ROWS = [
    {"epoch": 1, "loss": 2.0, "learning_rate": 0.1},
    {"epoch": 1, "validation_cost": 3.0, "mAP": 0.5, "AP": {"cat": 0.25, "<b>": 0.75}},
    {"epoch": 2, "loss": 1.0, "learning_rate": 0.01},
    {"epoch": 2, "validation_cost": None, "mAP": 0.75, "AP": {"cat": 0.5, "<b>": 1.0}},
]


def test_the_curves_of_a_run_have_its_costs_its_metric_and_its_rate():
    made = curves(ROWS)

    assert list(made) == ["Cost", "Mean average precision", "Learning rate"]
    legends = {name: re.findall(r"<bdi>(.*?)</bdi> (\S*?)</li>", markup) for name, markup in made.items()}
    assert legends == {
        "Cost": [("training cost", "1"), ("validation cost", "3")],
        "Mean average precision": [("mean of the classes", "0.75"), ("cat", "0.5"), ("&lt;b&gt;", "1")],
        "Learning rate": [("learning rate", "0.01")],
    }
    assert "best 0.750, epoch 2" in made["Mean average precision"]


def test_more_than_twelve_classes_are_counted_instead_of_drawn():
    rows = [{"epoch": 1, "accuracy": 0.5, "class_accuracy": {f"c{k}": 0.5 for k in range(20)}}]

    made = curves(rows, words=ACCURACY)["Accuracy"]

    assert len(lines_of(made)) == 13
    assert "and 8 more classes" in made


def test_of_an_epoch_that_was_repeated_the_newest_number_counts():
    rows = [{"epoch": 2, "loss": 5.0}, {"epoch": 1, "loss": 4.0}, {"epoch": 2, "loss": 3.0}, {"epoch": 3, "loss": "x"}]

    assert points_of(rows, "loss") == [(1.0, 4.0), (2.0, 3.0)]
