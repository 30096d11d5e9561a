"""What to cut from a network, decided before anything is cut: a Plan is a value, can be read, stored and applied.

The rules are TAO's (reference 9): each convolution's filters get a normalised L2 norm; layers that are added to each
other are equalised into one statistic; filters above the threshold stay, and as many more as minimum and granularity
ask for. A group with an excluded layer is left whole, and heads lose only inputs.
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
    """Which output channels stay.

    kept: for every convolution that could lose channels, the indices that stay, ascending. depths: how many it has
    now. input_shape: of the example the network was traced with. parameters_before, parameters_after: of the
    network, counted as Keras does (batch norms' moving mean and variance are included). settings: how it was made.
    """

    kept: Mapping[str, tuple[int, ...]]
    depths: Mapping[str, int]
    input_shape: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """TAO's pruning ratio, pruned parameters / original parameters: 1.0 where nothing goes."""
        return self.parameters_after / self.parameters_before

    def to_json(self) -> dict[str, Any]:
        """A JSON value; `from_json` gives an equal Plan back."""
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
    """Decide which channels of `model` go; the network itself is left as it is.

    Args:
        model: the trained network.
        example: (N, C, H, W) an input it accepts, on its device; the values do not matter.
        threshold: filters whose normalised statistic is not above it may go; TAO's `-pth`.
        normalizer, equalization: how norms are made comparable, and how a group's layers agree; `-n`, `-eq`.
        granularity: channel counts are rounded up to a multiple of it; `-pg`.
        min_filters: no layer is cut below it; `-nf`.
        excluded: names of convolutions to leave whole, and with each its group; `-el`.
        heads: names of the layers whose outputs are the network's.

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
    """A new network, `model` without the channels that `plan` drops; values, names, training mode and which
    parameters train are kept.

    What a dropped channel contributed is gone with it, the constant that its batch norm's beta added included.
    Raises ModelError where the plan was made for another network.
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
    """The smallest threshold (`-pth`) that leaves at most the fraction `target` of the parameters.

    Bisection over the statistics that occur, so the same network gives the same threshold. Other arguments as `plan`.
    Raises UsageError as `plan`, and where minimum, granularity and exclusions leave more than `target` in any case.
    """
    if not 0 < target <= 1:
        raise UsageError(f"prune: the target is {target}; it needs to be a fraction of the parameters, above 0 to 1")
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
            f"prune: no threshold leaves {target:.3g} of the parameters; with -nf {min_filters}, -pg {granularity} "
            f"and these exclusions at least {smallest:.3g} stay. Lower -nf or -pg, or exclude less"
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
    """Each group with its statistic (n,), or with None where an excluded layer keeps it whole."""
    layers = convolutions(model)
    for name in sorted(excluded):
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; its names are like {next(iter(layers))}"
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
    kept |= following  # at the end: they are cut with the last of their branches
    shape = tuple(example.shape)
    after = count_parameters(cut(model, kept, depths, shape))
    return Plan(kept, depths, shape, count_parameters(model), after, settings)
