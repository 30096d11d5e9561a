"""The cost against a slow version written from reference 7, and the balance against reference 13.5 item 7."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from taolite.tasks.detectnet.loss import ClassWeights, DetectNetObjective, balance


def make_objective(**changes):
    classes = [
        ClassWeights("cat", 4.0, 0.05, (1.0, 10.0), (1.0, 10.0)),
        ClassWeights("dog", 1.0, 0.3, (2.0, 2.0), (1.0, 1.0)),
    ]
    return DetectNetObjective(classes, **{"autoweight": True, "least": 1e-4, "most": 0.9999, **changes})


def make_batch(seed=0, images=2, height=3, width=4):
    rng = np.random.default_rng(seed)
    outputs = (
        torch.tensor(rng.uniform(0.01, 0.99, (images, 2, height, width)), dtype=torch.float32),
        torch.tensor(rng.normal(size=(images, 8, height, width)), dtype=torch.float32),
    )
    targets = {
        "cov": torch.tensor(rng.integers(0, 17, (images, 2, height, width)) / 16, dtype=torch.float32),
        "bbox": torch.tensor(rng.normal(size=(images, 2, 4, height, width)), dtype=torch.float32),
        "norm": torch.tensor(rng.uniform(0, 1, (images, 2, height, width)), dtype=torch.float32),
    }
    return outputs, targets


def test_the_cost_is_the_sum_that_the_reference_writes_down():
    outputs, targets = make_batch()

    cost = make_objective().cost(outputs, targets)

    share = {0: 4 / 5, 1: 1 / 5}
    weights = {0: (1 / 11, 10 / 11), 1: (1 / 2, 1 / 2)}
    foreground = {0: 0.05, 1: 0.3}
    total = 0.0
    for kind in (0, 1):
        covs, boxes = [], []
        for n in range(2):
            for j in range(3):
                for i in range(4):
                    t, p = float(targets["cov"][n, kind, j, i]), float(outputs[0][n, kind, j, i])
                    weight = foreground[kind] if t > 0.5 else 1 - foreground[kind]
                    covs.append(-(t * math.log(p + 1e-5) + (1 - t) * math.log(1 - p + 1e-5)) * weight)
                    for edge in range(4):
                        gap = float(outputs[1][n, 4 * kind + edge, j, i] - targets["bbox"][n, kind, edge, j, i])
                        boxes.append(abs(gap) * float(targets["norm"][n, kind, j, i]))
        total += share[kind] * (weights[kind][0] * np.mean(covs) + weights[kind][1] * np.mean(boxes))
    assert float(cost.total) == pytest.approx(total, rel=1e-5)
    assert sum(cost.parts.values()) == pytest.approx(total, rel=1e-5)


def test_a_mask_multiplies_each_cell_of_its_class_and_objective():
    objective, (outputs, targets) = make_objective(), make_batch()
    factors = torch.ones(2, 2, 2, 3, 4)
    factors[1, 0, 0, 2, 1] = 0.0  # coverage of the first class, one cell
    factors[0, 1, 1] = 0.5  # boxes of the second class, one whole image

    plain = objective.cost(outputs, targets)
    whole = objective.cost(outputs, {**targets, "mask": torch.ones(2, 2, 2, 3, 4)})
    masked = objective.cost(outputs, {**targets, "mask": factors})

    assert float(whole.total) == float(plain.total)
    t, p = float(targets["cov"][1, 0, 2, 1]), float(outputs[0][1, 0, 2, 1])
    cell = -(t * math.log(p + 1e-5) + (1 - t) * math.log(1 - p + 1e-5)) * (0.05 if t > 0.5 else 0.95)
    assert plain.parts["cov"] - masked.parts["cov"] == pytest.approx(4 / 5 * 1 / 11 * cell / 24, rel=1e-3)
    gaps = (outputs[1].view(2, 2, 4, 3, 4)[0, 1] - targets["bbox"][0, 1]).abs() * targets["norm"][0, 1]
    lost = 0.5 * float(gaps.sum()) / (2 * 4 * 3 * 4)
    assert plain.parts["bbox"] - masked.parts["bbox"] == pytest.approx(1 / 5 * 1 / 2 * lost, rel=1e-3)


def test_balancing_gives_each_objective_its_share():
    # reference 13.5 item 7: sums 2 and 1, targets 1 and 10: u = .5 and 10
    assert balance((2.0, 1.0), (1.0, 10.0), (0.5, 0.5), least=0.0, most=1.0) == pytest.approx(
        [0.047619, 0.952381], abs=1e-6
    )


def test_clamping_does_not_normalise_again_and_nothing_learned_changes_nothing():
    assert balance((2.0, 1.0), (1.0, 10.0), (0.5, 0.5), least=0.1, most=0.9) == [0.1, 0.9]
    assert balance((0.0, 0.0), (1.0, 10.0), (0.3, 0.7), least=0.0, most=1.0) == [0.3, 0.7]


def test_the_lower_bound_comes_before_the_upper_one():
    assert balance((2.0, 1.0), (1.0, 10.0), (0.5, 0.5), least=0.6, most=0.4) == [0.4, 0.4]


def test_a_coverage_that_could_not_be_more_wrong_costs_the_logarithm_of_the_guard():
    # -ln(1e-5) = 11.51293; the object, t = 1 and p = 0, weighs .05; the background, t = 0 and p = 1, weighs .95
    objective = DetectNetObjective(
        [ClassWeights("cat", 1.0, 0.05, (1.0, 0.0), (1.0, 1.0))], autoweight=False, least=0.0, most=1.0
    )
    boxes = {"bbox": torch.zeros(1, 1, 4, 1, 1), "norm": torch.zeros(1, 1, 1, 1)}

    missed, invented = (
        float(
            objective.cost(
                (torch.full((1, 1, 1, 1), 1.0 - t), torch.zeros(1, 4, 1, 1)),
                {"cov": torch.full((1, 1, 1, 1), t), **boxes},
            ).total
        )
        for t in (1.0, 0.0)
    )

    assert missed == pytest.approx(0.05 * 11.51293, rel=1e-4)
    assert invented == pytest.approx(0.95 * 11.51293, rel=1e-4)


def test_an_epoch_balances_by_its_own_sums_and_validation_does_not_count():
    objective, (outputs, targets) = make_objective(), make_batch()
    objective.cost(outputs, targets)
    objective.cost(outputs, {**targets, "cov": 1 - targets["cov"]}, training=False)
    alone = make_objective()
    alone.cost(outputs, targets)

    objective.end_epoch()
    alone.end_epoch()

    assert torch.equal(objective.weights, alone.weights)
    assert objective.state()["sums"] == [[(0.0).hex()] * 2] * 2


def test_a_restored_objective_goes_on_bit_for_bit():
    first, (outputs, targets) = make_objective(), make_batch()
    first.cost(outputs, targets)
    second = make_objective()
    second.restore(first.state())

    for objective in (first, second):
        objective.cost(*make_batch(seed=1))
        objective.end_epoch()

    assert first.state() == second.state()


def test_without_autoweighting_the_weights_stay():
    objective = make_objective(autoweight=False)
    before = objective.weights.clone()
    objective.cost(*make_batch())

    objective.end_epoch()

    assert torch.equal(objective.weights, before)
