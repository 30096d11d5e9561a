"""The causes of a low score that the course of a training shows: rates, costs and their parts over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from taolite.diagnosis import Cause
from taolite.tasks.base import Experiment

__all__ = ["of_costs", "of_rate"]

_ADAMS = ("Adam", "AdamW", "RMSprop")  # a step moves a weight by about the rate
_LEAST_WAY = 1e-3  # sum of the rates of all steps
_FEW_STEPS = 100
_HIGHEST = {True: 0.02, False: 1.0}  # rate of Adam and its kin, of SGD
_STILL = 0.97  # of the first epoch's cost
_PENALTY = 10.0  # times the cost


def of_rate(experiment: Experiment, rows: Sequence[Mapping[str, Any]], *, pictures: int) -> Iterator[Cause]:
    """What the learning rate of `pictures` training pictures can do: nothing, too little, or too much."""
    recipe, schedule = experiment.recipe, experiment.schedule()
    steps = -(-pictures // recipe.batch_size)
    epochs = max((row["epoch"] for row in rows if "learning_rate" in row), default=recipe.epochs)
    rates = [schedule.rate(epoch + share) for epoch in range(epochs) for share in (0.0, 0.5)]
    rates = [rate / (1 + recipe.decay * steps * place / 2) for place, rate in enumerate(rates)]
    peak, way = max(rates), sum(rates) / 2 * steps
    optimizer = recipe.optimizer.func.__name__ if isinstance(recipe.optimizer, partial) else "the optimizer"
    adam = optimizer in _ADAMS
    facts = {"peak": peak, "way": way, "steps": steps * epochs, "epochs": epochs, "batch_size": recipe.batch_size}
    facts |= {"pictures": pictures, "optimizer": optimizer}
    yield Cause("rate_too_low", "training", 1.0 if way < _LEAST_WAY else 0.0, facts)
    yield Cause("few_steps", "training", 0.5 if way >= _LEAST_WAY and steps * epochs < _FEW_STEPS else 0.0, facts)
    fell, limit = _fell(rows), _HIGHEST[adam]
    wild = peak > 10 * limit or fell is None or fell < 0.5
    facts |= {"usual": 5e-4 if adam else 1e-2, "fell": fell}
    yield Cause("rate_too_high", "training", (0.9 if wild else 0.6) if peak > limit else 0.0, facts)


def _fell(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """By which share the cost fell from the first epoch to the last; None for fewer than two epochs."""
    costs = [row["loss"] for row in rows if isinstance(row.get("loss"), float) and math.isfinite(row["loss"])]
    return None if len(costs) < 2 or not costs[0] else 1 - costs[-1] / costs[0]


def of_costs(rows: Sequence[Mapping[str, Any]]) -> Iterator[Cause]:
    """Costs that are no numbers, that stand still, or that the regulariser's penalty outweighs."""
    epochs = [row for row in rows if "loss" in row]
    if not epochs:
        return
    broken = [row["epoch"] for row in epochs if row["loss"] is None or not math.isfinite(row["loss"])]
    if broken:
        yield Cause("cost_not_finite", "training", 1.0, {"epoch": broken[0]})
        return
    first, last = epochs[0], epochs[-1]
    penalty = last.get("penalty", 0.0)
    heavy = penalty > _PENALTY * last["loss"]
    yield Cause("penalty", "training", 0.9 if heavy else 0.0, {"penalty": penalty, "cost": last["loss"]})
    if len(epochs) < 3:
        return
    still = last["loss"] > _STILL * first["loss"]
    facts = {"first": first["loss"], "last": last["loss"], "epochs": len(epochs)}
    yield Cause("cost_still", "training", 0.5 if still else 0.0, facts)
    parts = [name for name in first if name.startswith("train_") and last.get(name, 0.0) > _STILL * first[name] > 0]
    if parts and not still:
        name = max(parts, key=lambda name: last[name])
        facts = {"part": name.removeprefix("train_"), "first": first[name], "last": last[name]}
        yield Cause("part_still", "training", 0.3, facts)
