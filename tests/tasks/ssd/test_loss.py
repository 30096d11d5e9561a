"""The cost against loops over images and priors, and mining against sorted lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from taolite.tasks.base import Part
from taolite.tasks.ssd.coding import decode_tensor
from taolite.tasks.ssd.loss import SsdObjective, hard_negatives
from taolite.tasks.ssd.plan import CostRule
from taolite.tasks.ssd.targets import LABELS, OFFSETS
from tests.nn.table import Table

VARIANCES = (0.1, 0.1, 0.2, 0.2)
IMAGES, COUNT, CLASSES = 3, 40, 4  # 3 classes and background
RULES = [CostRule(), CostRule(alpha=0.7, negatives=2.5, mining="batch")]


def make_priors():
    rng = np.random.default_rng(5)
    return np.concatenate([rng.uniform(0, 1, (COUNT, 2)), rng.uniform(0.1, 0.9, (COUNT, 2))], axis=1).astype("f4")


PRIORS = make_priors()


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1.0, 0.0, 1.0, 2.0, 3.0], (IMAGES, COUNT), p=[0.1, 0.75, 0.05, 0.05, 0.05])
    offsets = np.where(labels[..., None] > 0, rng.normal(0, 1, (IMAGES, COUNT, 4)), 0)
    outputs = rng.normal(0, 2, (IMAGES, COUNT, CLASSES)), rng.normal(0, 1, (IMAGES, COUNT, 4))
    targets = {LABELS: torch.tensor(labels).float(), OFFSETS: torch.tensor(offsets).float()}
    return tuple(torch.tensor(output).float() for output in outputs), targets


def slow_cost(outputs, targets, rule):
    """Sums over images and priors in Python floats: (regression, classification)."""
    logits, offsets = (output.double().numpy() for output in outputs)
    labels, wanted = (targets[name].double().numpy() for name in (LABELS, OFFSETS))
    regression = classification = 0.0
    negatives, positives = [], []
    for n in range(IMAGES):
        own, count = [], 0
        for p in range(COUNT):
            total = math.log(sum(math.exp(value) for value in logits[n, p]))
            label = int(labels[n, p])
            if label > 0:
                count += 1
                classification += total - logits[n, p, label]
                for side in range(4):
                    gap = abs(offsets[n, p, side] - wanted[n, p, side])
                    regression += gap * gap / 2 if gap < 1 else gap - 0.5
            elif label == 0:
                own.append(total - logits[n, p, 0])
        negatives.append(sorted(own, reverse=True))
        positives.append(count)
    if rule.mining == "image":
        for own, count in zip(negatives, positives, strict=True):
            classification += sum(own[: int(rule.negatives * max(count, 1))])
    else:
        together = sorted((value for own in negatives for value in own), reverse=True)
        classification += sum(together[: int(rule.negatives * sum(positives))])
    return rule.alpha * regression / max(sum(positives), 1), classification / max(sum(positives), 1)


def as_evaluated(outputs):
    logits, offsets = outputs
    return torch.softmax(logits, -1), decode_tensor(offsets, torch.from_numpy(PRIORS), VARIANCES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_the_cost_is_what_the_loops_sum_up(rule, seed):
    outputs, targets = make_batch(seed)

    cost = SsdObjective(rule, PRIORS, VARIANCES).cost(outputs, targets)

    regression, classification = slow_cost(outputs, targets, rule)
    assert cost.parts == {
        "regression": pytest.approx(regression, rel=1e-5),
        "classification": pytest.approx(classification, rel=1e-5),
    }
    assert float(cost.total) == pytest.approx(regression + classification, rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_scores_and_boxes_cost_what_logits_and_offsets_do(rule, seed):
    outputs, targets = make_batch(seed)
    objective = SsdObjective(rule, PRIORS, VARIANCES)

    trained = objective.cost(outputs, targets)
    evaluated = objective.cost(as_evaluated(outputs), targets, training=False)

    for part, value in trained.parts.items():
        assert evaluated.parts[part] == pytest.approx(value, rel=1e-4)


def test_offsets_are_found_again_in_float32_corners_to_four_digits():
    (_, offsets), _ = make_batch(1)
    priors = torch.from_numpy(PRIORS)
    perfect = {LABELS: torch.ones(IMAGES, COUNT), OFFSETS: offsets}
    scores = torch.full((IMAGES, COUNT, CLASSES), 0.25)

    cost = SsdObjective(CostRule(), PRIORS, VARIANCES).cost(
        (scores, decode_tensor(offsets, priors, VARIANCES)), perfect, training=False
    )

    assert cost.parts["regression"] < 1e-8  # half the square of 1e-4, at most
    assert cost.parts["classification"] == pytest.approx(math.log(4))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_without_boxes_has_a_finite_cost_and_gradient(rule, training):
    outputs, targets = make_batch()
    targets = {LABELS: torch.zeros(IMAGES, COUNT), OFFSETS: torch.zeros(IMAGES, COUNT, 4)}
    outputs = tuple(output.requires_grad_() for output in outputs)

    cost = SsdObjective(rule, PRIORS, VARIANCES).cost(
        outputs if training else as_evaluated(outputs), targets, training=training
    )
    cost.total.backward()

    assert cost.parts["regression"] == 0
    assert (cost.parts["classification"] > 0) == (rule.mining == "image")
    assert all(torch.isfinite(output.grad).all() for output in outputs)


def test_an_image_without_boxes_teaches_its_hardest_background():
    labels = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    hardness = torch.tensor([[5.0, 1.0, 4.0, 3.0, 2.0], [9.0, 1.0, 4.0, 3.0, 2.0]])

    kept = hard_negatives(hardness, labels, CostRule())

    assert kept.int().tolist() == [[1, 0, 1, 1, 0], [0, 0, 1, 1, 1]]


def test_mining_the_whole_batch_takes_the_hardest_wherever_they_are():
    labels = torch.tensor([[0, 0, 0, -1], [1, 0, 0, 0]])
    hardness = torch.tensor([[5.0, 6.0, 1.0, 99.0], [99.0, 2.0, 4.0, 3.0]])

    kept = hard_negatives(hardness, labels, CostRule(mining="batch"))

    assert kept.int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("mining", ["batch", "image"])
@pytest.mark.parametrize("shares", [((0, 2), (2, 7)), ((0, 3), (3, 4), (4, 7))])
@pytest.mark.parametrize("boxes", [0, 0.02, 0.5])
def test_processes_learn_from_the_background_that_one_would_learn_from(mining, shares, boxes):
    rng = np.random.default_rng(4)
    chances = [0.05, 0.95 - boxes, boxes]
    labels = torch.from_numpy(rng.choice([-1, 0, 1], (7, COUNT), p=chances))
    hardness = torch.from_numpy(rng.integers(0, 5, (7, COUNT))).float()  # most are as hard as many others
    rule, table, kept = CostRule(negatives=2.5, mining=mining), Table(len(shares)), {}

    def work(rank):
        own = slice(*shares[rank])
        part = Part((own.stop - own.start) / 7, rank, table.total, table.side_by_side)
        kept[rank] = hard_negatives(hardness[own], labels[own], rule, part)

    table.work(work)

    whole = hard_negatives(hardness, labels, rule)
    assert torch.equal(torch.cat([kept[rank] for rank in range(len(shares))]), whole)
    assert whole.any() == (boxes > 0 or mining == "image")


def test_an_images_negatives_come_from_it_alone():
    labels = torch.tensor([[0, 0, 0, -1], [1, 0, 0, 0]])
    hardness = torch.tensor([[5.0, 6.0, 1.0, 99.0], [99.0, 2.0, 4.0, 3.0]])

    kept = hard_negatives(hardness, labels, CostRule(negatives=2))

    assert kept.int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


def test_there_may_be_fewer_negatives_than_wanted():
    labels = torch.tensor([[1, 2, 0, -1]])

    assert hard_negatives(torch.zeros(1, 4), labels, CostRule()).int().tolist() == [[0, 0, 1, 0]]


def test_neutral_priors_neither_cost_nor_learn():
    outputs, targets = make_batch()
    logits, offsets = (output.requires_grad_() for output in outputs)
    neutral = targets[LABELS] == -1

    SsdObjective(CostRule(negatives=1000), PRIORS, VARIANCES).cost((logits, offsets), targets).total.backward()

    assert neutral.any()
    assert not logits.grad[neutral].any()
    assert not offsets.grad[targets[LABELS] <= 0].any()
    assert logits.grad[~neutral].any(dim=-1).all()


@pytest.mark.parametrize("autocast", [True, False])
def test_the_cost_is_float32_whatever_the_network_computes_in(autocast):
    outputs, targets = make_batch()
    objective = SsdObjective(CostRule(), PRIORS, VARIANCES)
    rounded = tuple(output.bfloat16() for output in outputs)

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        cost = objective.cost(rounded, targets)

    assert cost.total.dtype == torch.float32
    assert float(cost.total) == float(objective.cost(tuple(one.float() for one in rounded), targets).total)


def test_scores_of_zero_cost_as_much_as_the_least_one():
    targets = {LABELS: torch.ones(1, COUNT), OFFSETS: torch.zeros(1, COUNT, 4)}
    scores = torch.zeros(1, COUNT, CLASSES)
    scores[..., 0] = 1
    boxes = decode_tensor(torch.zeros(1, COUNT, 4), torch.from_numpy(PRIORS), VARIANCES)

    cost = SsdObjective(CostRule(), PRIORS, VARIANCES).cost((scores, boxes), targets, training=False)

    assert cost.parts["classification"] == pytest.approx(-math.log(1e-15), rel=1e-5)


def test_what_ends_in_nms_has_no_cost():
    cost = SsdObjective(CostRule(), PRIORS, VARIANCES).cost((torch.zeros(2, 100, 6),), {}, training=False)

    assert math.isnan(float(cost.total))
    assert cost.parts == {}


def slow_lesson(outputs, taught, rule, temperature):
    """The teacher's part by loops in Python floats: (regression, classification)."""

    def softmax(logits, divisor):
        powers = [math.exp(value / divisor) for value in logits]
        return [power / sum(powers) for power in powers]

    (logits, offsets), (wanted, places) = ([one.double().numpy() for one in pair] for pair in (outputs, taught))
    apart = weights = moved = trust = 0.0
    for n in range(IMAGES):
        for p in range(COUNT):
            found, sure = softmax(logits[n, p], temperature), softmax(wanted[n, p], temperature)
            divergence = sum(t * math.log(t / f) for t, f in zip(sure, found, strict=True))
            objects = [1 - softmax(one[n, p], 1)[0] for one in (logits, wanted)]
            apart += max(objects) * divergence * temperature**2
            weights += max(objects)
            if objects[1] > 0.5:
                gaps = [abs(a - b) for a, b in zip(offsets[n, p], places[n, p], strict=True)]
                moved += objects[1] * sum(gap * gap / 2 if gap < 1 else gap - 0.5 for gap in gaps)
                trust += objects[1]
    return rule.alpha * moved / max(trust, 1), apart / max(weights, 1)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("rule", RULES)
