"""Quantisation-aware training: convolutions that round as an int8 engine will (reference 7.8).

`quantize` gives every convolution of a network an 8-bit kernel and an 8-bit input, both still stored as float ("fake
quantisation"): x becomes scale * clamp(round(x / scale)), with a straight-through gradient inside the range. A kernel
has one scale for each output channel, max |w| / 127, computed at every step. Folding a batch norm multiplies whole
output channels, so the exported kernel rounds to the same integers. An input has one scale, range / 127; the range is a
moving average over the training batches. TensorRT fuses a residual addition into the convolution where the other
addend is int8 too: a backbone marks that addend with a `Shortcut`, which `quantize` replaces.

The rounding is torch's own (`torch.fake_quantize_*`). The rest of `torch.ao.quantization` (observers, rewritten graphs)
would rename layers, which pruning and weights files go by.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import ClassVar, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

__all__ = [
    "ActivationQuantizer",
    "QuantConv2d",
    "Shortcut",
    "fake_quantize_kernel",
    "forget_ranges",
    "is_quantized",
    "kernel_integers",
    "quantize",
    "ranges",
    "strip",
]

DECAY = 0.999
INITIAL_RANGE = 6.0
_Conv = TypeVar("_Conv", bound=nn.Conv2d)
Pair: TypeAlias = tuple[int, int]
_Net = TypeVar("_Net", bound=nn.Module)
_LEAST_SCALE = torch.finfo(torch.float32).eps  # of a channel or an input that is all zero


class ActivationQuantizer(nn.Module):
    """Rounds its input to 8 bits of a learned range, which is part of the state.

    `range` is the moving average (decay 0.999) of max |x| over the training batches, and 6 before the first one. It
    does not depend on that start: the first batches are averaged with equal weight (the n-th counts 1/n), as in
    `nn.batchnorm`; TAO's average starts at 6 and is still near it after a short run. Evaluation mode does not change
    `range`.
    """

    STATE: ClassVar = ("range", "batches")

    range: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("range", torch.tensor(INITIAL_RANGE))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """`x`, of any shape and floating-point type, rounded to multiples of range / 127 from -128 to 127."""
        if self.training:
            self._watch(x.detach())
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        return torch.fake_quantize_per_tensor_affine(x, _scale(self.range), zero, -128, 127)

    def _watch(self, x: Tensor) -> None:
        self.batches.add_(1)
        share = (1 / self.batches).clamp(min=1 - DECAY)  # a tensor: to ask a GPU for its value would stall it
        self.range.lerp_(self.reach(x), share)

    def reach(self, x: Tensor) -> Tensor:
        """max |x|, a float32 tensor of one number."""
        least, most = torch.aminmax(x)
        return torch.maximum(-least, most).float()


class Shortcut(nn.Identity):
    """The identity; marks in a backbone the tensor that is added to a convolution's output."""


class QuantConv2d(nn.Conv2d):
    """A convolution with an 8-bit kernel and an 8-bit input; its parameters stay float."""

    quantizer: ActivationQuantizer

    def forward(self, x_nchw: Tensor) -> Tensor:
        """As `nn.Conv2d`, with input and kernel rounded; bias and sums are float."""
        answer: Tensor = self._conv_forward(self.quantizer(x_nchw), fake_quantize_kernel(self.weight), self.bias)
        return answer


def fake_quantize_kernel(kernel_oihw: Tensor) -> Tensor:
    """The kernel (O, I, H, W) rounded, for each output channel, to multiples of max |w| / 127 from -127 to 127."""
    scale_o = _kernel_scales(kernel_oihw)
    zeros_o = torch.zeros_like(scale_o, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernel_oihw, scale_o, zeros_o, 0, -127, 127)


def kernel_integers(kernel_oihw: Tensor) -> Tensor:
    """The integers that `fake_quantize_kernel` rounds to: (O, I, H, W) int8; the largest of a channel is 127 or -127.

    A channel whose weights are all below 1.5e-5 has the smallest scale there is, and smaller integers."""
    scale_o = _kernel_scales(kernel_oihw)
    return (fake_quantize_kernel(kernel_oihw.detach()) / scale_o[:, None, None, None]).round().to(torch.int8)


def quantize(network: nn.Module) -> int:
    """Quantise, in place, every convolution and `Shortcut` inside `network`; those that are quantised already, and all
    parameters, stay the same objects. Returns the number of quantised convolutions."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Shortcut):
                setattr(parent, name, ActivationQuantizer().train(child.training))
            elif isinstance(child, nn.Conv2d) and not isinstance(child, QuantConv2d):
                quantized = _conv_like(child, QuantConv2d)
                quantized.quantizer = ActivationQuantizer()
                setattr(parent, name, quantized.train(child.training))
    return sum(isinstance(layer, QuantConv2d) for layer in network.modules())


def strip(network: _Net, *, round_kernels: bool = False, only: Collection[str] | None = None) -> _Net:
    """A copy of `network` without quantisation.

    Args:
        network: left as it is.
        round_kernels: kernels get their rounded values. Quantised again they give the same integers, for their largest
            |w| is their scale times 127.
        only: names of the convolutions to strip (the last parts of their paths); None strips all.
    """
    twin = copy.deepcopy(network)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, QuantConv2d):
                if only is not None and name not in only:
                    continue
                if round_kernels:
                    child.weight.data = fake_quantize_kernel(child.weight.data)
                setattr(parent, name, _conv_like(child, nn.Conv2d).train(child.training))
            elif isinstance(child, ActivationQuantizer) and only is None and not isinstance(parent, QuantConv2d):
                setattr(parent, name, Shortcut().train(child.training))
    return twin


def is_quantized(network: nn.Module) -> bool:
    """Whether any layer of `network` is quantised."""
    return any(isinstance(layer, ActivationQuantizer) for layer in network.modules())


def ranges(network: nn.Module) -> dict[str, float]:
    """The learned range (max |x|) of each convolution's input and of each `Shortcut`, by the layer's path."""
    return {
        path.removesuffix(".quantizer"): float(layer.range)
        for path, layer in network.named_modules()
        if isinstance(layer, ActivationQuantizer)
    }


def forget_ranges(network: nn.Module) -> None:
    """Restart the learned ranges of `network` with the next batch; they keep their values until that batch."""
    for layer in network.modules():
        if isinstance(layer, ActivationQuantizer):
            layer.batches.zero_()


def _kernel_scales(kernel_oihw: Tensor) -> Tensor:
    return _scale(kernel_oihw.detach().abs().amax(dim=(1, 2, 3)))


def _scale(largest: Tensor) -> Tensor:
    return (largest / 127).clamp(min=_LEAST_SCALE)


def _conv_like(conv: nn.Conv2d, kind: type[_Conv]) -> _Conv:
    """A convolution of class `kind` with the settings of `conv` and the same parameter objects."""
    made = kind(
        conv.in_channels,
        conv.out_channels,
        cast(Pair, conv.kernel_size),
        cast(Pair, conv.stride),
        cast("str | Pair", conv.padding),
        cast(Pair, conv.dilation),
        conv.groups,
        conv.bias is not None,
        conv.padding_mode,
        device="meta",
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made
