"""The base class of all backbones: a network of layers with TAO's names, whose activations can be read one by one.

Every layer with weights is a direct child and has the name that TAO gives it. So a state-dict key is
`<layer>.<tensor>`, and weights, `freeze_blocks`, `-el` lists and logs use the same names. `walk` yields the activations
by name, also those of layers without weights (`block_1a_relu_1`); the last one is the features.

Common to the tao networks: Glorot-uniform kernels, zero biases, batch norms with eps 1e-3 and momentum 0.01 (0.99 in
Keras's terms), symmetric zero padding (reference 5.2). Input is (N, C, H, W), RGB or grey / 255.
"""

from __future__ import annotations

import copy
import difflib
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from taolite.errors import ModelError
from taolite.nn.batchnorm import BatchNorm, keep_statistics

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Backbone", "Graph", "Walk", "layer_letters", "named"]

Graph = Literal["tao", "torchvision", "tensorflow", "pytorch-ssd"]
"""The variant of a network (strides, padding, normalisation) under TAO's layer names. Pretrained weights give their
features in one variant only (docs/decisions/0002)."""

# ImageNet statistics of RGB / 255 that torchvision's weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Walk = Generator[tuple[str, Tensor], None, Tensor]
"""Yields (layer name, activation) of each layer passed, and returns the last activation: `x = yield from ...`."""

_PROBE = 256  # pixels, wide enough for every network