def test_what_a_teacher_costs_is_what_the_loops_sum_up(rule, temperature):
    outputs, taught = make_batch(0)[0], make_batch(1)[0]

    cost = SsdObjective(rule, PRIORS, VARIANCES).taught(outputs, taught, {}, temperature=temperature)

    regression, classification = slow_lesson(outputs, taught, rule, temperature)
    assert cost.parts["regression"] == pytest.approx(regression, rel=1e-5)
    assert cost.parts["classification"] == pytest.approx(classification, rel=1e-5)
    assert float(cost.total) == pytest.approx(regression + classification, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_student_that_equals_its_teacher_costs_nothing_and_learns_nothing(temperature):
    taught = make_batch(0)[0]
    outputs = tuple(one.clone().requires_grad_() for one in taught)

    cost = SsdObjective(RULES[0], PRIORS, VARIANCES).taught(outputs, taught, {}, temperature=temperature)
    cost.total.backward()

    assert float(cost.total.detach()) == pytest.approx(0, abs=1e-6)
    assert all(float(one.grad.abs().max()) < 1e-7 for one in outputs)


def test_the_teachers_parts_of_processes_add_up_to_that_of_the_joined_batch():
    outputs, taught = make_batch(0)[0], make_batch(1)[0]
    objective = SsdObjective(RULES[1], PRIORS, VARIANCES)
    whole = objective.taught(outputs, taught, {})
    table, costs = Table(2), {}

    def work(rank):
        rows = [slice(0, 2), slice(2, 3)][rank]
        part = Part((rows.stop - rows.start) / IMAGES, rank, table.total, table.side_by_side)
        ours, theirs = (tuple(one[rows] for one in pair) for pair in (outputs, taught))
        costs[rank] = part.share * float(objective.taught(ours, theirs, {}, part=part).total)

    table.work(work)

    assert sum(costs.values()) == pytest.approx(float(whole.total), rel=1e-5)
