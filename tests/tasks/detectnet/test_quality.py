"""The cost of `taolite { loss }` against a slow loop, torchvision's generalised IoU, and that of the joined batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from taolite.tasks.base import Part
from taolite.tasks.detectnet.quality import QualityObjective, overlap

SCALE = 35.0


def batch(seed: int = 0, images: int = 3) -> tuple[tuple[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    outputs = (
        torch.tensor(rng.uniform(0.01, 0.99, (images, 2, 3, 4)), dtype=torch.float32),
        torch.tensor(rng.uniform(0.2, 3, (images, 8, 3, 4)), dtype=torch.float32),
    )
    targets = {
        "cov": torch.tensor(rng.integers(0, 2, (images, 2, 3, 4)), dtype=torch.float32),
        "bbox": torch.tensor(rng.uniform(0.2, 3, (images, 2, 4, 3, 4)), dtype=torch.float32),
    }
    return outputs, targets


def corners(distances: torch.Tensor) -> torch.Tensor:
    """Boxes about the point (0, 0)."""
    return torch.stack([-distances[:, 0], -distances[:, 1], distances[:, 2], distances[:, 3]], dim=1)


def test_overlaps_are_torchvisions():
    rng = np.random.default_rng(0)
    first, second = (torch.tensor(rng.uniform(1, 90, (50, 4)), dtype=torch.float32) for _ in range(2))
    first[0] = torch.tensor([-20.0, 5.0, 40.0, 8.0])  # the point lies beside the box

    iou, giou = overlap(first, second)

    assert torch.allclose(iou, box_iou(corners(first), corners(second)).diag(), atol=1e-6)
    assert torch.allclose(giou, generalized_box_iou(corners(first), corners(second)).diag(), atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_the_cost_is_the_sum_over_cells_by_the_number_of_object_cells(masked: bool):
    outputs, targets = batch()
    if masked:
        targets["mask"] = torch.tensor(np.random.default_rng(1).uniform(0, 1, (3, 2, 2, 3, 4)), dtype=torch.float32)
    objective = QualityObjective((0.5, 1.5), SCALE, focus=2.0, box_weight=1.5)

    cost = objective.cost(outputs, targets)

    cov_sum = box_sum = count = 0.0
    for n in range(3):
        for k, weight in enumerate((0.5, 1.5)):
            for j in range(3):
                for i in range(4):
                    on_cov = on_box = weight
                    if masked:
                        on_cov, on_box = (weight * float(targets["mask"][n, k, o, j, i]) for o in range(2))
                    p, learned = float(outputs[0][n, k, j, i]), 0.0
                    if targets["cov"][n, k, j, i]:
                        found = SCALE * outputs[1][n, 4 * k : 4 * k + 4, j, i][None]
                        true = SCALE * targets["bbox"][n, k, :, j, i][None]
                        learned = float(box_iou(corners(found), corners(true)))
                        box_sum += on_box * (1 - float(generalized_box_iou(corners(found), corners(true))))
                        count += 1
                    entropy = -(learned * math.log(p) + (1 - learned) * math.log(1 - p))
                    cov_sum += on_cov * abs(learned - p) ** 2 * entropy
    assert cost.parts["cov"] == pytest.approx(cov_sum / count, rel=1e-4)
    assert cost.parts["bbox"] == pytest.approx(1.5 * box_sum / count, rel=1e-4)
    assert float(cost.total) == pytest.approx(sum(cost.parts.values()), rel=1e-5)


def test_without_quality_the_coverage_of_an_object_is_one_and_boxes_may_be_judged_by_their_edges():
    outputs, targets = batch()
    plain = QualityObjective((1.0, 1.0), SCALE, quality=False, focus=0.0, box="L1", box_weight=1.0)

    cost = plain.cost(outputs, targets)

    cells = targets["cov"] > 0
    entropy = torch.nn.functional.binary_cross_entropy(outputs[0], targets["cov"], reduction="sum")
    assert cost.parts["cov"] == pytest.approx(float(entropy / cells.sum()), rel=1e-5)
    found = outputs[1].view(3, 2, 4, 3, 4).permute(0, 1, 3, 4, 2)[cells]
    true = targets["bbox"].permute(0, 1, 3, 4, 2)[cells]
    sides = torch.stack([true[:, 0] + true[:, 2], true[:, 1] + true[:, 3]] * 2, dim=1)
    assert cost.parts["bbox"] == pytest.approx(float(((found - true).abs() / sides).mean()), rel=1e-5)


def test_a_small_box_beside_its_reference_point_is_learned_as_it_will_be_decoded():
    """A box of 28 x 20 pixels that begins 3 pixels to the right of the point and ends 2 above it."""
    distances = torch.tensor([-3.0, 22.0, 31.0, -2.0]).view(1, 4, 1, 1) / SCALE
    targets = {"cov": torch.ones(1, 1, 1, 1), "bbox": distances.view(1, 1, 4, 1, 1)}
    bbox = distances.clone().requires_grad_()

    cost = QualityObjective((1.0,), SCALE).cost((torch.full((1, 1, 1, 1), 0.999), bbox), targets)

    cost.total.backward()
    assert cost.parts["bbox"] == pytest.approx(0, abs=1e-5)  # what is right costs nothing
    assert cost.parts["cov"] == pytest.approx(0, abs=1e-5)  # and its IoU is 1
    further = torch.tensor([-8.0, 22.0, 31.0, -2.0]).view(1, 4, 1, 1) / SCALE
    parts = QualityObjective((1.0,), SCALE).cost((torch.full((1, 1, 1, 1), 0.999), further), targets).parts
    assert parts["bbox"] == pytest.approx(1.5 * (1 - 23 / 28), rel=1e-4)  # 5 of 28 columns are missing


def test_every_box_has_a_gradient_however_wrong_it_is():
    bbox = torch.full((1, 4, 1, 1), -3.0, requires_grad=True)
    targets = {"cov": torch.ones(1, 1, 1, 1), "bbox": torch.ones(1, 1, 4, 1, 1)}

    QualityObjective((1.0,), SCALE).cost((torch.full((1, 1, 1, 1), 0.5), bbox), targets).total.backward()

    assert bbox.grad is not None
    assert (bbox.grad < 0).all()  # a step makes every distance longer


def test_a_batch_without_objects_has_a_finite_cost():
    outputs, targets = batch()
    targets["cov"].zero_()

    cost = QualityObjective((1.0, 1.0), SCALE).cost(outputs, targets)

    assert math.isfinite(float(cost.total))
    assert cost.parts["bbox"] == 0


def test_the_costs_of_two_processes_add_up_to_that_of_the_joined_batch():
    outputs, targets = batch(images=3)
    objective = QualityObjective((0.5, 1.5), SCALE)
    whole = float(objective.cost(outputs, targets).total)
    count = (targets["cov"] > 0).sum().double()

    total = 0.0
    for rows in (slice(0, 2), slice(2, 3)):
        share = (rows.stop - rows.start) / 3
        part = Part(share=share, total=lambda tensor: tensor.copy_(count))
        mine = objective.cost(
            tuple(one[rows] for one in outputs), {name: one[rows] for name, one in targets.items()}, part=part
        )
        total += share * float(mine.total)

    assert total == pytest.approx(whole, rel=1e-5)
