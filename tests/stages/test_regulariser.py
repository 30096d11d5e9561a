"""The regulariser's share of cost and gradient (reference 7.3), by hand and by autograd."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from taolite.data.examples import Example
from taolite.data.loading import Batch
from taolite.events import silent
from taolite.sample import Truth
from taolite.stages.device import Device
from taolite.stages.training.loop import Trainer
from taolite.tasks.base import Cost, Recipe, Start
from taolite.tasks.schedules import SoftStart

NOTHING = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))


class Mean:
    """The mean of the output is the cost."""

    def cost(self, outputs, targets, *, part):
        return Cost(outputs[0].mean())

    def end_epoch(self):
        pass


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.frozen = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        self.frozen.requires_grad_(False)
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), (3.0, -2.0, 5.0, 7.0), strict=True):
                parameter.fill_(value)

    def forward(self, x):
        return (self.conv(x) + self.frozen(x),)


def one_step(kind, weight):
    """Cost and penalty, and the gradients of kernel and bias, of one step on a pixel of 0.5."""
    net = Net()
    recipe = Recipe(0, 1, 1, partial(torch.optim.Adam, lr=0.0), kind, weight, 1, lambda epoch: False)
    start = Start(
        net, groups=[{"params": list(net.conv.parameters()), "rate": 1.0}], regularised=list(net.parameters())
    )
    trainer = Trainer(
        start,
        examples=[None],
        recipe=recipe,
        objective=Mean(),
        schedule=SoftStart(least=1e-3, most=1e-3, soft_start=0.1, annealing=0.7, epochs=1),
        device=Device(torch.device("cpu"), None),
        workers=1,
        listener=silent,
    )
    example = Example(np.zeros((1, 1, 1), np.uint8), NOTHING, {}, "a")
    penalty = trainer._train_step(Batch(torch.full((1, 1, 1, 1), 0.5), {}, (example,)))
    return trainer._cost, penalty, float(net.conv.weight.grad), float(net.conv.bias.grad)


# The cost is (3 * .5 - 2) + (5 * .5 + 7) = 9, its gradient .5 by the kernel and 1 by the bias. Frozen 5 and 7 stay out.
@pytest.mark.parametrize(
    ("kind", "penalty", "slopes"),
    [
        ("none", 0.0, (0.0, 0.0)),
        ("l1", 0.1 * (3 + 2), (0.1, -0.1)),
        ("l2", 0.1 * (9 + 4), (0.1 * 2 * 3, 0.1 * 2 * -2)),  # no half
    ],
)
def test_a_regulariser_gives_its_sum_as_the_penalty_and_adds_its_slope_to_the_gradient(kind, penalty, slopes):
    cost, added, kernel, bias = one_step(kind, 0.1)

    assert (cost, added) == (pytest.approx(9), pytest.approx(penalty))
    assert (kernel, bias) == (pytest.approx(0.5 + slopes[0]), pytest.approx(1 + slopes[1]))
