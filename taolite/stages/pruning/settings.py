"""How channels are chosen, and how far pruning goes: the settings of `prune`, and the plan that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from taolite.engines.timing import latency_ms
from taolite.errors import UsageError
from taolite.nn.fake_quant import strip
from taolite.nn.network import TaskNetwork
from taolite.pruning.anatomy import Size
from taolite.pruning.criteria import Criterion
from taolite.pruning.importance import Equalization, Normalizer
from taolite.pruning.plan import Plan, apply
from taolite.pruning.ranking import Ranking, rank
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.stages.pruning.judge import Judge, blank
from taolite.stages.trained import Trained
from taolite.tasks.registry import find

__all__ = ["PruneSettings", "Target", "chosen", "graph", "ranked", "target_of"]


_NEAR = 0.95


@dataclass(frozen=True)
class PruneSettings:
    """TAO's flags, and ours.

    Attributes:
        target: fraction of the parameters to keep, from which the threshold is found, as from the next three.
        target_params: largest number of parameters that training learns.
        target_macs: largest number of multiply-accumulates for one image; up to 1 it is a share of the network's.
        target_latency_ms: longest time for one image, of the exported graph in ONNX Runtime on this machine.
        importance: what makes a channel important; `normalizer` and `equalization` are of "tao" alone.
    """

    threshold: float = 0.1
    normalizer: Normalizer = "max"
    equalization: Equalization = "union"
    granularity: int = 8
    min_filters: int = 16
    excluded: tuple[str, ...] = ()
    target: float | None = None
    target_params: int | None = None
    target_macs: float | None = None
    target_latency_ms: float | None = None
    importance: Criterion = "tao"


@dataclass(frozen=True)
class Target:
    """A limit, and how the network that a plan leaves measures up. flag: the command line's. reading: for a plan, in
    the limit's own unit. costly: a reading exports the network and runs it."""

    flag: str
    limit: float
    reading: Callable[[Plan], float]
    costly: bool = False

    def met(self, plan: Plan) -> bool:
        """Whether the plan reaches the target."""
        return self.reading(plan) <= self.limit


def ranked(network: TaskNetwork, model: Trained, settings: PruneSettings, *, judge: Judge | None = None) -> Ranking:
    """The channels of `network` in the order of their importance. Raises UsageError, ModelError as `rank`; UsageError
    where the importance needs data and there is no judge."""
    gradients = None
    if settings.importance == "taylor":
        if judge is None:
            raise UsageError("prune: --importance taylor needs training data; give the spec with -e SPEC")
        gradients = judge.gradients(network)
    return rank(
        network,
        blank(model.preprocessing),
        normalizer=settings.normalizer,
        equalization=settings.equalization,
        granularity=settings.granularity,
        min_filters=settings.min_filters,
        excluded=settings.excluded,
        heads=find(model.bundle.task).heads,
        criterion=settings.importance,
        gradients=gradients,
    )


def graph(network: torch.nn.Module, model: Trained) -> bytes:
    """The ONNX that `export` would write of a network of `model`, in float32."""
    prep = model.preprocessing
    names = find(model.bundle.task).onnx_outputs
    return to_onnx(strip(network), channels=prep.channels, input_hw=prep.input_hw, output_names=names)


def target_of(
    settings: PruneSettings, ranking: Ranking, network: TaskNetwork, model: Trained, *, whole: Size | None = None
) -> Target | None:
    """The target that the settings name, for plans of `ranking`, that of `network`; None where they name none.

    Args:
        whole: the network that shares are of; None for `network` itself.

    Raises UsageError for two targets, and for a value out of range.
    """
    whole = whole or ranking.anatomy.size({})
    everything, macs = whole.parameters + whole.moving, settings.target_macs

    times: dict[tuple[tuple[int, ...], ...], float] = {}

    def timed(plan: Plan) -> float:
        """Thresholds that keep the same channels are measured once."""
        kept = tuple(plan.kept.values())
        if kept not in times:
            times[kept] = latency_ms(graph(apply(network, plan), model))
        return times[kept]

    given = [
        Target(flag, limit, reading, costly)
        for flag, limit, reading, costly in (
            ("--target", settings.target, lambda plan: plan.parameters_after / everything, False),
            ("--target-params", settings.target_params, lambda plan: float(ranking.size(plan).parameters), False),
            (
                "--target-macs",
                macs if macs is None or macs > 1 else macs * whole.macs,
                lambda plan: float(ranking.size(plan).macs),
                False,
            ),
            ("--target-latency", settings.target_latency_ms, timed, True),
        )
        if limit is not None
    ]
    if len(given) > 1:
        raise UsageError(f"prune: {' and '.join(one.flag for one in given)} are given; give one target")
    for one in given:
        if not one.limit > 0:
            raise UsageError(f"prune: {one.flag} is {one.limit:g}; it needs to be more than 0")
    return given[0] if given else None


def chosen(ranking: Ranking, target: Target | None, settings: PruneSettings) -> Plan:
    """The plan of the smallest threshold that meets the target, or that of the settings' threshold. Raises UsageError
    where no threshold meets it."""
    if target is None:
        return ranking.at(settings.threshold)
    if target.flag == "--target":
        return ranking.for_share(target.limit)
    found = _timed(ranking, target) if target.costly else ranking.smallest(target.met)
    if found is None:
        least, nf, pg = target.reading(ranking.least), settings.min_filters, settings.granularity
        raise UsageError(
            f"prune: {target.flag} {target.limit:.6g}: no threshold reaches it; with -nf {nf}, -pg {pg} and these "
            f"exclusions {least:.6g} is the smallest value. Lower -nf or -pg, or exclude fewer layers"
        )
    return found


def _timed(ranking: Ranking, target: Target) -> Plan | None:
    """A plan that meets a target whose readings are costly and not exact: a bisection that ends where one is within 5 %
    of the limit. None where the smallest network does not meet it."""
    values = ranking.thresholds
    if target.met(ranking.at(0.0)):
        return ranking.at(0.0)
    found, low, high = ranking.least, 0, len(values) - 1
    if not target.met(found):
        return None
    while high - low > 1 and target.reading(found) < _NEAR * target.limit:
        middle = (low + high) // 2
        plan = ranking.at(float(values[middle]))
        if target.met(plan):
            found, high = plan, middle
        else:
            low = middle
    return found
