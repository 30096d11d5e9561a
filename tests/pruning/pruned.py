"""What the tests of pruning compare: networks with filters worth comparing, and a pruned network with the dense one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from taolite.pruning.plan import apply
from taolite.pruning.ranking import rank
from taolite.pruning.surgery import count_parameters

Forward = Callable[[Tensor], Sequence[Tensor]]


def spread_filters(network: nn.Module) -> None:
    """Draw filters of quite different norms, as training makes them, that neither drown nor swamp the signal."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.ndim == 4:
                nn.init.kaiming_normal_(tensor).mul_(torch.rand(len(tensor), 1, 1, 1) * 1.2 + 0.3)
            elif name.endswith("bias"):
                tensor.uniform_(-0.1, 0.3)


def assert_prunes(pruned: Forward, silenced: Forward, dense: Forward, x: Tensor, *, rtol: float, atol: float) -> None:
    """The pruned network gives on `x` what the dense one with its dropped channels at 0 does, and that is another thing
    than the dense one. Tolerances are relative to the largest output of the dense one."""
    with torch.no_grad():
        for a, b, before in zip(pruned(x), silenced(x), dense(x), strict=True):
            size = float(before.abs().max())
            torch.testing.assert_close(a, b, atol=atol * size, rtol=rtol)
            assert not torch.allclose(a, before, atol=1e-3 * size, rtol=0)


def assert_masked_is_cut(network: nn.Module, forward: Callable[[nn.Module], Forward], x: Tensor, **rule: Any) -> None:
    """For a plan of `network`: what is silenced gives the outputs of what is cut, within 1e-5 of the largest, in
    float32; and both amount to what was counted beforehand."""
    ranking = rank(network, x[:1], **rule)
    found = ranking.smallest(lambda plan: plan.ratio <= 0.6) or ranking.least
    pruned, masked = apply(network, found), ranking.anatomy.silenced(network, found.kept)
    with torch.no_grad():
        for a, b, before in zip(forward(pruned)(x), forward(masked)(x), forward(network)(x), strict=True):
            size = float(before.abs().max())
            torch.testing.assert_close(b, a, atol=1e-5 * size, rtol=0)
            assert not torch.allclose(a, before, atol=1e-3 * size, rtol=0)
    left = ranking.size(found)
    assert left.parameters == sum(parameter.numel() for parameter in pruned.parameters())
    assert left.parameters + left.moving == count_parameters(pruned) == found.parameters_after
    assert left.macs == slow_macs(pruned, x[:1]) < slow_macs(network, x[:1])


def slow_macs(network: nn.Module, x: Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers, from the shapes that a forward pass shows."""
    total, hooks = [0], []

    def count(layer: Any, inputs: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            total[0] += output.numel() * layer.in_channels // layer.groups * layer.weight[0, 0].numel()
        else:
            total[0] += output.numel() * layer.in_features

    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            hooks.append(layer.register_forward_hook(count))
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return total[0]
