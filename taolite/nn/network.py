"""The whole network of a task, as stages hold it: it can say what it is rebuilt from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

__all__ = ["TaskNetwork"]


class TaskNetwork(nn.Module, ABC):
    """Backbone and heads of one task, pruned or not."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """What the network is rebuilt from beside its numbers, as a JSON value: pruned channel counts included."""

    def training_outputs(self, x_nchw: Tensor) -> tuple[Tensor, ...]:
        """The outputs that training mode gives, for a teacher in evaluation mode. A network that gives logits in
        training and scores in evaluation needs its own."""
        outputs: tuple[Tensor, ...] = self(x_nchw)
        return outputs

    @property
    def parameter_count(self) -> int:
        """Numbers that training learns, frozen ones too: weights, biases, and gamma and beta of batch norms. The batch
        norms' moving statistics are not among them."""
        return sum(parameter.numel() for parameter in self.parameters())

    def as_stored(self) -> Self:
        """The network that an artifact holds: without the parts that training alone needs."""
        return self
