"""Learning rates as functions of progress through the run (reference 7.7)."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["soft_start_annealing"]


def soft_start_annealing(*, least: float, most: float, soft_start: float, annealing: float) -> Callable[[float], float]:
    """The rate over progress 0..1: log-linear from `least` up to `most` until `soft_start`, down again from
    `annealing` to the end.

    >>> rate = soft_start_annealing(least=5e-6, most=5e-4, soft_start=0.1, annealing=0.7)
    >>> [round(rate(p), 9) for p in (0.05, 0.5)]
    [5e-05, 0.0005]
    """

    def rate(progress: float) -> float:
        if progress < soft_start:
            share = progress / soft_start
        elif progress > annealing:
            share = (1 - progress) / (1 - annealing)
        else:
            share = 1.0
        return math.exp(math.log(least) + share * (math.log(most) - math.log(least)))

    return rate
