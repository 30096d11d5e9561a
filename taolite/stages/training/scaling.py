"""Cost scaling: multiply the cost by a power of two, so that small gradients survive half precision (reference 7.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from taolite.tasks.base import CostScaling

__all__ = ["FLOAT16", "CostScale"]

FLOAT16 = CostScaling(initial_exponent=16.0, increment=1 / 2000, decrement=1.0)
"""For float16 where the spec sets no scaling: doubled over 2000 good steps, halved after a bad one."""


class CostScale:
    """The cost scale of a run. Its `exponent` rises after every step with finite gradients and falls after every other
    one; `overflows` counts the latter. The exponent depends on the gradients alone, so checkpoints hold it."""

    def __init__(self, scaling: CostScaling) -> None:
        self._scaling = scaling
        self.exponent = scaling.initial_exponent
        self.overflows = 0

    @property
    def factor(self) -> float:
        """The factor of the cost; infinite where a float64 cannot hold it; the step then fails and lowers it."""
        return float(torch.tensor(self.exponent, dtype=torch.float64).exp2())

    def unscale(self, gradients: list[torch.Tensor]) -> bool:
        """Divide the gradients, in place. Where one is not finite, all become zero and the result is False."""
        torch._foreach_div_(gradients, self.factor)
        finite = bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all())
        if finite:
            self.exponent += self._scaling.increment
        else:
            torch._foreach_zero_(gradients)
            self.exponent -= self._scaling.decrement
            self.overflows += 1
        return finite

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs, as a JSON value."""
        return {"exponent": self.exponent.hex(), "overflows": self.overflows}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the values that `state` returned."""
        self.exponent, self.overflows = float.fromhex(state["exponent"]), int(state["overflows"])
