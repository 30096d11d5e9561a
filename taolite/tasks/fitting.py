"""Optimisation for few pictures: AdamW, other rates for pretrained layers, a moving average of the weights.

Here: the block `fitting { ... }` of the specs' `taolite { ... }`, the same for every task, and what it changes in a
`Recipe` and in groups of parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from taolite.spec import Float, SpecModel, field

if TYPE_CHECKING:
    from torch import nn

    from taolite.tasks.base import ParameterGroup, Recipe

__all__ = ["AnnealedFitting", "Fitting", "fitted", "with_decay"]


class Fitting(SpecModel):
    """Optimisation: AdamW with a moving average of the weights."""

    weight_decay: Float = field(0.02, ge=0, doc="Decay of kernels in AdamW.")
    backbone_rate: Float = field(0.3, gt=0, le=1, doc="Learning rate of pretrained layers, relative to the heads'.")
    largest_gradient: Float = field(10.0, ge=0, doc="Gradients of a greater norm are scaled down to it; 0 is off.")
    average: Float = field(
        0.998, ge=0, lt=1, doc="Decay of the moving average of weights that is validated and saved; 0 is off."
    )
    sparsity: Float = field(
        0.0, ge=0, doc="Weight of an L1 penalty on the scales of batch norms, for `prune --importance bn`; 0 is off."
    )


class AnnealedFitting(Fitting):
    """Optimisation: AdamW with a moving average of the weights."""

    cosine: bool = field(True, doc="After soft_start the learning rate falls as a cosine; annealing is not used.")


def fitted(
    recipe: Recipe, fitting: Fitting | None, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Recipe:
    """`recipe` with the optimiser, the bound of gradients and the average of `fitting`; as it was without one."""
    if fitting is None:
        return recipe
    from torch.optim import AdamW

    return replace(
        recipe,
        optimizer=partial(AdamW, lr=0.0, betas=betas, eps=eps, fused=True),
        largest_gradient=fitting.largest_gradient,
        average=fitting.average,
        sparsity=fitting.sparsity,
    )


def with_decay(groups: Sequence[ParameterGroup], fitting: Fitting | None) -> list[ParameterGroup]:
    """`groups` divided into kernels, which decay, and biases and the scales of batch norms, which do not."""
    return list(groups) if fitting is None else list(_divided(groups, fitting.weight_decay))


def _divided(groups: Sequence[ParameterGroup], decay: float) -> Iterator[ParameterGroup]:
    for group in groups:
        params = cast("list[nn.Parameter]", group["params"])
        kernels, others = [one for one in params if one.ndim > 1], [one for one in params if one.ndim <= 1]
        if kernels:
            yield {**group, "params": kernels, "weight_decay": decay}
        if others:
            yield {**group, "params": others, "weight_decay": 0.0}
