"""Layers that look at a batch, made to look at all of it where several processes share one.

torch's own SyncBatchNorm is for GPUs alone; this one computes anywhere. It makes the moving statistics, and a quantised
activation's range, the same in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taolite.nn.batchnorm import BatchNorm
from taolite.nn.fake_quant import ActivationQuantizer

__all__ = ["Across", "look_across"]


@dataclass(frozen=True)
class Across:
    """How processes put together what each has of a tensor: `total` and `largest` in place, `side_by_side` as
    (processes, *shape) by rank."""

    total: Callable[[Tensor], Tensor]
    largest: Callable[[Tensor], Tensor]
    side_by_side: Callable[[Tensor], Tensor]


_across: Across  # of this process: it belongs to one world


def look_across(network: nn.Module, across: Across) -> None:
    """Have the batch norms and quantisers of `network`, in place, see the whole batch in training mode. They stay the
    same objects with the same parameters and state."""
    global _across
    _across = across
    kinds = {BatchNorm: _WideBatchNorm, nn.BatchNorm2d: _WidePlainBatchNorm, ActivationQuantizer: _WideQuantizer}
    for module in network.modules():
        if type(module) in kinds:
            module.__class__ = kinds[type(module)]


class _WideBatchNorm(BatchNorm):
    def has_statistics(self, x_nchw: Tensor) -> bool:
        return True  # two processes have two values

    def normalise(self, x_nchw: Tensor, factor: float) -> Tensor:
        return _normalise(self, x_nchw, factor)


class _WidePlainBatchNorm(nn.BatchNorm2d):
    def forward(self, x_nchw: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_nchw)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        return _normalise(self, x_nchw, factor)


class _WideQuantizer(ActivationQuantizer):
    def reach(self, x: Tensor) -> Tensor:
        return _across.largest(super().reach(x))


def _normalise(layer: nn.BatchNorm2d, x_nchw: Tensor, factor: float) -> Tensor:
    """`nn.functional.batch_norm` in training, over the batch of all processes."""
    y_nchw, mean_c, variance_c = _Normalise.apply(x_nchw, layer.weight, layer.bias, layer.eps)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.lerp_(mean_c, factor)
    layer.running_var.lerp_(variance_c, factor)
    y: Tensor = y_nchw
    return y


class _Normalise(torch.autograd.Function):
    """x (N, C, H, W) -> (x - mean) / sqrt(variance + eps) * weight + bias, the mean and the unbiased variance (C,).
    Statistics have x's type, float32 at least, and are put together in float64 in the order of ranks."""

    @staticmethod
    def forward(ctx: Any, x_nchw: Tensor, weight_c: Tensor, bias_c: Tensor, eps: float) -> tuple[Tensor, ...]:
        x = _precise(x_nchw)
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        count = torch.full_like(mean, x.numel() / x.shape[1])
        counts, means, variances = _across.side_by_side(torch.stack([count, mean, variance]).double()).unbind(1)
        total = counts.sum(0)
        centre = (counts * means).sum(0) / total
        spread = (counts * (variances + (means - centre).square())).sum(0)
        mean, scale = centre.to(x.dtype), (spread / total + eps).rsqrt().to(x.dtype)
        ctx.save_for_backward(x_nchw, weight_c, mean, scale, total)
        y = (x - _wide(mean)) * _wide(scale * weight_c) + _wide(bias_c)
        unbiased = (spread / (total - 1).clamp(min=1)).to(x.dtype)
        ctx.mark_non_differentiable(mean, unbiased)
        return y.to(x_nchw.dtype), mean, unbiased

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x_nchw, weight_c, mean, scale, total = ctx.saved_tensors
        dy = _precise(slopes[0])
        unit = (_precise(x_nchw) - _wide(mean)) * _wide(scale)
        own = torch.stack([dy.sum(dim=(0, 2, 3)), (dy * unit).sum(dim=(0, 2, 3))])
        bias, weight = own
        shift, tilt = (_across.total(own.to(torch.float64, copy=True)) / total).to(dy.dtype)
        dx = (dy - _wide(shift) - unit * _wide(tilt)) * _wide(scale * weight_c)
        return dx.to(x_nchw.dtype), weight, bias, None


def _wide(values_c: Tensor) -> Tensor:
    return values_c.view(1, -1, 1, 1)


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
