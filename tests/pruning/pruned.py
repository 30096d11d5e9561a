"""What the tests of pruning compare: networks with filters worth comparing, and a pruned network with the dense one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

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
