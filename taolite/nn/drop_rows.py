"""Stochastic depth: in training, a residual branch is dropped for some pictures of a batch."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DropRows"]


class DropRows(nn.Dropout):
    """In training, sets each row of (N, ...) to 0 with probability p and multiplies the others by 1 / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` (N, ...) with some rows dropped in training; `x` itself otherwise."""
        if not self.training or not self.p:
            return x
        return x * super().forward(x.new_ones(len(x), *[1] * (x.ndim - 1)))
