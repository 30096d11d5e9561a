"""Which channels to remove from a network: a Plan is made first, can be read and stored, and is then applied.

The rules are TAO's (reference 9): each convolution's filters get a normalised L2 norm; the norms of layers that are
added to each other are combined into one statistic (equalization); filters above the threshold are kept, and as many
more as minimum and granularity need. A group with an excluded layer keeps all channels, and heads lose only inputs.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import numpy as np
from torch import Tensor, nn

from taolite.errors import UsageError
from taolite.pruning.groups import Group, convolutions, find_groups
from taolite.pruning.importance import Equalization, Normalizer, Statistic, equalize, filter_norms, normalize, select
from taolite.pruning.surgery import count_parameters, cut

__all__ = ["Plan", "apply", "find_threshold", "plan"]

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


def plan(
    model: nn.Module,
    example: Tensor,
    *,
    threshold: float = 0.1,
    normalizer: Normalizer = "max",
    equalization: Equalization = "union",
    granularity: int = 8,
    min_filters: int = 16,
    excluded: Collection[str] = (),
    heads: Collection[str] = (),
) -> Plan:
    """Decide which channels of `model` to remove; the network itself is left as it is.

    Args:
        model: the trained network.
        example: (N, C, H, W), an input that it accepts, on its device; its values do not matter.
        threshold: filters are removed where their normalised statistic is not above it; TAO's `-pth`.
        normalizer, equalization: how norms are made comparable between layers, and how the norms of a group are
            combined; `-n`, `-eq`.
        granularity: channel counts are rounded up to a multiple of it; `-pg`.
        min_filters: every layer keeps this many filters at least; `-nf`.
        excluded: names of convolutions to leave unpruned, with their whole groups; `-el`.
        heads: names of the output layers.

    Raises UsageError for a value out of range and for an excluded name that is no convolution here.
    """
    for what, value, choices in (("-n", normalizer, Normalizer), ("-eq", equalization, Equalization)):
        if value not in get_args(choices):
            raise UsageError(f"prune: {what} is {value!r}; it needs to be one of {', '.join(get_args(choices))}")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise UsageError(f"prune: -pth is {threshold}; it needs to be a number of 0 or more")
    for what, number in (("-pg", granularity), ("-nf", min_filters)):
        if number < 1:
            raise UsageError(f"prune: {what} is {number}; it needs to be 1 or more")
    scored = _score(model, example, normalizer, equalization, excluded, heads)
    settings = {
        "threshold": threshold,
        "normalizer": normalizer,
        "equalization": equalization,
        "granularity": granularity,
        "min_filters": min_filters,
        "excluded": sorted(excluded),
    }
    return _decide(model, example, scored, settings)


def apply(model: Net, plan: Plan) -> Net:
    """A copy of `model` without the channels that `plan` removes; the other values, names, training mode and
    requires_grad stay.

    The whole contribution of a removed channel is lost, also the constant from the beta of its batch norm. Raises
    ModelError where the plan was made for another network.
    """
    return cut(model, plan.kept, plan.depths, plan.input_shape)


def find_threshold(
    model: nn.Module,
    example: Tensor,
    *,
    target: float,
    normalizer: Normalizer = "max",
    equalization: Equalization = "union",
    granularity: int = 8,
    min_filters: int = 16,
    excluded: Collection[str] = (),
    heads: Collection[str] = (),
) -> float:
    """The smallest threshold (`-pth`) with which at most the fraction `target` (0..1) of the parameters is left.

    A bisection over the statistics that occur, so the same network gives the same threshold. The other arguments are
    those of `plan`. Raises UsageError as `plan`, and where no threshold reaches the target.
    """
    if not 0 < target <= 1:
        raise UsageError(
            f"prune: the target is {target}; it needs to be a fraction of the parameters, above 0 and up to 1"
        )
    first = plan(
        model,
        example,
        threshold=0.0,
        normalizer=normalizer,
        equalization=equalization,
        granularity=granularity,
        min_filters=min_filters,
        excluded=excluded,
        heads=heads,
    )
    if first.ratio <= target:
        return 0.0
    scored = _score(model, example, normalizer, equalization, excluded, heads)
    candidates = np.unique(np.concatenate([values for _, values in scored if values is not None] or [np.zeros(1)]))

    def ratio(index: int) -> float:
        return _decide(model, example, scored, {**first.settings, "threshold": float(candidates[index])}).ratio

    low, high = -1, len(candidates) - 1  # ratio(low) > target, and it falls as the threshold rises
    smallest = ratio(high)
    if smallest > target:
        raise UsageError(
            f"prune: no threshold leaves {target:.3g} of the parameters; with -nf {min_filters}, -pg {granularity} and "
            f"these exclusions {smallest:.3g} is the smallest fraction. Lower -nf or -pg, or exclude fewer layers"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ratio(middle) <= target else (middle, high)
    return float(candidates[high])


def _score(
    model: nn.Module,
    example: Tensor,
    normalizer: Normalizer,
    equalization: Equalization,
    excluded: Collection[str],
    heads: Collection[str],
) -> list[tuple[Group, Statistic | None]]:
    """Each group with its statistic (n,), or with None where an excluded layer keeps it unpruned."""
    layers = convolutions(model)
    for name in sorted(excluded):
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; names are such as {next(iter(layers))}"
            raise UsageError(f"prune: -el {name} is no convolution of this model{hint}")
    scored: list[tuple[Group, Statistic | None]] = []
    for group in find_groups(model, example, heads=heads):
        statistic = None
        if not {*group.members, *group.followers} & set(excluded):
            kernels = [layers[name].weight.detach().float().cpu().numpy() for name in group.members]
            statistic = equalize(np.stack([normalize(filter_norms(k), normalizer) for k in kernels]), equalization)
        scored.append((group, statistic))
    return scored


def _decide(
    model: nn.Module, example: Tensor, scored: list[tuple[Group, Statistic | None]], settings: Mapping[str, Any]
) -> Plan:
    kept: dict[str, tuple[int, ...]] = {}
    depths: dict[str, int] = {}
    following: dict[str, tuple[int, ...]] = {}
    layers = convolutions(model)
    rule = {name: settings[name] for name in ("threshold", "granularity", "min_filters")}
    for group, statistic in scored:
        indices = tuple(range(group.depth)) if statistic is None else select(statistic, **rule)
        for name in group.members:
            kept[name], depths[name] = indices, group.depth
        for name, places in group.followers.items():
            gone = {places[index] for index in {*range(group.depth)} - {*indices}}
            depths[name] = layers[name].out_channels
            following[name] = tuple(index for index in following.get(name, range(depths[name])) if index not in gone)
    kept |= following  # at the end: they are pruned with the last of their branches
    shape = tuple(example.shape)
    after = count_parameters(cut(model, kept, depths, shape))
    return Plan(kept, depths, shape, count_parameters(model), after, settings)
