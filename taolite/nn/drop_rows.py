"""Stochastic depth: a branch that is left out for some pictures of a batch."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DropRows"]


class DropRows(nn.Dropout):
    """In training each row (N, ...) becomes 0 with probability p and counts 1 / (1 - p) otherwise, as a whole."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`, or what is left of it."""
        if not self.training or not self.p:
            return x
        return x * super().forward(x.new_ones(len(x), *[1] * (x.ndim - 1)))
