"""The same training with several seeds, one run after the other, and how far their scores lie apart.

On 40 pictures with one object each, one object is 2.5 points: a difference between two settings says something only
where it is larger than the spread over seeds. A run that is there already is resumed or, where it is complete, scored
again; so the same command, repeated, ends with the same summary.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from taolite.artifacts.keys import Key
from taolite.events import Listener, SeedBegun, silent
from taolite.files import write_text
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.base import Experiment
from taolite.workspace.status import finite

__all__ = ["SeedRun", "SeedsReport", "Spread", "each_seed", "seed_folder", "train_seeds"]

SUMMARY = "seeds.json"


@dataclass(frozen=True)
class SeedRun:
    """One of the runs. scores: 0..1 by name, of the last weights and, as "best ...", of the best validation."""

    seed: int
    folder: Path
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """Of one score over the runs: mean, sample standard deviation (None of a single run), least and greatest."""

    mean: float
    deviation: float | None
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of one value or more."""
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return Spread(statistics.fmean(values), deviation, min(values), max(values))


@dataclass(frozen=True)
class SeedsReport:
    """All runs, and the number of validation pictures and of their labelled objects. path: the summary as JSON."""

    runs: tuple[SeedRun, ...]
    images: int
    objects: int
    path: Path

    @property
    def spread(self) -> dict[str, Spread]:
        """The spread of each score that all runs have, by its name."""
        first, *others = (run.scores for run in self.runs)
        names = [name for name in first if all(name in scores for scores in others)]
        return {name: Spread.of([run.scores[name] for run in self.runs]) for name in names}


def seed_folder(results: Path, seed: int) -> Path:
    """The run folder of a seed."""
    return results / f"seed-{seed}"


def train_seeds(
    experiment: Experiment,
    results: Path,
    *,
    count: int,
    name: str,
    key: Key,
    options: TrainOptions,
    listener: Listener = silent,
) -> SeedsReport:
    """Train `count` runs with the experiment's seed and those that follow it, each in `seed_folder`.

    With `options.resume` the first run has to be there. For the other arguments and for errors see `train`.
    """

    def run(seed: int, folder: Path) -> TrainReport:
        own = options if seed == experiment.recipe.seed else replace(options, resume=False)
        return train(experiment.seeded(seed), folder, name=name, key=key, options=own, listener=listener)

    writes = options.world.writes
    return each_seed(
        experiment.recipe.seed, count, results, run, writes=writes, listener=listener if writes else silent
    )


def each_seed(
    first: int,
    count: int,
    results: Path,
    run: Callable[[int, Path], TrainReport],
    *,
    writes: bool = True,
    listener: Listener = silent,
) -> SeedsReport:
    """Call `run` with each seed and its folder. The process that `writes` writes the summary after every run."""
    runs: list[SeedRun] = []
    for seed in range(first, first + count):
        folder = seed_folder(results, seed)
        listener(SeedBegun(seed, seed - first + 1, count, folder))
        report = run(seed, folder)
        runs.append(SeedRun(seed, folder, _scores(report)))
        card = report.evaluation.card
        made = SeedsReport(tuple(runs), card.images, sum(card.objects.values()), results / SUMMARY)
        if writes:
            write_text(made.path, json.dumps(_summary(made), indent=2, ensure_ascii=False) + "\n")
    return made


def _scores(report: TrainReport) -> dict[str, float]:
    card = report.evaluation.card
    short = card.main.words.short
    beside = {f"{name} {metric.words.short}": metric.value for name, metric in card.beside.items()}
    return {short: card.main.value, **beside, f"best {short}": report.best.value}


def _summary(report: SeedsReport) -> object:
    return finite(
        {
            "runs": [{"seed": one.seed, "folder": str(one.folder), "scores": dict(one.scores)} for one in report.runs],
            "spread": {name: asdict(spread) for name, spread in report.spread.items()},
            "images": report.images,
            "objects": report.objects,
        }
    )
