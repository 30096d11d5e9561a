"""How important the channels of a network are, and the plans that follow from a threshold on it.

The default rules are TAO's (reference 9): each convolution's filters get a normalised L2 norm; the norms of layers that
are added to each other are combined into one statistic (equalization); filters above the threshold are kept, and as
many more as minimum and granularity need. A group with an excluded layer keeps all channels, and heads lose only
inputs. Other kinds of importance (`taolite.pruning.criteria`) take the place of the statistic; the rest is the same.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
from torch import Tensor, nn

from taolite.errors import UsageError
from taolite.pruning.anatomy import Anatomy, Size, study
from taolite.pruning.criteria import Criterion, importances
from taolite.pruning.groups import Group, convolutions
from taolite.pruning.importance import Equalization, Normalizer, Statistic, equalize, filter_norms, normalize, select
from taolite.pruning.plan import Plan

__all__ = ["Ranking", "plan", "rank"]


@dataclass(frozen=True)
class Ranking:
    """The groups of a network with the importance of their channels, from which plans are made without running it.

    statistics: (n,) for each group of `anatomy`, or None where it is not pruned. settings: the arguments of `rank`.
    depths: output channels of each convolution.
    """

    anatomy: Anatomy
    statistics: tuple[Statistic | None, ...]
    settings: Mapping[str, Any]
    depths: Mapping[str, int] = field(repr=False)

    def at(self, threshold: float) -> Plan:
        """The plan of a threshold. Raises UsageError where it is not a number of 0 or more."""
        if not (math.isfinite(threshold) and threshold >= 0):
            raise UsageError(f"prune: -pth is {threshold}; it needs to be a number of 0 or more")
        rule = {name: self.settings[name] for name in ("granularity", "min_filters")}
        chosen = [
            range(group.depth) if statistic is None else select(statistic, threshold=threshold, **rule)
            for group, statistic in self._rows
        ]
        return self._plan([tuple(indices) for indices in chosen], {"threshold": threshold, **self.settings})

    def halved(self, place: int) -> Plan | None:
        """The plan that removes the less important half of one group's channels alone; None where it is not pruned."""
        group, statistic = self._rows[place]
        if statistic is None or group.depth < 2:
            return None
        half = select(statistic, threshold=math.inf, granularity=1, min_filters=group.depth - group.depth // 2)
        chosen = [half if one is group else tuple(range(one.depth)) for one in self.anatomy.groups]
        return self._plan(chosen, {"halved": group.members[0]})

    def size(self, plan: Plan) -> Size:
        """What `plan` leaves of the network."""
        return self.anatomy.size(plan.kept)

    def smallest(self, fits: Callable[[Plan], bool]) -> Plan | None:
        """The plan of the smallest threshold for which `fits` is true; None where there is none.

        A bisection over the values that occur, so the same network gives the same plan. `fits` is false up to some
        threshold and true above it: a higher threshold keeps no channel that a lower one removes.
        """
        values = self.thresholds
        if not fits(self.at(float(values[-1]))):
            return None
        low, high = -1, len(values) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(self.at(float(values[middle]))) else (middle, high)
        return self.at(float(values[high]))

    def for_share(self, target: float) -> Plan:
        """The plan of the smallest threshold that leaves at most the fraction `target` (0..1) of the parameters, moving
        statistics included. Raises UsageError where there is none."""
        if not 0 < target <= 1:
            raise UsageError(
                f"prune: the target is {target}; it needs to be a fraction of the parameters, above 0 and up to 1"
            )
        found = self.smallest(lambda plan: plan.ratio <= target)
        if found is None:
            smallest, nf, pg = self.least.ratio, self.settings["min_filters"], self.settings["granularity"]
            raise UsageError(
                f"prune: no threshold leaves {target:.3g} of the parameters; with -nf {nf}, -pg {pg} and "
                f"these exclusions {smallest:.3g} is the smallest fraction. Lower -nf or -pg, or exclude fewer layers"
            )
        return found

    def spread(self, count: int, *, least: float) -> list[Plan]:
        """Up to `count` plans whose fractions of the parameters cover the range from 1 down to `least`, or to the
        smallest that can be reached, as evenly as thresholds allow; the first removes nothing by intention."""
        found = {plan.parameters_after: plan for plan in [self.at(0.0)]}
        for share in np.linspace(1.0, max(least, self.least.ratio), count)[1:]:
            plan = self.smallest(lambda plan, most=float(share): plan.ratio <= most)  # type: ignore[misc]
            if plan is not None:
                found.setdefault(plan.parameters_after, plan)
        return list(found.values())

    @cached_property
    def least(self) -> Plan:
        """The plan that removes most."""
        return self.at(float(self.thresholds[-1]))

    @cached_property
    def thresholds(self) -> Statistic:
        """0 and the values that occur, ascending: every plan is that of one of them."""
        values = [values for values in self.statistics if values is not None]
        return np.asarray(np.unique(np.concatenate([np.zeros(1), *values])))

    @property
    def _rows(self) -> list[tuple[Group, Statistic | None]]:
        return list(zip(self.anatomy.groups, self.statistics, strict=True))

    @cached_property
    def _whole(self) -> Size:
        return self.anatomy.size({})

    def _plan(self, chosen: list[tuple[int, ...]], settings: Mapping[str, Any]) -> Plan:
        """The plan with these indices kept in each group."""
        kept: dict[str, tuple[int, ...]] = {}
        depths: dict[str, int] = {}
        following: dict[str, tuple[int, ...]] = {}
        for group, indices in zip(self.anatomy.groups, chosen, strict=True):
            for name in group.members:
                kept[name], depths[name] = indices, group.depth
            for name, places in group.followers.items():
                gone = {places[index] for index in {*range(group.depth)} - {*indices}}
                depths[name] = self.depths[name]
                following[name] = tuple(
                    index for index in following.get(name, range(depths[name])) if index not in gone
                )
        kept |= following  # at the end: they are pruned with the last of their branches
        left, whole = self.anatomy.size(kept), self._whole
        return Plan(
            kept,
            depths,
            self.anatomy.input_shape,
            whole.parameters + whole.moving,
            left.parameters + left.moving,
            settings,
        )


def rank(
    model: nn.Module,
    example: Tensor,
    *,
    normalizer: Normalizer = "max",
    equalization: Equalization = "union",
    granularity: int = 8,
    min_filters: int = 16,
    excluded: Collection[str] = (),
    heads: Collection[str] = (),
    criterion: Criterion = "tao",
    gradients: Mapping[str, Tensor] | None = None,
) -> Ranking:
    """Rank the channels of `model`, which is left as it is.

    Args:
        criterion: what counts as important; `normalizer` and `equalization` are of "tao" alone.
        gradients: for "taylor": of the cost, by the name of the parameter.

    The other arguments are those of `plan`. Raises UsageError for a value out of range, for an excluded name that is no
    convolution here, and where the network has nothing that the criterion could look at.
    """
    for what, value, choices in (
        ("-n", normalizer, Normalizer),
        ("-eq", equalization, Equalization),
        ("--importance", criterion, Criterion),
    ):
        if value not in get_args(choices):
            raise UsageError(f"prune: {what} is {value!r}; it needs to be one of {', '.join(get_args(choices))}")
    for what, number in (("-pg", granularity), ("-nf", min_filters)):
        if number < 1:
            raise UsageError(f"prune: {what} is {number}; it needs to be 1 or more")
    layers = convolutions(model)
    _refuse_unknown(excluded, layers)
    anatomy = study(model, example, heads=heads)
    free = [not {*group.members, *group.followers} & set(excluded) for group in anatomy.groups]
    scored: list[Statistic | None]
    if criterion == "tao":
        scored = [_norms(group, layers, normalizer, equalization) for group in anatomy.groups]
    else:
        scored = importances(model, example, anatomy.groups, criterion=criterion, gradients=gradients)
    settings = {
        "normalizer": normalizer,
        "equalization": equalization,
        "granularity": granularity,
        "min_filters": min_filters,
        "excluded": sorted(excluded),
        **({} if criterion == "tao" else {"importance": criterion}),
    }
    statistics = tuple(one if use else None for one, use in zip(scored, free, strict=True))
    return Ranking(anatomy, statistics, settings, {name: layer.out_channels for name, layer in layers.items()})


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
    return rank(
        model,
        example,
        normalizer=normalizer,
        equalization=equalization,
        granularity=granularity,
        min_filters=min_filters,
        excluded=excluded,
        heads=heads,
    ).at(threshold)


def _norms(
    group: Group, layers: Mapping[str, nn.Conv2d], normalizer: Normalizer, equalization: Equalization
) -> Statistic:
    """TAO's statistic of a group, (n,)."""
    kernels = [layers[name].weight.detach().float().cpu().numpy() for name in group.members]
    return equalize(np.stack([normalize(filter_norms(k), normalizer) for k in kernels]), equalization)


def _refuse_unknown(excluded: Collection[str], layers: Mapping[str, nn.Conv2d]) -> None:
    for name in sorted(excluded):
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; names are such as {next(iter(layers))}"
            raise UsageError(f"prune: -el {name} is no convolution of this model{hint}")
