"""What a rule gives: an advice. And what of a difference is chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from taolite.report.html.facts import ClassFacts, RunFacts

__all__ = ["Advice", "Rule", "chance"]

Level = Literal["act", "check", "note"]


@dataclass(frozen=True)
class Advice:
    """One advice. level: `act` comes first. why: what was seen, one sentence each. do: what to do, one sentence each.
    commands: lines for a shell."""

    level: Level
    title: str
    why: tuple[str, ...]
    do: tuple[str, ...]
    commands: tuple[str, ...] = ()


Rule: TypeAlias = Callable[[RunFacts], Iterator[Advice]]
"""The advice for a run; none where the rule has nothing to say."""


def chance(judged: Sequence[ClassFacts]) -> float:
    """Twice the standard error of the mean of the classes' recalls, in points; that of a score of 0.5 where a recall
    is not known; 0 without classes."""
    variances = []
    for one in judged:
        share = one.recall if one.recall is not None else one.score if one.score is not None else 0.5
        count = one.judged or 1
        smooth = (share * count + 1) / (count + 2)  # never 0 or 1 on few objects
        variances.append(smooth * (1 - smooth) / count)
    return float(200 * sum(variances) ** 0.5 / max(len(judged), 1))
