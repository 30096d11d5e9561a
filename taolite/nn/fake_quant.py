"""Quantisation-aware training: convolutions that already round as an int8 engine will (reference 7.8).

`quantize` gives every convolution of a network an 8-bit kernel and an 8-bit input, both still in float ("fake"):
x is replaced by scale * clamp(round(x / scale)), and the gradient passes straight through where nothing was cut off.
Kernels have a scale for each output channel, max |w| / 127, taken anew at every step: folding a batch norm multiplies
whole output channels, so the exported kernel rounds to the very same integers. Inputs have one scale, range / 127; the
range is learned by watching. TensorRT adds a residual in the convolution's own kernel where the other addend is int8
too: a backbone marks that addend with a `Shortcut`, which `quantize` fills.

The rounding is torch's own (`torch.fake_quantize_*`, with straight-through gradients on every device); what
`torch.ao.quantization` builds around it (observers of minimum and maximum, state for each channel, rewritten graphs)
would rename the layers and stand in the way of pruning.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import ClassVar, TypeVar

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
_Net = TypeVar("_Net", bound=nn.Module)
_LEAST_SCALE = torch.finfo(torch.float32).eps  # of a channel or an input that is all zero


class ActivationQuantizer(nn.Module):
    """Rounds what passes to 8 bits of a learned range, which is part of the state.

    `range` is the moving average (decay 0.999) of max |x| of the training batches, and 6 before the first one. It owes
    nothing to where it started: the first batches are averaged plainly (the n-th counts 1/n), as `nn.batchnorm` does;
    TAO's begins at 6 and would still be there after a short run. In evaluation mode it stays.
    """

    STATE: ClassVar = ("range", "batches")

    range: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("range", torch.tensor(INITIAL_RANGE))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """`x`, of any shape and float type, rounded to the 256 steps of range / 127 from -128 to 127."""
        if self.training:
            self._watch(x.detach())
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        return torch.fake_quantize_per_tensor_affine(x, _scale(self.range), zero, -128, 127)

    def _watch(self, x: Tensor) -> None:
        self.batches.add_(1)
        share = (1 / self.batches).clamp(min=1 - DECAY)  # a tensor: to ask a GPU for its value would stall it
        self.range.lerp_(self.reach(x), share)

    def reach(self, x: Tensor) -> Tensor:
        """max |x|, a float32 scalar."""
        least, most = torch.aminmax(x)
        return torch.maximum(-least, most).float()


class Shortcut(nn.Identity):
    """Marks, in a backbone, what is added to a convolution's output; holds and does nothing itself."""


class QuantConv2d(nn.Conv2d):
    """A convolution with an 8-bit kernel and an 8-bit input; its parameters are the float ones."""

    quantizer: ActivationQuantizer

    def forward(self, x_nchw: Tensor) -> Tensor:
        """As `nn.Conv2d`, of the rounded input with the rounded kernel; bias and sums are float."""
        answer: Tensor = self._conv_forward(self.quantizer(x_nchw), fake_quantize_kernel(self.weight), self.bias)
        return answer


def fake_quantize_kernel(kernel_oihw: Tensor) -> Tensor:
    """The kernel rounded to 255 steps from -127 to 127, of max |w| / 127 for each output channel."""
    scale_o = _kernel_scales(kernel_oihw)
    zeros_o = torch.zeros_like(scale_o, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernel_oihw, scale_o, zeros_o, 0, -127, 127)


def kernel_integers(kernel_oihw: Tensor) -> Tensor:
    """The steps that `fake_quantize_kernel` rounds to: int8, the largest of a channel 127 or -127.

    Channels whose weights are all below 1.5e-5 have the smallest scale there is, and smaller integers."""
    scale_o = _kernel_scales(kernel_oihw)
    return (fake_quantize_kernel(kernel_oihw.detach()) / scale_o[:, None, None, None]).round().to(torch.int8)


def quantize(network: nn.Module) -> int:
    """Quantise, in place, every convolution and `Shortcut` below `network` that is not; parameters stay the same
    objects. Returns the number of convolutions that are quantised now."""
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
    """A copy of `network` without quantisation; with `round_kernels` its kernels keep the values they were rounded to.

    With `only`, just the convolutions of these names (the last part of their paths) lose it. A rounded kernel's largest
    |w| is its scale times 127, so whoever quantises it again finds the same integers."""
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
    """Whether `quantize` has been here."""
    return any(isinstance(layer, ActivationQuantizer) for layer in network.modules())


def ranges(network: nn.Module) -> dict[str, float]:
    """The learned range of each convolution's input and of each `Shortcut`, by the path of that layer."""
    return {
        path.removesuffix(".quantizer"): float(layer.range)
        for path, layer in network.named_modules()
        if isinstance(layer, ActivationQuantizer)
    }


def forget_ranges(network: nn.Module) -> None:
    """Let the ranges of `network` follow the next batches anew; their values stay until the first batch comes."""
    for layer in network.modules():
        if isinstance(layer, ActivationQuantizer):
            layer.batches.zero_()


def _kernel_scales(kernel_oihw: Tensor) -> Tensor:
    return _scale(kernel_oihw.detach().abs().amax(dim=(1, 2, 3)))


def _scale(largest: Tensor) -> Tensor:
    return (largest / 127).clamp(min=_LEAST_SCALE)


def _conv_like(conv: nn.Conv2d, kind: type[_Conv]) -> _Conv:
    """A convolution of another class with the settings and the very parameters of `conv`."""
    made = kind(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        conv.bias is not None,
        conv.padding_mode,
        device="meta",
    )
    made.weight, made.bias = conv.weight, conv.bias
    return made
