"""A sweep: what each of a range of thresholds leaves of a trained model, in size, speed and score.

Nothing is cut for sizes. For a score, the channels that a plan removes are silenced in the whole network, which then
gives the outputs of the cut one; where little is left of the network it is cut, because that is faster over all images.
Latencies and trainings take the cut network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from taolite.engines.timing import latency_ms
from taolite.errors import UsageError
from taolite.events import Exploring, Listener, Progress, silent
from taolite.nn.network import TaskNetwork
from taolite.pruning.plan import Plan, apply
from taolite.pruning.ranking import Ranking
from taolite.report.sweep import Sensitivity, Sweep, SweepRow, sweep_png
from taolite.stages.pruning.judge import Judge, open_judge
from taolite.stages.pruning.settings import PruneSettings, graph, ranked
from taolite.stages.trained import Trained
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find

__all__ = ["SweepOptions", "sweep"]

_LEAST_SHARE = 0.02
_CUT_BELOW = 0.7  # of the multiply-accumulates: a cut takes the time of some ten images


@dataclass(frozen=True)
class SweepOptions:
    """thresholds: how many, at most. images: of a score, at most. latency: measure it. epochs: of the training after
    each cut; 0 for none. sensitivity: score each group with half of its channels."""

    thresholds: int = 20
    images: int = 200
    latency: bool = False
    epochs: int = 0
    sensitivity: bool = False


def sweep(
    model: Trained,
    picture: Path,
    *,
    settings: PruneSettings,
    options: SweepOptions,
    experiment: Experiment | None = None,
    listener: Listener = silent,
) -> Sweep:
    """Measure thresholds that leave from all of the parameters to a few percent, in even steps, and draw `picture`.

    Args:
        experiment: its validation images give the scores; without it there are none.

    Raises UsageError where the options need an experiment and there is none, ModelError, DataError, StorageError.
    """
    if experiment is None and (options.epochs or options.sensitivity):
        flag = "--finetune" if options.epochs else "--sensitivity"
        raise UsageError(f"prune: {flag} needs data; give the spec with -e SPEC")
    judge = open_judge(model, experiment, images=options.images, listener=listener) if experiment else None
    network = find(model.bundle.task).network(model.bundle)
    listener(Exploring())
    ranking = ranked(network, model, settings, judge=judge)
    plans = ranking.spread(options.thresholds, least=_LEAST_SHARE)
    whole = judge.score(network) if judge else None
    everything, whole_bytes = ranking.anatomy.size({}), len(graph(network, model))
    bench = _Bench(model, network, ranking, judge, options, whole)
    rows = []
    for plan in plans:
        left = ranking.size(plan)
        onnx_bytes = whole_bytes - 4 * (everything.folded - left.folded)  # the graph is the same, its numbers are fewer
        row = SweepRow(plan.settings["threshold"], plan.ratio, left.parameters, left.macs, onnx_bytes)
        rows.append(bench.measured(row, plan))
        listener(Progress("sweep", len(rows), len(plans), unit="threshold"))
    found = Sweep(
        tuple(rows),
        find(model.bundle.task).metric,
        images=len(judge.held_out) if judge else 0,
        epochs=options.epochs,
        whole=whole,
        sensitivity=_sensitivity(ranking, network, judge, listener) if judge and options.sensitivity else (),
        picture=picture,
    )
    sweep_png(found, picture)
    return found


@dataclass(frozen=True)
class _Bench:
    """What every threshold of a sweep is measured with. whole: score of the unpruned network."""

    model: Trained
    network: TaskNetwork
    ranking: Ranking
    judge: Judge | None
    options: SweepOptions
    whole: float | None

    def measured(self, row: SweepRow, plan: Plan) -> SweepRow:
        """The row with its scores, its latency and what a training makes of it, where they are asked for."""
        options, judge, small = self.options, self.judge, None
        macs = self.ranking.anatomy.size({}).macs
        if options.latency or options.epochs or (judge is not None and row.macs < _CUT_BELOW * macs):
            small = apply(self.network, plan)
        if small is not None and options.latency:
            onnx = graph(small, self.model)
            row = replace(row, latency_ms=latency_ms(onnx), onnx_bytes=len(onnx))
        if judge is None:
            return row
        subject = small or self.ranking.anatomy.silenced(self.network, plan.kept)
        score = self.whole if plan.ratio == 1 else judge.score(subject)
        judge.settle(subject)
        row = replace(row, score=score, settled=judge.score(subject))
        if small is not None and options.epochs:
            trained = judge.finetuned(small, self.model, epochs=options.epochs)
            row = replace(row, finetuned=judge.score(trained))
        return row


def _sensitivity(ranking: Ranking, network: TaskNetwork, judge: Judge, listener: Listener) -> tuple[Sensitivity, ...]:
    """The score with each group alone cut to half, the most sensitive first."""
    found = []
    groups = ranking.anatomy.groups
    for place, group in enumerate(groups):
        plan = ranking.halved(place)
        if plan is not None:
            score = judge.score(ranking.anatomy.silenced(network, plan.kept))
            found.append(Sensitivity(group.members, group.depth, score))
        listener(Progress("sensitivity", place + 1, len(groups), unit="group"))
    return tuple(sorted(found, key=lambda one: one.score))
