"""What both costs of DetectNet make of a teacher, against slow loops and where student and teacher agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou

from taolite.tasks.base import Objective, Part
from taolite.tasks.detectnet.loss import ClassWeights, DetectNetObjective
from taolite.tasks.detectnet.quality import QualityObjective

SCALE = 35.0
SHAPE = (3, 2, 3, 4)  # images, classes, rows, columns
Outputs = tuple[torch.Tensor, torch.Tensor]


def outputs(seed: int) -> Outputs:
    rng = np.random.default_rng(seed)
    cov, bbox = rng.uniform(0.01, 0.99, SHAPE), rng.uniform(0.2, 3, (3, 8, 3, 4))
    return torch.tensor(cov, dtype=torch.float32), torch.tensor(bbox, dtype=torch.float32)


def taos() -> DetectNetObjective:
    classes = [
        ClassWeights("cat", 4.0, 0.05, (1.0, 10.0), (1.0, 10.0)),
        ClassWeights("dog", 1.0, 0.3, (2.0, 2.0), (1.0, 1.0)),
    ]
    return DetectNetObjective(classes, autoweight=True, least=1e-4, most=0.9999)


NORM = {"norm": torch.tensor(np.random.default_rng(9).uniform(0, 1, SHAPE), dtype=torch.float32)}
COSTS: dict[str, Objective] = {
    "tao": taos(),
    "own": QualityObjective((0.5, 1.5), SCALE),
    "own, L1, no focus": QualityObjective((0.5, 1.5), SCALE, focus=0.0, box="L1"),
}


def entropy(found: float, wanted: float) -> float:
    return -(wanted * math.log(found) + (1 - wanted) * math.log(1 - found))


def softened(cov: float, temperature: float) -> float:
    return 1 / (1 + math.exp(-math.log(cov / (1 - cov)) / temperature))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_taos_cost_weighs_the_teacher_as_it_weighs_the_labels(temperature: float):
    found, taught = outputs(0), outputs(1)

    cost = taos().taught(found, taught, NORM, temperature=temperature)

    covs, boxes = np.zeros(2), np.zeros(2)
    for n, k, j, i in np.ndindex(*SHAPE):
        sure, foreground = float(taught[0][n, k, j, i]), (0.05, 0.3)[k]
        p, t = softened(float(found[0][n, k, j, i]), temperature), softened(sure, temperature)
        weight = foreground if sure > 0.5 else 1 - foreground
        covs[k] += temperature**2 * weight * (entropy(p, t) - entropy(t, t)) / 36
        for edge in range(4):
            gap = abs(float(found[1][n, 4 * k + edge, j, i] - taught[1][n, 4 * k + edge, j, i]))
            boxes[k] += gap * sure * float(NORM["norm"][n, k, j, i]) / (36 * 4)
    assert cost.parts["cov"] == pytest.approx(0.8 * covs[0] / 11 + 0.2 * covs[1] / 2, rel=1e-4)
    assert cost.parts["bbox"] == pytest.approx(0.8 * boxes[0] * 10 / 11 + 0.2 * boxes[1] / 2, rel=1e-4)
    assert float(cost.total) == pytest.approx(sum(cost.parts.values()), rel=1e-5)


def test_what_the_teacher_costs_does_not_change_the_weights_of_the_next_epoch():
    objective = taos()
    before = objective.state()

    objective.taught(outputs(0), outputs(1), NORM)

    assert objective.state() == before


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_taolites_cost_is_the_sum_over_the_teachers_cells_by_the_sum_of_their_coverage(temperature: float):
    found, taught = outputs(0), outputs(1)
    taught[0][0] = 0.05  # of no object: its boxes are not learned

    cost = QualityObjective((0.5, 1.5), SCALE, box_weight=1.5).taught(found, taught, {}, temperature=temperature)

    cov_sum = box_sum = trust = 0.0
    for n, k, j, i in np.ndindex(*SHAPE):
        sure, weight = float(taught[0][n, k, j, i]), (0.5, 1.5)[k]
        p, t = softened(float(found[0][n, k, j, i]), temperature), softened(sure, temperature)
        cov_sum += temperature**2 * weight * (t - p) ** 2 * entropy(p, t)
        if sure > 0.1:
            ours, theirs = (SCALE * one[1][n, 4 * k : 4 * k + 4, j, i] for one in (found, taught))
            boxes = (torch.stack([-one[0], -one[1], one[2], one[3]])[None] for one in (ours, theirs))
            box_sum += weight * sure * (1 - float(generalized_box_iou(*boxes)))
            trust += sure
    assert cost.parts["cov"] == pytest.approx(cov_sum / trust, rel=1e-4)
    assert cost.parts["bbox"] == pytest.approx(1.5 * box_sum / trust, rel=1e-4)
    assert float(cost.total) == pytest.approx(sum(cost.parts.values()), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("kind", COSTS)
def test_a_student_that_equals_its_teacher_costs_nothing_and_learns_nothing(kind: str, temperature: float):
    logits, bbox = torch.logit(outputs(1)[0]).requires_grad_(), outputs(1)[1].requires_grad_()
    bbox.data[0, 0] = -1.0  # a box without an area too
    taught = logits.detach().sigmoid(), bbox.detach().clone()

    cost = COSTS[kind].taught((logits.sigmoid(), bbox), taught, NORM, temperature=temperature)
    cost.total.backward()  # type: ignore[no-untyped-call]

    assert float(cost.total.detach()) == pytest.approx(0, abs=1e-6)
    for one in (logits, bbox):
        assert one.grad is not None
        assert float(one.grad.abs().max()) < 1e-6


@pytest.mark.parametrize("kind", COSTS)
def test_a_step_against_the_gradient_brings_the_student_nearer(kind: str):
    logits, bbox = torch.logit(outputs(0)[0]).requires_grad_(), outputs(0)[1].requires_grad_()
    taught = outputs(1)

    before = COSTS[kind].taught((logits.sigmoid(), bbox), taught, NORM).total
    before.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        assert logits.grad is not None
        assert bbox.grad is not None
        nearer = ((logits - 0.05 * logits.grad).sigmoid(), bbox - 0.05 * bbox.grad)
        after = COSTS[kind].taught(nearer, taught, NORM).total

    assert float(after) < float(before.detach())


@pytest.mark.parametrize("kind", COSTS)
def test_the_teachers_parts_of_two_processes_add_up_to_that_of_the_joined_batch(kind: str):
    found, taught = outputs(0), outputs(1)
    whole = float(COSTS[kind].taught(found, taught, NORM).total)
    trust = taught[0][taught[0] > 0.1].sum().double()

    total = 0.0
    for rows in (slice(0, 2), slice(2, 3)):
        share = (rows.stop - rows.start) / 3
        part = Part(share=share, total=lambda tensor: tensor.copy_(trust))
        ours, theirs = (tuple(one[rows] for one in whose) for whose in (found, taught))
        mine = COSTS[kind].taught(ours, theirs, {"norm": NORM["norm"][rows]}, part=part)
        total += share * float(mine.total)

    assert total == pytest.approx(whole, rel=1e-5)


def test_a_teacher_that_sees_nothing_has_a_finite_cost_and_teaches_no_boxes():
    found, taught = outputs(0), outputs(1)
    taught[0].fill_(0.0)

    cost = QualityObjective((1.0, 1.0), SCALE).taught(found, taught, {})

    assert math.isfinite(float(cost.total))
    assert cost.parts["bbox"] == 0
