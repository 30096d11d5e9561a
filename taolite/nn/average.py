"""A moving average of a network's weights, which is validated and saved instead of the last step's."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["Average"]

_RAMP = 10  # steps: the average follows quickly at first, so that it forgets the random start


Net = TypeVar("Net", bound=nn.Module)


class Average(Generic[Net]):
    """The average of `network`'s parameters and buffers: after n updates, `decay` or (1 + n) / (10 + n), the smaller.

    Attributes:
        network: the averaged network, in evaluation mode; the state that is saved.
    """

    def __init__(self, network: Net, decay: float) -> None:
        self.network: Net = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps. Whole numbers, such as counts of batches, are copied."""
        kept = min(self._decay, (1 + step) / (_RAMP + step))
        own, new = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [new[name] for name in floats], 1 - kept)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])
