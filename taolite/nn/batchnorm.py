"""Batch norm whose moving statistics do not depend on their initial values.

Keras's moving average (momentum 0.99; here called 0.01) starts at mean 0 and variance 1. After 300 steps 5 % of that
start is left (0.99^300), which spoils the evaluation of a short run where variances are small. Here the first batches
are averaged with equal weight (the n-th counts 1/n) until 1/n reaches the momentum; from then on it is Keras's average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["BatchNorm", "forget_statistics", "keep_statistics", "kept_statistics", "measure_statistics"]


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the unbiased start; `num_batches_tracked` counts batches and is part of the state.

    A batch with one value a channel (one picture, a map of one cell) has no variance: it is normalised by the moving
    statistics, which it does not change.
    """

    num_batches_tracked: Tensor
    momentum: float
    # num_batches_tracked as a Python number, `settled` at most. It is read once, since asking a GPU in each step would
    # stall it. It stops growing, since torch.compile would compile again for each value.
    _seen: int | None = None

    def forward(self, x_nchw: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, normalised by the batch in training, else by the moving statistics."""
        if not self.training or not self.has_statistics(x_nchw):
            return nn.functional.batch_norm(
                x_nchw, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        seen = int(self.num_batches_tracked) if self._seen is None else self._seen
        self._seen = min(seen + 1, self.settled)
        self.num_batches_tracked.add_(1)
        factor = max(self.momentum, 1 / self._seen)
        return self.normalise(x_nchw, factor)

    @property
    def settled(self) -> int:
        """The number of batches from which on each counts `momentum`."""
        return math.ceil(1 / self.momentum)

    def has_statistics(self, x_nchw: Tensor) -> bool:
        """Whether the batch has more than one value a channel."""
        return x_nchw.numel() > x_nchw.shape[1]

    def normalise(self, x_nchw: Tensor, factor: float) -> Tensor:
        """`x_nchw` normalised by its own statistics, which enter the moving ones with weight `factor` (0..1)."""
        return nn.functional.batch_norm(
            x_nchw, self.running_mean, self.running_var, self.weight, self.bias, True, factor, self.eps
        )

    def count_again(self) -> None:
        """Take the count of batches from `num_batches_tracked`, which was changed from outside."""
        self._seen = None

    def reset_running_stats(self) -> None:
        """Set the mean to 0, the variance to 1 and the count of batches to 0."""
        super().reset_running_stats()
        self.count_again()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.count_again()


def forget_statistics(network: nn.Module) -> None:
    """Restart the moving statistics of `network` with the next batch, e.g. after pruning changed the activations. They
    keep their values until that batch replaces them."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.num_batches_tracked.zero_()
            module.count_again()


def keep_statistics(network: nn.Module) -> None:
    """Put the batch norms of `network` into evaluation mode: they use their stored statistics and do not update them,
    until `train()` is called again."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def kept_statistics(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms of `network` (in training mode) that `keep_statistics` put into evaluation mode."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and not module.training]


@torch.no_grad()
def measure_statistics(layers: Sequence[nn.BatchNorm2d], passes: Iterable[object]) -> None:
    """Set the moving statistics of `layers` to the mean and variance over several batches.

    Each batch is normalised by its own statistics, as in training ("precise BN", Wu and Johnson 2021, 2.2).

    Args:
        layers: batch norms of one network, changed in place.
        passes: sends one batch through that network for each item taken from it.
    """
    momenta, sums = [layer.momentum for layer in layers], []
    for layer in layers:
        assert layer.running_mean is not None
        layer.train()
        layer.momentum = 1.0  # the moving statistics are those of the last batch
        sums.append(torch.zeros(2, len(layer.running_mean), dtype=torch.float64, device=layer.running_mean.device))
    turns = 0
    for _ in passes:
        turns += 1
        for layer, total in zip(layers, sums, strict=True):
            total += torch.stack([layer.running_mean, layer.running_var + layer.running_mean.square()])  # type: ignore
    for layer, momentum, total in zip(layers, momenta, sums, strict=True):
        mean_c, square_c = total / turns
        layer.momentum = momentum
        if isinstance(layer, BatchNorm):
            layer.count_again()
        layer.running_mean.copy_(mean_c)  # type: ignore[union-attr]
        layer.running_var.copy_(square_c - mean_c.square())  # type: ignore[union-attr]
