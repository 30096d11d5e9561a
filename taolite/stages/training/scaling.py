"""Cost scaling: the cost times a power of two, so that small gradients survive half precision (reference 7.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from taolite.tasks.base import CostScaling

__all__ = ["FLOAT16", "CostScale"]

FLOAT16 = CostScaling(initial_exponent=16.0, increment=1 / 2000, decrement=1.0)
"""For float16 where the spec has no scaling of its own: doubled over 2000 good steps, halved after a bad one."""


class CostScale:
    """The scale of a run: its `exponent` rises with every finite step and falls after every other, and `overflows`
    counts those. The exponent follows the gradients alone, so it belongs in the checkpoint."""

    def __init__(self, scaling: CostScaling) -> None:
        self._scaling = scaling
        self.exponent = scaling.initial_exponent
        self.overflows = 0

    @property
    def factor(self) -> float:
        """What the cost is multiplied by; infinite, and so lowered again, where a float64 cannot hold it."""
        return float(torch.tensor(self.exponent, dtype=torch.float64).exp2())

    def unscale(self, gradients: list[torch.Tensor]) -> bool:
        """Divide the gradients, in place; all become zero and the answer is False where one is not finite."""
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
        """Take up what `state` gave."""
        self.exponent, self.overflows = float.fromhex(state["exponent"]), int(state["overflows"])
