"""Batch norm, quantisation ranges and dropout over the global batch, where several processes share one.

torch's SyncBatchNorm runs on GPUs only; this one runs on any device. Moving statistics and quantisation ranges are the
same in every process. Each process draws the dropout mask of the global batch and uses its own rows, so one seed gives
the same masks with any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taolite.nn.batchnorm import BatchNorm
from taolite.nn.drop_rows import DropRows
from taolite.nn.fake_quant import ActivationQuantizer

__all__ = ["Across", "look_across"]


@dataclass(frozen=True)
class Across:
    """This rank's slice of the global batch, and the reductions over processes.

    places: the rows of the global batch that this rank has. batch_size: rows of the global batch. total, largest: sum
    and maximum of a tensor over the processes, in place. side_by_side: the tensor of every process, stacked to
    (processes, *shape) in the order of ranks.
    """

    places: range
    batch_size: int
    total: Callable[[Tensor], Tensor]
    largest: Callable[[Tensor], Tensor]
    side_by_side: Callable[[Tensor], Tensor]

    @property
    def alone(self) -> bool:
        """Whether this process has the whole global batch."""
        return len(self.places) == self.batch_size

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Across:
        return self  # a copied network is shared by the same processes


def look_across(network: nn.Module, across: Across) -> None:
    """Make the batch norms, quantisers and dropouts of `network` work on the global batch in training mode, in place.
    They stay the same objects, with the same parameters and state."""
    kinds = {
        BatchNorm: _WideBatchNorm,
        nn.BatchNorm2d: _WidePlainBatchNorm,
        ActivationQuantizer: _WideQuantizer,
        nn.Dropout: _WideDropout,
        DropRows: _WideDropRows,
    }
    for module in network.modules():
        kind = kinds.get(type(module), type(module))
        if kind in kinds.values():
            module.__class__ = kind
            module.across = across  # type: ignore[assignment]


class _WideBatchNorm(BatchNorm):
    across: Across

    def has_statistics(self, x_nchw: Tensor) -> bool:
        return super().has_statistics(x_nchw) or not self.across.alone  # two processes have two values

    def normalise(self, x_nchw: Tensor, factor: float) -> Tensor:
        return _normalise(self, x_nchw, factor)


class _WidePlainBatchNorm(nn.BatchNorm2d):
    across: Across

    def forward(self, x_nchw: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_nchw)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        return _normalise(self, x_nchw, factor)


class _WideQuantizer(ActivationQuantizer):
    across: Across

    def reach(self, x: Tensor) -> Tensor:
        return self.across.largest(super().reach(x))


class _WideDropout(nn.Dropout):
    across: Across

    def forward(self, x: Tensor) -> Tensor:
        return _dropped(self, x, x.shape[1:])


class _WideDropRows(DropRows):
    across: Across

    def forward(self, x: Tensor) -> Tensor:
        return _dropped(self, x, [1] * (x.ndim - 1))


def _dropped(layer: _WideDropout | _WideDropRows, x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` (N, ...) times this rank's rows of a dropout mask of shape (batch_size, *shape)."""
    if not layer.training or not layer.p:
        return x
    mask = nn.functional.dropout(x.new_ones(layer.across.batch_size, *shape), layer.p)
    return x * mask[layer.across.places.start : layer.across.places.stop]


def _normalise(layer: _WideBatchNorm | _WidePlainBatchNorm, x_nchw: Tensor, factor: float) -> Tensor:
    """`nn.functional.batch_norm` in training mode, over the global batch."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    if layer.across.alone and not _loses_digits(x_nchw):
        moving = layer.running_mean, layer.running_var
        return nn.functional.batch_norm(x_nchw, *moving, layer.weight, layer.bias, True, factor, layer.eps)
    y_nchw, mean_c, variance_c = _Normalise.apply(x_nchw, layer.weight, layer.bias, layer.eps, layer.across)
    layer.running_mean.lerp_(mean_c, factor)
    layer.running_var.lerp_(variance_c, factor)
    y: Tensor = y_nchw
    return y


def _loses_digits(x_nchw: Tensor) -> bool:
    """Whether torch's own batch norm is inexact here: its CPU kernel sums a float32 channel value by value, and its
    variance is off by up to 1e-3 (docs/decisions/0005-distribution.md). A single value a channel is left to torch."""
    return x_nchw.device.type == "cpu" and x_nchw.dtype == torch.float32 and x_nchw.numel() > x_nchw.shape[1]


class _Normalise(torch.autograd.Function):
    """x (N, C, H, W) -> (x - mean) / sqrt(variance + eps) * weight + bias, and mean and unbiased variance, each (C,).

    Statistics have x's type, float32 at least; they are combined in float64, in the order of ranks.
    """

    @staticmethod
    def forward(
        ctx: Any, x_nchw: Tensor, weight_c: Tensor, bias_c: Tensor, eps: float, across: Across
    ) -> tuple[Tensor, ...]:
        x = _precise(x_nchw)
        mean = x.mean(dim=(0, 2, 3))
        variance = (x - _wide(mean)).square_().mean(dim=(0, 2, 3))
        count = torch.full_like(mean, x.numel() / x.shape[1])
        counts, means, variances = across.side_by_side(torch.stack([count, mean, variance]).double()).unbind(1)
        total = counts.sum(0)
        centre = (counts * means).sum(0) / total
        spread = (counts * (variances + (means - centre).square())).sum(0)
        mean, variance = centre.to(x.dtype), (spread / total).to(x.dtype)
        y = nn.functional.batch_norm(x_nchw, mean, variance, weight_c, bias_c, False, 0.0, eps)
        ctx.save_for_backward(x_nchw, weight_c, mean, (variance + eps).rsqrt(), total)
        ctx.eps, ctx.across = eps, across
        unbiased = (spread / (total - 1).clamp(min=1)).to(x.dtype)
        ctx.mark_non_differentiable(mean, unbiased)
        return y, mean, unbiased

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x_nchw, weight_c, mean, scale, total = ctx.saved_tensors
        if ctx.across.alone:
            known = x_nchw, weight_c, None, None, mean, scale, True, ctx.eps, [True] * 3
            return *torch.ops.aten.native_batch_norm_backward(slopes[0], *known), None, None
        dy = _precise(slopes[0])
        unit = (_precise(x_nchw) - _wide(mean)) * _wide(scale)
        own = torch.stack([dy.sum(dim=(0, 2, 3)), (dy * unit).sum(dim=(0, 2, 3))])
        bias, weight = own
        shift, tilt = (ctx.across.total(own.to(torch.float64, copy=True)) / total).to(dy.dtype)
        dx = (dy - _wide(shift) - unit * _wide(tilt)) * _wide(scale * weight_c)
        return dx.to(x_nchw.dtype), weight, bias, None, None


def _wide(values_c: Tensor) -> Tensor:
    return values_c.view(1, -1, 1, 1)


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
