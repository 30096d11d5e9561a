"""Batch norm whose moving statistics owe nothing to where they started.

Keras's moving average (momentum 0.99, here 0.01) begins at mean 0 and variance 1 and carries a trace of that for
hundreds of steps: 0.99^300 is 5 %, which ruins a network whose variances are small when a short run is evaluated. Here
the first batches are averaged plainly (the n-th counts 1/n) until 1/n reaches the momentum; from then on it is Keras's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["BatchNorm", "forget_statistics", "keep_statistics", "kept_statistics", "measure_statistics"]


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the unbiased start; `num_batches_tracked` counts batches and is part of the state.

    One value a channel (one picture, a map of one cell) has no statistics of its own: it is normalised by the moving
    ones and does not count.
    """

    num_batches_tracked: Tensor
    momentum: float
    _seen: int | None = None  # num_batches_tracked as a Python number, read once: asking a GPU each step would stall it

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Normalise by the batch in training, by the moving statistics otherwise."""
        if not self.training or not self.has_statistics(x_nchw):
            return nn.functional.batch_norm(
                x_nchw, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        seen = int(self.num_batches_tracked) if self._seen is None else self._seen
        self._seen = seen + 1
        self.num_batches_tracked.add_(1)
        factor = max(self.momentum, 1 / self._seen)
        return self.normalise(x_nchw, factor)

    def has_statistics(self, x_nchw: Tensor) -> bool:
        """Whether the batch has more than one value a channel."""
        return x_nchw.numel() > x_nchw.shape[1]

    def normalise(self, x_nchw: Tensor, factor: float) -> Tensor:
        """By the batch, whose statistics are blended into the moving ones by `factor`."""
        return nn.functional.batch_norm(
            x_nchw, self.running_mean, self.running_var, self.weight, self.bias, True, factor, self.eps
        )

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        super().reset_running_stats()
        self._seen = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._seen = None


def forget_statistics(network: nn.Module) -> None:
    """Let the moving statistics of `network` follow the next batches anew, e.g. where pruning changed what they were
    taken of; their values stay until the first batch replaces them."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.num_batches_tracked.zero_()
            module._seen = None


def keep_statistics(network: nn.Module) -> None:
    """Have the batch norms of `network` use their stored statistics, and leave them, until its mode is set again."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def kept_statistics(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms of `network`, in training mode, that use their stored statistics and leave them."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and not module.training]


@torch.no_grad()
def measure_statistics(layers: Sequence[nn.BatchNorm2d], passes: Iterable[object]) -> None:
    """Give `layers` the mean and the variance of everything that passes through them while `passes` is used up, a batch
    a turn. Each batch is normalised by its own, as in training ("precise BN", Wu and Johnson 2021, 2.2)."""
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
        layer.running_mean.copy_(mean_c)  # type: ignore[union-attr]
        layer.running_var.copy_(square_c - mean_c.square())  # type: ignore[union-attr]
