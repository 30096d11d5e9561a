from __future__ import annotations

import numpy as np
from PIL import Image

from taolite.report.sweep import Sensitivity, Sweep, SweepRow, sweep_png
from taolite.scorecard import AP


def rgb(hex_colour):
    return [int(hex_colour[start : start + 2], 16) for start in (1, 3, 5)]


def count(path, colour):
    with Image.open(path) as image:
        return int((np.abs(np.array(image.convert("RGB")).astype(int) - colour).max(axis=2) <= 2).sum())


def rows(**more):
    return tuple(
        SweepRow(t, 1 - t, int(1e6 * (1 - t)), int(1e9 * (1 - t) ** 2), 4_000_000, **more) for t in (0.0, 0.4, 0.8)
    )


GREY, BLUE, ORANGE, PURPLE = map(rgb, ("#666666", "#0072b2", "#d55e00", "#cc79a7"))


def test_the_scores_are_drawn_and_those_that_were_not_measured_are_not(tmp_path):
    path = tmp_path / "sweep.png"

    sweep_png(Sweep(rows(score=0.5, settled=0.7), AP, images=9, whole=0.9), path)

    assert min(count(path, GREY), count(path, BLUE)) > 200
    assert count(path, ORANGE) == 0

    sweep_png(Sweep(rows(score=0.5, settled=0.7, finetuned=0.8), AP, images=9, epochs=2, whole=0.9), path)

    assert count(path, ORANGE) > 200


def test_without_scores_sizes_are_drawn_and_sensitivities_make_it_higher(tmp_path):
    plain, barred = tmp_path / "plain.png", tmp_path / "barred.png"
    groups = tuple(Sensitivity((f"conv_{i}", "other"), 16, i / 10) for i in range(8))

    sweep_png(Sweep(rows(), AP), plain)
    sweep_png(Sweep(rows(score=0.5, settled=0.5), AP, images=9, whole=0.9, sensitivity=groups), barred)

    assert count(plain, PURPLE) > 200
    with Image.open(plain) as low, Image.open(barred) as high:
        assert low.size[0] == high.size[0]
        assert high.size[1] > low.size[1] + 200
    assert count(barred, BLUE) > 5000


def test_a_sweep_is_a_json_value():
    sweep = Sweep(rows(score=0.5), AP, images=9, whole=0.9, sensitivity=(Sensitivity(("a", "b"), 16, 0.4),))

    value = sweep.to_json()

    assert value["metric"] == "mAP"
    assert value["rows"][1]["threshold"] == 0.4
    assert value["rows"][1]["settled"] is None
    assert value["sensitivity"] == [{"layers": ["a", "b"], "channels": 16, "score": 0.4}]
