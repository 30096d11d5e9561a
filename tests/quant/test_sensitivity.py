"""What rounding costs, in all and layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from taolite.quant import insert_qdq
from taolite.quant.calibrate import session
from taolite.quant.sensitivity import layer_costs, output_sqnr


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(6).random((2, 2, 6, 8), dtype=np.float32)


def test_the_signal_to_noise_ratio_is_ten_times_the_logarithm_of_the_energies(residual, photos):
    quantised = insert_qdq(residual.onnx, residual.ranges)

    found = output_sqnr(residual.onnx, quantised, photos)

    for index, name in enumerate(("cov", "bbox")):
        signal, rounded = (session(data).run(None, {"input_1": photos})[index] for data in (residual.onnx, quantised))
        energy, noise = (signal**2).sum(), ((signal - rounded) ** 2).sum()
        assert found[name] == pytest.approx(10 * np.log10(energy / noise), abs=0.01)
    assert output_sqnr(residual.onnx, residual.onnx, photos) == {"cov": float("inf"), "bbox": float("inf")}


def test_the_layer_with_the_coarsest_steps_costs_most(residual, photos):
    heard: list[tuple[int, int]] = []
    coarse = {**residual.ranges, "ra": 127.0}  # steps of 1, where the values are below 8

    costs = layer_costs(residual.onnx, coarse, photos, tick=lambda done, total: heard.append((done, total)))

    assert costs[0].layer == "block"
    assert [cost.worst for cost in costs] == sorted(cost.worst for cost in costs)
    assert {cost.layer for cost in costs} == {"stem", "block", "output_cov", "output_bbox"}
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_head_alone_leaves_the_other_output_as_it_was(residual, photos):
    costs = {cost.layer: cost.sqnr for cost in layer_costs(residual.onnx, {"rs": residual.ranges["rs"]}, photos)}

    assert set(costs) == {"output_cov", "output_bbox"}
    assert costs["output_cov"]["bbox"] == float("inf")
    assert 10 < costs["output_cov"]["cov"] < 80


def test_excluded_layers_are_not_tried(residual, photos):
    costs = layer_costs(residual.onnx, residual.ranges, photos, excluded=("stem", "block", "output_cov"))

    assert [cost.layer for cost in costs] == ["output_bbox"]
