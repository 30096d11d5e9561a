"""Which channels of a network are removed: a Plan is made first (`taolite.pruning.ranking`), can be read and stored,
and is then applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from taolite.pruning.surgery import cut

__all__ = ["Plan", "apply"]

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Plan:
    """Which output channels are kept.

    kept: for every convolution that could lose channels, the indices to keep, ascending. depths: the output channels of
    each of them before pruning. input_shape: shape of the example that the network was traced with.
    parameters_before, parameters_after: parameter counts of the network as in Keras (moving means and variances of
    batch norms included). settings: the arguments of `plan`.
    """

    kept: Mapping[str, tuple[int, ...]]
    depths: Mapping[str, int]
    input_shape: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """TAO's pruning ratio: parameters after pruning / parameters before; 1.0 where nothing is removed."""
        return self.parameters_after / self.parameters_before

    def to_json(self) -> dict[str, Any]:
        """This plan as a JSON value, for `from_json`."""
        return {
            "kept": {name: list(indices) for name, indices in self.kept.items()},
            "depths": dict(self.depths),
            "input_shape": list(self.input_shape),
            "parameters_before": self.parameters_before,
            "parameters_after": self.parameters_after,
            "settings": dict(self.settings),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """The Plan that `to_json` wrote."""
        return Plan(
            kept={name: tuple(indices) for name, indices in value["kept"].items()},
            depths=dict(value["depths"]),
            input_shape=tuple(value["input_shape"]),
            parameters_before=value["parameters_before"],
            parameters_after=value["parameters_after"],
            settings=dict(value["settings"]),
        )


def apply(model: Net, plan: Plan) -> Net:
    """A copy of `model` without the channels that `plan` removes; the other values, names, training mode and
    requires_grad stay.

    The whole contribution of a removed channel is lost, also the constant from the beta of its batch norm. Raises
    ModelError where the plan was made for another network.
    """
    return cut(model, plan.kept, plan.depths, plan.input_shape)