class Backbone(nn.Module, ABC):
    """A feature network.

    A subclass lists its constructor's arguments in `fields` and keeps each as an attribute of that name. It adds its
    layers with `_add_conv`, implements the abstract methods, and ends its constructor with `reset_parameters()` and
    `train()`.

    Args:
        in_channels: 3 for RGB, 1 for grey.
        stride: input pixels for one cell of the features.
        freeze_blocks: blocks whose convolutions do not train; their batch norms do (reference 5.5).
        freeze_bn: batch norms use their stored statistics in training too; their gamma and beta still train.

    Raises ModelError for a channel count or a block id that does not exist.
    """

    arch: ClassVar[str]
    """The spec's name."""
    blocks: ClassVar[tuple[int, ...]]
    """The block ids that `freeze_blocks` may hold."""
    fields: ClassVar[Mapping[str, type]]
    """The constructor's arguments and the JSON type of each."""
    later_fields: ClassVar[Mapping[str, Any]] = {}
    """Default values for those of `fields` that older files do not have."""

    graph: Graph = "tao"
    in_channels: int
    stride: int
    freeze_blocks: tuple[int, ...]
    freeze_bn: bool

    input_mean: Tensor
    input_std: Tensor
    _input_statistics: tuple[Sequence[float], Sequence[float]] | None = None

    def __init__(self, *, in_channels: int, stride: int, freeze_blocks: Collection[int], freeze_bn: bool) -> None:
        super().__init__()
        self._check("in_channels", in_channels, (1, 3))
        for frozen in freeze_blocks:
            self._check("freeze_blocks", frozen, self.blocks)
        self.in_channels = in_channels
        self.stride = stride
        self.freeze_blocks = tuple(sorted({int(frozen) for frozen in freeze_blocks}))
        self.freeze_bn = freeze_bn

    @abstractmethod
    def walk(self, x_nchw: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yields (TAO's layer name, activation (N, C, h, w)) of the named layers in order; the last is the features."""

    @property
    @abstractmethod
    def out_channels(self) -> int:
        """Channels of the features, also after pruning."""

    @abstractmethod
    def block_of(self, layer: str) -> int | None:
        """The id of the block that convolution `layer` belongs to; None where it belongs to none."""

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as a JSON value: `type(net)(**net.config)` builds this network, unpruned."""
        values = {name: getattr(self, name) for name in self.fields}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def forward(self, x_nchw: Tensor) -> Tensor:
        """(N, C, H, W) RGB or grey / 255 -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        x = x_nchw
        for _, activation in self.walk(x_nchw):
            x = activation
        return x

    def shapes(self, input_hw: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
        """(channels, rows, columns) of every named activation, for an input of `input_hw` pixels. Runs on the meta
        device: no values are computed."""
        traced = copy.deepcopy(self).to("meta").eval()
        x = torch.empty(1, self.in_channels, *input_hw, device="meta")
        return {name: (a.shape[1], a.shape[2], a.shape[3]) for name, a in traced.walk(x)}

    def find(self, part: str) -> str:
        """The name of the one layer that is called `part`, or whose name contains it.

        Raises ModelError, with the nearest names, where there is none or more than one.
        """
        names = list(self.shapes((_PROBE, _PROBE)))
        found = [part] if part in names else [name for name in names if part in name]
        if len(found) == 1:
            return found[0]
        if not found:
            near = difflib.get_close_matches(part, names, n=3, cutoff=0.3) or names[-1:]
            raise ModelError(f"{self.arch}: no layer's name contains {part!r}; the nearest are {', '.join(near)}")
        some = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise ModelError(
            f"{self.arch}: {len(found)} layers' names contain {part!r} ({some}); write one of them in full"
        )

    def cut(self, layer: str) -> None:
        """Remove, in place, the layers with weights behind `layer`; from now on a walk must stop at `layer`."""
        names = list(self.shapes((_PROBE, _PROBE)))
        for name in names[names.index(layer) + 1 :]:
            if name in self._modules:
                delattr(self, name)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; with `freeze_bn` the batch norms stay in evaluation mode."""
        super().train(mode)
        if self.freeze_bn:
            keep_statistics(self)
        return self

    def reset_parameters(self) -> None:
        """Draw random kernels in layer order from torch's global generator, set biases to 0 and batch norms to
        identity, and freeze the convolutions of `freeze_blocks`."""
        for name, module in self.named_children():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                self._draw(module)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
                if self.block_of(name) in self.freeze_blocks:
                    module.requires_grad_(False)
        if self._input_statistics is not None:
            for buffer, values in zip((self.input_mean, self.input_std), self._input_statistics, strict=True):
                numbers = values if self.in_channels == 3 else (sum(values) / 3,)
                buffer.copy_(torch.tensor(numbers, device="cpu").view(1, -1, 1, 1))

    def _draw(self, conv: nn.Conv2d) -> None:
        nn.init.xavier_uniform_(conv.weight)

    def _add_conv(
        self,
        name: str,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        bn: str | None = None,
        bias: bool = True,
    ) -> None:
        """Add a convolution that keeps the size at stride 1 and, where `bn` gives a name, the batch norm behind it."""
        padding = (kernel - 1) // 2
        self.add_module(name, nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=bias))
        if bn is not None:
            self.add_module(bn, BatchNorm(out_channels, eps=1e-3, momentum=0.01))

    def _normalise_inputs(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Make `_normalised` map RGB / 255 to (x - mean) / std; for grey, both are averaged over the colours."""
        self._input_statistics = mean, std
        # Constants of the graph, so not part of the state dict.
        self.register_buffer("input_mean", torch.empty(1, self.in_channels, 1, 1), persistent=False)
        self.register_buffer("input_std", torch.empty(1, self.in_channels, 1, 1), persistent=False)

    def _normalised(self, x: Tensor) -> Tensor:
        return x if self._input_statistics is None else (x - self.input_mean) / self.input_std

    def _through(self, x: Tensor, *layers: str) -> Walk:
        """Apply these children in turn, and yield each activation under the child's name."""
        for name in layers:
            x = cast(Tensor, self._modules[name](x))  # type: ignore[misc]
            yield name, x
        return x

    def _conv(self, name: str) -> nn.Conv2d:
        return cast(nn.Conv2d, self.get_submodule(name))

    @classmethod
    def _check(cls, name: str, value: object, allowed: tuple[object, ...]) -> None:
        if value not in allowed:
            choices = ", ".join(str(choice) for choice in allowed)
            raise ModelError(f"{cls.__name__}: {name} is {value}; it needs to be one of {choices}")


def named(name: str, x: Tensor) -> Walk:
    """Yield `x` under the name of a layer that has no weights, and return it."""
    yield name, x
    return x


def layer_letters(index: int) -> str:
    """TAO's letters for the parts of a block, counted from 0: a, ..., z, aa, ab, ..."""
    last = chr(ord("a") + index % 26)
    return last if index < 26 else layer_letters(index // 26 - 1) + last
