"""Cost scaling by hand: 2 to an exponent that finite steps raise and others lower."""

from __future__ import annotations

import pytest
import torch

from taolite.stages.training.scaling import CostScale
from taolite.tasks.base import CostScaling


def test_gradients_are_divided_by_the_scale_and_the_exponent_rises():
    scale = CostScale(CostScaling(initial_exponent=3.0, increment=0.5, decrement=1.0))
    gradients = [torch.tensor([8.0, -16.0])]

    assert scale.factor == 8.0
    assert scale.unscale(gradients)

    assert gradients[0].tolist() == [1.0, -2.0]
    assert (scale.exponent, scale.overflows) == (3.5, 0)
    assert scale.factor == pytest.approx(11.3137085)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_one_gradient_that_is_not_finite_makes_all_zero_and_the_exponent_falls(bad: float):
    scale = CostScale(CostScaling(initial_exponent=3.0, increment=0.5, decrement=1.25))
    gradients = [torch.ones(3), torch.tensor([1.0, bad])]

    assert not scale.unscale(gradients)

    assert [gradient.tolist() for gradient in gradients] == [[0.0, 0.0, 0.0], [0.0, 0.0]]
    assert (scale.exponent, scale.overflows) == (1.75, 1)


def test_the_state_is_exact():
    scale = CostScale(CostScaling(20.0, 0.005, 1.0))
    scale.unscale([torch.ones(1)])
    other = CostScale(CostScaling(20.0, 0.005, 1.0))

    other.restore(scale.state())

    assert (other.exponent, other.overflows) == (scale.exponent, 0)
