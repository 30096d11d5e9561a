"""What is added to the cost for the size of parameters: the spec's regulariser, and the sparsity of taolite's block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from taolite.nn.regularised import norm_scales
from taolite.tasks.base import Recipe, Start

__all__ = ["Penalty", "penalties"]


@dataclass(frozen=True)
class Penalty:
    """`weight` times the sum of the absolute (l1) or squared (l2) values of `parameters` (reference 7.3)."""

    kind: Literal["l1", "l2"]
    weight: float
    parameters: Sequence[torch.Tensor]

    def value(self) -> float:
        with torch.no_grad():
            norms = torch.stack(torch._foreach_norm(list(self.parameters), 1 if self.kind == "l1" else 2))
            total = norms.sum() if self.kind == "l1" else norms.square().sum()
        return self.weight * float(total)

    def add_gradient(self) -> None:
        """Add its gradient to that of the parameters; a backward pass through eleven million terms would be slower."""
        with torch.no_grad():
            for parameter in self.parameters:
                assert parameter.grad is not None
                if self.kind == "l1":
                    parameter.grad.add_(parameter.sign(), alpha=self.weight)
                else:
                    parameter.grad.add_(parameter, alpha=2 * self.weight)


def penalties(recipe: Recipe, start: Start) -> list[Penalty]:
    """The penalties that a spec asks for, on parameters that train."""
    found: list[Penalty] = []
    regularised = [parameter for parameter in start.regularised if parameter.requires_grad]
    if recipe.regularizer != "none" and regularised:
        found.append(Penalty(recipe.regularizer, recipe.regularizer_weight, regularised))
    scales = [parameter for parameter in norm_scales(start.network) if parameter.requires_grad]
    if recipe.sparsity and scales:
        found.append(Penalty("l1", recipe.sparsity, scales))
    return found
